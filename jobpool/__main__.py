"""Run the command line as ``python -m jobpool``."""

from jobpool.cli import main

main()
