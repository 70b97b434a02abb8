"""Questions about one task, or about failures alone, read the same as going through all lines."""

import zlib
from collections import Counter
from pathlib import Path

from jobpool.journal.attempts import (
    Attempt,
    all_attempts,
    attempts_about,
    damaged_attempts,
    survey,
    write_attempt,
)
from jobpool.journal.jsonl import records_about, worker_file
from jobpool.task import Cause, cause_of

TASK, OTHER = "l5ciunfhmh5g", "aaaaaaaaaaaa"
A, B = "00000000000a", "00000000000b"


def an_attempt(folder: Path, cause: str = "done", **changes: object) -> None:
    known: dict[str, object] = {"task": TASK, "fence": 1, "worker": A, "node": "n1"}
    times = {"started": 1.0, "ended": 2.0}
    write_attempt(folder, Attempt(cause=cause_of(cause), **{**times, **known, **changes}))  # type: ignore[arg-type]


def some_attempts(folder: Path) -> None:
    """Write attempts of every kind, one of them by two processes, and two damaged lines."""
    an_attempt(folder)
    an_attempt(folder, "error", fence=2, error='"cause":"done"', traceback='"found_by":1')
    an_attempt(folder, "evicted", fence=3, worker=B, node=None)
    an_attempt(folder, fence=4, worker=B, node='n"2\\')
    an_attempt(folder, "lost", fence=5, worker=A, found_by=B)
    an_attempt(folder, fence=5, worker=A)  # it was not dead after all
    an_attempt(folder, "lost", fence=6, worker=A, found_by=B)
    an_attempt(folder, fence=7, worker=A, found_by=B)
    an_attempt(folder, "memory", task=OTHER, error=f'"task":"{TASK}"')
    with worker_file(folder, "attempts", A).open("ab") as stream:
        stream.write(b'{"cause":"done","crc":"00000000"}\n{"cause":"error"')


def test_a_survey_says_what_all_lines_say(tmp_path: Path) -> None:
    some_attempts(tmp_path)
    every = list(all_attempts(tmp_path))

    seen = survey(tmp_path)

    assert set(seen.failed) == {one for one in every if one.cause is not Cause.DONE}
    assert seen.n_done == Counter(one.node or "" for one in every if one.cause is Cause.DONE)
    assert seen.n_damaged == len(damaged_attempts(tmp_path)) == 2


def test_the_attempts_of_one_task_are_those_among_all(tmp_path: Path) -> None:
    some_attempts(tmp_path)
    every = {one for one in all_attempts(tmp_path) if one.task == TASK}

    found = attempts_about(tmp_path, TASK)

    assert set(found) == every
    assert [one.fence for one in found] == [1, 2, 3, 4, 5, 6, 7]


def test_a_line_that_only_mentions_a_task_is_not_about_it(tmp_path: Path) -> None:
    some_attempts(tmp_path)

    found = [record["fence"] for _, record in records_about(tmp_path, "attempts", OTHER)]

    assert found == [1]


def test_lines_longer_than_a_piece_are_found(tmp_path: Path) -> None:
    an_attempt(tmp_path, "error", traceback="x" * (1 << 24))
    an_attempt(tmp_path, "error", task=OTHER, traceback="y" * (1 << 24))
    an_attempt(tmp_path, "error", fence=2)

    assert [one.fence for one in attempts_about(tmp_path, TASK)] == [1, 2]


def test_a_line_whose_node_is_no_text_ends_no_survey(tmp_path: Path) -> None:
    an_attempt(tmp_path)
    body = b'{"task":"a","cause":"done","node":"\\q"}'
    line = b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))
    with worker_file(tmp_path, "attempts", A).open("ab") as stream:
        stream.write(line)

    assert survey(tmp_path).n_done == {"n1": 1, "": 1}
