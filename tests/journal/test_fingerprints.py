"""Fingerprints: which errors are one kind, and which are not."""

import random
import string
import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from jobpool.execution.answers import error_text
from jobpool.journal.fingerprints import fingerprint

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
NAMES = ("age", "sex", "site", "iq")


def a_word() -> str:
    return "".join(random.choices(string.ascii_lowercase, k=8))


def temporary() -> None:
    raise RuntimeError(f"recon-all failed, see /scratch/tmp{a_word()}/recon.log")


def temporary_in_a_variable() -> None:
    message = f"recon-all failed, see /scratch/tmp{a_word()}/recon.log"
    raise RuntimeError(message)


def number_of_a_job() -> None:
    message = f"job {uuid.uuid4()} did not converge"
    raise RuntimeError(message)


def letter_of_a_host() -> None:
    raise RuntimeError(f"license refused on node{random.choice('abcdefghij')}")


def several_lines() -> None:
    host, reason = random.choice("abcdefghij"), random.choice(DAYS)
    raise RuntimeError(
        f"license refused on node{host}, which was installed in another building: {reason}"
    )


def day() -> None:
    raise RuntimeError(f"stopped on {random.choice(DAYS)}")


def day_in_a_variable() -> None:
    message = f"stopped on {random.choice(DAYS)}"
    raise RuntimeError(message)


def key() -> None:
    raise KeyError(repr(set(random.sample(string.ascii_lowercase, 4))))


def order() -> None:
    raise ValueError(f"missing columns {random.sample(NAMES, random.randint(1, 4))}")


def order_without_quotes() -> None:
    message = f"missing columns {', '.join(random.sample(NAMES, 4))}"
    raise ValueError(message)


def program() -> None:
    subprocess.run(["false", f"/scratch/{a_word()}"], check=True)


def checksum() -> None:
    message = f"checksum {uuid.uuid4().hex[:12]} differs"
    raise RuntimeError(message)


def joined() -> None:
    raise RuntimeError("server " + a_word() + " is gone")


def asserted() -> None:
    name = a_word()
    raise AssertionError(f"server {name} is gone")


def apostrophe() -> None:
    message = f"can't read '{a_word()}.nii.gz', it isn't there"
    raise RuntimeError(message)


def file_name() -> None:
    message = f"{a_word()}.nii.gz has no header"
    raise RuntimeError(message)


def slurm_step() -> None:
    message = (
        f"srun: error: node{random.randint(1, 99)}: task 0: Killed; slurmstepd: error: *** STEP "
        f"{random.randint(1, 9999)}.0 ON node{random.randint(1, 99)} CANCELLED AT "
        f"2026-12-{random.randint(10, 28)}T02:47:01 ***"
    )
    raise RuntimeError(message)


def chained() -> None:
    try:
        temporary()
    except RuntimeError as error:
        raise ValueError(f"subject failed: {error}") from error


def in_a_helper() -> None:
    with ProcessPoolExecutor(1) as helpers:
        helpers.submit(temporary).result()


def kind_of(fails: Callable[[], None], node: str | None = None) -> str:
    """Return the fingerprint of what a function raises, as an attempt keeps it."""
    try:
        fails()
    except Exception as error:
        return fingerprint(*error_text(error, 0), node)
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "fails",
    [
        temporary,
        temporary_in_a_variable,
        number_of_a_job,
        letter_of_a_host,
        several_lines,
        day,
        day_in_a_variable,
        key,
        order,
        order_without_quotes,
        program,
        checksum,
        joined,
        asserted,
        apostrophe,
        file_name,
        slurm_step,
        chained,
    ],
    ids=lambda fails: str(fails.__name__),
)
def test_the_same_error_is_the_same_whatever_its_words(fails: Callable[[], None]) -> None:
    assert len({kind_of(fails) for _ in range(50)}) == 1


def test_an_error_of_a_helper_process_is_known_by_the_code_of_the_helper() -> None:
    first, second = kind_of(in_a_helper), kind_of(in_a_helper)

    assert first == second
    assert "test_fingerprints.py temporary:" in first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RuntimeError: the disk is full", "RuntimeError: the license expired"),
        ("RuntimeError: no scan of sub-01", "RuntimeError: no mask of sub-01"),
        ("RuntimeError: file is empty", "RuntimeError: file is corrupt"),
        ("ValueError: no luck", "RuntimeError: no luck"),
        ("OSError: [Errno 2] no 'a'", "OSError: [Errno 13] no 'a'"),
        ("RuntimeError: fsl ended with exit code 1", "RuntimeError: fsl ended with exit code 137"),
        (
            "CalledProcessError: Command '['recon-all', 'a']' returned non-zero exit status 1.",
            "CalledProcessError: Command '['bet', 'a']' returned non-zero exit status 1.",
        ),
        (
            "CalledProcessError: Command '['bet', 'a']' returned non-zero exit status 1.",
            "CalledProcessError: Command '['bet', 'a']' died with <Signals.SIGKILL: 9>.",
        ),
        (
            "CalledProcessError: Command 'bet a.nii b' returned non-zero exit status 1.",
            "CalledProcessError: Command 'fast a.nii b' returned non-zero exit status 1.",
        ),
    ],
)
def test_other_causes_in_one_line_of_code_stay_apart(one: str, other: str) -> None:
    code = 'Traceback:\n  File "/home/a/lab.py", line 7, in fit\n    raise error\n'

    assert fingerprint(one, code + one) != fingerprint(other, code + other)


def test_reasons_behind_the_same_beginning_stay_apart() -> None:
    code = 'Traceback:\n  File "lab.py", line 7, in fit\n    raise E(f"recon failed: {reason}")\n'

    full, expired = (
        fingerprint(f"E: recon failed: {why}", code) for why in ("disk full", "is old")
    )

    assert full != expired


def test_the_same_words_from_two_places_of_the_users_code_stay_apart() -> None:
    frame = '  File "{file}", line 1, in {name}\n    {code}\n'
    library = frame.format(file="/x/lib/python3.11/site-packages/a.py", name="f", code="raise E()")
    inner = library * 4  # more than the frames that count
    first = frame.format(file="lab.py", name="load", code="a.f(scan)") + inner
    second = frame.format(file="lab.py", name="save", code="a.f(table)") + inner

    assert fingerprint("E: no", first) != fingerprint("E: no", second)


def test_the_name_of_the_node_is_no_other_error() -> None:
    kinds = {fingerprint(f"E: no license on {one}.hpc.org", None, one) for one in ("amy", "bob")}

    assert len(kinds) == 1


def test_a_long_message_is_read_in_no_time() -> None:
    assert fingerprint("E: " + "'" * 100_000 + "a/" * 100_000 + " x" * 100_000)


@pytest.mark.parametrize("error", ["", "E", "E: no\n\nmore"])
def test_an_error_of_any_text_has_a_fingerprint(error: str) -> None:
    trace = 'Traceback:\n  File "/home/a/lab.py", line 7, in fit\n    raise E\n' + error

    assert "lab.py fit: raise E" in fingerprint(error, trace)
