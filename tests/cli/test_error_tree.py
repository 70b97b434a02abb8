"""The tree of errors: whose fault each is, its exit code, and what to do next."""

import errno
import importlib
import inspect
import os
import pickle
import pkgutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import jobpool
from jobpool import cli, errors
from jobpool.cli.wait import CODES
from jobpool.disk import causes
from jobpool.errors import ConfigError, DataError, Fault, JobpoolError, PlacedError, Problem
from jobpool.runners.evaluate.members import MemberError, RequiredFit
from tests.support.places import CHECKOUT

SKIPPED = {"jobpool.__main__"}  # it runs when it is imported
VALUES = {
    "problems": (Problem(Path("a.yaml"), "axes", 3, "must be a list; write [3]"),),
    "required": RequiredFit(member=("yeo", "svm"), fold=1),
    "place": "atlas.npz",
    "pool": Path("pool"),
    "file": Path("a.csv"),
    "fault": Fault.POOL,
}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(jobpool.__path__, "jobpool."):
        if found.name not in SKIPPED:
            yield importlib.import_module(found.name)


def exceptions() -> list[type[Exception]]:
    found = {
        thing
        for module in modules()
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, Exception)
        and thing.__module__.startswith("jobpool.")
        and not thing.__name__.startswith("_")  # it never leaves its module
    }
    return sorted(found - {JobpoolError, PlacedError}, key=lambda one: one.__name__)


def an_error(kind: type[Exception]) -> JobpoolError:
    names = [*inspect.signature(kind.__init__).parameters][1:]
    made = kind(*["said"] if "args" in names else [VALUES.get(name, "said") for name in names])
    assert isinstance(made, JobpoolError)
    return made


def test_the_tree_lists_every_error_that_stands_elsewhere() -> None:
    table = (errors.__doc__ or "").partition("raises it:")[2].replace("\n              ", " ")
    listed = {
        name.strip(): row.split()[0]
        for row in table.strip().splitlines()
        for name in row.split(maxsplit=1)[1].split(",")
    }

    elsewhere = {
        kind.__name__: kind.__module__.split(".")[1]
        for kind in exceptions()
        if kind.__module__ != errors.__name__ and not kind.__name__.startswith("_")
    }

    assert listed == elsewhere


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_error_says_whose_fault_it_is(kind: type[Exception]) -> None:
    error = an_error(kind)

    assert error.fault in Fault
    assert error.exit_code not in {0, 2}
    assert error.exit_code == error.fault


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_error_says_what_to_do_next(kind: type[Exception]) -> None:
    error = an_error(kind)

    assert error.next_step
    assert error.message.count(error.next_step) == 1


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_error_comes_back_from_a_joblib_worker_unchanged(kind: type[Exception]) -> None:
    error = an_error(kind)

    returned = pickle.loads(pickle.dumps(error))

    assert returned.__class__.__name__ == kind.__name__
    assert (returned.message, returned.fault) == (error.message, error.fault)
    assert vars(returned).keys() == vars(error).keys()


def test_a_message_with_a_next_step_of_its_own_gets_no_other() -> None:
    error = DataError("a.csv", "has no rows; give one per task")

    assert error.next_step == "give one per task"
    assert error.message == "a.csv: has no rows; give one per task"


def test_several_problems_of_a_file_have_one_next_step() -> None:
    problem = Problem(Path("a.yaml"), "seed", 1.5, "is no whole number; write 1")

    error = ConfigError((problem, problem))

    assert error.next_step == "correct the experiment file"


def ends(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    """Return the exit code of a command that raises `error`."""

    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_a_command_ends_with_the_exit_code_of_its_error(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = an_error(kind)

    code = ends(monkeypatch, error)

    assert code == error.exit_code
    assert ("Traceback" in capsys.readouterr().err) == (error.fault is Fault.BUG)


def test_a_place_that_is_not_the_users_is_the_file_systems_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ends(monkeypatch, PermissionError(errno.EACCES, "Permission denied", "/a/place"))

    said = "jobpool: /a/place: Permission denied; ask its owner, or choose a place where you may"
    assert code == Fault.FILE_SYSTEM
    assert capsys.readouterr().err == f"{said} write\n"


@pytest.mark.parametrize("number", sorted(causes.DISK))
def test_a_disk_that_refuses_the_output_is_the_file_systems_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    code = ends(monkeypatch, OSError(number, os.strerror(number)))

    said = capsys.readouterr().err
    assert code == Fault.FILE_SYSTEM
    assert said.startswith(f"jobpool: the disk: {os.strerror(number)}; ")
    assert said.count("\n") == 1


def test_a_bug_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ends(monkeypatch, ZeroDivisionError("by zero"))

    assert code == Fault.BUG
    assert capsys.readouterr().err.endswith("ZeroDivisionError: by zero\n")


def test_the_exit_codes_are_those_of_the_documentation() -> None:
    table = (
        (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8").split("| exit code | |")[1]
    )

    cells = [line.split("|")[1].split(",") for line in table.split("\n\n")[0].splitlines()[2:]]
    codes = [int(code) for cell in cells for code in cell]

    by_signals = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]
    assert codes == [*sorted({0, 2, *Fault, *CODES.values()}), *by_signals]


def test_a_member_that_cannot_be_fitted_is_named() -> None:
    error = MemberError(RequiredFit(member=("yeo", "svm"), fold=1, inner=2), "too few")

    assert str(error) == "yeo by svm, outer fold 1 without inner fold 2: too few"
