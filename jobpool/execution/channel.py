"""The channel between a worker and its task process: whole messages, and nothing else is believed.

A message is a head of 16 bytes (a mark, the number of the request, the length of what follows) and
one object of JSON. Requests and answers have a pipe each, whose descriptors in the task process
have high numbers and are closed in every program that it starts.

The code of a task can reach any descriptor of its process: close it, put a file of its own in its
place, or write to it. So the task process compares inodes before each use, and reopens a lost pipe
through its guard, which keeps a copy of it; and the worker takes nothing for an answer that has
not the mark, the number that it asked for, and little more than `LARGEST_MB` at most. Reading costs
time in proportion to what is read.

A page of memory that both ends share has the number of the last request that the task process took
in hand. So the worker of one that died knows whether it had begun its task.
"""

import errno
import fcntl
import json
import mmap
import os
import resource
import select
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobpool.errors import Fault, JobpoolError
from jobpool.units import MB

LARGEST_MB = 64  # what a result may have as JSON
_SPARE_MB = 1  # for what an answer says beside it
READY = 0  # the number of the message that a task process begins with
_MARK = b"JPch"
_HEAD = struct.Struct("!4sIQ")
_PAGE = struct.Struct("!Q")
_AT_ONCE = 1 << 16  # bytes in one read: what a pipe holds
_HIGHEST = 1024  # above the numbers that programs close when they close all that they know of
_SPARE = 8  # numbers left above the channel's


class UnreadableError(JobpoolError):
    """What came through the channel is no message of the task process."""

    fault = Fault.TASK
    advice = "let the code of the task use only descriptors that it opened"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the answer of the task process cannot be read: {self.what}; {self.advice}"


class MessageReader:
    """Puts a message together from what a pipe delivers."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._number, self._length = 0, -1  # of the message, once its head is known

    @property
    def is_begun(self) -> bool:
        """Say whether a part of a message has arrived, and the rest has not."""
        return bool(self._data)

    def take(self, data: bytes, number: int | None) -> dict[str, Any] | None:
        """Return the message that `data` completes, or None while some of it is to come.

        Parameters
        ----------
        data : bytes
            The next bytes from the pipe.
        number : int, optional
            That the message must have; None: any. It is returned under the key ``number``.

        Raises
        ------
        UnreadableError
            If this is no message, not the one with this number, or more than one.
        """
        self._data += data
        if self._length < 0:
            self._take_head(number)
        n_more = len(self._data) - _HEAD.size - self._length
        if self._length < 0 or n_more < 0:
            return None
        if n_more > 0:
            raise UnreadableError(f"{n_more:,} bytes follow it")
        try:
            message = json.loads(self._data[_HEAD.size :])
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"no JSON ({error})") from None
        if not isinstance(message, dict):
            raise UnreadableError("no object of JSON")
        self._data, self._length = bytearray(), -1
        return {**message, "number": self._number}

    def _take_head(self, number: int | None) -> None:
        begin = bytes(self._data[: len(_MARK)])
        if not _MARK.startswith(begin):
            raise UnreadableError(f"it begins with {bytes(self._data[:40])!r}")
        if len(self._data) < _HEAD.size:
            return
        _, self._number, self._length = _HEAD.unpack_from(self._data)
        if number not in {None, self._number}:
            raise UnreadableError(f"it answers request {self._number}, not {number}")
        if self._length > (LARGEST_MB + _SPARE_MB) * MB:
            raise UnreadableError(f"it would have {self._length / MB:,.0f} MB")


def framed(number: int, body: bytes) -> bytes:
    r"""Return a message with its head.

    Examples
    --------
    >>> framed(7, b"{}")
    b'JPch\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x02{}'
    """
    return _HEAD.pack(_MARK, number, len(body)) + body


class WorkerEnd:
    """The worker's end of the channel to one task process."""

    def __init__(self) -> None:
        asking, self._requests = os.pipe()
        self.answers, answering = os.pipe()
        page = _new_page()
        os.set_blocking(self._requests, False)
        self._page = mmap.mmap(page, _PAGE.size)
        self._reader = MessageReader()
        self._number, self._unsent = READY, b""
        self.given = [asking, answering, page]  # descriptors for the task process, in this order

    @property
    def unsent(self) -> list[int]:
        """Return the descriptor to wait for while a request is not sent whole."""
        return [self._requests] if self._unsent else []

    @property
    def is_begun(self) -> bool:
        """Say whether a part of an answer has arrived."""
        return self._reader.is_begun

    def hand_over(self) -> None:
        """Close what only the task process uses, once it has it."""
        while self.given:
            os.close(self.given.pop())

    def ask(self, request: Mapping[str, Any]) -> None:
        """Begin to send a request; the next answer must be of its number."""
        self._number += 1
        self._unsent = framed(self._number, json.dumps(request).encode("ascii"))
        self.send()

    def send(self) -> None:
        """Send what the pipe takes of the request."""
        try:
            self._unsent = self._unsent[os.write(self._requests, self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the process died: that no answer comes says so
            self._unsent = b""

    def is_quiet(self) -> bool:
        """Say whether nothing lies in the pipe of answers that nobody asked for."""
        poll = select.poll()
        poll.register(self.answers, select.POLLIN)
        return not poll.poll(0)

    def is_taken(self) -> bool:
        """Say whether the task process took the last request in hand."""
        found: int = _PAGE.unpack_from(self._page)[0]
        return found == self._number

    def read(self) -> tuple[bool, dict[str, Any] | None]:
        """Read once what is there; say whether the pipe is open, and return an answer if whole.

        Raises
        ------
        UnreadableError
            If it is no answer to the last request.
        """
        data = os.read(self.answers, _AT_ONCE)
        return bool(data), self._reader.take(data, self._number) if data else None

    def close(self) -> None:
        """Close all descriptors: the task process ends when it has no request."""
        self.hand_over()
        if not self._page.closed:
            os.close(self._requests)
            os.close(self.answers)
            self._page.close()


class TaskEnd:
    """The task process's end of the channel.

    Parameters
    ----------
    requests, answers, page : int
        The descriptors that the worker passed; the first two are moved to high numbers.
    """

    def __init__(self, requests: int, answers: int, page: int) -> None:
        self._page = mmap.mmap(page, _PAGE.size)
        os.close(page)
        self._requests, self._answers = _moved_up(requests), _moved_up(answers)
        self._pipes = {number: inode(number) for number in (self._requests, self._answers)}
        self._reader = MessageReader()

    def is_whole(self) -> bool:
        """Say whether both descriptors are those of the channel, as they were at first."""
        return all(inode(number) == pipe for number, pipe in self._pipes.items())

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next request, and return it; None if the worker has no more."""
        while True:
            if not self.is_whole():
                return None
            data = _read(self._requests, _AT_ONCE)
            if not data:
                return None
            if (message := self._reader.take(data, None)) is not None:
                _PAGE.pack_into(self._page, 0, message["number"])
                return message

    def send(self, number: int, body: bytes) -> None:
        """Send an answer; through the guard's copy of the pipe if the own one was lost.

        Parameters
        ----------
        number : int
            Of the request, or `READY`.
        body : bytes
            One object of JSON.

        Raises
        ------
        OSError
            If there is no way left to answer.
        """
        answers, pipe = self._answers, self._pipes[self._answers]
        if inode(answers) != pipe:
            answers = os.open(f"/proc/{os.getppid()}/fd/{self._answers}", os.O_WRONLY)
            if inode(answers) != pipe:
                raise OSError(errno.EBADF, "the channel to the worker is lost")
        rest = memoryview(framed(number, body))
        while rest:
            try:
                rest = rest[os.write(answers, rest) :]
            except BlockingIOError:  # the task changed the pipe's mode
                select.select([], [answers], [])


def _new_page() -> int:
    """Return the descriptor of memory to share, full of zeros."""
    try:
        page = os.memfd_create("jobpool")
    except (AttributeError, OSError):  # no Linux, or one before 3.17
        file = Path(f"/tmp/jobpool-{os.getpid()}-{os.urandom(8).hex()}")
        page = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        file.unlink()
    os.ftruncate(page, _PAGE.size)
    return page


def _moved_up(descriptor: int) -> int:
    """Return a copy with a high number that no started program gets, and close the descriptor."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit > _HIGHEST:
        limit = _HIGHEST
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(limit - _SPARE, 3))
    os.close(descriptor)
    return high


def inode(descriptor: int) -> tuple[int, int] | None:
    """Return what an open descriptor stands for: device and inode; None if it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _read(descriptor: int, n_bytes: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, n_bytes)
        except BlockingIOError:
            select.select([descriptor], [], [])
