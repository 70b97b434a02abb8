"""Pools whose tasks can be split into three parts, their states, and what the parts give."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.admin.create import create_pool
from jobpool.collect.collect import Collected, collect
from jobpool.collect.reading import Reading
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.pool import Pool
from jobpool.runners.base import RunContext
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.table.selection import select
from jobpool.task import ALL, Axis, Cause, Json, TaskState, Value
from tests.support.builders import an_experiment
from tests.support.simulated import BEGAN, SimulatedWorker

WHOLE = {"doses": [1, 2, 3]}
SITES = Axis(name="site", values=("north", "south", "west"))
PHASES = Axis(name="phase", values=(ALL, 1, 2, 3))


def a_split_pool(folder: Path) -> Path:
    """Make a pool of three sites with three phases; the tasks of the west are parts from the start.

    The whole tasks of the other two have dormant parts, superseded.
    """
    sites = full_product([SITES])
    grid = split_parts(sites, PHASES, sites.column("site") == 2)
    pool = folder / "pool"
    create_pool(pool, an_experiment(folder / "study", SITES), grid, lambda _: None, now=0)
    return pool


def a_pool_in_parts(folder: Path) -> Path:
    """Make a pool of two sites; the tasks of the second are split into three parts."""
    sites = Axis(name="site", values=("north", "south"))
    beds = Attribute(name="beds", axis="site", values=(10, 250))
    whole = full_product([sites], [beds])
    grid = split_parts(whole, PHASES, whole.column("site") == 1)
    create_pool(folder / "pool", an_experiment(folder, sites), grid, lambda _: None, now=0)
    return folder / "pool"


def position_of(folder: Path, site: str, phase: str | int = ALL) -> int:
    grid = Pool(folder).grid
    columns = zip(grid.column("site"), grid.column("phase"), strict=True)
    wanted = (grid.axis("site").values.index(site), PHASES.values.index(phase))
    return list(columns).index(wanted)


def all_positions(folder: Path) -> list[int]:
    return np.arange(len(Pool(folder).grid)).tolist()


def states_of(folder: Path, site: str) -> tuple[TaskState, ...]:
    """Return the states of a whole task and of its parts."""
    pool = Pool(folder)
    whole = position_of(folder, site)
    return tuple(pool.record(place).state for place in (whole, *pool.grid.parts.of(whole)))


def put(folder: Path, position: int, **changes: Any) -> None:
    """Write a record as nobody would."""
    pool = Pool(folder, durable=False)
    shard, slot = pool.locate(position)
    with shard.transaction() as transaction:
        changed = transaction.record(slot)._replace(**changes)
        transaction.changes[slot], transaction.index[slot] = changed, changed.index_byte()


def damage_records(folder: Path, *positions: int) -> None:
    pool = Pool(folder)
    for position in positions:
        shard, slot = pool.locate(position)
        content = bytearray(shard.path.read_bytes())
        content[shard.record_offset(slot) + 5] ^= 0x10
        shard.path.write_bytes(content)


class Doses:
    """Gives one number per part; a whole task gives them all."""

    def task_grid(self) -> Grid:
        raise NotImplementedError

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        raise NotImplementedError

    def merge(self, parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        doses: list[Json] = []
        for part in parts:
            found = part["doses"]
            assert isinstance(found, list)
            doses += found
        return {"doses": doses}

    def rows(self, result: Mapping[str, Any], by: str) -> list[dict[str, Value | None]]:
        if by == "phase":
            return [{"phase": dose, "dose": dose / 2} for dose in result["doses"]]
        return [{"doses": str(result["doses"])}]

    def metrics(self, result: Mapping[str, Json]) -> tuple[str, ...]:
        return ("dose",) if result else ()

    def predictions(
        self, point: Mapping[str, Value], result: Mapping[str, Any], cache: Path
    ) -> Iterator[Mapping[str, Sequence[Any]]]:
        del point, cache  # the result has it all
        for dose in result["doses"]:
            if dose < 3:  # that of the third phase was not kept
                yield {"person": ["ann", "bob"], "phase": [dose] * 2, "y": [0.5, float(dose)]}


class Plain(Doses):
    """Makes the result itself the row."""

    def rows(self, result: Mapping[str, Any], by: str) -> list[dict[str, Value | None]]:
        return [dict(result)] if by == "task" else []

    def metrics(self, result: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(key for key, value in result.items() if isinstance(value, float))


def collected(
    folder: Path, *only: str, runner: Doses | None = None, by: str = "task", processes: int = 1
) -> Collected:
    pool = Pool(folder)
    chosen = select(pool.grid, only) if only else None
    return collect(pool, runner or Doses(), chosen, by, Reading(processes=processes))


def rows_of(found: Collected) -> list[dict[str, Any]]:
    """Return the rows as plain values; what is missing is None."""
    plain = found.frame.astype(object).where(found.frame.notna(), None)
    return [dict(zip(plain.columns, row, strict=True)) for row in plain.to_numpy().tolist()]


def do_part(worker: SimulatedWorker, phase: int) -> None:
    position = position_of(worker.pool.folder, site="south", phase=phase)
    worker.finish(worker.claim(position), doses=[phase])


def do_whole(worker: SimulatedWorker) -> None:
    position = position_of(worker.pool.folder, site="north", phase="all")
    worker.finish(worker.claim(position), **WHOLE)


def split_north(worker: SimulatedWorker) -> None:
    worker.fail(position_of(worker.pool.folder, site="north", phase="all"), Cause.TIME)


def do_north(worker: SimulatedWorker, phase: int) -> None:
    position = position_of(worker.pool.folder, site="north", phase=phase)
    worker.finish(worker.claim(position), doses=[phase])


def position_of_north(worker: SimulatedWorker) -> int:
    return position_of(worker.pool.folder, site="north", phase="all")


def finish_with(worker: SimulatedWorker, position: int, memory_mb: float, cores: int) -> None:
    """Finish a task by an attempt that used so much."""
    claim = worker.claim(position)
    worker.write_result(claim, doses=[int(str(dict(claim.point)["phase"]))])
    attempt = Attempt(
        task=claim.id,
        fence=claim.fence,
        worker=worker.name,
        cause=Cause.DONE,
        started=BEGAN,
        ended=BEGAN + 10,
        peak_memory_mb=memory_mb,
        cores=cores,
    )
    write_attempt(worker.pool.folder, attempt)
    worker.end(claim, Cause.DONE)
