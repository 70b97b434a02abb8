"""Large files that appear whole or not at all, written piece by piece."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jobpool.files import storage_error, sync_folder, temporary_beside


@contextmanager
def created_whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a stream to write; the file gets its name when the ``with`` block ends well.

    Its folder is made if it is missing.

    Raises
    ------
    FileExistsError
        If the name is taken: the file that has it stays.
    StorageError
        If the disk is full, over quota or failing; nothing is left behind.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)  # atomic, and fails if the name is taken, also on NFS
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)
