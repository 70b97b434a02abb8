"""Tables in ``.parquet`` files, column by column, each value as it is stored.

Whole numbers stay whole beside gaps and fractions, categories are their values, dates and times
are text. A named index, as pandas writes it, is a column; an index without a name is none.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobpool.disk.spelling import normal
from jobpool.disk.text_tables import Raw, check_names
from jobpool.errors import DataError
from jobpool.installation import missing

if TYPE_CHECKING:
    import pyarrow as pa

_MIDNIGHT = " 00:00:00"


def read_parquet(path: Path, wanted: Collection[str] | None, once: Collection[str] | None) -> Raw:
    """Return the cells of some columns of a Parquet file, or of all.

    Parameters
    ----------
    path, wanted, once
        As of `jobpool.disk.text_tables.read_text`.

    Raises
    ------
    DataError
        If it cannot be read, or has a column twice.
    """
    if why := missing("pyarrow"):
        raise DataError(path, why)
    import pyarrow as pa  # noqa: PLC0415 - a third of a second, for this kind of table only
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            schema, n_rows = file.schema_arrow, file.metadata.num_rows
            fields, ranges = _names(schema)
            header = (*ranges, *fields.values())
            check_names(path, header, once)
            kept = {f: n for f, n in fields.items() if n and (wanted is None or n in wanted)}
            # a point in a name would mean a part of a column
            plain = len(fields) == len(schema.names) and not any("." in field for field in kept)
            table = file.read(columns=[*kept] if plain else None)
            at = {field: table.column_names.index(field) for field in kept}
            cells = {name: _cells(table.column(at[field])) for field, name in kept.items()}
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error
    for name, numbers in ranges.items():
        if len(numbers) != n_rows:  # rows were taken out by a program that kept what pandas wrote
            what = f"has {n_rows} rows, but says that its index {name!r} has {len(numbers)}"
            raise DataError(path, f"{what}; save it again with the index as a column")
    cells |= {name: numbers for name, numbers in ranges.items() if wanted is None or name in wanted}
    names = tuple(dict.fromkeys(name for name in header if name))
    return Raw(header=names, cells=cells, places=range(1, n_rows + 1), by="row")


def _names(schema: "pa.Schema") -> tuple[dict[str, str], dict[str, range]]:
    """Return the name of each stored column, indices first, and each index that is a range.

    The name of an index without one is empty.
    """
    about: dict[str, Any] = schema.pandas_metadata or {}
    stored = {one["field_name"]: one["name"] for one in about.get("columns", ())}
    fields: dict[str, str] = {}
    ranges: dict[str, range] = {}
    for index in about.get("index_columns", ()):
        if isinstance(index, str):
            fields[index] = normal(str(stored.get(index) or ""))
        elif index.get("name") is not None:
            numbers = range(index["start"], index["stop"], index["step"])
            ranges[normal(str(index["name"]))] = numbers
    for field in schema.names:
        fields.setdefault(field, normal(field))
    return fields, ranges


def _cells(column: "pa.ChunkedArray") -> Sequence[object]:
    """Return the values of a column: numbers, decimals, true or false, texts; None for missing."""
    import pyarrow as pa  # noqa: PLC0415 - loaded by now
    import pyarrow.compute as pc  # noqa: PLC0415

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cells(pc.cast(column, kind.value_type))
    if pa.types.is_floating(kind):
        numbers = column.to_numpy(zero_copy_only=False)
        known = ~(column.is_null().to_numpy(zero_copy_only=False) | np.isnan(numbers))
        # float64 as Python's own: an equal float32 has a shorter text
        values = numbers.tolist() if numbers.dtype == np.float64 else list(numbers)
        return [value if one else None for value, one in zip(values, known.tolist(), strict=True)]
    if pa.types.is_temporal(kind):
        return _texts(column, kind)
    cells: list[object] = column.to_pylist()
    return [_decoded(cell) if isinstance(cell, bytes) else cell for cell in cells]


def _decoded(cell: bytes) -> object:
    """Return bytes that are text as text, others in a list, as what is neither text nor number."""
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return [cell]


def _texts(column: "pa.ChunkedArray", kind: "pa.DataType") -> Sequence[object]:
    """Return dates and times as text; days that are stored with a time as days."""
    import pyarrow as pa  # noqa: PLC0415 - loaded by now
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_duration(kind) or pa.types.is_interval(kind):
        return [None if one is None else [one] for one in column.to_pylist()]
    found = pc.cast(column, pa.string()).to_pylist()
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        found = [one and (one.rstrip("0").rstrip(".") if "." in one else one) for one in found]
        if all(one is None or one.endswith(_MIDNIGHT) for one in found):
            return [one and one.removesuffix(_MIDNIGHT) for one in found]
    cells: list[object] = found
    return cells
