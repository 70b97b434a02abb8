"""Run one task in a child process, and say how it ended.

The child lives for many tasks, so that imports and data are paid once. It is asked by a JSON line
on its standard input and answers by one on a pipe of its own; what the task prints goes to the
worker's log. The parent does nothing heavy: it beats, samples the child's process tree, and hears
signals. When the child is killed the parent lives, knows why, and can return the task.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psutil

from jobpool.errors import JobpoolError
from jobpool.task import Cause

SAMPLE_S = 1.0
TERM_WAIT_S = 2.0
TIDY_S = 2.0
MB = 1024 * 1024


class StartError(JobpoolError):
    """The child that runs the tasks could not start: no task was touched."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an attempt used."""

    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run of a task ended."""

    cause: Cause
    result: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None
    usage: Usage = Usage()


class StopSignals:
    """Hears TERM, USR1, HUP and Ctrl-C; `select` wakes up on `descriptor` when one arrives."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def install(self) -> None:
        """Hear the signals from now on."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: object) -> None:  # noqa: ARG002 - given by Python
        self.received = self.received or signal.Signals(number)
        with suppress(BlockingIOError):
            os.write(self._writing, b"!")


class Supervisor:
    """Keeps one child, and runs tasks in it one after the other.

    Parameters
    ----------
    command : sequence of str
        Starts the child; the number of the pipe for its answers is appended.
    environment : mapping
        Of the child.
    signals : StopSignals
        Ends a task early.
    beat : callable
        Called about every `beat_s` seconds.
    beat_s, grace_s : float
        Seconds between two beats; seconds from asking a task to stop to killing it.
    oom_kills : callable
        Returns how many processes of this job the kernel killed for memory, or None.
    """

    def __init__(  # noqa: PLR0913 - the world comes in as arguments
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        signals: StopSignals,
        beat: Callable[[], object],
        beat_s: float,
        grace_s: float,
        oom_kills: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._signals, self._beat, self._oom_kills = signals, beat, oom_kills
        self._beat_s, self._grace_s = beat_s, grace_s
        self._child: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._buffer = b""
        self._peak_mb = 0.0
        self._beaten = time.monotonic()

    def start(self) -> None:
        """Start the child unless it runs, and wait until it is ready.

        Raises
        ------
        StartError
            If it cannot run tasks: a wrong environment, or data that are not there.
        """
        if self._child is not None and self._child.poll() is None:
            return
        self.stop()
        self._answers, writing = os.pipe()
        try:
            self._child = subprocess.Popen(
                [*self._command, str(writing)],
                stdin=subprocess.PIPE,
                stdout=2,  # standard output is for results: what tasks print goes to the log
                env=self._environment,
                pass_fds=[writing],
                process_group=0,  # Ctrl-C reaches the parent alone, which then stops the child
            )
        finally:
            os.close(writing)
        self._buffer = b""
        kills = self._oom_kills()
        answer = self._wait()
        if answer is None and self._signals.received is None:
            code = self._exit_code()
            if _more(kills, self._oom_kills()):
                what = "the job has too little memory to start the task process"
                raise StartError(f"{what}; ask for more: sbatch --mem=...")
            raise StartError(f"the task process ended at its start with exit code {code}")
        if answer is not None and "ready" not in answer:
            raise StartError(str(answer.get("error")))

    def run(self, request: Mapping[str, Any]) -> Outcome:
        """Run one task, and say how it ended.

        Parameters
        ----------
        request : mapping
            Handed to the child as JSON.
        """
        self.start()
        child = self._child
        if child is None or child.stdin is None:
            raise StartError("the task process is not running")
        kills = self._oom_kills()
        self._peak_mb = 0.0
        with suppress(BrokenPipeError):  # its death is seen below
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        answer = self._wait()
        killed = _more(kills, self._oom_kills())
        if answer is not None:
            return self._with_peak(_outcome(answer, killed))
        if self._signals.received is None and self._exit_code() == -signal.SIGTERM:
            # SLURM sends TERM to the whole job: the child may be gone before we hear it
            select.select([self._signals.descriptor], [], [], TERM_WAIT_S)
        self.stop()
        if self._signals.received is not None:
            error = f"stopped by {self._signals.received.name}"
            return self._with_peak(Outcome(cause=Cause.CANCELLED, error=error))
        return self._with_peak(_death(child.returncode, killed))

    def stop(self) -> None:
        """End the child and all that it started: ask first, then kill."""
        child, self._child = self._child, None
        if child is None:
            return
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(self._grace_s)
            _wait_for_group(child.pid)
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        os.close(self._answers)

    def _wait(self) -> dict[str, Any] | None:
        """Return the child's next answer, or None if it died or a signal came."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                answer: dict[str, Any] = json.loads(line)
                return answer
            timeout = min(SAMPLE_S, self._beat_s)
            awake = [self._answers, self._signals.descriptor]
            ready, _, _ = select.select(awake, [], [], timeout)
            if time.monotonic() - self._beaten >= self._beat_s:
                self._beaten = time.monotonic()
                self._beat()
            if self._answers in ready:  # before the signals: what is finished is not thrown away
                data = os.read(self._answers, 1 << 16)
                if not data:
                    return None
                self._buffer += data
            elif self._signals.received is not None:
                return None
            elif not ready:
                if self._child is not None and self._child.poll() is not None:
                    return None  # a process that it started may hold the pipe open
                self._sample()

    def _exit_code(self) -> int | None:
        """Return how the child ended; None if it lives on without a way to answer."""
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(TIDY_S) if self._child is not None else None
        return None

    def _sample(self) -> None:
        if self._child is None:
            return
        total = 0
        with suppress(psutil.Error):
            child = psutil.Process(self._child.pid)
            for process in [child, *child.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        self._peak_mb = max(self._peak_mb, total / MB)

    def _with_peak(self, outcome: Outcome) -> Outcome:
        peak = max(self._peak_mb, outcome.usage.peak_memory_mb)
        return replace(outcome, usage=replace(outcome.usage, peak_memory_mb=peak))


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _wait_for_group(group: int) -> None:
    """Give helpers of a child that ended a moment to remove their shared memory."""
    end = time.monotonic() + TIDY_S
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(group, 0)
            time.sleep(0.02)


def _more(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _death(code: int, out_of_memory: bool) -> Outcome:
    if code < 0 and out_of_memory:
        error = "killed by the kernel: the job's memory limit was reached"
        return Outcome(cause=Cause.MEMORY, error=error)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Outcome(cause=Cause.ERROR, error=f"the task process ended by {how}")


def _outcome(answer: dict[str, Any], out_of_memory: bool) -> Outcome:
    usage = Usage(**answer["usage"])
    if "result" in answer:
        return Outcome(cause=Cause.DONE, result=answer["result"], usage=usage)
    # a task whose helper processes were killed for memory sees only that they are gone
    return Outcome(
        cause=Cause.MEMORY if out_of_memory else Cause(answer["cause"]),
        error=answer["error"],
        traceback=answer["traceback"],
        usage=usage,
    )
