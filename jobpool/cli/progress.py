"""What is being done while a person waits, on standard error: nothing if it takes two seconds."""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_SILENT_S = 2.0
_EVERY_S, _EVERY_LINE_S = 1.0, 10.0  # of a terminal, and of a file


class Progress:
    """Tells what is being done, and how long already, until its ``with`` block ends.

    In a terminal it is one line that changes and goes away; elsewhere a line for each stage, and
    one every ten seconds.

    Parameters
    ----------
    stage : str
        What is done first.
    share : callable, optional
        Given `file`, returns which part of the first stage is done, from 0 to 1.
    silent_s : float
        Nothing is told before.
    """

    def __init__(
        self,
        stage: str,
        share: Callable[[Path], float] | None = None,
        *,
        silent_s: float = _SILENT_S,
    ) -> None:
        self._first = self._stage = stage
        self._share, self._silent_s = share, silent_s
        self.file: Path | None = None  # where other processes may write how far they are
        self._began = time.monotonic()
        self._over = threading.Event()
        self._is_terminal = sys.stderr.isatty()
        self._told = ("", 0.0)  # stage and time of the last line
        self._thread = threading.Thread(target=self._tell_now_and_then, daemon=True)

    def __enter__(self) -> Self:
        if self._share is not None:
            with suppress(OSError):  # without a place for it, the share is not told
                descriptor, name = tempfile.mkstemp(prefix="jobpool-")
                os.close(descriptor)
                self.file = Path(name)
        self._thread.start()
        return self

    def stage(self, what: str) -> None:
        """Say what is done from now on."""
        self._stage = what

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._is_terminal and self._told[0]:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        if self.file is not None:
            with suppress(OSError):
                self.file.unlink()

    def _tell_now_and_then(self) -> None:
        wait_s = self._silent_s
        while not self._over.wait(wait_s):
            wait_s = min(self._silent_s, _EVERY_S)
            stage, told_at = self._told
            now = time.monotonic()
            if self._is_terminal or stage != self._stage or now - told_at >= _EVERY_LINE_S:
                self._tell(now)

    def _tell(self, now: float) -> None:
        stage = self._stage
        line = stage
        if stage == self._first and self._share is not None and self.file is not None:
            with suppress(OSError):  # a cleaner took the notes: how far it is is not known
                line += f": {min(self._share(self.file), 1.0):.0%}"
        line += f" ({now - self._began:.0f} s)"
        sys.stderr.write(f"\r\x1b[K{line}" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()
        self._told = (stage, now)
