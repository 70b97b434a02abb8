"""The whole analysis of a study, as one record: what a report and its figures show."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from jobpool.analysis.comparison import compare_strategies, summarise_strategies, trade_off
from jobpool.analysis.coverage import Coverage, combined_pipelines, coverage
from jobpool.analysis.ranks import Ranking, rank
from jobpool.analysis.regions import Scaling, find_region, in_region, laws_by_target
from jobpool.analysis.scaling import Regression, regress
from jobpool.analysis.study_table import SCORE, SINGLE, WHO, StudyTable
from jobpool.errors import DataError, listing
from jobpool.experiment.report import RegionChoice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """All that is said of a study; None, or empty, where the table is too small for it.

    Attributes
    ----------
    table : StudyTable
        What it is made from.
    coverage : Coverage
        Of the single parcellations.
    ranking : Ranking, optional
        Single parcellations, within each pipeline and target.
    across : Ranking, optional
        Single parcellations, all pipelines together within each target: compares pipelines.
    scaling : Scaling, optional
        Mean rank of `ranking` against size.
    scaling_by_pipeline, scaling_by_type : mapping of str to Scaling
        The same of each pipeline's and of each type's mean ranks.
    laws_by_target : DataFrame
        The power law of each target in the region of `scaling`; empty with fewer than two targets.
    regression : Regression, optional
        Of `ranking`, one row per parcellation in the region of `scaling`: size and type.
    regression_by_pipeline : Regression, optional
        Of `across`, one row per parcellation and pipeline there: size, type and pipeline.
    regression_pipeline_by_size : Regression, optional
        The same with a slope for each pipeline.
    regression_ensemble_by_size : Regression, optional
        Of `together`, over the sizes that ensembles have, or in a region that is chosen another
        way: size, and whether it is an ensemble, with a slope for each of the two.
    together : Ranking, optional
        Single parcellations and ensembles, within each pipeline and target that an ensemble has.
    together_notes : tuple of str
        What is left out of `together`, and why; also among `notes`.
    compared, summary : DataFrame
        Strategies against single parcellations.
    trade_off : DataFrame
        Rank, time and memory of all pairs of parcellation and pipeline.
    other_people : str
        A warning that scores of one target are of different participants; empty if none are.
    notes : tuple of str
        What is missing, was left out or could not be computed, and why.
    """

    table: StudyTable
    coverage: Coverage
    ranking: Ranking | None
    across: Ranking | None
    scaling: Scaling | None
    scaling_by_pipeline: Mapping[str, Scaling]
    scaling_by_type: Mapping[str, Scaling]
    laws_by_target: pd.DataFrame
    regression: Regression | None
    regression_by_pipeline: Regression | None
    regression_pipeline_by_size: Regression | None
    regression_ensemble_by_size: Regression | None
    together: Ranking | None
    together_notes: tuple[str, ...]
    compared: pd.DataFrame
    summary: pd.DataFrame
    trade_off: pd.DataFrame
    other_people: str
    notes: tuple[str, ...]


def analyse(table: StudyTable, choice: RegionChoice | None = None) -> Analysis:
    """Return everything that can be said of a study.

    Parameters
    ----------
    table : StudyTable
        From `read_study_table` or `from_results`.
    choice : RegionChoice, optional
        How the region of the power law is chosen; see `find_region`.
    """
    return _Analyst(table, choice or RegionChoice()).analyse()


class _Analyst:
    """Does one part after the other, and notes what cannot be done."""

    def __init__(self, table: StudyTable, choice: RegionChoice) -> None:
        self._table, self._singles, self._choice = table, table.singles, choice
        self._notes: list[str] = []

    def analyse(self) -> Analysis:
        covered = coverage(self._singles)
        self._notes += [*self._without_score(), *covered.sentences()]
        self._notes += [*common_people(self._table), *unequal_folds(self._table)]
        ranking = self._ranked(self._singles, ("pipeline", "target"))
        across = self._across()
        overall = ranking.overall if ranking else None
        pairs = ranking.by_pipeline if ranking else None
        compared_pairs = across.by_pipeline if across else pairs
        scaling = self._scaling(overall, "all single parcellations", resample=True)
        compared = compare_strategies(self._table)
        together, together_notes = self._together()
        pairs_and_costs = trade_off(self._table)
        both = ("type", "pipeline")
        return Analysis(
            table=self._table,
            coverage=covered,
            ranking=ranking,
            across=across,
            scaling=scaling,
            scaling_by_pipeline=self._scalings(pairs if scaling else None, "pipeline"),
            scaling_by_type=self._scalings(overall if scaling else None, "type"),
            laws_by_target=_by_target(ranking, scaling),
            regression=self._regression(overall, scaling, ("type",)),
            regression_by_pipeline=self._regression(compared_pairs, scaling, both),
            regression_pipeline_by_size=self._regression(
                across.by_pipeline if across else None, scaling, both, ("pipeline",)
            ),
            regression_ensemble_by_size=self._of_ensembles(together),
            together=together,
            together_notes=together_notes,
            compared=compared,
            summary=summarise_strategies(compared),
            trade_off=pairs_and_costs,
            other_people=other_people(self._table),
            notes=tuple(
                dict.fromkeys(
                    [*self._notes, *together_notes, *self._without_costs(len(pairs_and_costs))]
                )
            ),
        )

    def _without_score(self) -> list[str]:
        number = len(self._table.no_score)
        return [f"{number:,} cells have no score; they count as missing."] if number else []

    def _without_costs(self, n_ranked: int) -> list[str]:
        """Say how many pairs of parcellation and pipeline are not in the trade-off."""
        table = self._table.without_pipelines(combined_pipelines(self._table))
        key = ["parcellation", "pipeline"]
        every = pd.concat([table.frame[key], table.no_score[key]]).drop_duplicates()
        number = len(every) - n_ranked
        if table.measure != SCORE or not number:
            return []
        return [
            "Pairs of parcellation and pipeline left out of score, time and memory, as they lack a "
            f"target: {number:,} of {len(every):,}."
        ]

    def _ranked(self, table: StudyTable, within: tuple[str, ...]) -> Ranking | None:
        ranking = rank(table, within)
        if len(ranking.overall) < 2:
            what = "No ranks: fewer than two parcellations have the same pipelines and targets."
            self._notes.append(what)
            return None
        return ranking

    def _across(self) -> Ranking | None:
        several = self._singles.frame["pipeline"].nunique() > 1
        if self._table.measure != SCORE or not several:
            return None
        return self._ranked(self._singles, ("target",))

    def _together(self) -> tuple[Ranking | None, tuple[str, ...]]:
        """Rank single parcellations and ensembles where there are both; say what is left out."""
        ensembles = self._table.ensembles.frame
        if ensembles.empty:
            return None, ()
        said = []
        combined = combined_pipelines(self._table)
        if combined:
            names = listing(combined)
            said.append(
                f"Pipelines that no single parcellation has are not ranked with others: {names}."
            )
        table = self._table.without_pipelines(combined)
        every = {*zip(table.frame["pipeline"], table.frame["target"], strict=True)}
        # ranks among single parcellations alone say nothing of ensembles, and would cost those
        # the joint ranking: a parcellation that lacks a column leaves it
        pairs = every & {*zip(ensembles["pipeline"], ensembles["target"], strict=True)}
        if every - pairs:
            names = listing(f"{pipeline} x {target}" for pipeline, target in sorted(every - pairs))
            said.append(
                f"With ensembles: pipelines x targets that no ensemble has are left out of ranks, "
                f"{len(every - pairs)}: {names}."
            )
        ranking = rank(table, pairs=pairs)
        said += [f"With ensembles: {one}" for one in ranking.coverage.sentences()]
        if len(ranking.overall) < 2 or ranking.overall["strategy"].eq(SINGLE).all():
            said.append("No ranks with ensembles: none is left to be ranked.")
            return None, tuple(said)
        return ranking, tuple(said)

    def _scalings(self, points: pd.DataFrame | None, by: str) -> dict[str, Scaling]:
        found = {}
        for name, rows in points.groupby(by, sort=True) if points is not None else ():
            scaling = self._scaling(rows, f"{by} {name}")
            if scaling:
                found[str(name)] = scaling
        return found

    def _scaling(
        self,
        points: pd.DataFrame | None,
        what: str,
        choice: RegionChoice | None = None,
        *,
        resample: bool = False,
    ) -> Scaling | None:
        if points is None:
            return None
        place = {name: row for row, name in enumerate(self._table.order)}
        ordered = points.sort_values("parcellation", key=lambda names: names.map(place))
        try:
            return find_region(ordered, choice or self._choice, resample=resample)
        except DataError as error:
            without = " and no regression" if resample else ""
            self._notes.append(f"No power law{without} of {what}: {error.what}.")
            return None

    def _of_ensembles(self, together: Ranking | None) -> Regression | None:
        """Regress on size and whether it is an ensemble, over the sizes that ensembles have.

        The nearest region of all could have none of them.
        """
        if together is None:
            return None
        is_one = together.overall["strategy"].ne(SINGLE)
        points = together.overall.assign(ensemble=is_one.map({True: "yes", False: "no"}))
        choice = self._choice
        if choice == RegionChoice():
            sizes = points.loc[is_one, "size"]
            choice = RegionChoice(sizes=(int(sizes.min()), int(sizes.max())))
        scaling = self._scaling(points, "ensembles and single parcellations", choice)
        found = self._regression(points, scaling, ("ensemble",), ("ensemble",))
        # without the term it would be a second regression on size, of other points
        return found if found is not None and "ensemble" in found.baselines else None

    def _regression(
        self,
        points: pd.DataFrame | None,
        scaling: Scaling | None,
        factors: tuple[str, ...],
        by_size: tuple[str, ...] = (),
    ) -> Regression | None:
        """Regress in the region of the power law; without one, no regression is believed."""
        if points is None or scaling is None:
            return None
        terms = [*factors, *(f"{name} x size" for name in by_size)]
        try:
            found = regress(in_region(points, scaling), factors, by_size)
        except DataError as error:
            self._notes.append(f"No regression with {' and '.join(terms)}: {error.what}.")
            return None
        self._notes += [f"In the regression: {one}" for one in found.left_out]
        return found


def other_people(table: StudyTable) -> str:
    """Return a warning that scores of one target are of different participants, or nothing."""
    found = table.other_people()
    if not found:
        return ""
    which = listing(
        f"{target} ({least:,} to {most:,})"
        if least < most
        else f"{target} ({most:,}, not the same)"
        for target, (least, most) in found.items()
    )
    return (
        f"Ranks and comparisons are not on the same participants for all parcellations: {which}. A "
        "parcellation may be better because it lost participants that are hard to predict."
    )


def common_people(table: StudyTable) -> list[str]:
    """Return a sentence where scores are of those alone whom every parcellation can use."""
    if WHO not in table.frame:
        return []
    differ = table.other_people()
    rows = table.frame[table.frame[WHO].ne("") & ~table.frame["target"].isin(differ.keys())]
    numbers = rows.groupby("target", sort=True)["n_used"].max()
    if numbers.empty:
        return []
    which = listing(f"{target} ({int(number):,})" for target, number in numbers.items())
    return [
        f"Scores are of the participants whom every parcellation can use: {which}. Others have a "
        "map, but in some parcellation a parcel without finite values."
    ]


def unequal_folds(table: StudyTable) -> list[str]:
    """Return a sentence where a mean over folds counts some participants more than others."""
    if not table.unequal:
        return []
    sizes = (f"{target} ({few:,} to {many:,})" for target, (few, many) in table.unequal.items())
    beside = "; the pooled score stands beside it" if "pooled" in table.frame else ""
    return [
        f"Folds are unequal in participants: {listing(sizes)}. A score is the mean over folds, in "
        f"which a small fold counts as much as a large one{beside}."
    ]


def _by_target(ranking: Ranking | None, scaling: Scaling | None) -> pd.DataFrame:
    """Return the laws of targets, where there are several."""
    if ranking is None or scaling is None or ranking.cells["target"].nunique() < 2:
        return pd.DataFrame()
    return laws_by_target(ranking.cells, scaling)
