"""Pools whose tasks can be cut into parts, and records put into any state."""

from pathlib import Path
from typing import Any

import numpy as np

from jobpool.admin.create import create_pool
from jobpool.pool import Pool
from jobpool.table.grid import full_product, split_parts
from jobpool.task import ALL, Axis, TaskState
from tests.support.builders import an_experiment

SITES = Axis(name="site", values=("north", "south", "west"))
PHASES = Axis(name="phase", values=(ALL, 1, 2, 3))


def a_cut_pool(folder: Path) -> Path:
    """Make a pool of three sites with three phases; the tasks of the west are parts from the start.

    The whole tasks of the other two have spare parts, set aside.
    """
    sites = full_product([SITES])
    grid = split_parts(sites, PHASES, sites.column("site") == 2)
    pool = folder / "pool"
    create_pool(pool, an_experiment(folder / "study", SITES), grid, lambda _: None, now=0)
    return pool


def position_of(folder: Path, site: str, phase: str | int = ALL) -> int:
    grid = Pool(folder).grid
    columns = zip(grid.column("site"), grid.column("phase"), strict=True)
    wanted = (grid.axis("site").values.index(site), PHASES.values.index(phase))
    return list(columns).index(wanted)


def states_of(folder: Path, site: str) -> tuple[TaskState, ...]:
    """Return the states of a whole task and of its parts."""
    pool = Pool(folder)
    whole = position_of(folder, site)
    return tuple(pool.record(place).state for place in (whole, *pool.grid.parts.of(whole)))


def put(folder: Path, position: int, **changes: Any) -> None:
    """Write a record as nobody would."""
    pool = Pool(folder, durable=False)
    shard, slot = pool.locate(position)
    with shard.visit() as visit:
        changed = visit.record(slot)._replace(**changes)
        visit.changes[slot], visit.index[slot] = changed, changed.index_byte()


def damage_records(folder: Path, *positions: int) -> None:
    pool = Pool(folder)
    for position in positions:
        shard, slot = pool.locate(position)
        content = bytearray(shard.path.read_bytes())
        content[shard.record_offset(slot) + 5] ^= 0x10
        shard.path.write_bytes(content)


def all_positions(folder: Path) -> list[int]:
    return np.arange(len(Pool(folder).grid)).tolist()
