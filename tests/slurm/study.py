"""A researcher's folder: laid out by ``jobpool new``, worked on from inside by typed commands."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.pool import Pool
from jobpool.scheduler.base import job_prefix
from jobpool.table.task_index import positions_of
from jobpool.task import Point, TaskState
from tests.slurm.cluster import Cluster, Job

FIRST_PASS = "sbatch/first_pass.sbatch"
SECOND_PASS = "sbatch/second_pass.sbatch"
PATIENCE_S = 180  # seconds' work, but on a machine that may be busy with other things


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study and the cluster it runs on; every path in a command is relative to `folder`."""

    folder: Path
    slurm: Cluster

    @property
    def pool(self) -> Path:
        """The pool that the study's commands name ``pool``."""
        return self.folder / "pool"

    def run(self, *command: str) -> str:
        """Return what a command prints; Python finds modules of the study's folder `code`."""
        path = f"PYTHONPATH={self.folder / 'code'}"
        return self.slurm.run("env", path, *command, cwd=self.folder)

    def jobpool(self, *words: str) -> str:
        """Return what `jobpool` prints: the program of this Python environment."""
        return self.run(str(Path(sys.executable).with_name("jobpool")), *words)

    def sbatch(self, *words: str) -> str:
        """Submit a job, and return its id."""
        return self.run("sbatch", "--parsable", *words).strip()

    def submit(self, *words: str) -> tuple[str, str]:
        """Submit workers by `jobpool submit`; return the line it prints, and the array's id."""
        before = {job.job_id for job in self.slurm.squeue()}
        line = self.jobpool("submit", "pool", *words)
        (array,) = {
            job.job_id.split("_")[0] for job in self.slurm.squeue() if job.job_id not in before
        }
        return line, array

    def make_pool(self, text: str) -> None:
        """Write an experiment file, and make its pool."""
        (self.folder / "experiment.yaml").write_text(text, encoding="utf-8")
        self.jobpool("init", "experiment.yaml", "pool")

    def wait_until_running(self, n_tasks: int = 1) -> None:
        """Return as soon as that many tasks run."""
        self.slurm.wait_for(
            lambda: self.count(TaskState.RUNNING) == n_tasks, "tasks to run", timeout_s=PATIENCE_S
        )

    def wait_for_jobs(self, *job_ids: str) -> tuple[Job, ...]:
        """Return the jobs once all of them have ended."""
        return tuple(
            job for one in job_ids for job in self.slurm.wait_for_job(one, timeout_s=PATIENCE_S)
        )

    def count(self, state: TaskState) -> int:
        """Return how many tasks of the pool are in a state."""
        return Pool(self.pool).counts()[state]

    def points_in(self, state: TaskState) -> set[Point]:
        """Return which tasks of the pool are in a state."""
        pool = Pool(self.pool)
        every = range(len(pool.grid))
        return {pool.grid.point(i) for i in every if pool.record(i).state is state}

    def attempts(self) -> tuple[Attempt, ...]:
        """Return all attempts, in the order of their end."""
        return tuple(sorted(all_attempts(self.pool), key=lambda one: one.ended))

    def points_of(self, attempts: tuple[Attempt, ...]) -> set[Point]:
        """Return the tasks that these attempts tried."""
        grid = Pool(self.pool).grid
        positions = positions_of(grid, [one.task for one in attempts])
        return {grid.point(position) for position in positions.values()}

    def logs(self) -> set[str]:
        """Return the logs in the pool, as paths within its folder of logs."""
        folder = self.pool / "logs"
        return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}

    def job_name(self, one: str) -> str:
        """Return the name of the jobs that `jobpool submit` submits for a pass."""
        return f"{job_prefix(self.pool, 'mystudy')}{one}"

    def log_of(self, job_id: str, name: str = "first_pass") -> str:
        """Return what the log of a job says; none of the clusters here counts up to 1,000."""
        return (self.pool / "logs" / "0" / f"{name}-{job_id}.log").read_text(encoding="utf-8")


def new_study(slurm: Cluster, parent: Path, name: str = "mystudy") -> Study:
    """Lay out a study in a new folder below `parent`."""
    slurm.run(str(Path(sys.executable).with_name("jobpool")), "new", name, cwd=parent)
    code = parent / name / "code"
    code.mkdir()
    shutil.copyfile(Path(__file__).with_name("lab.py"), code / "lab.py")
    return Study(folder=parent / name, slurm=slurm)
