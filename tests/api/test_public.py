"""What ``import jobpool`` gives, and what it costs."""

import subprocess
import sys

import pytest

import jobpool
from jobpool import errors

FOR_USERS = [
    name
    for name, thing in vars(errors).items()
    if isinstance(thing, type)
    and issubclass(thing, errors.JobpoolError)
    and getattr(thing, "fault", errors.Fault.BUG) is not errors.Fault.BUG
]


def printed(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_package_is_imported_in_less_than_30_ms() -> None:
    program = "import time; t = time.perf_counter(); import jobpool; print(time.perf_counter() - t)"

    seconds = [float(printed(program)) for _ in range(5)]

    assert min(seconds) < 0.030


def test_importing_the_package_loads_no_other_module_of_it() -> None:
    program = "import sys, jobpool; print([m for m in sys.modules if m.startswith('jobpool.')])"

    assert printed(program) == "[]"


def test_nothing_else_is_public() -> None:
    shown = printed("import jobpool; jobpool.open; print(dir(jobpool) == sorted(dir(jobpool)))")

    assert shown == "True"
    assert set(dir(jobpool)) == {*jobpool.__all__, "__version__"}


@pytest.mark.parametrize("name", jobpool.__all__)
def test_what_is_public_can_be_loaded(name: str) -> None:
    found = getattr(jobpool, name)

    assert found.__name__ == name
    assert found.__doc__


@pytest.mark.parametrize("name", [name for name in jobpool.__all__ if name.endswith("Error")])
def test_every_error_can_be_caught_as_the_base_of_all(name: str) -> None:
    assert issubclass(getattr(jobpool, name), jobpool.JobpoolError)


@pytest.mark.parametrize("name", FOR_USERS)
def test_every_error_that_a_user_can_mend_is_public(name: str) -> None:
    assert name in jobpool.__all__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'jobpool' has no attribute 'pols'"):
        getattr(jobpool, "po" + "ls")
