"""Run one task in a child process, and say how it ended.

The child lives for many tasks, so that imports and data are paid once. It is asked and answers
through a channel of its own (`jobpool.execution.channel`); what the task prints goes to the
worker's log, and its standard input is empty. The parent does nothing heavy: it sends heartbeats,
samples the child's process tree, keeps the deadline, and receives signals. When the child is
killed, or its answer cannot be read, the parent survives, knows why, and can return the task. A
child in which a task left something running is ended with all of it before the next task begins;
one that is found dead before it took its task is replaced, and the task has not run.

Schedulers send TERM both when the time is up and when a job is cancelled, and the warning signal
may be sent by hand at any time: the clock distinguishes them as far as one process can.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from jobpool.disk.validation import has_shape, is_mapping, is_number, is_text
from jobpool.errors import Fault, StartError, listing
from jobpool.execution.channel import UnreadableError, WorkerEnd
from jobpool.execution.deadline import WARNINGS, Deadline, JobEnd
from jobpool.execution.processes import (
    adopt_orphans,
    children,
    descendants,
    end_all,
    end_descendants,
    memory_mb,
    read_log,
    signal_child,
    signal_group,
    size_of_log,
)
from jobpool.task import Cause, cause_of

SAMPLE_S = 1.0
HURRY_S = 0.2  # between samples once half of the memory is in use
EXIT_S = 2.0
HEAR_S = 2.0  # a scheduler signals the whole job: the child may end before the worker is signalled
LARGE = 0.3  # part of the memory in use from which a counted kill may have been of this task
FULL = 0.9  # part of the memory in use from which an unexplained kill is the kernel's
ARRIVAL_S = 60.0  # for an answer that has begun to arrive
STARTS = 3  # children in a row that may end before they take a task
_USAGE = dict.fromkeys(("cpu_s", "peak_memory_mb", "read_mb", "written_mb"), is_number)
_ANSWER = {"usage": is_mapping, "left": is_text}
_FAILED = {"error": is_text, "traceback": is_text, "cause": is_text}
_ENDS = frozenset({Cause.ERROR, Cause.MEMORY})  # of a child by itself
_STOPPING = {-number for number in (signal.SIGTERM, *WARNINGS, signal.SIGHUP)}


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
    left: str = ""  # what it left in its process, which was therefore replaced


class StopSignals:
    """Receives TERM, USR1, USR2, HUP and Ctrl-C; `select` on `descriptor` wakes up at one."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def install(self) -> None:
        """Receive the signals from now on."""
        for number in (signal.SIGTERM, *WARNINGS, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)  # under nohup, a closed terminal does not count

    def _hear(self, number: int, frame: object) -> None:  # noqa: ARG002 - given by Python
        self.received = self.received or signal.Signals(number)
        with suppress(BlockingIOError):
            os.write(self._writing, b"!")


class Supervisor:
    """Keeps one child, and runs tasks in it one after the other.

    Parameters
    ----------
    command : sequence of str
        Starts the child; the numbers of the descriptors of its channel are appended.
    environment : mapping
        Of the child.
    signals : StopSignals
        Ends a task early.
    beat : callable
        Called about every `beat_s` seconds.
    beat_s, grace_s : float
        Seconds between two beats; seconds from asking a task to stop to killing it.
    job_end : JobEnd, optional
        When the worker's time is up; a task is stopped before.
    memory_mb : float, optional
        What the worker has.
    oom_kills : callable
        Returns how many processes of this job the kernel killed for memory, or None.
    step_kills : callable
        Returns how many of these ran in steps of the job that a task may have started, or None.
    tells_of_memory : callable
        Says whether a program of the scheduler says so, in what was written to the log.
    handed : int, optional
        An open file that each child gets, too, under the same number.
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
        job_end: JobEnd | None = None,
        memory_mb: float | None = None,
        oom_kills: Callable[[], int | None] = lambda: None,
        step_kills: Callable[[], int | None] = lambda: None,
        tells_of_memory: Callable[[str], bool] = lambda _: False,
        handed: int | None = None,
    ) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._handed = [] if handed is None else [handed]
        self._signals, self._beat = signals, beat
        self._oom_kills, self._step_kills = oom_kills, step_kills
        self._tells_of_memory, self._log_size = tells_of_memory, 0
        self._killed_in_steps: int | None = None  # as of the last look
        self._beat_s, self._grace_s = beat_s, grace_s
        self.job_end = job_end or JobEnd(None)
        self._deadline, self._memory_mb = Deadline(self.job_end), memory_mb
        self._child: subprocess.Popen[bytes] | None = None
        self._others: list[int] | None = None  # children of this process that are not ours
        self._task_process = 0
        self._channel: WorkerEnd | None = None
        self._peak_mb = 0.0
        self._arriving_s = 0.0  # so long some of an answer has been there, and the rest not
        self._beaten = time.monotonic()

    @property
    def peak_mb(self) -> float:
        """Return the highest memory, resident and of all its processes, of the present task."""
        return self._peak_mb

    def start(self) -> None:
        """Start the child unless it runs, and wait until it is ready.

        Raises
        ------
        StartError
            If it cannot run tasks: a wrong environment, or data that are not there.
        """
        if self.is_ready():
            return
        self.stop()
        if self._others is None:
            adopt_orphans()
            self._others = children(os.getpid())
        try:
            self._channel = WorkerEnd()
            self._child = subprocess.Popen(
                [*self._command, *map(str, self._channel.given)],
                stdin=subprocess.DEVNULL,  # a task that reads it finds its end at once
                stdout=2,  # standard output is for results: what tasks print goes to the log
                env=self._environment,
                pass_fds=[*self._channel.given, *self._handed],
                process_group=0,  # Ctrl-C reaches the parent alone, which then stops the child
            )
        except OSError as error:  # Python was removed, or no process may be started
            self.stop()
            raise StartError(f"the task process cannot be started: {error}") from None
        self._channel.hand_over()
        kills, self._killed_in_steps = self._oom_kills(), self._step_kills()
        self._deadline.begin()
        try:
            answer = self._wait(self._deadline)
        except UnreadableError as error:
            self.stop(patience_s=0)
            raise StartError(str(error)) from None
        if answer is None and self._signals.received is None:
            if self._deadline.is_reached():
                raise StartError("the task process was not ready when its worker's time was up")
            code = self._exit_code()
            if _more(kills, self._oom_kills()):
                what = "the job has too little memory to start the task process"
                raise StartError(f"{what}; request more memory for the job")
            raise StartError(f"the task process failed to start: exit code {code}")
        if answer is not None and "ready" not in answer:
            fault = Fault(answer.get("exit_code", Fault.TASK))
            raise StartError(str(answer.get("error")), fault)
        self._task_process = (answer or {}).get("pid", self._child.pid)

    def is_ready(self) -> bool:
        """Say whether the child waits for a task."""
        if self._child is None or self._channel is None or self._child.poll() is not None:
            return False
        return self._channel.is_quiet()  # else a task wrote to it after its own answer

    def run(self, request: Mapping[str, Any]) -> Outcome:
        """Run one task, and say how it ended.

        Parameters
        ----------
        request : mapping
            Handed to the child as JSON.

        Raises
        ------
        StartError
            If no child takes the task.
        """
        for _ in range(STARTS):
            self.start()
            outcome = self._run(request)
            if outcome is not None:
                peak = max(self._peak_mb, outcome.usage.peak_memory_mb)
                return replace(outcome, usage=replace(outcome.usage, peak_memory_mb=peak))
        raise StartError(f"the task process ended {STARTS} times before it took a task")

    def _run(self, request: Mapping[str, Any]) -> Outcome | None:
        """Run one task in the child; None if that ended before it took the task."""
        child, channel = self._child, self._channel
        if child is None or channel is None:
            raise StartError("the task process is not running")
        kills, self._log_size = self._oom_kills(), size_of_log()
        self._peak_mb = 0.0
        self._deadline.begin()
        channel.ask(request)
        try:
            answer = self._wait(self._deadline)
            outcome = None if answer is None else _told(answer)
        except UnreadableError as error:
            self.stop(patience_s=0)
            return Outcome(cause=Cause.ERROR, error=str(error))
        out_of_memory = _more(kills, self._oom_kills())
        if outcome is None:
            was_taken = channel.is_taken()
            outcome = self._without_answer(child, out_of_memory)
            if was_taken or outcome.cause is Cause.CANCELLED:
                return outcome
            return None if outcome.cause in _ENDS else replace(outcome, cause=Cause.CANCELLED)
        if outcome.cause is not Cause.DONE:
            helper_killed = answer is not None and answer.get("helper_killed") is True
            outcome = self._failed(outcome, out_of_memory, helper_killed)
            if answer is not None and answer.get("may_be_stopped") is True:
                outcome = self._unless_stopped(outcome)
        if outcome.left:
            self.stop(patience_s=0)
        return outcome

    def _unless_stopped(self, outcome: Outcome) -> Outcome:
        """Return how a task failed that, or a program of which, may have heard a signal to stop."""
        if self._signals.received is None:
            select.select([self._signals.descriptor], [], [], HEAR_S)
        received = self._signals.received
        if received is None:
            return outcome
        cause = self._deadline.meaning(received)
        return replace(outcome, cause=cause, error=f"stopped by {received.name}")

    def stop(self, *, patience_s: float | None = None) -> None:
        """End the child and all that it started: ask first, and kill after some patience.

        Parameters
        ----------
        patience_s : float, optional
            By default the grace that is left; 0: do not ask.
        """
        child, self._child = self._child, None
        channel, self._channel = self._channel, None
        if child is not None:
            if patience_s is None:
                patience_s = self._deadline.grace_s(self._grace_s)
            if patience_s > 0:
                signal_group(child.pid, signal.SIGTERM)
                signal_child(child.pid, self._task_process, signal.SIGTERM)
                if channel is not None:  # a task that is over has nothing more to wait for
                    channel.close()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(patience_s)
            end_all(child)
        if channel is not None:
            channel.close()
        if self._others is not None:
            end_descendants(self._others)
        if child is not None:
            signal_group(child.pid, signal.SIGKILL)  # where orphans cannot be adopted

    def _wait(self, deadline: Deadline | None = None) -> dict[str, Any] | None:
        """Return the child's next answer, or None if it died, a signal came, or time is up.

        Raises
        ------
        UnreadableError
            If something else than an answer came.
        """
        child, channel = self._child, self._channel
        if child is None or channel is None:
            return None
        self._arriving_s = 0.0
        while True:
            ready = self._await(channel, deadline)
            is_over = self._signals.received or (deadline and deadline.is_reached())
            if channel.answers in ready:  # first: what is finished is not thrown away
                is_open, answer = channel.read()
                if answer is not None or not is_open:
                    return answer
            elif is_over and not channel.is_begun:
                return None
            elif not ready:
                if child.poll() is not None:
                    return None  # a process that it started may hold the pipe open
                family = {self._task_process, *descendants(child.pid)}  # not the guard
                self._peak_mb = max(self._peak_mb, memory_mb(family))
            if is_over and self._arriving_s > HEAR_S:
                return None
            if self._arriving_s > ARRIVAL_S:
                raise UnreadableError(f"its end did not come in {self._arriving_s:.0f} s")

    def _await(self, channel: WorkerEnd, deadline: Deadline | None) -> list[int]:
        """Wait until something happens, not for long; return the descriptors that are ready."""
        patience_s = min(HURRY_S if self._is_full(0.5) else SAMPLE_S, self._beat_s)
        if deadline is not None:
            patience_s = min(patience_s, deadline.wait_s())
        active = [channel.answers, self._signals.descriptor]
        before = time.monotonic()
        ready, writable, _ = select.select(active, channel.unsent, [], patience_s)
        now = time.monotonic()
        if channel.is_begun:  # by the clock, a job that was suspended has waited for hours
            self._arriving_s += min(now - before, patience_s)
        if now - self._beaten >= self._beat_s:
            self._beaten = now
            self._beat()
        if writable:
            channel.send()
        return ready + writable

    def _is_full(self, part: float = FULL) -> bool:
        """Say whether the task used so large a part of the worker's memory."""
        return self._memory_mb is not None and self._peak_mb >= part * self._memory_mb

    def _exit_code(self) -> int | None:
        """Return how the child ended; None if it lives on without a way to answer."""
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(EXIT_S) if self._child else None
        return None

    def _failed(self, outcome: Outcome, out_of_memory: bool, helper_killed: bool) -> Outcome:
        """Return how a task failed, and end the child if it left processes there."""
        # a task whose helper processes were killed for memory sees only that they are gone; kills
        # are counted for the whole job, where another worker may have had them
        in_step = self._step_was_killed(out_of_memory)
        out_of_memory = out_of_memory and (self._memory_mb is None or self._is_full(LARGE))
        if self._child is not None and set(descendants(self._child.pid)) - {self._task_process}:
            self.stop(patience_s=0)
        if out_of_memory or in_step or (helper_killed and self._is_full()):
            return replace(outcome, cause=Cause.MEMORY)
        return outcome

    def _step_was_killed(self, out_of_memory: bool) -> bool:
        """Say whether a process lacked memory that the task started by way of the scheduler.

        It is no child of this process, so that its memory is not seen. Some kernels count its end
        where it is soon forgotten; then only the log tells.
        """
        before = self._killed_in_steps
        if out_of_memory:
            self._killed_in_steps = self._step_kills()
        return _more(before, self._killed_in_steps) or self._tells_of_memory(
            read_log(self._log_size)
        )

    def _without_answer(self, child: "subprocess.Popen[bytes]", out_of_memory: bool) -> Outcome:
        """End a child that did not answer, and say why it did not."""
        is_late = self._deadline.is_reached()
        if self._signals.received is None and not is_late and self._exit_code() in _STOPPING:
            select.select([self._signals.descriptor], [], [], HEAR_S)
        received, code = self._signals.received, child.poll()
        cause = self._deadline.meaning(received) if received is not None else None
        self.stop()
        if code == -signal.SIGKILL and out_of_memory:
            error = "killed by the kernel: the job's memory limit was reached"
            return Outcome(cause=Cause.MEMORY, error=error)
        if received is not None and cause is not None:
            return Outcome(cause=cause, error=f"stopped by {received.name}")
        if is_late and code is None:
            return Outcome(cause=Cause.TIME, error="stopped before the end of its worker's time")
        if code == -signal.SIGKILL and self._is_full():
            error = f"killed when it had {self._peak_mb:.0f} of {self._memory_mb:.0f} MB in use"
            return Outcome(cause=Cause.MEMORY, error=error)
        return Outcome(cause=Cause.ERROR, error=f"the task process {_how(code)}")


def _told(answer: Mapping[str, Any]) -> Outcome:
    """Return what an answer says.

    Raises
    ------
    UnreadableError
        If it is not one that a child gives: the task wrote it.
    """
    is_done = "result" in answer
    shape = _ANSWER | ({"result": is_mapping} if is_done else _FAILED)
    if not has_shape(answer, shape) or not has_shape(answer["usage"], _USAGE):
        raise UnreadableError(f"it has the keys {listing(answer)}")
    usage = Usage(**{key: answer["usage"][key] for key in _USAGE})
    if is_done:
        return Outcome(cause=Cause.DONE, result=answer["result"], usage=usage, left=answer["left"])
    cause = cause_of(answer["cause"])
    return Outcome(
        cause=cause if isinstance(cause, Cause) else Cause.ERROR,
        error=answer["error"],
        traceback=answer["traceback"],
        usage=usage,
        left=answer["left"],
    )


def _how(code: int | None) -> str:
    if code is None:
        return "closed the pipe for its answers"
    if code < 0:
        return f"was terminated by signal {_signal_name(-code)}"
    return f"exited with code {code}"


def _signal_name(number: int) -> str:
    with suppress(ValueError):  # most real-time signals have no name
        return signal.Signals(number).name
    return str(number)


def _more(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before
