"""What the scheduler says of the workers' jobs, asked by one worker and read by all.

    POOL/SCHEDULER-CLUSTER.json    the last answer about the workers' jobs, replaced whole
    POOL/turns/SCHEDULER-*         which worker is elected to ask

The elected worker asks for all jobs in doubt at once, so that a pool of any size asks a controller
no more than once per interval. If it is killed while it asks, the next interval elects another; the
file holds a whole answer at any time.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from jobpool.disk.coordination import win_election
from jobpool.disk.files import read_json, write_json
from jobpool.errors import SchedulerError, StorageError
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.task import Cause, Json

if TYPE_CHECKING:  # no `jobpool status` waits for it
    from jobpool.scheduler.base import Scheduler

FORMAT = 1
STOPPED_S = 5.0  # between two questions of workers that were told to stop
FRESH = 3  # intervals after which it no longer counts that a job was running
OTHER_JOB_S = 300.0  # an answer that is older than a worker by more is not about its job


class Cluster(NamedTuple):
    """Whose jobs are meant: the name of a scheduler, and that of a cluster if it has one."""

    scheduler: str
    name: str | None

    @property
    def stem(self) -> str:
        """Return the name of this cluster's file, without its suffix."""
        suffix = f"-{quote(self.name, safe='')}" if self.name else ""
        return f"{self.scheduler}{suffix}"

    def may_be(self, other: "Cluster") -> bool:
        """Say whether another may be the same: one that has no name may be any of its scheduler."""
        names = {self.name, other.name}
        return self.scheduler == other.scheduler and (None in names or len(names) == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStatus:
    """What the scheduler said of a run of a job, and when."""

    status: JobStatus
    asked: float  # by the file server's clock
    missing_since: float | None = None  # when it was first listed nowhere, if it is not now


def read_statuses(pool: Path, cluster: Cluster) -> Mapping[JobRun, KnownStatus]:
    """Return the last answer about jobs of a cluster; nothing before the first."""
    with suppress(OSError, KeyError, TypeError, ValueError):
        line: dict[str, Any] | None = read_json(pool / f"{cluster.stem}.json")
        if line is not None and line["format"] == FORMAT:
            found = [_from_line(one) for one in line["jobs"]]
            return {JobRun(one.status.job, one.status.restarts): one for one in found}
    return {}


def answer_about(known: Mapping[JobRun, KnownStatus], one: JobRun | None) -> KnownStatus | None:
    """Return the answer about a run; one from before it began is about an older job."""
    found = None if one is None else known.get(one)
    if found is None or one is None or one.inside is None:
        return found
    return found if found.asked >= one.inside.began - OTHER_JOB_S else None


class JobStatusCache:
    """The last answers about the jobs of any cluster, each read once.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    oldest : float
        Answers from before that time, by the file server's clock, are not fresh.
    """

    def __init__(self, pool: Path, oldest: float) -> None:
        self._pool, self._oldest = pool, oldest
        self._read: dict[Cluster, Mapping[JobRun, KnownStatus]] = {}

    def about(self, cluster: Cluster, one: JobRun | None) -> KnownStatus | None:
        """Return the answer about a run of a job, if there is one."""
        return answer_about(self._of(cluster), one)

    def is_fresh(self, cluster: Cluster) -> bool:
        """Say whether the last answer about a cluster is recent."""
        return any(known.asked >= self._oldest for known in self._of(cluster).values())

    def _of(self, cluster: Cluster) -> Mapping[JobRun, KnownStatus]:
        if cluster not in self._read:
            self._read[cluster] = read_statuses(self._pool, cluster)
        return self._read[cluster]


# `state` and `is_preempted` are the words of the first format: older versions read them


def _line_of(known: KnownStatus) -> dict[str, Json]:
    line: dict[str, Json] = asdict(known.status)
    word = line.pop("word")
    is_preempted = known.status.cause is Cause.PREEMPTED
    times = {"asked": known.asked, "missing_since": known.missing_since}
    return {**line, "state": word, "is_preempted": is_preempted, **times}


def _from_line(line: dict[str, Any]) -> KnownStatus:
    names = {field.name for field in fields(JobStatus)} - {"word", "phase", "cause"}
    status = JobStatus(
        **{name: line[name] for name in names},
        word=line["state"],
        phase=Phase(line["phase"]),
        cause=None if line["cause"] is None else Cause(line["cause"]),
    )
    return KnownStatus(status=status, asked=line["asked"], missing_since=line["missing_since"])


class StatusPoller:
    """One worker's questions to the controller of its cluster, when it is elected.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    scheduler : Scheduler
        Is asked.
    cluster : str or None
        The cluster that the worker runs on; None: not in a job, so it is asked once where it is.
    interval_s : float
        Seconds between two questions of the whole pool.
    patience_s : float
        Seconds to wait for an answer.
    """

    def __init__(
        self,
        pool: Path,
        scheduler: "Scheduler",
        cluster: str | None,
        *,
        interval_s: float,
        patience_s: float,
    ) -> None:
        self._pool, self._scheduler = pool, scheduler
        self._interval_s, self._patience_s = interval_s, patience_s
        self.cluster = Cluster(scheduler.name, cluster)
        self._is_there: bool | None = None

    def covers(self, cluster: Cluster) -> bool:
        """Say whether jobs of a cluster can be asked for here, as far as is known yet.

        A controller that does not answer may do so later; where there is none it never does.
        """
        if not cluster.may_be(self.cluster):
            return False
        if self._is_there is None:
            self._is_there = self._scheduler.is_available()
        return self._is_there

    def find_cluster(self) -> bool:
        """Ask which cluster this is, if the job does not tell, and say whether it is known."""
        if self.cluster.name is None and self.covers(self.cluster):
            with suppress(SchedulerError):
                found = self._scheduler.cluster(self._patience_s)
                self.cluster = self.cluster._replace(name=found)
        return self.cluster.name is not None

    def ask(self, runs: Collection[JobRun], server_time: float) -> None:
        """Ask for runs of jobs, and share the answers, if it is time and this worker is elected.

        No answer leaves what was shared before; its age tells how much that is worth.
        """
        known = read_statuses(self._pool, self.cluster)
        last = max((one.asked for one in known.values()), default=0.0)
        if server_time >= last + self._interval_s and self._is_elected(
            "", self._interval_s, server_time
        ):
            self._ask(runs, server_time, self._patience_s)

    def ask_stopped(self, runs: Callable[[], Collection[JobRun]], server_time: float) -> bool:
        """Ask for workers that must stop and cannot wait: they have elections of their own.

        Parameters
        ----------
        runs : callable
            Returns the runs to ask for; called if this worker is elected.
        server_time : float
            What the file server's clock says now.

        Returns
        -------
        bool
            Whether this worker asked, and its answer is now shared.
        """
        if not self._is_elected("stopped-", STOPPED_S, server_time):
            return False
        self._ask(runs(), server_time, STOPPED_S / 2)
        return True

    def _is_elected(self, kind: str, period_s: float, server_time: float) -> bool:
        name = f"{kind}{self.cluster.scheduler}-{quote(self.cluster.name or '', safe='')}"
        return win_election(self._pool, name, period_s, server_time)

    def _ask(self, runs: Collection[JobRun], server_time: float, timeout_s: float) -> None:
        known = read_statuses(self._pool, self.cluster)
        with suppress(SchedulerError, StorageError):  # then the next one elected asks again
            self._share(known, self._scheduler.query(runs, timeout_s), server_time)

    def _share(
        self,
        known: Mapping[JobRun, KnownStatus],
        heard: Mapping[JobRun, JobStatus],
        server_time: float,
    ) -> None:
        lines: list[Json] = []
        for one, now in sorted(heard.items()):
            before = answer_about(known, one)
            since = server_time if now.phase is Phase.UNLISTED else None
            if since is not None and before is not None and before.missing_since is not None:
                since = before.missing_since
            lines.append(_line_of(KnownStatus(status=now, asked=server_time, missing_since=since)))
        path = self._pool / f"{self.cluster.stem}.json"
        write_json(path, {"format": FORMAT, "jobs": lines})
