"""Makes the HTML file of a report, which asks the network for nothing.

Texts reach the page in two ways only: through the template, which escapes them, or inside the
packed data, from where the scripts set them as text. The page's security policy names its two
scripts by their digests and allows no connection, so that nothing else can run or be loaded.
"""

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jobpool.report.packing import packed, table_json
from jobpool.report.parts import EVERY, DataTable, Figure, Report, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCRIPTS = ("columns.js", "tables.js", "figures.js", "page.js")


def html_of(report: Report) -> bytes:
    """Return the file: the same for the same report.

    Parameters
    ----------
    report : Report
        The names of its tables, figures and sections must differ.
    """
    import jinja2  # noqa: PLC0415 - heavy, and only for who makes a report
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
    import orjson  # noqa: PLC0415 - only for who makes a report

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
    }
