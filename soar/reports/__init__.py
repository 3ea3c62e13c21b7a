"""Timeline → report model → JSON, HTML, Markdown."""
