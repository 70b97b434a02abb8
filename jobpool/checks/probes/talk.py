"""Two processes, perhaps on two nodes, that talk through files of the file system they probe.

    FOLDER/mail-0, mail-1     what each side said last, rewritten in place by it alone

Both run the same probes in the same order and meet again and again: `Side.meet` hands over a value
and returns what the other side said at the same place. No lock, no clock and no socket is needed.
A side whose probe failed goes on to the next one; so does the other when it sees that.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobpool.disk.files import checked_line, parse_line
from jobpool.disk.locks import drop_cache
from jobpool.errors import Fault, JobpoolError

MAIL_SIZE = 16_384  # a file that never changes its size needs no fresh attributes to be read
POLL_S = 0.002
PATIENCE_S = 60.0


class ProbeError(JobpoolError):
    """A probe could not be finished."""

    fault = Fault.FILE_SYSTEM
    advice = "run it again when the disk is neither slow nor full"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class SilentPartnerError(ProbeError):
    """The other side has fallen silent: no later probe can be answered."""


@dataclass(slots=True, kw_only=True)
class Side:
    """One of the two processes."""

    folder: Path  # of the probe, by the path under which this side sees it
    number: int  # 0 or 1
    patience_s: float = PATIENCE_S
    _place: list[int] = field(default_factory=lambda: [0, 0])  # probe, step: only grows
    _said: list[list[Any]] = field(default_factory=list)  # the last two: place and value

    @property
    def is_first(self) -> bool:
        """Say whether this side prepares the files that both work on."""
        return self.number == 0

    def next_probe(self) -> None:
        """Leave the present probe, also if it failed."""
        self._place = [self._place[0] + 1, 0]

    def meet(self, value: Any = None) -> Any:
        """Wait until the other side is here too, and return the value (JSON) that it brings.

        Raises
        ------
        ProbeError
            If the other side has left this probe.
        SilentPartnerError
            If it does not come.
        """
        self._place = [self._place[0], self._place[1] + 1]
        self._said = [*self._said[-1:], [self._place, value]]
        _write_mail(self.folder / f"mail-{self.number}", self._said)
        end = time.monotonic() + self.patience_s
        while time.monotonic() < end:
            heard = _read_mail(self.folder / f"mail-{1 - self.number}")
            for place, answer in heard:
                if place == self._place:
                    return answer
            if heard and heard[-1][0] > self._place:
                raise ProbeError("the other side could not finish this probe")
            time.sleep(POLL_S)
        raise SilentPartnerError(f"the other side has not answered for {self.patience_s:.0f} s")

    def given_by(self, number: int, value: Any) -> Any:
        """Return on both sides what the side of that number gives."""
        other = self.meet(value)
        return value if self.number == number else other


def lay_out_mail(folder: Path) -> None:
    """Make the two files through which the sides talk."""
    for number in (0, 1):
        (folder / f"mail-{number}").write_bytes(_letter([]))


def _letter(said: Any) -> bytes:
    line = checked_line({"said": said})
    if len(line) > MAIL_SIZE:
        raise ValueError(f"a message of {len(line)} bytes is longer than {MAIL_SIZE}")
    return line.ljust(MAIL_SIZE, b"\n")


def _write_mail(path: Path, said: Any) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, _letter(said), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_mail(path: Path) -> list[list[Any]]:
    """Return places and values; nothing while the file is being written."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        drop_cache(descriptor)
        data = os.pread(descriptor, MAIL_SIZE, 0)
    finally:
        os.close(descriptor)
    content: Any = parse_line(data.partition(b"\n")[0])
    return content["said"] if content else []
