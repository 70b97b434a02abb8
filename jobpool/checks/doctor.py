"""All checks of a pool, and all repairs, each after those that it depends on.

First the state files, each by itself; then records against results and attempts; then the files
of the workers. Every repair can be interrupted and run again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from jobpool.checks.consistency import Consistency, dead_holders
from jobpool.checks.evidence import Evidence, EvidenceReader
from jobpool.checks.findings import Finding, Weight, note
from jobpool.checks.housekeeping import (
    examine_folder,
    examine_lines,
    finished_checkpoints,
    leftovers,
    old_marks,
    set_aside_lines,
)
from jobpool.checks.mixtures import mixed_inputs
from jobpool.checks.rebuild import Rebuilder
from jobpool.checks.shards import Inspected, findings_of, inspect, read_locked, rebuild_shard
from jobpool.disk.inside import remove, remove_folder
from jobpool.errors import RequestError, listing
from jobpool.journal.jsonl import new_worker_number, worker_file, worker_files, worker_name
from jobpool.pool import Pool
from jobpool.table.records import Record
from jobpool.table.shards import Shard
from jobpool.task import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairContext:
    """What a check may do, and what it knows of workers and time."""

    is_alive: Callable[[int], bool]  # whether the worker of a number may live
    server_time: float  # seconds since the epoch, by the file server's clock
    repair: bool = False
    force: bool = False  # repair even while workers hold tasks


def check_pool(pool: Pool, context: RepairContext) -> list[Finding]:
    """Check a pool, and repair it if asked to.

    Raises
    ------
    RequestError
        If a repair is asked for while workers hold tasks; nothing was changed.
    """
    reader = EvidenceReader(pool)
    inspected, evidence = _read_all(pool, reader)
    if context.repair and not context.force:
        _refuse_while_held(pool, inspected, context)
    findings = list(examine_folder(pool, context.server_time))
    if context.repair:
        findings = [finding for finding in findings if not finding.repairable]
        findings += _remove_leftovers(pool, context)
    findings += _check_shards(pool, inspected, reader, context)
    consistency = Consistency(
        pool=pool,
        reader=reader,
        is_alive=context.is_alive,
        now=context.server_time,
        may_repair=context.repair,
        finder=worker_name(new_worker_number()),
    )
    for check in (consistency.check_records, consistency.check_families):
        if context.repair:  # what was written meanwhile, by repairs and by workers
            inspected, evidence = _read_all(pool, reader)
        records = [record for one in inspected for record in one.records]
        findings += check(records, evidence)
    findings += dead_holders(records, context.is_alive)
    findings += _check_lines(pool, evidence, context)
    findings += _check_checkpoints(pool, records, evidence, context)
    findings += mixed_inputs(pool, records)
    return findings


def _read_all(pool: Pool, reader: EvidenceReader) -> tuple[list[Inspected], Evidence]:
    """Return the state files, and then results and attempts: these may only be newer."""
    inspected = [inspect(shard, read_locked(shard)) for shard in pool.shards]
    return inspected, reader.read()


def _refuse_while_held(pool: Pool, inspected: Sequence[Inspected], context: RepairContext) -> None:
    """Refuse to repair what a living worker may be changing."""
    records = [record for one in inspected for record in one.records]
    owners = {record.owner for record in records if record and record.state is TaskState.RUNNING}
    if any(record is None for record in records):  # their owners are unknown
        owners |= {int(path.stem, 16) for path in worker_files(pool.folder, "workers")}
    alive = [worker_name(owner) for owner in sorted(owners) if context.is_alive(owner)]
    if alive:
        what = f"workers hold tasks: {listing(alive, most=5)}; stop them and wait until they count "
        what += f"as lost ({pool.info.lost_after_s:.0f} s), or repair at once with --force"
        missing = [one for one in alive if not worker_file(pool.folder, "workers", one).exists()]
        if missing:
            what += f"; the records of {listing(missing, most=5)} are missing: if they are dead, a "
            what += "new worker requeues their tasks, and --force repairs at once"
        raise RequestError(pool.folder, what)


def _remove_leftovers(pool: Pool, context: RepairContext) -> Iterator[Finding]:
    for path in leftovers(pool.folder, context.server_time):
        remove(path)
        place = str(path.relative_to(pool.folder))
        what = "left by a process that was killed while writing"
        yield Finding(weight=Weight.NOTE, place=place, what=what, repaired="removed")
    for path in old_marks(pool, context.server_time):
        remove(path)


def _check_shards(
    pool: Pool, inspected: Sequence[Inspected], reader: EvidenceReader, context: RepairContext
) -> Iterator[Finding]:
    may_live = cache(context.is_alive)

    def rebuilder() -> Rebuilder:
        return Rebuilder(
            grid=pool.grid,
            evidence=reader.read(may_live),
            park_after=pool.info.park_after,
            now=context.server_time,
        )

    for shard, one in zip(pool.shards, inspected, strict=True):
        for finding in findings_of(shard, one):
            if context.repair and finding.repairable:
                yield finding.done(_repair_shard(shard, one, rebuilder))
            else:
                yield finding


def _repair_shard(shard: Shard, one: Inspected, rebuilder: Callable[[], Rebuilder]) -> str:
    if not one.wrong:
        with shard.transaction() as transaction:
            for slot in one.behind:
                transaction.record(slot)
        return "the index now matches the records"
    n_rebuilt = rebuild_shard(shard, rebuilder)
    kept = f"{shard.size - n_rebuilt:,} records kept"
    return f"{kept}, {n_rebuilt:,} rebuilt from results and attempts"


def _check_lines(pool: Pool, evidence: Evidence, context: RepairContext) -> Iterator[Finding]:
    findings = list(examine_lines(pool.folder, evidence))
    if not context.repair:
        yield from findings
        return
    yield from (finding for finding in findings if not finding.repairable)
    for path in sorted({path for path, _ in evidence.damaged}):
        numbers = [number for found, number in evidence.damaged if found == path]
        place = str(path.relative_to(pool.folder))
        finding = Finding(
            weight=Weight.PROBLEM, place=place, what=f"damaged lines: {listing(numbers)}"
        )
        if context.is_alive(int(path.stem, 16)):  # it may append at this very moment
            yield finding
            continue
        moved = set_aside_lines(path, numbers)
        if moved is not None:
            yield finding.done(f"moved to {moved.relative_to(pool.folder)}")


def _check_checkpoints(
    pool: Pool, records: Sequence[Record | None], evidence: Evidence, context: RepairContext
) -> Iterator[Finding]:
    def is_done(position: int) -> bool:
        return pool.record(position).state is TaskState.DONE

    for path, position in finished_checkpoints(pool, records, evidence):
        what = "its task is done: the worker was killed before it could remove this folder"
        finding = note(str(path.relative_to(pool.folder)), what, repairable=True)
        if context.repair and pool.grid.parts.is_finished(position, is_done):  # not rerun since
            remove_folder(path)
            finding = finding.done("removed")
        yield finding
