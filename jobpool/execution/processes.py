"""Trees of processes: guard one, measure it, and end all of it, whatever it started.

Keeps nothing on disk. Linux gives a process that lost its parent to the nearest ancestor that asked
for orphans: a worker asks, and so does the guard of its task process. So all processes of a task
can be found and ended, even in a session of their own, and even when the worker is killed by
SIGKILL. On other systems only the process group is found.
"""

import ctypes
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil

from jobpool.units import MB

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform == "linux"
TIDY_S = 1.0  # for helpers of an ended task: joblib's removes shared memory, and ignores TERM
KILL_S = 5.0  # a process that survives this waits for a disk, and ends when the disk answers
LOG_TAIL = 20_000  # bytes of what a task wrote to the log, of which the end is read
CHECK_S = 10.0  # between the guard's checks for an end that it missed
# makes a guard end all processes; also sent when its parent dies; never sent to a whole job
END_ALL = int(getattr(signal, "SIGRTMIN", signal.SIGUSR2)) + 5


def adopt_orphans() -> None:
    """Become the parent of each descendant of this process that loses its own."""
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process started or adopted, also zombies."""
    if not Path("/proc/thread-self/children").exists():  # no Linux, or a kernel built without it
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with suppress(OSError):  # it ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    found = children(pid)
    for one in found:  # grows while it is gone through
        found += children(one)
    return found


def living_children(pid: int, adopter: int | None = None) -> dict[int, str]:
    """Return id and name of the processes that this one started and that run.

    Parameters
    ----------
    pid : int
        Of this process.
    adopter : int, optional
        The process that has its orphans: they count, too.
    """
    found: list[int] = []
    if adopter is not None:
        try:  # it has one thread: the fast way, as this is asked for each task
            text = Path(f"/proc/{adopter}/task/{adopter}/children").read_bytes()
            found += map(int, text.split())
        except OSError:
            found += children(adopter)
    with suppress(ChildProcessError):  # there is none: the usual case, and this is fast
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        found += children(pid)
    names = {}
    for one in set(found) - {pid}:
        with suppress(psutil.Error):
            process = psutil.Process(one)
            if process.status() != psutil.STATUS_ZOMBIE:
                names[one] = process.name()
    return names


def forget_ended(spared: Collection[int]) -> None:
    """Reap the children that ended and that nobody asked about: a later `wait` would find them."""
    with suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid in spared:  # its owner asks
                return
            os.waitpid(found.si_pid, os.WNOHANG)


def memory_mb(pids: Collection[int]) -> float:
    """Return the resident memory of processes together; shared pages count for each."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return total / MB


def kernel_number(path: str, name: bytes) -> int:
    """Return the number behind a name in a small file of the kernel; 0 where it is missing.

    Examples
    --------
    >>> kernel_number("/proc/self/status", b"Threads:") > 0
    True
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        words = os.read(descriptor, 1 << 14).partition(name)[2].split(None, 1)
    finally:
        os.close(descriptor)
    return int(words[0]) if words else 0


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if there is one."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def signal_child(parent: int, pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that left the group of its parent, if it is its child."""
    with suppress(ProcessLookupError):
        if pid != parent and pid in children(parent) and os.getpgid(pid) != parent:
            os.kill(pid, number)


def end_descendants(spared: Collection[int] = ()) -> None:
    """End all children that are not spared, and all that they leave to this process.

    Each gets TERM and a moment to clean up, then all are killed. Only children are signalled,
    never their children: until its parent reaps it, the id of a process belongs to no other.
    Needs `adopt_orphans` to reach all.
    """
    begin = time.monotonic()
    asked: set[int] = set()
    while (alive := _reap(spared)) and time.monotonic() < begin + TIDY_S + KILL_S:
        patient = time.monotonic() < begin + TIDY_S
        for pid in alive:
            with suppress(PermissionError):  # it changed to another user
                if not patient:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in asked:
                    os.kill(pid, signal.SIGTERM)
        asked.update(alive)
        time.sleep(0.01)


def _reap(spared: Collection[int]) -> list[int]:
    """Reap the children that ended, and return those that run."""
    alive = []
    for pid in children(os.getpid()):
        if pid not in spared:
            with suppress(ChildProcessError):
                ended, _ = os.waitpid(pid, os.WNOHANG)
                if not ended:
                    alive.append(pid)
    return alive


def guard() -> None:
    """Return in a new process, and stay behind as its guard.

    The guard stands for the task process towards the worker: its id, its group, its end. When the
    worker or the task process ends in any way, or at `END_ALL`, the guard ends all that is left,
    and then itself, as the task process ended. It ignores all other signals.
    """
    worker, own = os.getppid(), os.getpid()
    if not _IS_LINUX:
        return
    adopt_orphans()
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _hear_end_of(worker, END_ALL)
    guarded = os.fork()
    if guarded == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        _hear_end_of(own, signal.SIGKILL)
        return
    status = _watch(guarded, worker)
    end_descendants()
    _end_like(status)


def end_all(guarded: "subprocess.Popen[bytes]") -> None:
    """End a process, unless it has ended, through its guard.

    If the guard were killed, and then the worker before it ended the orphans, they would be left.
    """
    guarded.send_signal(END_ALL)
    with suppress(subprocess.TimeoutExpired):
        guarded.wait(2 * (TIDY_S + KILL_S))
    guarded.kill()
    guarded.wait()


def _hear_end_of(parent: int, number: int) -> None:
    """Get a signal when the parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died meanwhile
        os._exit(1)


def _watch(guarded: int, worker: int) -> int:
    """Return how the guarded process ended; kill it if the worker ended or asks for it."""
    while os.getppid() == worker:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == guarded:
                return ended[1]
        heard = signal.sigtimedwait({signal.SIGCHLD, END_ALL}, CHECK_S)
        if heard is not None and heard.si_signo == END_ALL:
            break
    os.kill(guarded, signal.SIGKILL)  # first of all: its task may be requeued
    return int(signal.SIGKILL)


def _end_like(status: int) -> None:
    """End this process as another one ended."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump is enough
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os._exit(1)


def size_of_log() -> int:
    """Return how much the log of this process holds, 0 if its standard error is no file."""
    with suppress(OSError):
        status = os.fstat(2)
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def read_log(since: int) -> str:
    """Return what was written to the log since it had a size; of much only the end.

    Empty if standard error is no file.
    """
    with suppress(OSError):
        size = size_of_log()
        if size > since:
            with Path("/proc/self/fd/2").open("rb") as log:
                log.seek(max(since, size - LOG_TAIL))
                return log.read(LOG_TAIL).decode(errors="replace")
    return ""
