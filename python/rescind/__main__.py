"""The command `rescind`, which is also `python -m rescind`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; exit status 0 for success, 1 for a failed check, 2 for what could not run.

    Ctrl-C ends it also while it is being imported, which takes a moment: status 130, and no traceback.
    """
    try:
        from rescind.cli import app_of

        command = app_of(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
