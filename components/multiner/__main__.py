"""`python -m multiner` is the command `multiner`."""

from .commands import app

app(prog_name="multiner")
