"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from jobpool.reader import parse_duration


def duration(text: str) -> float:
    """Return a length of time in seconds, or raise what the command line shows."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


# readable=False: what cannot be read is reported with the next step, and with exit code 1
PoolArgument = Annotated[
    Path, typer.Argument(metavar="POOL", readable=False, help="The pool's folder.")
]
ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", readable=False, help="The experiment file (YAML).")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SELECTION",
        help="Only these tasks: pipeline=elastic,svm; parcellation=schaefer*; parcels>=400. "
        "May be given several times: all must hold.",
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(metavar="SELECTION", help="Not these tasks; same form as --only."),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="USER",
        help="Run the tasks of a pool that this user made: it says which code they run. "
        "May be given several times.",
    ),
]
