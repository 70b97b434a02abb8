"""A real two-node SLURM on this machine, for as long as a test run needs it.

    folder/slurm.conf, cgroup.conf, slurmdbd.conf
    folder/logs/NAME.log   what each daemon said; the last lines are part of every error
    folder/database/       data of its own MariaDB, which is reached by a socket only
    folder/munge.*         its own key and socket: the machine's munge is neither used nor needed

Nothing is fixed: ports are free ones, and the cluster's name, which is part of the names of its
nodes and cgroups, is drawn at random, so that any number of clusters run side by side. The daemons
are children of the caller; they get SIGTERM from the kernel if the caller is killed, and
`Cluster.stop` ends them, with whatever their jobs left, by process id.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.machine import (
    CGROUPS,
    POLL_S,
    SEARCH_PATH,
    answers,
    kill_all,
    remove_group,
    thaw,
    write_configuration,
)

ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY"),
    *("NODE_FAIL", "PREEMPTED", "DEADLINE", "BOOT_FAIL"),
)  # a running job can also show as SIGNALING, COMPLETING and more, so what ended is listed


class ClusterError(Exception):
    """The cluster did not do what was asked; the message ends with what its daemons said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, or one task of an array, as squeue shows it."""

    job_id: str  # "12", or "12_3" for a task of an array
    name: str
    state: str  # in full: "RUNNING", "OUT_OF_MEMORY"
    node: str  # empty while it waits
    exit_code: str  # "0:125": code and signal
    restarts: int

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the job runs or will run."""
        return self.state in ENDED


class Cluster:
    """Two nodes that claim 16 cores and 70 GB each, so that scripts asking for that run unchanged.

    Cores are only counted. Memory is limited for real (`--mem=200` and a process that takes more is
    killed by the kernel) unless `memory_plugin` is None.

    Parameters
    ----------
    folder : Path
        A folder to make; its path must be short, for it will hold sockets (107 bytes).
    memory_plugin : str or None
        `cgroup/v1`, `cgroup/v2`, or None for nodes without memory limits.
    accounting : bool
        Without it there is no database, SLURM's own watch kills jobs that take too much memory as
        a whole, and jobs of the partition `urgent` take the place of others, which start again.
    """

    def __init__(self, folder: Path, memory_plugin: str | None, *, accounting: bool = True) -> None:
        self.folder = folder
        self.memory_plugin = memory_plugin
        self.accounting = accounting
        self.name = f"jobpool{secrets.token_hex(3)}"
        self.nodes = (f"{self.name}n1", f"{self.name}n2")
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def env(self) -> dict[str, str]:
        """Environment that leads SLURM's commands here; this Python's programs are found first."""
        outer = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
        path = os.pathsep.join([str(Path(sys.executable).parent), SEARCH_PATH])
        return kept | {"PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Bring all daemons up; return when both nodes are idle, or tear everything down again.

        Raises
        ------
        ClusterError
            If a daemon ends or is not ready in time.
        """
        self.folder.mkdir(mode=0o755)
        for name in ("logs", "state", "temporary"):
            (self.folder / name).mkdir()
        try:
            port = write_configuration(
                self.folder, self.name, self.nodes, self.memory_plugin, accounting=self.accounting
            )
            self._start_munge()
            if self.accounting:
                self._start_database()
                self._start_accounting(port)
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            self.wait_for(self._both_nodes_are_idle, "both nodes to be idle")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every daemon, job process and cgroup of this cluster, in whatever state it is.

        Nothing is asked to end nicely: all that the daemons could still save is thrown away.
        """
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        self._daemons.clear()
        groups = (*CGROUPS.glob(f"*{self.name}*"), *CGROUPS.glob(f"*/*{self.name}*"))
        for group in groups:
            thaw(group)
        kill_all(f"SLURM_CONF={self.env['SLURM_CONF']}")
        for group in groups:
            remove_group(group)

    def start_controller(self) -> None:
        """Start slurmctld: at first, or after `stop_controller`."""
        self._start_daemon("slurmctld", "slurmctld", "-D")

    def stop_controller(self) -> None:
        """End slurmctld, as for an upgrade: jobs go on, and no command gets an answer."""
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(timeout=60)

    def start_node(self, node: str) -> None:
        """Start the slurmd of `node`: at first, or after `kill_node`."""
        self._start_daemon(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill the slurmd of `node` and all processes of its jobs, as a power failure does.

        SLURM notices after some minutes, or when told by ``scontrol update ... state=down``.
        """
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        kill_all(f"SLURMD_NODENAME={node}")

    def run(self, *command: str, script: str | None = None, cwd: Path | None = None) -> str:
        """Return what a command prints, run with this cluster's environment.

        Parameters
        ----------
        *command : str
            Program and arguments, such as ``"scontrol", "show", "nodes"``.
        script : str or None
            Text for its standard input.
        cwd : Path or None
            Folder to run in; the cluster's own if None.

        Raises
        ------
        ClusterError
            If it ends with another code than 0.
        """
        ended = subprocess.run(
            command,
            input=script,
            cwd=cwd or self.folder,
            env=self.env,
            timeout=60,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            raise ClusterError(f"{command} ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def sbatch(self, *arguments: str, script: str | None = None, cwd: Path | None = None) -> str:
        """Submit a job and return its id; `script` is the batch script where no argument names one.

        Logs of jobs that name none land in the cluster's folder as `slurm-ID.out`.
        """
        return self.run("sbatch", "--parsable", *arguments, script=script, cwd=cwd).strip()

    def squeue(self, *options: str) -> tuple[Job, ...]:
        """Return the jobs that the controller knows, ended ones too, a waiting array by task."""
        fields = "JobArrayID:|,Name:|,State:|,NodeList:|,Exit_Code:|,RestartCnt"
        command = ("squeue", "--noheader", "--array", "--states=all", *options, "-O", fields)
        rows = [line.split("|") for line in self.run(*command).splitlines()]
        return tuple(
            Job(
                job_id=job_id,
                name=name,
                state=state,
                node=node,
                exit_code=f"{int(status) >> 8}:{int(status) & 127}",
                restarts=int(restarts),
            )
            for job_id, name, state, node, status, restarts in rows
        )

    def sacct(self, job_id: str, *options: str) -> dict[str, str]:
        """Return the state that accounting has for each task of a job, by id such as `12_3`.

        Accounting hears of a job's end at once, but of its name and place in an array only some
        seconds later. Without the option `--allocations` the steps are among them, as `12.batch`.
        """
        shape = ("--noheader", "--parsable2", "--format=JobID,State")
        lines = self.run("sacct", *shape, "--jobs", job_id, *options).splitlines()
        states = (line.split("|") for line in lines)
        return {step: state.split()[0] for step, state in states}  # "CANCELLED by 0"

    def wait_for(self, condition: Callable[[], bool], what: str, *, timeout_s: float = 60) -> None:
        """Return as soon as `condition` holds.

        Raises
        ------
        ClusterError
            If a daemon has ended or the time is over, with the last lines of every log.
        """
        end = time.monotonic() + timeout_s
        while not condition():
            dead = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                why = f"{', '.join(dead)} ended" if dead else f"{timeout_s:g} s were over"
                raise ClusterError(f"waited for {what}, but {why}\n{self.last_words()}")
            time.sleep(POLL_S)

    def wait_for_job(self, job_id: str, *, timeout_s: float = 60) -> tuple[Job, ...]:
        """Return the job, or all tasks of the array, once the last of them has ended."""

        def has_ended() -> bool:
            return all(job.has_ended for job in self.squeue("--jobs", job_id))

        self.wait_for(has_ended, f"job {job_id} to end", timeout_s=timeout_s)
        return self.squeue("--jobs", job_id)

    def last_words(self, lines: int = 12) -> str:
        """Return the last lines of each daemon's log, each with the daemon's name before it."""
        return "\n".join(
            f"{log.stem} | {line}"
            for log in sorted((self.folder / "logs").glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()[-lines:]
        )

    def _both_nodes_are_idle(self) -> bool:
        with suppress(ClusterError):  # the controller does not answer yet
            states = self.run("sinfo", "--noheader", "-N", "-p", "short", "-o", "%T").split()
            return states == ["idle", "idle"]
        return False

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        places = {"key-file": key}
        for name in ("socket", "pid-file", "seed-file", "log-file"):
            places[name] = self.folder / f"munge.{name.removesuffix('-file')}"
        options = [f"--{name}={place}" for name, place in places.items()]
        # --force: it objects to a folder whose parents others can write, such as /tmp
        self._start_daemon("munged", "munged", "--foreground", "--force", *options)
        self.wait_for(lambda: answers(self.folder / "munge.socket"), "munge to answer")

    def _start_database(self) -> None:
        data = f"--datadir={self.folder / 'database'}"
        # a server that starts removes temporary tables of all others from a shared folder
        options = ("--no-defaults", "--user=root", data, f"--tmpdir={self.folder / 'temporary'}")
        install = ("--auth-root-authentication-method=socket", "--skip-test-db")
        self.run("mariadb-install-db", *options, *install)
        where = f"--socket={self.folder / 'database.socket'}"
        lasting = ("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0")
        self._start_daemon("database", "mariadbd", *options, where, "--skip-networking", *lasting)
        self.wait_for(lambda: answers(self.folder / "database.socket"), "the database to answer")

    def _start_accounting(self, port: int) -> None:
        self._start_daemon("slurmdbd", "slurmdbd", "-D")
        self.wait_for(lambda: answers(("127.0.0.1", port)), "slurmdbd to answer")
        self.run("sacctmgr", "--immediate", "add", "cluster", self.name)

    def _start_daemon(self, name: str, *command: str) -> None:
        """Start a program in the foreground; SIGTERM reaches it if this process is killed."""
        settings = {
            "MYSQL_UNIX_PORT": str(self.folder / "database.socket"),  # how slurmdbd finds it
            "SLURMD_NODENAME": name,  # marks the steps of a node: no children of slurmd
        }
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ("setpriv", "--pdeathsig", "TERM", *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env | settings,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C stops the tests first, which then stop the cluster
            )
