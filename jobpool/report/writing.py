"""Makes the HTML file of a report, which asks the network for nothing.

Texts reach the page in two ways only: through the template, which escapes them, or inside the
packed data, from where the scripts set them as text. The page's security policy names its two
scripts by their digests and allows no connection, so that nothing else can run or be loaded.

Tables are packed as JSON columns, texts that repeat as codes into a list, numbers rounded to 6
digits. The same report gives the same bytes.
"""

import base64
import hashlib
import zlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobpool.report.parts import EVERY, DataTable, Figure, Report, Section, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

_SCRIPTS = ("columns.js", "tables.js", "figures.js", "page.js")
DIGITS = 6  # of a number that is not whole
FEW = 0.5  # share of distinct texts up to which codes are shorter


def html_of(report: Report) -> bytes:
    """Return the file: the same for the same report.

    Parameters
    ----------
    report : Report
        The names of its tables, figures and sections must differ.
    """
    import jinja2  # noqa: PLC0415 - heavy, and needed only for a report
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - heavy, likewise

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda item: isinstance(item, Figure)
    script = "".join(_asset(name) for name in _SCRIPTS)
    drawing = get_plotlyjs()
    text = environment.get_template("page.html").render(
        report=report,
        tables={table.name: table for table in tables_of(report)},
        folded=_folded(report),
        style=_asset("page.css"),
        script=script,
        data=packed(_data(report), digits=True),
        drawing=packed(drawing.encode()),
        policy=_policy(script, drawing),
    )
    return text.encode("utf-8", "backslashreplace")


def tables_of(report: Report) -> "Iterator[DataTable]":
    """Yield every table of a report."""
    for section in report.sections:
        yield from section.tables
        yield from (item for item in section.items if isinstance(item, DataTable))


def _asset(name: str) -> str:
    return files("jobpool.report").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _data(report: Report) -> bytes:
    import orjson  # noqa: PLC0415 - needed only for a report

    content = {
        "tables": {table.name: table_json(table) for table in tables_of(report)},
        "every": EVERY,
        "figures": {figure.name: _figure(figure) for figure in _figures(report.sections)},
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _figures(sections: tuple[Section, ...]) -> "Iterator[Figure]":
    for section in sections:
        yield from (item for item in section.items if isinstance(item, Figure))


def _folded(report: Report) -> dict[str, DataTable]:
    """Return the table that is folded away below a figure: the first one drawn from it has it."""
    tables = {table.name: table for section in report.sections for table in section.tables}
    found = {}
    for figure in _figures(report.sections):
        if figure.table in tables:
            found[figure.name] = tables.pop(figure.table)
    return found


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "table": figure.table,
        "traces": list(figure.traces),
        "layout": figure.layout,
        "choose": figure.choose,
        "yTitles": dict(figure.y_titles),
    }


def table_json(table: DataTable) -> dict[str, Any]:
    """Return a table as JSON can hold it, to be written by orjson with its NumPy option."""
    frame = table.frame
    return {
        "title": table.title,
        "n": len(frame),
        "tracedBy": list(table.traced_by),
        "markedBy": table.marked_by,
        "printed": list(table.printed),
        "columns": [_column(str(name), frame[name]) for name in frame.columns],
    }


def _column(name: str, values: "pd.Series[Any]") -> dict[str, Any]:
    """Return one column: numbers, texts, or codes into a list of texts; null where missing."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

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
    import orjson  # noqa: PLC0415 - needed only for a report

    text = orjson.dumps(_column("", values), option=orjson.OPT_SERIALIZE_NUMPY)
    return len(_compressed(text, 1, digits=True)) * 4 // 3
