"""Lines of workers' files, read fast: a pool of the published study has 148,500 results."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from jobpool.files import parse_line
from jobpool.shapes import Kind
from jobpool.workerfiles import SHAPES

RESULT, ATTEMPT = SHAPES["results"], SHAPES["attempts"]


def fast_lines(
    path: Path, shape: Mapping[str, Kind]
) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Yield number, line and record of every line; None where a line is damaged.

    Parameters
    ----------
    path : Path
        A file that does not exist has no lines.
    shape : mapping
        What a record must look like to be believed.
    """
    checks = tuple(shape.items())
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                record = fast_record(line)
                if record is not None:
                    for name, kind in checks:  # a third of the time of `has_shape`
                        if not kind(record.get(name)):
                            record = None
                            break
                yield number, line, record
    except FileNotFoundError:
        return


def fast_record(line: bytes) -> dict[str, Any] | None:
    """Return what `jobpool.files.parse_line` returns, three times as fast."""
    body, _, tail = line.rpartition(b',"crc":"')
    body += b"}"
    if tail == b'%08x"}\n' % zlib.crc32(body):
        try:
            record = orjson.loads(body)
        except orjson.JSONDecodeError:  # NaN or half a surrogate pair, which Python's parser reads
            return parse_line(line)
        return record if isinstance(record, dict) else None
    return parse_line(line)
