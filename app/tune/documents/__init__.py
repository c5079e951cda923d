"""Documents of many kinds as sections with headings: Markdown, text, HTML, PDF, and JSONL corpora."""
