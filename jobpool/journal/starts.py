"""Starts of jobs: those that failed, whoever saw it, so that nobody sends such jobs for ever.

    starts/JOB.starting    a job came as far as the pool; removed when its worker can run tasks
    starts/JOB.failed      it could not start, and why
    starts/NAME@NODE.good  touched at each start that succeeded; NAME is that of the jobs
    starts/BATCH.sent      jobs were submitted; removed once one of them came as far as the pool

Where jobpool does not run, the batch script writes the same text as this module; a job that was
killed before its worker was ready leaves its first file behind. No file is changed once it is
written. A failed start counts until a job of the same name starts well, or until a person says
that its cause is corrected. A node where starts fail in a row while they succeed on others is to
blame by itself: it gets no more jobs, and what fails there stops no others.
"""

import os
import re
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobpool.disk.inside import (
    ensure_file,
    make_folder,
    open_inside,
    opened_folder,
    paths_in,
    reading,
    remove,
    touch,
)
from jobpool.errors import JobpoolError
from jobpool.journal.fingerprints import fingerprint
from jobpool.units import count, local_time, utc_time

FOLDER = "starts"
VARIABLE = "JOBPOOL_START"  # by which the batch script names the file of its start
HEAD = "jobpool-start 1"  # the first line, with the format
SAME_WORDS = 3  # starts in a row that failed in the same way: no more are sent
ANY_WORDS = 10  # starts in a row that failed, however their words differ
SILENT_S = 600.0  # a start that takes longer is taken for failed, unless its job is known to run
SOON_S = 60.0  # so long after it began a job that is in no queue may still be on its way out
MOST_READ = 100  # files; the newest are read
MOST_BYTES = 16_384  # of one file
MOST_NAME = 100  # characters of the name of a job
TAIL_BYTES = 2000  # of a log
_AT_WORK = re.compile(r"\d\d:\d\d:\d\d (?:task|left)\b")  # in the log of a worker
_STARTING, _FAILED, _GOOD, _SENT = ".starting", ".failed", ".good", ".sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStart:
    """A job that could not start."""

    job: str  # with its place in an array, and the number of its restart
    name: str = ""  # of the jobs
    node: str = ""
    log: str = ""
    said: str = ""  # what went wrong, one line
    tail: tuple[str, ...] = ()  # the last lines of its log before that
    at: float = 0.0  # by the file server's clock

    @property
    def words(self) -> str:
        """Return what starts that failed in the same way have in common."""
        lines = (self.said, *self.tail[-1:])
        return "\n".join(fingerprint(line, node=self.node) for line in lines)

    def as_json(self) -> dict[str, str]:
        """Return what a program may want to know of it."""
        what = {"job": self.job, "name": self.name, "node": self.node, "log": self.log}
        return {**what, "said": self.said, "at": utc_time(self.at)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What is known of the starts of a pool's jobs."""

    failed: tuple[FailedStart, ...] = ()  # the oldest first
    good: Mapping[str, float] = field(default_factory=dict)  # by name, the last one
    good_nodes: Mapping[str, float] = field(default_factory=dict)  # the last one by node

    def open(self) -> tuple[FailedStart, ...]:
        """Return those since the last good start of a job of the same name, or on a bad node."""
        bad = self.bad_nodes()
        return tuple(one for one in self.failed if one.node in bad or self._is_newest(one))

    def _is_newest(self, one: FailedStart) -> bool:
        return one.at >= self.good.get(one.name, 0.0)

    def bad_nodes(self) -> dict[str, tuple[FailedStart, ...]]:
        """Return the nodes where starts fail in a row, while they succeed on others."""
        by_node: dict[str, list[FailedStart]] = {}
        for one in self.failed:
            if one.node and one.at >= self.good_nodes.get(one.node, 0.0):
                by_node.setdefault(one.node, []).append(one)
        last_good = max(self.good_nodes.values(), default=0.0)
        return {
            node: tuple(failed)
            for node, failed in by_node.items()
            if len(failed) >= SAME_WORDS and last_good > failed[0].at
        }

    def of(self, name: str) -> tuple[FailedStart, ...]:
        """Return those that say something about the next job of a name.

        Where none of that name has ever started, those of all jobs since the last good start do.
        """
        name = name[:MOST_NAME]
        bad = self.bad_nodes()
        failed = [one for one in self.failed if one.node not in bad]
        if name in self.good:
            return tuple(one for one in failed if one.name == name and self._is_newest(one))
        last = max(self.good.values(), default=0.0)
        return tuple(one for one in failed if one.name == name or one.at >= last)

    def refusal(self, name: str) -> str:
        """Return why no job of a name should be sent, or an empty text."""
        failed = self.of(name)
        in_a_row = 0
        for one in reversed(failed):
            if one.words != failed[-1].words:
                break
            in_a_row += 1
        if in_a_row >= SAME_WORDS:
            return summary(failed[-in_a_row:])
        return summary(failed) if len(failed) >= ANY_WORDS else ""


def summary(failed: Collection[FailedStart]) -> str:
    """Return in one line how many jobs could not start, and what the last of them said."""
    last = max(failed, key=lambda one: one.at)
    where = " ".join(filter(None, [f"on {last.node}" if last.node else "", local_time(last.at)]))
    many = f"{count(len(failed), 'job')} could not start"
    return f"{many}, the last {where} (job {last.job}): {last.said}"


def kinds(failed: Collection[FailedStart]) -> list[tuple[FailedStart, ...]]:
    """Return failed starts by what they have in common, the newest kind first."""
    found: dict[str, list[FailedStart]] = {}
    for one in sorted(failed, key=lambda one: -one.at):
        found.setdefault(one.words, []).append(one)
    return [tuple(group) for group in found.values()]


def read_starts(pool: Path, clock: float, running: Collection[str] | None = None) -> Starts:
    """Return what is known of the starts of a pool's jobs; one listing, few files.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    clock : float
        The file server's time, in seconds since the epoch.
    running : collection of str, optional
        The jobs of this user that wait or run; None where that is not known.
    """
    found = sorted((at, name, is_own) for name, at, is_own in _listed(pool))
    good: dict[str, float] = {}
    good_nodes: dict[str, float] = {}
    for at, name, _ in found:
        if name.endswith(_GOOD):
            job_name, _, node = name.removesuffix(_GOOD).rpartition("@")
            good[job_name], good_nodes[node] = at, at
    ended = [
        (at, name)
        for at, name, is_own in found
        if _has_failed(at, name, clock, running if is_own else None)
    ]
    read = (_read(pool / FOLDER / name, at) for at, name in ended[-MOST_READ:])
    failed = tuple(one for one in read if one is not None)
    return Starts(failed=failed, good=good, good_nodes=good_nodes)


def _listed(pool: Path) -> Iterator[tuple[str, float, bool]]:
    """Yield the names in the folder, when each was last changed, and whether it is this user's."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    with suppress(OSError, JobpoolError), opened_folder(pool / FOLDER, flags) as descriptor:
        for entry in os.scandir(descriptor):
            with suppress(OSError):  # removed meanwhile
                found = entry.stat(follow_symlinks=False)
                yield entry.name, found.st_mtime, found.st_uid == os.geteuid()


def _has_failed(at: float, name: str, clock: float, running: Collection[str] | None) -> bool:
    if not name.endswith(_STARTING):
        return name.endswith(_FAILED)
    if running is None:
        return clock - at > SILENT_S
    job = name.removesuffix(_STARTING).partition("-")[0]
    return job not in running and clock - at > SOON_S


def _read(path: Path, at: float) -> FailedStart | None:
    try:
        with os.fdopen(open_inside(path, os.O_RDONLY), "rb") as stream:
            text = stream.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, JobpoolError):  # removed meanwhile, or no file
        return None
    found = _parse(text, FailedStart(job=path.stem, at=at))
    if found is None or found.said:
        return found
    tail = _tail(path.parent.parent, found.log)
    if _AT_WORK.search(tail):  # an older jobpool, which removes no such file
        return None
    what = "it ended without a word before its worker could run tasks"
    return replace(found, said=what, tail=_lines(tail))


def _parse(text: str, known: FailedStart) -> FailedStart | None:
    """Return what a file says; its words may end in a terminal, so that they hold no codes."""
    head, _, tail = text.partition("\n\n")
    lines = [_plain(line) for line in head.splitlines()]
    if lines[:1] != [HEAD]:
        return None
    given = {key: value for key, _, value in (line.partition("=") for line in lines[1:])}
    return replace(
        known,
        name=given.get("name", ""),
        node=given.get("node", ""),
        log=given.get("log", ""),
        said=given.get("said", ""),
        tail=_lines(tail),
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(_plain, text.splitlines())))


def _plain(line: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in line).rstrip()


def forget_starts(pool: Path) -> None:
    """Forget the starts that failed, and those that are under way: they may fail as well."""
    for path in paths_in(pool / FOLDER):
        if path.suffix in {_FAILED, _STARTING}:
            remove(path)


class OwnStart:
    """The start of this worker's job, told to the pool.

    A disk that refuses these files is no reason not to work.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    job : str, optional
        This job as the scheduler names it; None outside of one: then nothing is told.
    node : str
        Where it runs.
    marker : str, optional
        The file that the batch script made for this start.
    """

    def __init__(self, pool: Path, job: str | None, node: str, marker: str | None = None) -> None:
        self._file: Path | None = None
        self._said = FailedStart(job=job or "", name="worker", node=node)
        if marker and Path(marker).parent.resolve() == (pool / FOLDER).resolve():
            self._file = Path(marker).with_suffix("")
            known = _read(Path(marker), 0.0)
            self._said = replace(known or self._said, said="", tail=())
        elif job is not None:
            self._file = pool / FOLDER / re.sub(r"\W", "_", job)

    def succeeded(self) -> None:
        """Tell that tasks can be run here."""
        if self._file is None:
            return
        self.left()
        name = f"{_in_name(self._said.name)}@{_in_name(self._said.node)}"
        good = self._file.with_name(f"{name}{_GOOD}")
        with suppress(OSError, JobpoolError):
            ensure_file(good)
            touch(good)
        self._file = None

    def left(self) -> None:
        """Tell that it ended, but did not fail."""
        if self._file is not None:
            with suppress(OSError, JobpoolError):
                remove(self._file.with_name(f"{self._file.name}{_STARTING}"))

    def failed(self, error: BaseException) -> None:
        """Tell why no task can be run here."""
        if self._file is None:
            return
        said, lines = traceback.format_exception_only(error)[-1], [""]
        if isinstance(error, JobpoolError):
            said = error.message
        else:
            lines = traceback.format_exception(error)[-6:]
        tail = "".join([_tail(self._file.parent.parent, self._said.log), *lines])
        told = replace(self._said, said=" ".join(said.split()))
        with suppress(OSError, JobpoolError):
            _write_new(self._file.with_name(f"{self._file.name}{_FAILED}"), _text(told, tail))
            self.left()


def _text(told: FailedStart, tail: str) -> str:
    keys = ("job", "name", "node", "log", "said")
    return "\n".join([HEAD, *(f"{key}={getattr(told, key)}" for key in keys), "", tail])


def _in_name(name: str) -> str:
    return name.replace("/", "_")[:MOST_NAME]


def _tail(pool: Path, log: str) -> str:
    """Return the end of a log of the pool: what the task process said before it ended."""
    parts = Path(log).parts
    if parts[:1] != ("logs",) or ".." in parts:  # a file of the pool may say anything
        return ""
    with suppress(OSError, JobpoolError), reading(pool / log) as stream:
        stream.seek(max(os.fstat(stream.fileno()).st_size - TAIL_BYTES, 0))
        return stream.read(TAIL_BYTES).decode("utf-8", "replace")
    return ""


def _write_new(path: Path, text: str) -> None:
    with suppress(FileExistsError):  # the script told it before
        make_folder(path.parent)
        descriptor = open_inside(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "backslashreplace")[:MOST_BYTES])


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBatch:
    """Jobs that were submitted, and of which none is known to have come as far as the pool."""

    batch: str
    name: str  # of the jobs
    jobs: int
    at: float  # by the file server's clock


def note_sent(pool: Path, batch: str, name: str, jobs: int) -> None:
    """Note that jobs were submitted; a disk that refuses it is no reason not to."""
    path = pool / FOLDER / f"{_in_name(batch)}{_SENT}"
    with suppress(OSError, JobpoolError):
        _write_new(path, f"{HEAD}\nname={name}\nsaid={jobs}\n\n")


def sent_batches(pool: Path) -> list[SentBatch]:
    """Return the jobs that were submitted and may never have come as far as the pool."""
    found = []
    for name, at, _ in _listed(pool):
        one = _read(pool / FOLDER / name, at) if name.endswith(_SENT) else None
        if one is not None and one.said.isdecimal():
            batch = SentBatch(batch=one.job, name=one.name, jobs=int(one.said), at=at)
            found.append(batch)
    return sorted(found, key=lambda one: one.at)


def end_sent(pool: Path, one: SentBatch, failed: Collection[FailedStart] = ()) -> None:
    """Tell which of some jobs never came as far as the pool, and forget that they were sent."""
    with suppress(OSError, JobpoolError):
        for job in failed:
            _write_new(pool / FOLDER / f"{_in_name(job.job)}{_FAILED}", _text(job, ""))
        remove(pool / FOLDER / f"{_in_name(one.batch)}{_SENT}")
