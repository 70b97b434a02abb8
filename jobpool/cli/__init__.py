"""The command line: one file per command, and the only place that prints.

    new init extend               make a study and its pool, add tasks to it
    work run                      a worker, and several on this machine
    plan submit cancel            jobs of the scheduler
    status wait why errors log    what became of tasks, and what they wait for
    retry rerun hold release      change which tasks workers may take
    show                          what a task is made of, as a table
    collect report                results as tables, and as a page
    cache doctor                  the cache, the file system and the files of a pool
    options                       arguments, options and small helpers that commands share

Commands parse, call one function of a room below, and print. Nothing imports them but
``python -m jobpool``, by `main`.

Results go to standard output, all else to standard error. An error on purpose is printed without a
traceback, and its fault is the exit code (`jobpool.errors.Fault`); 0 is success, 2 wrong usage. A
bug keeps its traceback.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from jobpool import __version__
from jobpool.cli.streams import guard_streams, harmless
from jobpool.errors import Fault, JobpoolError, nearest

# in the order of use; a command's module is imported when it is asked for, or by --help
COMMANDS = (
    "new",
    "init",
    "extend",
    "work",
    "run",
    "plan",
    "submit",
    "cancel",
    "status",
    "wait",
    "why",
    "errors",
    "retry",
    "rerun",
    "hold",
    "release",
    "log",
    "show",
    "collect",
    "report",
    "cache",
    "doctor",
)


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class _Commands(TyperGroup):
    """The commands of `COMMANDS`, each in the module of its name."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"jobpool.cli.{cmd_name}"), cmd_name)
        if isinstance(found, typer.Typer):  # a command with commands of its own
            return typer.main.get_command(found)
        one = typer.Typer(
            rich_markup_mode=None, add_completion=False, context_settings=HELP_OPTIONS
        )
        one.command(name=cmd_name)(found)
        return typer.main.get_command(one)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for.

        Click takes any broken pipe for that of standard output, and ends without a word: so an
        error of a task's, a disk's or another program's pipe must not reach it.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            sys.exit(_tell(error))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names, or name the one that was meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"jobpool {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Run a grid of tasks from one folder on the cluster's shared disk.

    \b
    jobpool new mystudy                      lay out a commented starter study
    jobpool init study.yaml POOL             make the pool
    jobpool run POOL --workers 2             work it off here, without SLURM
    jobpool submit POOL --pass first --jobs 200     or by SLURM jobs
    jobpool status POOL                      what remains
    jobpool collect POOL -o results.csv      one row per task
    """


def main() -> None:
    """Run the command line."""
    guard_streams(sys.argv[1:])
    try:
        app()
    except Exception as error:
        sys.exit(_tell(error))
    finally:
        sys.stdout.flush()  # here, where the reader may have gone, not after all else has ended


def _tell(error: Exception) -> int:
    """Print an error, and return the exit code that it stands for."""
    if isinstance(error, OSError):
        from jobpool.disk.causes import access_error

        error = access_error(error)
    if isinstance(error, JobpoolError) and error.fault is not Fault.BUG:
        print(f"jobpool: {harmless(error.message)}", file=sys.stderr)
        return error.exit_code
    sys.excepthook(type(error), error, error.__traceback__)
    return int(Fault.BUG)
