"""Records: what the pool knows of one task, in 32 bytes with a checksum of their own.

A record is the truth about its task. Its index byte stands for it where many are searched or
counted at once. A task that is rerun has a second record, of the result that counts until
a new one is accepted. The layout is part of the pool's format.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from jobpool.task import CAUSE_CODES, CAUSE_OF_CODE, NO_FEEDBACK, STATES, Cause, Feedback, TaskState

# state, attempts, cause, same, fence, owner, changed (ms since the epoch), bounds, checksum; bit
# `RERUN` of the cause: the task has an accepted record, too
RECORD = struct.Struct("<BBBBIQQII")
RERUN = 0x80
_UNCHECKED = struct.Struct(RECORD.format[:-1])  # a record without its checksum
# naming a member of an enum, or calling the enum, is slow before Python 3.12
_STATE_OF_CODE = {int(state): state for state in TaskState}
_WAITING = TaskState.WAITING
_SHORT = frozenset(cause for cause in Cause if cause.is_short)

# index bytes of waiting tasks: 0x80 to 0x8f after 0 to 15 failed attempts; 0x90 to 0x9f likewise,
# if the last of them had too little memory or time
WAITING_BASE, SHORT_BASE = 0x80, 0x90
MOST_ATTEMPTS = 15
STATE_OF_BYTE = {
    **{int(state): state for state in TaskState if state is not _WAITING},
    **dict.fromkeys(range(WAITING_BASE, SHORT_BASE + MOST_ATTEMPTS + 1), _WAITING),
}
BECOMES = {byte: STATES[state].becomes for byte, state in STATE_OF_BYTE.items()}

STEPS = 8  # codes of an amount per doubling: 9 % from one to the next
MOST_CODE = 255
MOST_SAME = 255
PATIENCE = 3  # a task may fail so many times as often as it may end in equal errors in a row


class Record(
    NamedTuple
):  # made four times a transaction: a frozen dataclass costs four times as much
    """What the pool knows of one task."""

    state: TaskState = _WAITING
    attempts: int = 0  # attempts that failed and count
    cause: Cause | None = None  # how the last attempt ended
    fence: int = 0  # number of the last claim
    owner: int = 0  # worker of the last claim
    changed_ms: int = 0
    bounds: int = 0  # codes of the bounds and of the last error; see `learned`
    same: int = 0  # how often in a row that error came
    # of a task that is rerun: its record when its result was accepted
    accepted: "Record | None" = None

    def index_byte(self) -> int:
        """Return the byte that stands for this record in the index."""
        if self.state is _WAITING:
            base = SHORT_BASE if self.cause in _SHORT else WAITING_BASE
            return base + min(self.attempts, MOST_ATTEMPTS)
        return self.state

    def pack(self, position: int) -> bytes:
        """Return the record of the task at `position` as it stands on disk."""
        state, attempts, cause, fence, owner, changed, bounds, same, accepted = self
        attempts, code = min(attempts, 255), CAUSE_CODES[cause] if cause else 0
        if accepted is not None:
            code |= RERUN
        packed = _UNCHECKED.pack(state, attempts, code, same, fence, owner, changed, bounds)
        return packed + zlib.crc32(packed, position + 1).to_bytes(4, "little")

    def to_run_again(self, fence: int, changed_ms: int) -> "Record":
        """Return the record of a task that is done and is to be rerun.

        Bounds stay, failures and errors are forgotten.

        Parameters
        ----------
        fence : int
            Of the new run; see `jobpool.task.next_run`.
        changed_ms : int
            Now.
        """
        bounds = self.bounds & 0xFFFF
        return Record(fence=fence, changed_ms=changed_ms, bounds=bounds, accepted=self)

    @property
    def memory_mb(self) -> float | None:
        """Return the memory in MB that the task is known to need more than."""
        return amount_of(self.bounds & 0xFF)

    @property
    def core_s(self) -> float | None:
        """Return the core-seconds that the task is known to need more than."""
        return amount_of(self.bounds >> 8 & 0xFF)

    @property
    def error(self) -> int:
        """Return the short fingerprint of the last error, 0 if there was none."""
        return self.bounds >> 16

    def with_memory_of(self, whole: "Record") -> int:
        """Return `bounds` with the memory bound of another task, if that is higher."""
        return self.bounds & ~0xFF | max(self.bounds & 0xFF, whole.bounds & 0xFF)

    def learned(self, cause: Cause, feedback: Feedback) -> tuple[int, int]:
        """Return `bounds` and `same` after an attempt that ended in `cause`.

        Bounds only rise. `bounds` is the code of the memory in its lowest byte, the code of the
        core-seconds in the next, and the fingerprint of the last error above them.
        """
        if feedback is NO_FEEDBACK and not cause.is_poison:
            return self.bounds, self.same
        is_error = cause.is_poison or (cause is Cause.STORAGE and feedback.error)
        memory = max(self.bounds & 0xFF, code_of(feedback.memory_mb))
        time = max(self.bounds >> 8 & 0xFF, code_of(feedback.core_s))
        error, same = self.error, self.same
        if is_error:
            again = same and error == feedback.error
            error, same = feedback.error, min(same + 1, MOST_SAME) if again else 1
        return error << 16 | time << 8 | memory, same


def parks(cause: Cause | None, attempts: int, same: int, park_after: int) -> bool:
    """Say whether a task waits for a person after an attempt that failed.

    It does after `park_after` equal errors in a row; and after three times as many failures of any
    kind, so that an error in ever new words, or a disk that fails this task alone, has an end.

    Parameters
    ----------
    cause : Cause, optional
        Of the last attempt.
    attempts, same : int
        How many attempts failed and count, and how often in a row the last error came.
    park_after : int
        The pool's setting.

    Examples
    --------
    >>> parks(Cause.ERROR, 3, 3, park_after=3), parks(Cause.ERROR, 3, 1, park_after=3)
    (True, False)
    >>> parks(Cause.ERROR, 9, 1, park_after=3), parks(Cause.MEMORY, 9, 1, park_after=3)
    (True, False)
    >>> parks(Cause.STORAGE, 0, 3, park_after=3), parks(Cause.STORAGE, 0, 9, park_after=3)
    (False, True)
    """
    most = min(PATIENCE * park_after, MOST_SAME)
    if cause is Cause.STORAGE:
        return same >= most
    return cause is not None and cause.is_poison and (same >= park_after or attempts >= most)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What a worker can give a task, as the codes that bounds are compared with."""

    memory_code: int = MOST_CODE
    time_code: int = MOST_CODE  # of core-seconds until its end


EVERYTHING = WorkerLimits()


def limits_of(memory_mb: float | None, core_s: float | None) -> WorkerLimits:
    """Return what a worker can give; an unknown amount is no limit."""
    return WorkerLimits(
        memory_code=code_of(memory_mb) or MOST_CODE, time_code=code_of(core_s) or MOST_CODE
    )


def fits(bounds: int, limits: WorkerLimits) -> bool:
    """Say whether a worker can give more than a task is known to need.

    Parameters
    ----------
    bounds : int
        Of the task's record.
    limits : WorkerLimits
        What the worker has. Equal codes do not fit: that much was too little before.

    Examples
    --------
    >>> bounds, _ = Record().learned(Cause.MEMORY, Feedback(memory_mb=4096))
    >>> fits(bounds, limits_of(4096, None)), fits(bounds, limits_of(8192, None))
    (False, True)
    """
    # a job of the same size that begins its first task a little sooner has no more time
    return not bounds or (
        _above(bounds & 0xFF, limits.memory_code)
        and _above(bounds >> 8 & 0xFF, limits.time_code - 1)
    )


def _above(bound: int, code: int) -> bool:
    return bound == 0 or code > bound


def code_of(amount: float | None) -> int:
    """Return the code of an amount: its logarithm in steps of 9 %, from 1; 0 for None.

    Examples
    --------
    >>> code_of(4096), code_of(4200), code_of(8192), code_of(None)
    (97, 97, 105, 0)
    """
    if amount is None:
        return 0
    return min(max(round(STEPS * math.log2(max(amount, 1.0))) + 1, 1), MOST_CODE)


def amount_of(code: int) -> float | None:
    """Return the amount that a code stands for, within 4.5 %; None for 0.

    Examples
    --------
    >>> amount_of(code_of(4096))
    4096.0
    """
    return None if code == 0 else float(2 ** ((code - 1) / STEPS))


# stands for an accepted record that was not read yet
UNREAD = Record(state=TaskState.DONE)


def unpack_record(packed: bytes, position: int) -> Record | None:
    """Return the record of the task at `position`, or None if it is damaged.

    If the task has an accepted record, `UNREAD` stands for that; see `with_accepted`.
    """
    if len(packed) != RECORD.size:
        return None
    state, attempts, cause, same, fence, owner, changed, bounds, check = RECORD.unpack(packed)
    known = _STATE_OF_CODE.get(state)
    if known is None or check != zlib.crc32(packed[:-4], position + 1):
        return None
    accepted = None
    if cause & RERUN:
        cause, accepted = cause ^ RERUN, UNREAD
    found = CAUSE_OF_CODE.get(cause)
    return Record(known, attempts, found, fence, owner, changed, bounds, same, accepted)


def with_accepted(record: Record, packed: bytes, position: int) -> Record | None:
    """Return a record that was unpacked, with the accepted one of its task where it has one.

    Parameters
    ----------
    record : Record
        The record of the task at `position`.
    packed : bytes
        What stands in the place of its accepted record.
    position : int
        The task.

    Returns
    -------
    Record or None
        None if the accepted record is damaged.
    """
    accepted = unpack_record(packed, position)
    if accepted is None or accepted.state is not TaskState.DONE or accepted.accepted is not None:
        return None
    return record._replace(accepted=accepted)
