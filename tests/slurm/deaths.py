"""A task whose job dies, and somebody on what looks like another host who finds that out."""

import os
import shlex
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from jobpool.journal.attempts import Attempt
from jobpool.journal.jsonl import worker_files
from jobpool.journal.workers import WorkerRecord, read_worker_record
from jobpool.pool import Pool
from jobpool.table.records import Record
from tests.slurm.cluster import Cluster, Job
from tests.slurm.study import PATIENCE_S, Study, new_study

BEAT_S, LOST_S, HUNG_S = 0.5, 2.0, 6.0
EXPERIMENT = f"""\
name: mystudy
runner: function
seed: 1
axes:
  number: [1, 2]
  until: [go]
  mb: [MB]
function:
  call: lab:takes
workers:
  heartbeat: {BEAT_S}s
  lost_after: {LOST_S}s
  hung_after: {HUNG_S}s
  ask_slurm_every: 1s
  grace: 1s
"""
WORK = "jobpool work pool --only"
# in a space of process numbers of its own, it cannot see whether a process is gone
ELSEWHERE = ("unshare", "--pid", "--fork", "--mount-proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A study whose first task runs in a job until something ends it, or `go` is made."""

    study: Study
    job: str

    def let_tasks_end(self) -> None:
        (self.study.folder / "go").touch()

    def attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts at the first task."""
        first = Pool(self.study.pool).grid.id(0)
        return tuple(one for one in self.study.attempts() if one.task == first)

    def attempt(self) -> Attempt:
        (only,) = self.attempts()
        return only

    def record(self) -> Record:
        """Return what the pool knows of the first task."""
        return Pool(self.study.pool).record(0)

    def worker_record(self) -> WorkerRecord:
        """Return what the job's first worker says of itself."""
        worker_record = read_worker_record(self.study.pool, self._record_file().stem)
        assert worker_record is not None
        return worker_record

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker that took the first task."""
        os.kill(self.worker_record().pid, number)

    def freeze(self) -> None:
        """Stop the worker as soon as its task runs."""
        self.study.wait_until_running()
        self.signal(signal.SIGSTOP)

    def wait_until_silent(self, seconds: float) -> None:
        """Return when the worker's last sign of life is that old."""
        self.study.slurm.wait_for(
            lambda: time.time() - self._record_file().stat().st_mtime > seconds,
            f"{seconds} s of silence",
            timeout_s=PATIENCE_S,
        )

    def wait_for_job(self) -> Job:
        (ended,) = self.study.wait_for_jobs(self.job)
        return ended

    def look(self, *before: str) -> str:
        """Run a worker that looks for dead ones on another host, and return its log.

        It takes the second task, so that the first stays as it is.
        """
        self.wait_until_silent(4 * BEAT_S)
        command = shlex.join((*before, *ELSEWHERE))
        return self.study.run("sh", "-c", f"{command} {WORK} number=2 2>&1 || true")

    def _record_file(self) -> Path:
        return min(worker_files(self.study.pool, "workers"), key=_started)


def _started(path: Path) -> float:
    worker_record = read_worker_record(path.parents[2], path.stem)
    return worker_record.started if worker_record is not None else float("inf")


def new_victim(
    slurm: Cluster, parent: Path, name: str, *options: str, mb: int = 0, before: str = ""
) -> Victim:
    """Lay out a study, make its pool, and submit the job that takes its first task.

    Parameters
    ----------
    slurm : Cluster
        Where the job runs.
    parent : Path
        Gets the study's folder.
    name : str
        Of that folder.
    *options : str
        Of sbatch.
    mb : int
        Memory that the task takes before it waits.
    before : str
        Words of a shell before the worker's command.
    """
    study = new_study(slurm, parent, name)
    study.make_pool(EXPERIMENT.replace("MB", str(mb)))
    job = study.sbatch(*options, f"--wrap=exec {before} {WORK} number=1")
    return Victim(study=study, job=job)


def stand_in(study: Study, program: str, script: str) -> str:
    """Write a program that is found before the real one; return the `PATH=` that does so."""
    folder = study.folder / "programs"
    folder.mkdir()
    (folder / program).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / program).chmod(0o755)
    return f"PATH={folder}:{study.slurm.env['PATH']}"
