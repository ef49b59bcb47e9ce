"""`python -m rescind` is the command `rescind`."""

from rescind.cli import main

main()
