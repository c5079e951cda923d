"""How the HTML reports of all programs begin: one page that needs no other file and loads none."""

from __future__ import annotations

from html import escape

_BEGIN = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
"""
STYLE = """<style>
:root {
  --ink: #1f2933; --soft: #52606d; --line: #d9e2ec; --paper: #ffffff; --ground: #f5f7fa;
  --yes: #2f7d5b; --no: #b3452d; --maybe: #8a6d1a;
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 "Segoe UI", system-ui, "DejaVu Sans", sans-serif;
}
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 60px; }
</style>
"""


def begin(title: str, style: str = STYLE) -> str:
    """A page up to where its own `<style>` may stand, then `</head>` and its body. `title` is escaped, `style` not."""
    return _BEGIN.format(title=escape(title)) + style
