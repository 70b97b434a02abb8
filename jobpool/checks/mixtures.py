"""Results that are not made of the same inputs: a finding for each input that differs."""

from collections.abc import Iterator, Sequence

import numpy as np

from jobpool.checks.findings import Finding, note, problem
from jobpool.journal.jsonl import all_lines, read_lines
from jobpool.journal.made_of import FILE_NAME, Tally, is_input
from jobpool.pool import Pool
from jobpool.runners import RUNNERS, make_results
from jobpool.runners.base import SupportsMadeOf
from jobpool.table.records import Record
from jobpool.table.task_index import positions_by_id
from jobpool.task import TaskState


def mixed_inputs(pool: Pool, records: Sequence[Record | None]) -> Iterator[Finding]:
    """Yield what is not the same in all results that count.

    Other content is a problem. Other versions of libraries, and settings that may follow from
    them, are a note: a study may outlast them.
    """
    for number, _, record in read_lines(pool.folder / FILE_NAME):
        if record is None:
            what = f"line {number} is damaged or incomplete; what it said is learned anew from the "
            yield note(FILE_NAME, f"{what}next result")
    if pool.info.runner not in RUNNERS:
        return
    meaning = make_results(pool.info.runner)
    if not isinstance(meaning, SupportsMadeOf):
        return
    counting = _counting(pool, records)
    tally = Tally()
    for path, line in all_lines(pool.folder, "results"):
        if line.record is None:
            continue
        task = str(line.record["task"])
        if counting.get(task) == (line.record["fence"], int(path.stem, 16)):
            tally.add(meaning.made_of(line.record["result"]), task)
    for mixture in tally.mixtures():
        what = f"not the same in all results: {mixture}"
        if is_input(mixture.name):
            yield problem("results", f"{what}; rerun the others, or make a new pool")
        else:
            yield note("results", what)


def _counting(pool: Pool, records: Sequence[Record | None]) -> dict[str, tuple[int, int]]:
    """Return the fence and the worker of the claim whose result counts, by id of the task."""
    claims = [_claim(record) for record in records]
    counts = np.fromiter((one is not None for one in claims), bool, len(claims))
    places = positions_by_id(pool.grid, counts)
    return {task: claim for task, place in places.items() if (claim := claims[place])}


def _claim(record: Record | None) -> tuple[int, int] | None:
    """Return the claim whose result counts."""
    if record is None:
        return None
    if record.state is TaskState.DONE:
        return record.fence, record.owner
    return None if record.accepted is None else (record.accepted.fence, record.accepted.owner)
