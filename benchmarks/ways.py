"""Three ways to keep a pool of tasks, each with the same turn: end one task, get the next."""

import json
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.pools import finish_half, make_pool
from jobpool.execution.claiming import Puller
from jobpool.pool import Ending, Pool
from jobpool.task import Axis, Cause

Step = Callable[[], float]  # does one turn, and returns how much of a claim it was; 0: none left


class Way(Protocol):
    """One design: how its pool is laid out, and how a worker pulls from it."""

    def lay_out(self, folder: Path, axes: tuple[Axis, ...]) -> None: ...

    def open(self, folder: Path, worker: int) -> Step: ...


class Jobpool:
    """The product itself."""

    def __init__(self, *, fsync: bool) -> None:
        self._fsync = fsync

    def lay_out(self, folder: Path, axes: tuple[Axis, ...]) -> None:
        finish_half(make_pool(folder, axes, "benchmarks.naps:nothing"))

    def open(self, folder: Path, worker: int) -> Step:
        pool = Pool(folder / "pool", worker=worker, durable=self._fsync)
        puller = Puller(pool, random.Random(worker))
        claim = None

        def step() -> float:
            nonlocal claim
            ending = Ending(claim=claim, cause=Cause.DONE) if claim else None
            claim = puller.next(ending).claim
            return 1.0 if claim else 0.0

        return step


class Sqlite:
    """One table in WAL mode; a claim draws a random place and takes the next free task."""

    def __init__(self, *, fsync: bool) -> None:
        self._synchronous = "FULL" if fsync else "OFF"

    def lay_out(self, folder: Path, axes: tuple[Axis, ...]) -> None:
        folder.mkdir(parents=True)
        base = self._connect(folder)
        base.executescript(
            "CREATE TABLE task (id INTEGER PRIMARY KEY, state INTEGER, attempts INTEGER,"
            " fence INTEGER, owner INTEGER, changed REAL, a TEXT, b TEXT, c TEXT);"
            "CREATE INDEX waiting ON task (id) WHERE state = 1;"
        )
        points = [(x, y, z) for x in axes[0].values for y in axes[1].values for z in axes[2].values]
        rng = random.Random(1)
        rng.shuffle(points)
        base.execute("BEGIN")
        base.executemany(
            "INSERT INTO task VALUES (NULL, ?, 0, 0, 0, 0, ?, ?, ?)",
            ((rng.choice((1, 3)), *point) for point in points),
        )
        base.execute("COMMIT")
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        base.close()

    def open(self, folder: Path, worker: int) -> Step:
        base, rng = self._connect(folder), random.Random(worker)
        (n_tasks,) = base.execute("SELECT max(id) FROM task").fetchone()
        end = "UPDATE task SET state = 3, changed = ? WHERE id = ? AND fence = ? AND owner = ?"
        claim = (
            "UPDATE task SET state = 2, fence = fence + 1, owner = ?, changed = ? WHERE id ="
            " (SELECT id FROM task WHERE state = 1 AND id >= ? ORDER BY id LIMIT 1)"
            " RETURNING id, fence, attempts, a, b, c"
        )
        held: Any = None

        def step() -> float:
            nonlocal held
            base.execute("BEGIN IMMEDIATE")
            if held:
                base.execute(end, (time.time(), held[0], held[1], worker))
            for start in (rng.randrange(n_tasks), 0):
                held = base.execute(claim, (worker, time.time(), start)).fetchone()
                if held:
                    break
            base.execute("COMMIT")
            return 1.0 if held else 0.0

        return step

    def _connect(self, folder: Path) -> sqlite3.Connection:
        base = sqlite3.connect(folder / "tasks.sqlite", isolation_level=None, timeout=60)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute(f"PRAGMA synchronous = {self._synchronous}")
        return base


class ResultFiles:
    """One file per finished task; what is done is known only from all of them."""

    def lay_out(self, folder: Path, axes: tuple[Axis, ...]) -> None:
        (folder / "results").mkdir(parents=True)
        rng = random.Random(1)
        points = [(x, y, z) for x in axes[0].values for y in axes[1].values for z in axes[2].values]
        for point in points:
            if rng.random() < 0.5:
                self._write(folder, "-".join(map(str, point)))
        (folder / "points.json").write_text(json.dumps(points), encoding="utf-8")

    def open(self, folder: Path, worker: int) -> Step:
        rng = random.Random(worker)
        points = ["-".join(p) for p in json.loads((folder / "points.json").read_text("utf-8"))]
        names: list[str] = []
        done: set[str] = set()

        def step() -> float:
            """Load 50 more result files; after the last, draw a task and write its result."""
            if not names:
                done.clear()
                names.extend(os.listdir(folder / "results"))  # noqa: PTH208 - names are enough
            part = min(50, len(names)) / (len(names) + len(done))
            for name in [names.pop() for _ in range(min(50, len(names)))]:
                with (folder / "results" / name).open(encoding="utf-8") as stream:
                    done.add(json.load(stream)["task"])
            if not names:
                self._write(folder, rng.choice([name for name in points if name not in done]))
            return part

        return step

    def _write(self, folder: Path, name: str) -> None:
        result = {"task": name, "scores": [0.123456789] * 5, "chosen": {"alpha": 0.1}, "seed": 1}
        (folder / "results" / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")
