"""python -m digitset is the command."""

from digitset.cli import main

main()
