"""What a task leaves behind in its process: put back as it was, or named.

Keeps nothing on disk. A task process runs many tasks, so that imports and data are paid once. Its
folder, umask, signals, timers, limits and standard streams are put back after each task. What
cannot be put back, and every thread and process that still runs, is named: then the worker ends
this process and all that it started, and the next task begins in a new one.

What a program keeps on purpose stays: modules, global variables, the environment.
"""

import ctypes
import faulthandler
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobpool.errors import listing
from jobpool.execution.channel import inode
from jobpool.execution.processes import forget_ended, kernel_number, living_children

GARBAGE_MB = 50  # above the least seen: worth the search for what nobody uses any more
SETTLE_S = 0.2  # for threads and processes that are about to end
_LOOK_S = 0.005
_NAMES = "TERM INT HUP USR1 USR2 ALRM VTALRM PROF CHLD PIPE QUIT XCPU XFSZ"
_SIGNALS = tuple(getattr(signal, f"SIG{name}") for name in _NAMES.split())
_STOPPING = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "DATA", "STACK", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE")
    if hasattr(resource, f"RLIMIT_{name}")
)
_STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a runner keeps running on purpose, idle, for its next task."""

    processes: Collection[int] = field(default_factory=frozenset)
    threads: Collection[int] = field(default_factory=frozenset)  # their `threading.get_ident`


NOTHING = Kept()


class ProcessState:
    """What a task process is like before its first task.

    Parameters
    ----------
    owner : int
        The id of this process.
    adopter : int, optional
        The process that gets the orphans of this one: its guard, if it has one.
    """

    def __init__(self, owner: int, adopter: int | None) -> None:
        self._owner, self._adopter = owner, adopter
        self._folder = _folder()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._handlers = [(number, signal.getsignal(number)) for number in _SIGNALS]
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._limits = [(limit, resource.getrlimit(limit)) for limit in _LIMITS]
        self._streams = {name: getattr(sys, name) for name in _STREAMS}
        self._files = [inode(number) for number in range(len(_STREAMS))]
        self._group = os.getpgrp(), os.getsid(0)
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        self._recursion = sys.getrecursionlimit()
        self._cores = _cores()
        self._floor_mb = anonymous_mb()
        self._threads = set(sys._current_frames())
        self._processes = set(living_children(owner, adopter))

    def free_memory(self) -> None:
        """Give back what earlier tasks left as garbage, if it is much: the next one pays for it."""
        if anonymous_mb() > self._floor_mb + GARBAGE_MB:
            gc.collect()
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
            self._floor_mb = anonymous_mb()

    def hears_stop(self) -> bool:
        """Say whether the code of a task receives the signals that stop it."""
        return any(
            signal.getsignal(number) is not handler
            for number, handler in self._handlers
            if number in _STOPPING
        )

    def hush(self) -> None:
        """Put back what could end this process, or hinder it, at any moment."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in self._handlers:
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        os.umask(self._umask)
        sys.setrecursionlimit(self._recursion)
        if self._cores != _cores():
            with suppress(OSError):  # another process took them away
                os.sched_setaffinity(0, self._cores)
        for limit, values in self._limits:
            if resource.getrlimit(limit) != values:
                with suppress(ValueError, OSError):  # seen below
                    resource.setrlimit(limit, values)

    def processes(self) -> Collection[int]:
        """Return the processes that run here beside those of the start."""
        return living_children(self._owner, self._adopter).keys() - self._processes

    def left(self, kept: Kept = NOTHING) -> Iterator[str]:
        """Put back what else can be, and name all that cannot, if anything.

        Parameters
        ----------
        kept : Kept
            What may go on running.
        """
        if any(resource.getrlimit(limit) != values for limit, values in self._limits):
            yield "lower limits of its process"
        if os.getpriority(os.PRIO_PROCESS, 0) != self._priority:
            yield "another priority of its process"
        if (os.getpgrp(), os.getsid(0)) != self._group:
            yield "a process group or session of its own"
        if not self._folder_is_back():
            yield "another folder, as that where tasks start is gone"
        if not self._streams_are_back():
            yield "standard streams that are closed or replaced"
        if not _has_descriptors():
            yield "no descriptor free"
        yield from self._running(kept)

    def _running(self, kept: Kept) -> Iterator[str]:
        """Name the threads and processes that still run after a moment."""
        end = time.monotonic() + SETTLE_S
        while True:
            threads = set(sys._current_frames()) - self._threads - set(kept.threads)
            processes = living_children(self._owner, self._adopter)
            left = set(processes) - self._processes - set(kept.processes) - _trackers()
            if not (threads or left) or time.monotonic() > end:
                break
            time.sleep(_LOOK_S)
        forget_ended(self._processes | set(kept.processes) | _trackers())
        if threads:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            words = [names.get(ident, "without a name") for ident in threads]
            yield f"a running thread ({listing(words)})"
        if left:
            words = [f"{processes[pid]}, {pid}" for pid in sorted(left)]
            yield f"a running process ({listing(words)})"

    def _streams_are_back(self) -> bool:
        for name, stream in self._streams.items():
            setattr(sys, name, stream)
            if stream is None or stream.closed:
                return False
            if name != "stdin":
                with suppress(OSError):  # the log cannot be written
                    stream.flush()
        return [inode(number) for number in range(len(_STREAMS))] == self._files

    def _folder_is_back(self) -> bool:
        if _folder() != self._folder and self._folder is not None:
            try:
                os.chdir(self._folder)
            except OSError:
                return False
        return True


def end_helpers(kept: Kept) -> None:
    """End what known libraries keep for later: joblib's processes, and the thread of tqdm."""
    loky: Any = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None and not kept.processes:
        with suppress(Exception):  # what it does not end, the worker ends
            executor.shutdown(wait=False, kill_workers=True)
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    monitor = getattr(tqdm, "monitor", None)
    if monitor is not None:
        with suppress(Exception):
            monitor.exit()


def _trackers() -> set[int]:
    """Return the processes that remove shared memory when this one ends: idle until then."""
    modules = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker")
    trackers = [getattr(sys.modules.get(name), "_resource_tracker", None) for name in modules]
    return {pid for tracker in trackers if (pid := getattr(tracker, "_pid", None))}


def anonymous_mb() -> float:
    """Return the memory of this process in MB that stands for no file; 0 where nobody knows."""
    return kernel_number("/proc/self/status", b"RssAnon:") / 1024


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _has_descriptors() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None
