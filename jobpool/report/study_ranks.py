"""Mean rank against number of parcels: points, the power law where it holds, its table."""

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

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.ranks import Ranking
    from jobpool.analysis.scaling import Regression, Scaling
    from jobpool.analysis.whole import Analysis

NAME, PIPELINE, TARGET = KEY
STEPS = 60  # points of a curve
_TEXT = (
    "Parcellations are ranked by score within each pipeline and target, the best 1; equal scores "
    "share the mean of their ranks; a parcellation's mean rank is over all pairs of pipeline and "
    "target. In the shaded region of sizes the mean rank follows a power law best, by the "
    "Kolmogorov-Smirnov distance; there the line is fitted, outside it is dashed."
)


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
    tables = [points]
    scalings = _scalings(found)
    if scalings:
        tables.append(_curves(scalings, points.frame))
        tables.append(_laws(scalings, found.scaling_by_type))
    regressions = _regressions(found)
    notes = (f"Over all: {found.scaling.region}.",) if found.scaling else ()
    shown = [table for table in tables[2:] + regressions if len(table.frame)]
    return Section(
        name="ranks",
        title="Rank and number of parcels",
        text=_TEXT,
        items=(_figure(points.frame, bool(scalings)), *shown),
        tables=(points, *tables[1:2]),
        notes=notes,
    )


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


def _laws(all_scalings: Mapping[str, "Scaling"], by_type: Mapping[str, "Scaling"]) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    entries = [("all", name.strip(), one) for name, one in all_scalings.items() if name == EVERY]
    entries += [(PIPELINE, name, one) for name, one in all_scalings.items() if name != EVERY]
    entries += [("type", name, one) for name, one in by_type.items()]
    frame = pd.DataFrame(
        {
            "of": kind,
            "what": name,
            "exponent": one.region.exponent,
            "standard error": one.region.exponent_error,
            "low": one.region.exponent_low,
            "high": one.region.exponent_high,
            "factor": one.region.factor,
            "from parcels": one.region.smallest,
            "to parcels": one.region.largest,
            "parcellations": one.region.n,
            "R2": one.region.r2,
            "KS distance": one.region.ks,
            "exponent over all sizes": one.whole.exponent,
            "R2 over all sizes": one.whole.r2,
        }
        for kind, name, one in entries
    )
    return DataTable(
        name="power-laws",
        title="Power laws",
        frame=frame,
        source="from the mean ranks (table of the figure above)",
        note="mean rank = factor x parcels ^ exponent; low and high: 95 % confidence interval.",
    )


def _regressions(found: "Analysis") -> list[DataTable]:
    known = {one.formula: one for one in (found.regression, found.regression_by_pipeline) if one}
    return [_regression(one, f"regression-{i}") for i, one in enumerate(known.values())]


def _regression(one: "Regression", name: str) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    frame = pd.DataFrame(
        {
            "term": term.name,
            "coefficient": term.coefficient,
            "standard error": term.error,
            "t": term.t,
            "p": term.p,
            "low": term.low,
            "high": term.high,
        }
        for term in one.terms
    )
    bases = ", ".join(f"{factor} {value}" for factor, value in one.baselines.items())
    against = f" Compared with {bases}." if bases else ""
    return DataTable(
        name=name,
        title=f"Regression: {one.formula}",
        frame=frame,
        source="from the mean ranks in the region of the power law",
        note=f"Ordinary least squares of log10(mean rank): {one.n:,} rows, R2 {one.r2:.3f}, "
        f"adjusted {one.adjusted_r2:.3f}.{against} Low and high: 95 % confidence interval.",
    )


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
        caption="Each point is a parcellation, coloured by type; lower is better. Line and band: "
        "power law with its 95 % confidence band. The inset shows the same on linear axes.",
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
