"""Reports to look at: of a pool with all that can happen to tasks, and of a made-up study."""

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from jobpool.admin.create import create_pool
from jobpool.analysis.study_table import read_study_table
from jobpool.journal.workers import own_worker_record
from jobpool.pool import Pool
from jobpool.report.making import Made, ReportRequest, report_of_pool, report_of_table
from jobpool.report.parts import DataTable, Figure, Report, Section
from jobpool.report.writing import tables_of
from jobpool.runners import make_results
from jobpool.table.grid import full_product
from jobpool.table.selection import select
from jobpool.task import Axis, Cause
from tests.support.builders import an_experiment
from tests.support.simulated import BEGAN, SimulatedWorker
from tests.support.synthetic_study import a_study

NOW = BEGAN + 100
EVIL = "</script><script>document.title='broken'</script><b>&amp;\"'"
SITES = Axis(name="site", values=("oslo", EVIL, "lima"))
SEEDS = Axis(name="seed", values=tuple(range(12)))
REQUEST = ReportRequest(now=NOW, version="1.2.3", metrics={})


def silent(_: str) -> None:
    """Take what a report tells of its progress."""


def a_full_pool(folder: Path) -> Path:
    """Make 36 tasks: 28 done (one lost its result), one runs, one is parked, one failed."""
    experiment = an_experiment(folder / "study", SITES, SEEDS)
    grid = full_product([SITES, SEEDS])
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=BEGAN)
    places = in_order(folder / "pool")
    first, second = (SimulatedWorker(folder / "pool", number) for number in (1, 2))
    for worker in (first, second):
        own_worker_record(started=BEGAN - 5, cores=2, version="1.2.3").write(
            folder / "pool", worker.name
        )
    for number, place in enumerate(places[:27]):
        worker = (first, second)[number % 2]
        worker.finish(worker.claim(place), score=number / 10, text=EVIL)
    second.end(second.claim(places[27]), Cause.DONE)
    for _ in range(3):
        first.fail(places[28], error=f"ValueError: {EVIL}")
    first.fail(places[29], Cause.MEMORY)
    second.claim(places[30])
    return folder / "pool"


def in_order(folder: Path) -> list[int]:
    """Return the places of a pool's tasks in the order of the axes."""
    codes = Pool(folder).grid.codes.T.tolist()
    return sorted(range(len(codes)), key=codes.__getitem__)


def pool_report(folder: Path, *only: str, request: ReportRequest = REQUEST) -> Made:
    """Return the report of a pool, or of a selection."""
    pool = Pool(folder)
    chosen = select(pool.grid, only) if only else None
    results = make_results(pool.info.runner)
    return report_of_pool(pool, results, chosen, request, silent)


def study_report(folder: Path, frame: Any = None) -> Made:
    """Return the report of a study in a file."""
    file = folder / "study.csv"
    (a_study() if frame is None else frame).to_csv(file, index=False)
    return report_of_table(read_study_table(file), REQUEST, silent)


def section_of(report: Report, name: str) -> Section:
    """Return a section by its name."""
    return next(section for section in report.sections if section.name == name)


def table_of(report: Report, name: str) -> DataTable:
    """Return a table by its name."""
    return next(table for table in tables_of(report) if table.name == name)


def figures_of(report: Report) -> list[Figure]:
    """Return all figures."""
    return [item for one in report.sections for item in one.items if isinstance(item, Figure)]


def rows_of(table: DataTable) -> list[dict[str, Any]]:
    """Return a table as records."""
    return [
        dict(zip(map(str, table.frame.columns), row, strict=True))
        for row in table.frame.to_numpy().tolist()
    ]


def drawn(report: Report, figure: Figure) -> dict[str, Any]:
    """Return a figure as plotly gets it, with the columns of its tables in place."""
    return {
        "data": [_filled(report, figure, trace) for trace in figure.traces],
        "layout": figure.layout,
    }


def _filled(report: Report, figure: Figure, trace: Mapping[str, Any]) -> dict[str, Any]:
    which = trace.get("$rows", {"where": {}, "table": "", "order": ""})
    frame = table_of(report, which["table"] or figure.table).frame
    texts = {True: "yes", False: "no"}
    for name, value in which["where"].items():
        column = frame[name].map(texts) if frame[name].dtype == bool else frame[name]
        frame = frame[column == value]
    rest = {key: value for key, value in trace.items() if key != "$rows"}
    return {key: _value(frame, value) for key, value in rest.items()}


def _value(frame: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        if "$" in value:
            return frame[value["$"]].tolist()
        return {key: _value(frame, inner) for key, inner in value.items()}
    return value


def unpacked(page: bytes) -> dict[str, Any]:
    """Return the data in a report's file."""
    found = re.search(rb'id="packed-data">([^<]*)<', page)
    assert found
    content: dict[str, Any] = orjson.loads(gzip.decompress(base64.b64decode(found[1])))
    return content


def names_of(items: Sequence[DataTable | Figure | Section]) -> list[str]:
    """Return the names of parts of a report."""
    return [item.name for item in items]
