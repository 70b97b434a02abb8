"""Where the program starts: as ``jobpool``, and as ``python -m jobpool``."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C while its modules are loaded ends it without a traceback."""
    by_python = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
    if by_python:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jobpool.cli import main as run

    if by_python:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
