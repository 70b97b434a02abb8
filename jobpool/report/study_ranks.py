"""Mean rank against number of parcels: points, the power law where it holds, its table."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jobpool.analysis.study_table import KEY
from jobpool.report.parts import (
    EVERY,
    DataTable,
    Figure,
    Section,
    colours_of,
    column,
    logarithmic,
    plain,
    rows,
)
from jobpool.report.study_fits import regression_tables, scaling_tables

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.ranks import Ranking
    from jobpool.analysis.regions import Scaling
    from jobpool.analysis.whole import Analysis

NAME, PIPELINE, TARGET = KEY
STEPS = 60  # points of a curve
_TEXT = (
    "Parcellations are ranked by score within each pipeline and target, the best 1; equal scores "
    "share the mean of their ranks; a parcellation's mean rank is over all pairs of pipeline and "
    "target."
)
_CHOSEN = {
    "together": "In the shaded region of sizes the mean rank follows a power law best, by the "
    "Kolmogorov-Smirnov distance",
    "published": "The shaded region of sizes is the one in which the mean rank follows a power law "
    "best by the published way: the low end is cut first, then the high end, each where the "
    "Kolmogorov-Smirnov distance is least",
    "given": "The shaded region of sizes was named by the user",
}


def rank_section(found: "Analysis") -> Section | None:
    """Return mean rank against size, or None if nothing could be ranked."""
    if found.ranking is None:
        return None
    points = DataTable(
        name="ranks",
        title="Mean ranks of single parcellations",
        frame=both_views(found.ranking),
        source="from all results: ranks within pipeline and target",
        traced_by=(NAME, PIPELINE),
    )
    scalings = _scalings(found)
    curves = (_curves(scalings, points.frame),) if scalings else ()
    shown = [*scaling_tables(scalings, found), *regression_tables(found)]
    return Section(
        name="ranks",
        title="Rank and number of parcels",
        text=f"{_TEXT} {_how_chosen(found.scaling)}".rstrip(),
        items=(_figure(points.frame, bool(scalings)), *shown),
        tables=(points, *curves),
        notes=_notes(found.scaling),
    )


def _how_chosen(scaling: "Scaling | None") -> str:
    """Say which region the law is fitted in; nothing where there is no law."""
    if scaling is None:
        return ""
    chosen = _CHOSEN["given" if scaling.choice.sizes else scaling.choice.method]
    return f"{chosen}; there the line is fitted, outside it is dashed."


def _notes(scaling: "Scaling | None") -> tuple[str, ...]:
    """Return the law, with what makes it less sure than its interval says."""
    if scaling is None:
        return ()
    law, whole = scaling.region, scaling.whole
    said = [f"Over all: {law}."]
    if not math.isnan(scaling.exponent_low):
        includes = "with the region held" if scaling.choice.sizes else "with the region chosen anew"
        said.append(
            f"95 % interval of the exponent from parcellations drawn again, {includes} each time: "
            f"{scaling.exponent_low:.4f} to {scaling.exponent_high:.4f}."
        )
    said.append(f"Exponent over all sizes: {whole.exponent:.4f}.")
    return tuple(said)


def both_views(ranking: "Ranking") -> "pd.DataFrame":
    """Return mean ranks of all pipelines together, then of each where there are several."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    overall = ranking.overall.assign(**{PIPELINE: EVERY})
    if ranking.by_pipeline[PIPELINE].nunique() < 2:
        overall[PIPELINE] = ranking.by_pipeline[PIPELINE].iloc[0]
    parts = [overall, ranking.by_pipeline] if (overall[PIPELINE] == EVERY).all() else [overall]
    frame = pd.concat(parts, ignore_index=True)
    first = [PIPELINE, NAME, "size", "type"]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _scalings(found: "Analysis") -> dict[str, "Scaling"]:
    """Return the power law of all pipelines together, and of each where there are several."""
    several = len(found.scaling_by_pipeline) > 1
    made: dict[str, Scaling] = dict(found.scaling_by_pipeline) if several else {}
    if found.scaling is not None:
        names = found.table.singles.frame[PIPELINE].unique()
        made[EVERY if len(names) > 1 else str(names[0])] = found.scaling
    return made


def _curves(scalings: Mapping[str, "Scaling"], points: "pd.DataFrame") -> DataTable:
    """Return the fitted lines and their bands, in the region and beyond, and its corners."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    least, most = int(points["size"].min()), int(points["size"].max())
    low, high = points["mean_rank"].min() / 1.1, points["mean_rank"].max() * 1.1
    parts = []
    for pipeline, scaling in scalings.items():
        law = scaling.region
        pieces = {
            "fit": (law.smallest, law.largest),
            "below": (least, law.smallest),
            "above": (law.largest, most),
        }
        for line, (start, stop) in pieces.items():
            if start < stop:
                curve = law.band(np.geomspace(start, stop, STEPS if line == "fit" else 12))
                parts.append(curve.assign(line=line, **{PIPELINE: pipeline}))
        corners = [law.smallest, law.smallest, law.largest, law.largest]
        region = pd.DataFrame({"size": corners, "mean_rank": [low, high, high, low]})
        parts.append(region.assign(line="region", **{PIPELINE: pipeline}))
    frame = pd.concat(parts, ignore_index=True)
    return DataTable(
        name="rank-curves",
        title="Power laws and their confidence bands",
        frame=frame[[PIPELINE, "line", "size", "mean_rank", "low", "high"]],
        source="from the mean ranks",
        note="Low and high: the 95 % confidence band of the line.",
    )


_POINT = "Each point is a parcellation, coloured by type; lower is better."
_LAW = " Line and band: power law with its 95 % confidence band."


def _figure(points: "pd.DataFrame", with_law: bool) -> Figure:
    several = points[PIPELINE].nunique() > 1
    types = sorted(points["type"].unique())
    # the law above the points: thousands of them would hide it
    traces = [*_points(types), *(_law_traces() if with_law else ())]
    if with_law:
        traces.insert(0, _region())
    return Figure(
        name="figure-ranks",
        title="Mean rank against number of parcels",
        caption=f"{_POINT}{_LAW if with_law else ''} The inset shows the same on linear axes.",
        table="ranks",
        traces=tuple(traces),
        choose=PIPELINE if several else "",
        layout={
            "showlegend": True,
            "height": 560,
            "xaxis": logarithmic("Number of parcels"),
            "yaxis": logarithmic("mean rank"),
            "xaxis2": {"domain": [0.09, 0.36], "anchor": "y2", "nticks": 4, **_SMALL},
            "yaxis2": {"domain": [0.08, 0.34], "anchor": "x2", "nticks": 4, **_SMALL},
        },
    )


_SMALL = {"tickfont": {"size": 10}, "automargin": False}


def _points(types: list[str]) -> Iterator[dict[str, Any]]:
    for kind, colour in colours_of(types).items():
        shared = {
            **rows({"type": kind}),
            "type": "scatter",
            "mode": "markers",
            "name": plain(kind),
            "legendgroup": plain(kind),
            "x": column("size"),
            "y": column("mean_rank"),
            "text": column(NAME),
            "customdata": column("n_cells"),
            "hovertemplate": "%{text}<br>%{x:,} parcels<br>mean rank %{y:.4~g} of %{customdata:,} "
            "pairs<extra></extra>",
        }
        yield {**shared, "marker": {"color": colour, "size": 8, "opacity": 0.8}}
        small = {"color": colour, "size": 4, "opacity": 0.8}
        inset = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
        yield {**shared, **inset, "marker": small}


_LINES = {"type": "scatter", "mode": "lines", "x": column("size"), "hoverinfo": "skip"}


def _region() -> dict[str, Any]:
    return {
        **rows({"line": "region"}, table="rank-curves"),
        **_LINES,
        "y": column("mean_rank"),
        "name": "region of the power law",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": "rgba(110,120,140,0.13)",
    }


def _law_traces() -> Iterator[dict[str, Any]]:
    """Yield the band, then the line with a light outline."""
    band = {"line": {"width": 0}, "showlegend": False}
    yield {**rows({"line": "fit"}, table="rank-curves"), **_LINES, "y": column("low"), **band}
    yield {
        **rows({"line": "fit"}, table="rank-curves"),
        **_LINES,
        **band,
        "y": column("high"),
        "fill": "tonexty",
        "fillcolor": "rgba(110,120,140,0.35)",
    }
    # in pixels: named dashes grow with the width
    for line, dash in (("fit", "solid"), ("below", "9px,6px"), ("above", "9px,6px")):
        for name, colour, width in (("outline", "#ffffff", 5), ("power law", "#5f6b80", 2.5)):
            yield {
                **rows({"line": line}, table="rank-curves"),
                **_LINES,
                "y": column("mean_rank"),
                "name": name,
                "showlegend": name == "power law" and line == "fit",
                "line": {"color": colour, "width": width, "dash": dash},
            }
