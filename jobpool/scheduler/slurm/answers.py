"""SLURM's answers, asked for by one worker and read by all.

    POOL/slurm-CLUSTER.json    what SLURM said last of the workers' jobs, replaced whole
    POOL/turns/slurm-*         whose turn to ask it is

Whoever has the turn asks for all jobs in doubt at once, so that a pool of any size asks a
controller no more than once per interval. Who is killed while asking loses the turn; the file
holds a whole answer at any time.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobpool.errors import SlurmError, SlurmMissingError, StorageError
from jobpool.files import read_json, write_json
from jobpool.scheduler.slurm.jobs import JobRun, JobSeen, ask
from jobpool.scheduler.slurm.programs import RunProgram
from jobpool.task import Json
from jobpool.turns import take_turn

FORMAT = 1
STOPPED_S = 5.0  # between two questions of workers that were told to stop
FRESH = 3  # intervals after which it no longer counts that a job was running


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What SLURM said of a run of a job, and when."""

    seen: JobSeen
    asked: float  # by the file server's clock
    missing_since: float | None = None  # when it was first listed nowhere, if it is not now


def read_answers(pool: Path, cluster: str | None) -> Mapping[JobRun, Answer]:
    """Return what SLURM last said of jobs of a cluster; nothing if nobody asked yet."""
    with suppress(OSError, KeyError, TypeError):
        line: dict[str, Any] | None = read_json(_file(pool, cluster))
        if line is not None and line["format"] == FORMAT:
            answers = [_answer(one) for one in line["jobs"]]
            return {JobRun(one.seen.job, one.seen.restarts): one for one in answers}
    return {}


class Answers:
    """What was last said of the jobs of any cluster, read once.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    oldest : float
        Answers from before that time, by the file server's clock, are not fresh.
    """

    def __init__(self, pool: Path, oldest: float) -> None:
        self._pool, self._oldest = pool, oldest
        self._read: dict[str | None, Mapping[JobRun, Answer]] = {}

    def about(self, cluster: str | None, one: JobRun | None) -> Answer | None:
        """Return what SLURM said of a run of a job, if anything."""
        return None if one is None else self._of(cluster).get(one)

    def are_fresh(self, cluster: str | None) -> bool:
        """Say whether somebody asked the controller of a cluster a short time ago."""
        return any(answer.asked >= self._oldest for answer in self._of(cluster).values())

    def _of(self, cluster: str | None) -> Mapping[JobRun, Answer]:
        if cluster not in self._read:
            self._read[cluster] = read_answers(self._pool, cluster)
        return self._read[cluster]


def _answer(line: dict[str, Any]) -> Answer:
    known = {field.name: line[field.name] for field in fields(JobSeen)}
    return Answer(seen=JobSeen(**known), asked=line["asked"], missing_since=line["missing_since"])


def _file(pool: Path, cluster: str | None) -> Path:
    return pool / (f"slurm-{quote(cluster, safe='')}.json" if cluster else "slurm.json")


class Questions:
    """One worker's questions to the controller of its cluster, within its turns.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    cluster : str or None
        The cluster that the worker runs on; None: not in a job, so it is asked once where it is.
    interval_s : float
        Seconds between two questions of the whole pool.
    run : callable
        Runs a program and returns what it prints.
    """

    def __init__(self, pool: Path, cluster: str | None, interval_s: float, run: RunProgram) -> None:
        self._pool, self._interval_s, self._run = pool, interval_s, run
        self.cluster = cluster
        self._is_there: bool | None = None

    def covers(self, cluster: str | None) -> bool:
        """Say whether jobs of a cluster can be asked for here, as far as is known yet.

        Without SLURM's programs none can. A controller that does not answer may do so later.
        """
        if self._is_there is None:
            self._is_there = _has_programs(self._run)
        return self._is_there and (self.cluster is None or cluster in {None, self.cluster})

    def find_cluster(self) -> bool:
        """Ask which cluster this is, if the job does not tell, and say whether it is known."""
        if self.cluster is None and self.covers(None):
            with suppress(SlurmError):
                self.cluster = _cluster_here(self._run)
        return self.cluster is not None

    def ask(self, runs: Collection[JobRun], server_time: float) -> None:
        """Ask for runs of jobs, and share the answers, if it is time and this worker's turn.

        No answer leaves what was shared before; its age tells how much that is worth.
        """
        known = read_answers(self._pool, self.cluster)
        last = max((one.asked for one in known.values()), default=0.0)
        if server_time >= last + self._interval_s and self._has_turn(
            "", self._interval_s, server_time
        ):
            self._ask(runs, server_time, self._run)

    def ask_stopped(
        self, runs: Callable[[], Collection[JobRun]], server_time: float, run: RunProgram
    ) -> bool:
        """Ask in a turn of the workers that were told to stop, who cannot wait for another.

        Parameters
        ----------
        runs : callable
            Returns the runs to ask for; called by the one whose turn it is.
        server_time : float
            What the file server's clock says now.
        run : callable
            Runs one of SLURM's programs.

        Returns
        -------
        bool
            Whether this worker asked, and what it heard is now shared.
        """
        if not self._has_turn("stopped-", STOPPED_S, server_time):
            return False
        self._ask(runs(), server_time, run)
        return True

    def _has_turn(self, kind: str, period_s: float, server_time: float) -> bool:
        name = f"{kind}slurm-{quote(self.cluster or '', safe='')}"
        return take_turn(self._pool, name, period_s, server_time)

    def _ask(self, runs: Collection[JobRun], server_time: float, run: RunProgram) -> None:
        known = read_answers(self._pool, self.cluster)
        with suppress(SlurmError, StorageError):  # then the next turn asks again
            self._share(known, ask(runs, run), server_time)

    def _share(
        self, known: Mapping[JobRun, Answer], seen: Mapping[JobRun, JobSeen], server_time: float
    ) -> None:
        lines: list[Json] = []
        for one, now in sorted(seen.items()):
            before = known.get(one)
            since = None if now.state else server_time
            if not now.state and before is not None and before.missing_since is not None:
                since = before.missing_since
            lines.append({**asdict(now), "asked": server_time, "missing_since": since})
        write_json(_file(self._pool, self.cluster), {"format": FORMAT, "jobs": lines})


def _has_programs(run: RunProgram) -> bool:
    try:
        run(["squeue", "--version"])  # the controller does not hear of it
    except SlurmMissingError:
        return False
    except SlurmError:
        pass  # it is there, but something is wrong with it
    return True


def _cluster_here(run: RunProgram) -> str | None:
    for line in run(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "ClusterName":
            return value.strip()
    return None
