"""Tables of what was fitted to mean ranks: power laws, their rivals, and regressions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobpool.analysis.study_table import KEY
from jobpool.report.parts import EVERY, DataTable

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.regions import Scaling
    from jobpool.analysis.scaling import PowerLaw, Regression
    from jobpool.analysis.whole import Analysis

_, PIPELINE, TARGET = KEY
_PRINTED = ("exponent", "low", "high", "from parcels", "to parcels", "parcellations")
_INTERVAL = "low and high: 95 % confidence interval"


def scaling_tables(scalings: Mapping[str, "Scaling"], found: "Analysis") -> list[DataTable]:
    """Return the power laws, the rivals of their region, and the laws of targets.

    Parameters
    ----------
    scalings : mapping of str to Scaling
        By pipeline, and that of all together.
    found : Analysis
        The analysis.
    """
    if not scalings:
        return []
    made = [_laws(scalings, found.scaling_by_type)]
    if found.scaling is not None:
        made.append(_regions(found.scaling))
    if len(found.laws_by_target):
        made.append(_by_target(found.laws_by_target))
    return made


def regression_tables(found: "Analysis") -> list[DataTable]:
    """Return the regressions, each formula once."""
    every = (
        (found.regression, "the mean ranks in the region of the power law"),
        (found.regression_by_pipeline, "the mean ranks of pairs in the region of the power law"),
        (found.regression_pipeline_by_size, "the same pairs, with a slope for each pipeline"),
        (
            found.regression_ensemble_by_size,
            "mean ranks of ensembles and single parcellations together, over the sizes that "
            "ensembles have unless a region is named or chosen as published",
        ),
    )
    known = {one.formula: (one, source) for one, source in every if one}
    return [
        _regression(one, source, f"regression-{i}")
        for i, (one, source) in enumerate(known.values())
    ]


def _laws(all_scalings: Mapping[str, "Scaling"], by_type: Mapping[str, "Scaling"]) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    entries = [("all", name.strip(), one) for name, one in all_scalings.items() if name == EVERY]
    entries += [(PIPELINE, name, one) for name, one in all_scalings.items() if name != EVERY]
    entries += [("type", name, one) for name, one in by_type.items()]
    frame = pd.DataFrame(
        {
            "of": kind,
            "what": name,
            **_fit(one.region),
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
        printed=("of", "what", *_PRINTED),
        note=f"mean rank = factor x parcels ^ exponent; {_INTERVAL} in the region as it is.",
    )


def _fit(law: "PowerLaw") -> dict[str, float | int]:
    return {
        "exponent": law.exponent,
        "standard error": law.exponent_error,
        "low": law.exponent_low,
        "high": law.exponent_high,
        "factor": law.factor,
        "from parcels": law.smallest,
        "to parcels": law.largest,
        "parcellations": law.n,
        "R2": law.r2,
        "KS distance": law.ks,
    }


def _regions(scaling: "Scaling") -> DataTable:
    """Return the law in its region, in those next nearest, and over all sizes."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    entries = [("named" if scaling.choice.sizes else "chosen", scaling.region)]
    entries += [(f"rival {number}", one) for number, one in enumerate(scaling.rivals, start=1)]
    entries.append(("all sizes", scaling.whole))
    among = f"of {scaling.n_candidates:,} regions that were compared; " if scaling.rivals else ""
    return DataTable(
        name="regions",
        title="The region and its rivals" if scaling.rivals else "The region and all sizes",
        frame=pd.DataFrame({"region": name, **_fit(law)} for name, law in entries),
        source="from the mean ranks of single parcellations",
        printed=("region", *_PRINTED, "KS distance"),
        note=f"By their distance, {among}{_INTERVAL} in the region as it is.",
    )


def _by_target(laws: "pd.DataFrame") -> DataTable:
    names = {"error": "standard error", "n": "parcellations", "r2": "R2"}
    return DataTable(
        name="laws-by-target",
        title="Power laws by target",
        frame=laws.rename(columns=names),
        source="from ranks within pipeline and target, means over pipelines",
        traced_by=(TARGET,),
        note=f"In the region of the power law over all targets; {_INTERVAL}.",
    )


def _regression(one: "Regression", source: str, name: str) -> DataTable:
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
        source=f"from {source}",
        note=f"Ordinary least squares of log10(mean rank): {one.n:,} rows, R2 {one.r2:.4f}, "
        f"adjusted {one.adjusted_r2:.4f}.{against} Low and high: 95 % confidence interval.",
    )
