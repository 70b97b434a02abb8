"""Standard output and standard error whose reader may have gone, such as ``head``.

Only these two may end in a broken pipe without a word: the reader has seen enough. A command that
only shows something ends well then. A command that does something goes on, and prints into nothing:
half of a submission would be worse than an unread line. Any other broken pipe is an error.
"""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

SHOW = frozenset({"errors", "log", "plan", "show", "status", "why"})
HELP = frozenset({"--help", "-h"})
Returned = TypeVar("Returned")


# of a terminal: they can rename its window, write to the clipboard, or hide a line
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
}


def harmless(text: str) -> str:
    r"""Return a text in which nothing controls the terminal: it may be of anyone's making.

    Examples
    --------
    >>> harmless("a\x1b[2Jb\n")
    'a\\x1b[2Jb\n'
    """
    return text if text.isprintable() else text.translate(_CONTROLS)


class ReadStream(io.TextIOWrapper):
    """A stream that someone reads, for a while."""

    ends = False  # whether the program has nothing to do any more once nobody reads
    is_shown = False  # whether what is written is text for a terminal alone

    def write(self, text: str) -> int:
        """Write text, or nothing where nobody reads."""
        written = harmless(text) if self.is_shown else text
        return self._kept(lambda: io.TextIOWrapper.write(self, written), len(text))

    def flush(self) -> None:
        """Hand over what was written."""
        self._kept(lambda: io.TextIOWrapper.flush(self), None)

    def _kept(self, act: Callable[[], Returned], otherwise: Returned) -> Returned:
        try:
            return act()
        except BrokenPipeError as error:
            if error.errno != errno.EPIPE:  # a disk that went away answers ESHUTDOWN
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if self.ends:
            raise SystemExit(0)
        return otherwise


def guard_streams(words: list[str]) -> None:
    """Let both standard streams outlive their readers.

    Parameters
    ----------
    words : list of str
        The command line, without the name of the program.
    """
    _open_closed_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # not what a test or a notebook put in its place
            guarded = ReadStream(
                stream.buffer,
                encoding=stream.encoding,
                errors="backslashreplace",  # a terminal without Unicode gets escapes
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, guarded)
            guarded.ends = name == "stdout" and bool(SHOW & set(words[:1]) or HELP & set(words))
            guarded.is_shown = name == "stdout" and guarded.isatty()


def _open_closed_streams() -> None:
    """Open the null device where a standard stream is closed, as some daemons start programs.

    The next file that is opened would get its number, and what tasks print would go there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # so Python leaves it
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # as long as this lives, its buffer stays open
