"""`python -m frugal_serve`: read the settings, serve, exit. Nothing is decided here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from frugal.errors import InvalidSettings
from frugal_serve.server import run
from frugal_serve.settings import ServeSettings


def main() -> int:
    """Return the exit status of one server; 2 for settings that cannot be used."""
    try:
        settings = ServeSettings.from_environment(os.environ)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        if termination_log := os.environ.get("FRUGAL_TERMINATION_LOG"):
            Path(termination_log).write_text(f"InvalidSettings: {error}")
        return 2
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
