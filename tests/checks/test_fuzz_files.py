"""Files of a pool in which bytes or values were changed: refused, never miscounted."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.disk.files import checked_line, parse_line
from jobpool.execution.health import ExcludedNode, exclude_node, excluded_nodes
from jobpool.journal.attempts import Attempt, all_attempts, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import Result, all_results, write_result
from jobpool.journal.workers import own_worker_record, read_worker_record
from jobpool.needs.estimates import load_estimates
from jobpool.needs.learning import learn
from jobpool.overview.history import history
from jobpool.pool import Pool
from jobpool.scheduler.polling import Cluster, read_statuses
from jobpool.table.grid import read_grid
from jobpool.table.settings import read_info
from jobpool.task import Cause
from tests.support.builders import a_pool
from tests.support.fuzzing import FUZZ, ODD, Change, altered, damage, right_or_refused, sealed, told

NAME = worker_name(1)
N_LINES = 12
FILES = {
    "pool.json": "pool.json",
    "tasks.npz": "tasks.npz",
    "needs.npz": "needs.npz",
    "worker": f"workers/{NAME[:2]}/{NAME}.json",
    "attempts": f"attempts/{NAME[:2]}/{NAME}.jsonl",
    "results": f"results/{NAME[:2]}/{NAME}.jsonl",
    "slurm": "slurm.json",
    "node": "bad-nodes/n1.json",
}
JOB: dict[str, Any] = {
    "job": "12_3",
    "state": "TIMEOUT",
    "phase": "ended",
    "cause": "time",
    "restarts": 0,
    "exit_code": 0,
    "signal": 15,
    "node": "n1",
    "max_rss_mb": 100.0,
    "is_preempted": False,
    "asked": 5.0,
    "missing_since": None,
}
SLURM: dict[str, Any] = {"format": 1, "jobs": [JOB]}
CAUSES = (Cause.DONE, Cause.ERROR, Cause.MEMORY, Cause.TIME)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool with one file of each kind."""
    folder = a_pool(tmp_path_factory.mktemp("fuzz"), N_LINES)
    opened = Pool(folder)
    own_worker_record(started=1.0, cores=2, memory_mb=4000).write(folder, NAME)
    for position in range(N_LINES):
        point = opened.grid.point(position)
        common: dict[str, Any] = {"task": opened.grid.id(position), "fence": 1, "worker": NAME}
        cause = CAUSES[position % len(CAUSES)]
        attempt = Attempt(
            **common, cause=cause, started=1.0, ended=2.0 + position, cores=2, memory_mb=4000
        )
        write_attempt(folder, attempt)
        result = Result(**common, point=point, started=1.0, ended=2.0, result={"value": position})
        write_result(folder, result)
    learn(opened, 1.0)
    exclude_node(folder, ExcludedNode(node="n1", since=1.0, why="all failed"))
    (folder / "slurm.json").write_bytes(checked_line(SLURM))
    return folder


READERS: dict[str, Callable[[Path], object]] = {
    "pool.json": read_info,
    "tasks.npz": lambda pool: [axis.values for axis in read_grid(pool / "tasks.npz").axes],
    "needs.npz": lambda pool: load_estimates(Pool(pool), fewest=1) is not None,
    "worker": lambda pool: read_worker_record(pool, NAME),
    "attempts": lambda pool: list(all_attempts(pool)),
    "results": lambda pool: list(all_results(pool)),
    "slurm": lambda pool: read_statuses(pool, Cluster("slurm", None)),
    "node": lambda pool: excluded_nodes(pool, 2.0),
}


@contextmanager
def changed(pool: Path, kind: str, change: Change) -> Iterator[Path]:
    """Yield the pool while one of its files is changed."""
    file = pool / FILES[kind]
    content = file.read_bytes()
    file.write_bytes(change(content))
    try:
        yield pool
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("kind", ["pool.json", "tasks.npz", "worker", "slurm", "node", "needs.npz"])
@settings(FUZZ, max_examples=40)
@given(change=damage())
def test_a_changed_file_is_read_right_or_refused(pool: Path, kind: str, change: Change) -> None:
    truth = READERS[kind](pool)
    nothing: tuple[object, ...] = (None, {}, False)  # damaged files that the pool can do without

    with changed(pool, kind, change) as copy:
        found = told(lambda: READERS[kind](copy))

        assert found in nothing or right_or_refused(lambda: READERS[kind](copy), truth)


@pytest.mark.parametrize("kind", ["attempts", "results"])
@FUZZ
@given(change=damage())
def test_a_changed_file_of_lines_gives_true_lines_only(
    pool: Path, kind: str, change: Change
) -> None:
    truth = READERS[kind](pool)
    assert isinstance(truth, list)

    with changed(pool, kind, change) as copy:
        found = READERS[kind](copy)

    assert isinstance(found, list)
    assert [line for line in found if line not in truth] == []


def read_all(pool: Path) -> None:
    """Read a pool in every way that there is."""
    context = RepairContext(is_alive=lambda _: False, server_time=0.0)
    for read in READERS.values():
        told(partial(read, pool))
    told(lambda: history(Pool(pool)))
    told(lambda: check_pool(Pool(pool), context))
    told(lambda: learn(Pool(pool), 9.0))


def resealed(record: dict[str, Any]) -> bytes:
    """Return a record as a line with a right checksum, also if it holds what we never write."""
    body = json.dumps(record).encode()
    return sealed(body)


def lines_of(pool: Path, kind: str) -> list[dict[str, Any]]:
    found = [parse_line(line) for line in (pool / FILES[kind]).read_bytes().splitlines()]
    return [line for line in found if line is not None]


@pytest.mark.parametrize("kind", ["pool.json", "worker", "attempts", "results", "slurm", "node"])
@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_a_sealed_line_with_odd_values_is_read_or_refused(
    pool: Path, kind: str, data: st.DataObject
) -> None:
    record = data.draw(altered(lines_of(pool, kind)[0]))

    with changed(pool, kind, lambda _: resealed(record)) as copy:
        read_all(copy)


@settings(FUZZ, max_examples=60)
@given(data=st.data())
def test_an_odd_answer_of_slurm_is_no_answer(pool: Path, data: st.DataObject) -> None:
    job = data.draw(altered(JOB))
    line = resealed({**SLURM, "jobs": [job]})

    with changed(pool, "slurm", lambda _: line) as copy:
        assert len(read_statuses(copy, Cluster("slurm", None))) <= 1


@settings(FUZZ, max_examples=100)
@given(body=st.one_of(st.binary(max_size=60), ODD.map(lambda odd: json.dumps(odd).encode())))
def test_a_sealed_line_of_any_bytes_is_a_record_or_damaged(body: bytes) -> None:
    found = parse_line(sealed(body + b"}"))

    assert found is None or isinstance(found, dict)


def test_a_sealed_line_nested_without_end_is_damaged() -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    assert parse_line(sealed(deep)) is None


@settings(FUZZ, max_examples=30)
@given(data=st.data())
def test_a_grid_with_an_odd_header_is_refused(pool: Path, data: st.DataObject) -> None:
    with np.load(pool / "tasks.npz") as archive:
        header, codes = json.loads(archive["header"].tobytes()), archive["codes"]
    text = json.dumps(data.draw(altered(header))).encode()
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(text, np.uint8), codes=codes)

    with changed(pool, "tasks.npz", lambda _: buffer.getvalue()) as copy:
        read_all(copy)


@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_odd_arrays_in_what_was_learned_are_read_or_refused(
    pool: Path, data: st.DataObject
) -> None:
    with np.load(pool / "needs.npz") as archive:
        arrays = dict(archive.items())
    name = data.draw(st.sampled_from(sorted(arrays)))
    odd = [np.zeros(0), np.full(3, np.nan), arrays[name][:0], np.full_like(arrays[name], 255)]
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, name: data.draw(st.sampled_from(odd))})

    with changed(pool, "needs.npz", lambda _: buffer.getvalue()) as copy:
        read_all(copy)
