"""Whose failure an error is: the disk's, the memory's, the time's, or the task's own.

The one place that decides, by the number of the operating system's error, in an error and in what
it was raised from or while handling, and in the text where only text is left: the traceback of a
helper process, or what a program wrote to its standard error. Most numbers say it alone. Some come
from a network disk and from a network socket as well: there an error that names a file is the
disk's, and an error of a socket is the task's own, for the task may have asked a server of its own.
"""

import errno
import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from jobpool.errors import AccessError, OutOfTimeError, StorageError
from jobpool.task import Cause

Returned = TypeVar("Returned")


def _numbers(*names: str) -> frozenset[int]:
    """Return the numbers of errors; not every system knows all of them."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


FULL = _numbers("ENOSPC", "EDQUOT")
CREDENTIALS = _numbers("EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "ENOKEY")
# nothing but a file system, or the disk or the server behind it, answers so
DISK = (
    FULL
    | CREDENTIALS
    | _numbers("EIO", "ESTALE", "EROFS", "ENODEV", "ENXIO", "ENOMEDIUM", "EMEDIUMTYPE", "EUCLEAN")
    | _numbers("EBADMSG", "EBADFD", "ENOLCK", "ENOLINK", "EREMOTEIO", "EREMCHG", "ECOMM", "ENONET")
)
# a network disk that went away answers so, and a network socket, too
NETWORK = _numbers(
    *("ENOTCONN", "ESHUTDOWN", "ETIMEDOUT", "ETIME", "EPROTO", "EHOSTDOWN", "EHOSTUNREACH"),
    *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
)
_BLIPS = (DISK | NETWORK) - FULL - _numbers("EROFS", "ENODEV", "ENXIO", "ENOMEDIUM", "EMEDIUMTYPE")
PAUSES_S = (0.25, 0.5, 1.0, 2.0)  # a server that changes over, or a ticket that is renewed
# where no file is named, these are a server's
_CONNECTION = _numbers("ECONNRESET", "ECONNREFUSED", "ECONNABORTED")
REFUSED = _numbers("EACCES", "EPERM")  # also where credentials have expired
# a place that is not the user's, not writable, or of another kind
_PLACE = REFUSED | _numbers("EROFS", "EISDIR", "ENOTDIR", "ENOTEMPTY")

# the kernel's words for what only a disk answers, by which a program tells it on
_TOLD = FULL | CREDENTIALS | _numbers("EIO", "ESTALE", "EROFS", "EUCLEAN", "EREMOTEIO", "ENOLCK")
_DISK_WORDS = "|".join(
    re.escape(os.strerror(number)) for number in _TOLD | _numbers("ENOTCONN", "ESHUTDOWN")
)
_WORDS = (
    (r"^(?:[\w.]*\.)?_?(?:Array)?MemoryError\b", Cause.MEMORY),
    (r"^jobpool\.errors\.StorageError\b", Cause.STORAGE),
    (re.escape(os.strerror(errno.ENOMEM)), Cause.MEMORY),
    (r"std::bad_alloc|\boom[-_]?kill|OOM[- ]Kill|Exceeded (?:job|step) memory limit", Cause.MEMORY),
    # SQLite's words; what a memory-mapped file on a disk that failed ends in
    (rf"{_DISK_WORDS}|disk I/O error|database or disk is full|\bSIGBUS\b", Cause.STORAGE),
)
_MEANT = tuple((re.compile(words, re.M), cause) for words, cause in _WORDS)
_NUMBERED = re.compile(r"\[Errno (\d+)\](?:[^\n]*: (['\"]).+\2)?|\berrno = (\d+)")
_NETWORK_CODE = re.compile(
    r"/(?:socket|ssl|socketserver|selectors|ftplib|smtplib|imaplib|telnetlib)\.py"
    r"|/(?:http|urllib|asyncio|urllib3|requests|httpx|httpcore|aiohttp|anyio|paramiko|xmlrpc)/"
)
_RAISED = re.compile(r"^(?=\S)(?!Traceback|The above|During handling|[\"'#])[\w.]+(?::|$).*", re.M)
_LONGEST = 20_000  # of a text: the end of what a program said tells why it ended
_MOST_REASONS = 50


def failure_cause(error: BaseException, pool: Path | None = None) -> Cause:
    """Return how an attempt ended that raised `error`.

    Parameters
    ----------
    error : BaseException
        With what it was raised from.
    pool : Path, optional
        The pool's folder: an error that may be the disk's is, if the pool cannot be read either.

    Examples
    --------
    >>> failure_cause(OSError(errno.ENOTCONN, "Transport endpoint is not connected", "/lab/a.npy"))
    <Cause.STORAGE: 'storage'>
    >>> failure_cause(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
    <Cause.ERROR: 'error'>
    """
    for reason in reasons(error):
        cause = _cause_of_one(reason, pool)
        if cause is not None:
            return cause
    return Cause.ERROR


def cause_in_text(text: str) -> Cause | None:
    """Return the cause that a message names, or the traceback of another process; None if none.

    Examples
    --------
    >>> cause_in_text("cp: error writing '/lab/a': No space left on device")
    <Cause.STORAGE: 'storage'>
    >>> cause_in_text("OSError: [Errno 110] Connection timed out") is None
    True
    """
    text = text[-_LONGEST:]
    is_network = _NETWORK_CODE.search(text) is not None
    raised = "\n".join(_RAISED.findall(text)) if "Traceback (most" in text else text
    for found in _NUMBERED.finditer(raised):
        number = int(found[1] or found[3])
        if number == errno.ENOMEM:
            return Cause.MEMORY
        if number in DISK or (number in NETWORK and found[2] and not is_network):
            return Cause.STORAGE
    meant = (cause for words, cause in _MEANT if words.search(raised))
    cause = next(meant, None)
    return None if is_network and cause is Cause.STORAGE else cause


def _cause_of_one(error: BaseException, pool: Path | None) -> Cause | None:
    """Return the cause that one error names, whatever it was raised from; None if it names none."""
    if isinstance(error, OutOfTimeError):
        return Cause.TIME
    if isinstance(error, StorageError):
        return Cause.STORAGE
    if isinstance(error, MemoryError):
        return Cause.MEMORY
    if pool is not None and _is_of_output(error) and _log_is_gone():
        return Cause.STORAGE
    if isinstance(error, OSError) and error.errno is not None:
        return _cause_of_number(error, error.errno, pool)
    return next(filter(None, map(cause_in_text, _texts(error))), None)


def _cause_of_number(error: OSError, number: int, pool: Path | None) -> Cause | None:
    if number == errno.ENOMEM:
        return Cause.MEMORY
    if number in DISK:
        return Cause.STORAGE
    names_file = isinstance(error.filename, str | bytes | os.PathLike)
    if number in NETWORK and (names_file or not (number in _CONNECTION or _is_of_socket(error))):
        return Cause.STORAGE
    may_be = number in NETWORK | REFUSED or (number == errno.ENOENT and names_file)
    return Cause.STORAGE if may_be and pool is not None and not _answers(pool) else None


def _is_of_socket(error: OSError) -> bool:
    """Say whether an error came from a network socket: by the code that raised it."""
    if error.filename is not None:
        return False
    if _NETWORK_CODE.search(getattr(error.__cause__, "tb", "")):  # it came from a helper process
        return True
    trace = error.__traceback__
    innermost: TracebackType | None = None
    while trace is not None:
        if _NETWORK_CODE.search(trace.tb_frame.f_code.co_filename):
            return True
        innermost, trace = trace, trace.tb_next
    library = sys.modules.get("socket")
    if innermost is None or library is None:
        return False
    there = list(innermost.tb_frame.f_locals.values())
    there += [value for one in there for value in getattr(one, "__dict__", {}).values()]
    return any(isinstance(value, library.socket) for value in there)


def _answers(pool: Path) -> bool:
    """Say whether the pool can still be read: it could when this process began."""
    try:
        with (pool / "pool.json").open("rb", buffering=0) as stream:
            stream.read(1)
    except OSError:
        return False
    return True


def _is_of_output(error: BaseException) -> bool:
    """Say whether an error may come from printing: of this process, or of a program it ran."""
    number = error.errno if isinstance(error, OSError) else None
    return number in {errno.EPIPE, errno.EIO} or bool(getattr(error, "returncode", 0))


def _log_is_gone() -> bool:
    """Say whether nothing reads any more what this process prints, and from now on discard it.

    A task is not to fail for it, nor any later one: the terminal, or the program that read the
    worker's log, ended.
    """
    gone = False
    for stream in (1, 2):
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
    return gone


def reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the errors in it if it is a group, and those that it came from."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_REASONS:
        one = waiting.pop(0)
        if id(one) in seen:  # it may have been raised from itself
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [before] if before is not None else []


def _texts(error: BaseException) -> Iterator[str]:
    """Yield what an error says: its message, and what a program or another process said."""
    # the traceback of a helper of multiprocessing, of concurrent.futures or joblib, or of jobpool
    for name in ("tb", "text", "stderr", "output"):
        said = getattr(error, name, None)
        if isinstance(said, bytes):
            said = said[-_LONGEST:].decode(errors="replace")
        if isinstance(said, str):
            yield said
    try:
        yield f"{type(error).__name__}: {error}"
    except Exception:  # an error that cannot be printed says nothing
        return


def access_error(error: OSError) -> Exception:
    """Return an `AccessError` if a place or the disk behind it is at fault, else `error`."""
    place = error.filename2 or error.filename or "the disk"  # a stream has no name
    what = error.strerror or str(error)
    if error.errno in _PLACE:
        return AccessError(place, what)
    if error.errno in DISK | NETWORK:
        return AccessError(place, f"{what}; {remedy(error.errno)}")
    return error


def storage_error(error: OSError, file: Path, *, own: bool = False) -> Exception:
    """Return a `StorageError` if `error` is the disk's fault, else `error` itself.

    Parameters
    ----------
    error : OSError
        Raised by the use of a file.
    file : Path
        The file.
    own : bool
        Whether this process wrote it before: then a refusal means that its credentials expired.
    """
    number = error.errno or 0
    if number in DISK | NETWORK or (own and number in REFUSED):
        return StorageError(file, os.strerror(number), remedy(number))
    return error


def outlast_blip(act: Callable[[], Returned], pauses_s: Iterable[float] = PAUSES_S) -> Returned:
    """Return what `act` returns, done again with growing pauses while the disk fails for a moment.

    A disk that is full, or that nobody may write to, does not change by itself in seconds: there
    the error comes at once.

    Parameters
    ----------
    act : callable
        Leaves nothing behind that a second time would not put right.
    pauses_s : iterable of float
        Seconds.

    Raises
    ------
    OSError
        If it fails in another way, or still after the last pause.
    """
    for pause_s in pauses_s:
        try:
            return act()
        except OSError as error:
            if error.errno not in _BLIPS:
                raise
        time.sleep(pause_s)
    return act()


def remedy(number: int) -> str:
    """Return what a person can do about an error of the disk.

    Examples
    --------
    >>> remedy(errno.EDQUOT)
    'free space or quota'
    """
    if number in FULL:
        return "free space or quota"
    if number in CREDENTIALS:
        return "renew your credentials (kinit, where the disk asks for a ticket)"
    if number in REFUSED:
        return "see that you may write there, or renew your credentials (kinit)"
    if number == errno.EROFS:
        return "choose a disk that can be written, or wait until this one can"
    return "wait until the disk answers"
