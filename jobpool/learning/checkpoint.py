"""What a task has finished, kept for the next attempt: folds, and scores of candidates.

    POOL/checkpoints/TASK/WRITER.jsonl    checked lines; one writer each

Every entry is kept under the digest of all that made it, so that an entry of another seed, of
edited data or of another version of a library is passed over. A number read back is the number
written, to the bit. Lines are written some seconds apart, so a short task leaves no file.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jobpool.disk.inside import paths_in
from jobpool.errors import StorageError
from jobpool.journal.jsonl import append_line, read_lines
from jobpool.task import Json


class Checkpoint:
    """The finished parts of one task.

    Parameters
    ----------
    folder : Path
        Of the task; need not exist.
    made_of : mapping
        All that the values depend on beside their names.
    every_s : float
        Seconds of work that may be lost.
    writer : str
        Begins the name of the file.
    clock : callable
        Returns seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        made_of: Mapping[str, Json],
        *,
        every_s: float = 20.0,
        writer: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        text = json.dumps(made_of, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._file = folder / f"{writer}{uuid.uuid4().hex[:12]}.jsonl"
        self._every_s, self._clock = every_s, clock
        self._written = clock()
        self._fresh: dict[str, Json] = {}
        self._known = dict(_read(folder, self._key))

    def get(self, name: str) -> Any:
        """Return what was kept under a name, or None."""
        return self._known.get(name)

    def put(self, name: str, value: Json) -> None:
        """Keep a value; it is on disk within `every_s` seconds of work.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing.
        """
        self.remember(name, value)
        self._fresh[name] = value
        if self._clock() - self._written >= self._every_s:
            self.flush()

    def remember(self, name: str, value: Json) -> None:
        """Keep a value for this attempt alone."""
        self._known[name] = value

    @contextmanager
    def kept_if_it_fails(self) -> Iterator[None]:
        """Write what is not on disk yet if the ``with`` block raises."""
        try:
            yield
        except Exception:
            with suppress(StorageError):  # what went wrong first is what counts
                self.flush()
            raise

    def flush(self) -> None:
        """Write what is not on disk yet."""
        if self._fresh:
            append_line(self._file, {"key": self._key, "done": self._fresh})
        self._fresh = {}
        self._written = self._clock()


def _read(folder: Path, key: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for file in paths_in(folder, "*.jsonl"):
        for _, _, record in read_lines(file):
            if record is not None and record.get("key") == key:  # a line cut short is None
                done = record["done"]
                found |= done if isinstance(done, dict) else {}
    return found
