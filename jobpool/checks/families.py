"""A whole task and its spare parts held against one another: exactly one side may be offered.

Whoever cuts a task changes all of these records in one visit; a kill in the middle of that visit
leaves some of them behind.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from jobpool.checks.consistency import Contradiction, done_by
from jobpool.checks.findings import note, problem
from jobpool.checks.rebuild import Evidence
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState, run_of

_ASIDE = TaskState.ASIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Right:
    """What a family must become; what is not named is right as it is."""

    what: str
    states: Mapping[int, Record]
    harmless: bool = False


def family_contradictions(
    pool: Pool,
    records: Sequence[Record | None],
    evidence: Evidence,
    is_alive: Callable[[int], bool],
) -> Iterator[Contradiction]:
    """Yield what is wrong between whole tasks and their parts.

    Parameters
    ----------
    pool : Pool
        The pool.
    records : sequence of Record, one per task
        None where it is damaged.
    evidence : Evidence
        Results and attempts.
    is_alive : callable
        Says of a worker's number whether it may live.
    """
    for whole in _suspects(pool.grid, records, evidence):
        parts = pool.grid.parts.of(whole)
        family = {place: found for place in (whole, *parts) if (found := records[place])}
        if len(family) <= len(parts):  # one is damaged: its repair comes first
            continue
        right = _settle(whole, family, evidence, is_alive)
        if right is None or any(pool.record(place) != found for place, found in family.items()):
            continue
        for place, record in right.states.items():
            task = f"task {pool.grid.id(place)}"
            finding = note if right.harmless else problem
            yield Contradiction(
                position=place,
                found=family[place],
                right=record,
                finding=finding(task, right.what, repairable=True),
            )


def _suspects(grid: Grid, records: Sequence[Record | None], evidence: Evidence) -> list[int]:
    """Return the tasks that need a closer look, together with their parts if they have any."""
    states = np.fromiter((record.state if record else 0 for record in records), np.uint8)
    is_aside, parts = states == _ASIDE, grid.parts
    n_aside, n_parts = parts.count(parts.is_spare & is_aside), parts.n_spares
    wrong = np.where(is_aside, (n_aside > 0) | (n_parts == 0), n_aside < n_parts)
    came_late = is_aside & np.isin(np.arange(len(grid)), list(evidence.results))
    # whole tasks, and parts that entered as such
    found: list[int] = np.flatnonzero(~parts.is_spare & (wrong | came_late)).tolist()
    return found


def _settle(
    whole: int,
    family: Mapping[int, Record],
    evidence: Evidence,
    is_alive: Callable[[int], bool],
) -> _Right | None:
    record = family[whole]
    parts = {place: found for place, found in family.items() if place != whole}
    awake = {place: found for place, found in parts.items() if found.state is not _ASIDE}
    match record.state:
        case TaskState.ASIDE:
            return _settle_cut(whole, record, parts, evidence)
        case TaskState.DONE:
            idle = {p: found for p, found in awake.items() if found.state is not TaskState.RUNNING}
            what = "the whole task is done, and its parts are counted, too"
            return _Right(what=what, states=_set_aside(idle)) if idle else None
        case TaskState.RUNNING:
            if not awake or is_alive(record.owner):
                return None
            return _cut(whole, record._replace(cause=Cause.TIME), parts, evidence)
        case TaskState.WAITING | TaskState.PARKED | TaskState.HELD:
            return _settle_whole(whole, record, parts, evidence)
        case _:
            assert_never(record.state)


def _settle_whole(
    whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence
) -> _Right | None:
    awake = {place: found for place, found in parts.items() if found.state is not _ASIDE}
    if not awake:
        return None
    busy = {TaskState.RUNNING, TaskState.DONE}
    is_cut = any(found.state in busy for found in awake.values())
    if is_cut or evidence.shows_cut(whole, list(parts), run_of(record.fence)):
        return _cut(whole, record, parts, evidence)
    what = "its parts wait for workers, and so does the whole task"
    return _Right(what=what, states=_set_aside(awake))


def _settle_cut(
    whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence
) -> _Right | None:
    if not parts:
        what = "it is set aside, and no other task stands for it"
        return _Right(what=what, states=_woken({whole: record}, evidence))
    states = {found.state for found in parts.values()}
    results = evidence.results_since(whole, run_of(record.fence))
    if results and TaskState.RUNNING not in states and not _all_have_results(parts):
        what = "its result came after it was cut into parts; these need not be computed"
        right = {whole: done_by(record, results), **_set_aside(parts)}
        return _Right(what=what, states=right, harmless=True)
    asleep = {place: found for place, found in parts.items() if found.state is _ASIDE}
    what = "it was cut into parts, and nobody is offered this one"
    return _Right(what=what, states=_woken(asleep, evidence)) if asleep else None


def _all_have_results(parts: Mapping[int, Record]) -> bool:
    """Say whether each part is done, or was before it was returned to be computed again."""
    return all(
        found.state is TaskState.DONE or found.accepted is not None for found in parts.values()
    )


def _cut(whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence) -> _Right:
    """Let the parts stand for a whole task that is neither done nor set aside."""
    asleep = {place: found for place, found in parts.items() if found.state is _ASIDE}
    states = {**_set_aside({whole: record}), **_woken(asleep, evidence)}
    return _Right(what="it was cut into parts, and the whole task is still there", states=states)


def _set_aside(records: Mapping[int, Record]) -> dict[int, Record]:
    return {place: found._replace(state=_ASIDE) for place, found in records.items()}


def _woken(records: Mapping[int, Record], evidence: Evidence) -> dict[int, Record]:
    """Let tasks wait for workers, but those that have a result."""
    return {
        place: done_by(found, results)
        if (results := evidence.results_since(place, run_of(found.fence)))
        else found._replace(state=TaskState.WAITING)
        for place, found in records.items()
    }
