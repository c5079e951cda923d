"""The settings and templates stored in a run folder, so that the folder can be read on its own."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from cli.output import write_text
from synth.errors import BadInput
from synth.settings import RunOptions

SETTINGS = "settings.json"
TEMPLATES = "templates"


def keep_snapshot(run: Path, options: RunOptions, templates: Path | None) -> None:
    """Writes `settings.json` and `templates/` into the folder. API keys are not among the settings."""
    values = options.model_dump(mode="json", include=set(RunOptions.model_fields))
    write_text(run / SETTINGS, json.dumps(values, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    for built_in in files("synth").joinpath(TEMPLATES).iterdir():
        own = templates / built_in.name if templates else None
        text = own.read_text(encoding="utf-8") if own and own.exists() else built_in.read_text(encoding="utf-8")
        write_text(run / TEMPLATES / built_in.name, text)


def read_snapshot(run: Path) -> tuple[RunOptions, Path]:
    """The settings of a run folder and the folder of its templates. Raises `BadInput` when it is not a run folder."""
    try:
        text = (run / SETTINGS).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{run / SETTINGS}: cannot be read ({error.strerror}); give the folder of a run.") from None
    return RunOptions.model_validate_json(text), run / TEMPLATES
