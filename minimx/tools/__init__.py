"""Commands: `python -m minimx.tools.<name>`."""
