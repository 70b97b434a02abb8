"""Tables as compact JSON columns: texts as codes into a list, numbers rounded to 6 digits."""

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobpool.report.parts import DataTable, clean

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 6
FEW = 0.5  # share of distinct texts up to which codes are shorter


def packed(text: bytes, *, digits: bool = False) -> str:
    """Return `text` compressed, as letters that are safe anywhere in HTML; always the same.

    Parameters
    ----------
    text : bytes
        Anything.
    digits : bool
        Whether most of it is numbers.

    Examples
    --------
    >>> import gzip
    >>> gzip.decompress(base64.b64decode(packed(b"</script>")))
    b'</script>'
    """
    return base64.b64encode(_compressed(text, 9, digits=digits)).decode("ascii")


def _compressed(text: bytes, level: int, *, digits: bool) -> bytes:
    # as gzip without a time; the filtered strategy makes digits 5 % smaller, and texts larger
    strategy = zlib.Z_FILTERED if digits else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
    return packer.compress(text) + packer.flush()


def packed_size(values: "pd.Series[Any]") -> int:
    """Return about how many bytes a column takes in the file."""
    import orjson  # noqa: PLC0415 - only for who makes a report

    text = orjson.dumps(_column("", values), option=orjson.OPT_SERIALIZE_NUMPY)
    return len(_compressed(text, 1, digits=True)) * 4 // 3


def table_json(table: DataTable) -> dict[str, Any]:
    """Return a table as JSON can hold it, to be written by orjson with its NumPy option."""
    frame = table.frame
    return {
        "title": table.title,
        "n": len(frame),
        "tracedBy": list(table.traced_by),
        "columns": [_column(str(name), frame[name]) for name in frame.columns],
    }


def _column(name: str, values: "pd.Series[Any]") -> dict[str, Any]:
    """Return one column: numbers, texts, or codes into a list of texts; null where missing."""
    import pandas as pd  # noqa: PLC0415 - heavy, and only for who makes a report

    if pd.api.types.is_bool_dtype(values.dtype):
        values = values.map({True: "yes", False: "no"})
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        whole = bool(np.all(np.isnan(numbers) | (numbers == np.rint(numbers))))
        return {"name": name, "kind": "number", "whole": whole, "values": _numbers(numbers, whole)}
    codes, found = pd.factorize(values.to_numpy(object))  # -1 where missing
    known = list(map(clean, found.tolist()))
    if len(known) > FEW * len(values):
        texts = [known[code] if code >= 0 else None for code in codes.tolist()]
        return {"name": name, "kind": "text", "values": texts}
    return {"name": name, "kind": "text", "known": known, "codes": codes.astype(np.int32)}


def _numbers(numbers: NDArray[np.float64], whole: bool) -> Any:
    finite = np.isfinite(numbers)
    if whole and finite.all() and (np.abs(numbers) < 2**53).all():
        return numbers.astype(np.int64)
    return rounded(numbers)  # orjson writes what is not finite as null


def rounded(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers to 6 significant digits; whole digits are all kept.

    Examples
    --------
    >>> rounded(np.array([0.123456789, 1234567.8, 0.0, np.nan])).tolist()
    [0.123457, 1234568.0, 0.0, nan]
    """
    size = np.abs(numbers)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(size))
    usual = np.isfinite(places)
    factor = 10.0 ** np.clip(np.where(usual, places, 0), 0, 300)
    shifted = np.where(usual, numbers, 0.0) * factor
    return np.where(usual, np.rint(shifted) / factor, numbers)
