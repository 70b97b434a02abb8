"""What errors of the same kind have in common, so that they can be counted and told apart."""

import re
import zlib
from pathlib import PurePosixPath

_FRAMES = 3  # innermost frames of a traceback that tell one failure from another
_FRAME = re.compile(r'^  File "(.*)", line \d+, in (.*)$')
_VARYING = (
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'...'"),
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    (re.compile(r"\d+(\.\d+)?"), "#"),
)


def fingerprint(error: str | None, traceback: str | None = None) -> str:
    """Return what errors that came about in the same way have in common.

    The innermost lines of the traceback without line numbers, and the message without its
    numbers, addresses and quoted words.

    Parameters
    ----------
    error : str, optional
        The message.
    traceback : str, optional
        As Python prints it.

    Examples
    --------
    >>> fingerprint("ValueError: no luck with 7") == fingerprint("ValueError: no luck with 12")
    True
    """
    message = error or ""
    for pattern, mark in _VARYING:
        message = pattern.sub(mark, message)
    return "\n".join([*_frames(traceback or "")[-_FRAMES:], message])


def short_fingerprint(error: str | None, traceback: str | None = None) -> int:
    """Return the fingerprint as a number from 1 to 65,535, as a task's record keeps it.

    Examples
    --------
    >>> short_fingerprint("KeyError: 'a'") == short_fingerprint("KeyError: 'b'")
    True
    """
    return zlib.crc32(fingerprint(error, traceback).encode("utf-8", "replace")) % 0xFFFF + 1


def _frames(traceback: str) -> list[str]:
    """Return file, function and code of each frame."""
    lines = traceback.splitlines()
    frames = []
    for number, line in enumerate(lines):
        if frame := _FRAME.match(line):
            code = lines[number + 1].strip() if number + 1 < len(lines) else ""
            frames.append(f"{PurePosixPath(frame[1]).name} {frame[2]}: {code}")
    return frames
