"""python -m digitset is the command."""

from digitset.cli.main import main

main()
