"""The study table: one row per parcellation, pipeline and target, checked once when it is made.

Each error names the column, the row, the value and the cure.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from jobpool.disk.tables import Missing, place, places, read_table
from jobpool.errors import DataError, listing, nearest
from jobpool.units import parse_number

KEY = ("parcellation", "pipeline", "target")
POSITIVE = "positive_class"  # of results: which class of a target is 1
SINGLE = "single"
SCORE, MEAN_RANK = "score", "mean_rank"
LABELS: Mapping[str, str] = {
    "r2": "R²",
    "explained_variance": "Explained variance",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "mse": "Mean squared error",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
    "median_absolute_error": "Median absolute error",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "balanced_accuracy": "Balanced accuracy",
    "matthews": "Matthews correlation",
    "accuracy": "Accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
LOWER_IS_BETTER = frozenset({"mse", "rmse", "mae", "median_absolute_error"})
_TEXTS = ("parcellation", "type", "pipeline", "target", "strategy", "set", "task")
_DEFAULTS: dict[str, str | int | float] = {
    "strategy": SINGLE,
    "set": "",
    "members": 1,
    "seconds": float("nan"),
    "memory_mb": float("nan"),
    "task": "",
}
_MAY_BE_EMPTY = ("set", "task", "used_digest")
_ORDER = ["size", "parcellation", "pipeline", "target"]
# columns of numbers that the table has only where they are given
_OPTIONAL = ("sd", "n_folds", "pooled", "n_used")
WHO = "used_digest"
UNEQUAL = 2  # times the participants of the smallest fold
_NAMES = (*KEY, "size", "type", SCORE, MEAN_RANK, *_DEFAULTS, *_OPTIONAL, WHO)
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyTable:
    """Results of a study, sorted by size, parcellation, pipeline and target.

    Attributes
    ----------
    frame : DataFrame
        Columns ``parcellation``, ``size`` (parcels), ``type``, ``pipeline``, ``target``,
        ``score`` (higher is better) or ``mean_rank`` (1 is best), ``strategy`` (``single`` for
        one parcellation alone), ``set``, ``members``, ``seconds``, ``memory_mb`` (NaN where
        unknown) and ``task``. Where they are known: ``sd`` of the score over ``n_folds`` folds, the
        ``pooled`` score of the participants of all folds together where these are unequal,
        ``n_used`` (participants that it is of) and ``used_digest`` (which ones, where some
        parcellation cannot use all that have a map).
    source : str
        Where the rows come from: a file, or a pool.
    measure : str
        ``score`` or ``mean_rank``.
    metrics : mapping of str to str
        The score of each target, such as ``r2``; empty for a table from elsewhere.
    no_score : DataFrame
        Rows that have no score, with the same columns but the measure: missing cells.
    order : tuple of str
        The parcellations as they come in the source.
    unequal : mapping of str to (int, int)
        Targets with unequal folds: participants in the smallest and in the largest.
    """

    frame: pd.DataFrame
    source: str
    measure: str
    metrics: Mapping[str, str] = field(default_factory=dict)
    no_score: pd.DataFrame
    order: tuple[str, ...] = ()
    unequal: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("frame", "no_score"):
            ordered = getattr(self, name).sort_values(_ORDER, ignore_index=True)
            object.__setattr__(self, name, ordered)

    def score_label(self, target: str) -> str:
        """Return what to call the score of a target; errors are negated."""
        metric = self.metrics.get(target, "")
        label = LABELS.get(metric, metric or "Score")
        return f"Negated {label[0].lower()}{label[1:]}" if metric in LOWER_IS_BETTER else label

    def other_people(self) -> dict[str, tuple[int, int]]:
        """Return the targets whose scores are of different participants: fewest and most.

        Two parcellations that lost as many may have lost others; which ones a result of an earlier
        version lost is unknown.
        """
        found = {}
        known = self.frame.reindex(columns=["target", "n_used", WHO])
        for target, rows in known.groupby("target", sort=True):
            numbers, who = rows["n_used"].dropna(), set(rows[WHO].astype("object").dropna())
            who |= {""} if rows[WHO].isna().any() else set()
            if numbers.nunique() > 1 or len(who) > 1 or "unknown" in who:
                ends = (numbers.min(), numbers.max()) if len(numbers) else (0, 0)
                found[str(target)] = (int(ends[0]), int(ends[1]))
        return found

    @property
    def singles(self) -> "StudyTable":
        """Return the rows of one parcellation alone."""
        return self._part(single=True)

    @property
    def ensembles(self) -> "StudyTable":
        """Return the rows of strategies over several parcellations."""
        return self._part(single=False)

    def without_pipelines(self, names: Collection[str]) -> "StudyTable":
        """Return the rows of all other pipelines."""
        frames = (self.frame, self.no_score)
        kept = [one[~one["pipeline"].isin(names)] for one in frames]
        return replace(self, frame=kept[0], no_score=kept[1])

    def of_pairs(self, pairs: Collection[tuple[str, str]]) -> "StudyTable":
        """Return the rows of these pairs of pipeline and target."""
        wanted = list(pairs)
        frames = (self.frame, self.no_score)
        kept = [
            one[pd.MultiIndex.from_frame(one[["pipeline", "target"]]).isin(wanted)]
            for one in frames
        ]
        return replace(self, frame=kept[0], no_score=kept[1])

    def _part(self, *, single: bool) -> "StudyTable":
        frames = (self.frame, self.no_score)
        kept = [one[(one["strategy"] == SINGLE) == single] for one in frames]
        return replace(self, frame=kept[0], no_score=kept[1])


def read_study_table(path: Path, missing: Collection[str] | None = None) -> StudyTable:
    """Return the table in a ``.csv``, ``.tsv`` or ``.parquet`` file.

    Parameters
    ----------
    path : Path
        Columns ``parcellation``, ``size``, ``type``, ``pipeline``, ``target`` and ``score``
        (higher is better); or ``parcellation``, ``size``, ``type`` and ``mean_rank`` (1 is best),
        where ``pipeline`` and ``target`` may be missing. ``strategy``, ``set``, ``members``,
        ``seconds``, ``memory_mb``, ``sd``, ``n_folds``, ``n_used``, ``used_digest`` and ``task``
        may be given; other columns are left aside.
    missing : collection of str, optional
        The words for a missing value; by default the usual ones.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, or holds a value that cannot be. The text names
        the column, the line and the value.
    """
    table, source = read_table(path, once=_NAMES, missing=missing), str(path)
    # as text: an error shows the value as it was written
    written = {name: table.written(name) for name in table.header}
    index = pd.Index(table.raw.places, name=table.raw.by)
    frame = pd.DataFrame(written, index=index, dtype=object)
    if frame.empty:
        raise DataError(path, "has no rows; give one per parcellation, pipeline and target")
    if SCORE in frame and MEAN_RANK in frame:
        raise DataError(source, "has both 'score' and 'mean_rank'; keep the one to be analysed")
    measure = MEAN_RANK if MEAN_RANK in frame else SCORE
    if measure == MEAN_RANK:
        frame = frame.assign(**{one: "all" for one in ("pipeline", "target") if one not in frame})
    _check_columns(frame, [*KEY, "size", "type", measure], source)
    words = table.missing
    values = _numbers(frame, measure, source, words, above_zero=measure == MEAN_RANK)
    return _checked(frame.assign(**{measure: values}), source, measure, {}, words)


def from_results(
    frame: pd.DataFrame,
    source: str,
    metrics: Mapping[str, str] = _EMPTY,
    scores: Collection[str] = (),
) -> StudyTable:
    """Return the study table of collected results.

    A row whose score is missing, because a solver failed or the task is not done, becomes a
    missing cell.

    Parameters
    ----------
    frame : DataFrame
        One row per task, as ``jobpool collect`` gives it: ``parcellation``, ``parcels``,
        ``parcellation_type`` or ``parcellation_kind``, ``pipeline``, ``target``, scores; where
        there are any, ``target_kind``, ``strategy``, ``inputs``, ``members``, ``task_seconds``,
        ``fit_seconds``, ``peak_memory_mb``, ``task``. Seconds are those of the fits where they are
        known: a task that found its fits took none itself.
    source : str
        What errors name: the pool.
    metrics : mapping of str to str, optional
        The score to use by kind of target, such as ``{"regression": "mae"}``. By default the
        first one reported: the first column of scores that has a value for the target.
    scores : collection of str, optional
        The columns that are scores; by default those named in `LABELS`.

    Raises
    ------
    DataError
        If a column is missing, or holds a value that cannot be; if `metrics` names a kind that
        no target has, or what is no score of that kind.
    """
    kind = "parcellation_type" if "parcellation_type" in frame else "parcellation_kind"
    _check_columns(frame, [*KEY, "parcels", kind], source)
    names = {"parcels": "size", kind: "type", "task_seconds": "seconds"}
    names |= {"peak_memory_mb": "memory_mb", "inputs": "set"}
    wanted = [*KEY, *names, "strategy", "members", "n_used", WHO, "task"]
    table = frame[[one for one in wanted if one in frame]].rename(columns=names)
    if "strategy" in table and "set" in table:
        table["set"] = table["set"].where(table["strategy"].ne(SINGLE), "")
    if "seconds" in table and "fit_seconds" in frame:
        table["seconds"] = frame["fit_seconds"].fillna(table["seconds"])
    chosen = _chosen_metrics(frame, source, metrics, scores)
    table[SCORE] = _scores(frame, chosen)
    table = table.join(_spread(frame, chosen)).join(_pooled(frame, chosen))
    made = _checked(table.reset_index(drop=True), source, SCORE, chosen, Missing())
    return replace(made, unequal=_unequal_folds(frame))


def _chosen_metrics(
    frame: pd.DataFrame, source: str, metrics: Mapping[str, str], scores: Collection[str]
) -> dict[str, str]:
    """Return the score of each target that has one."""
    known = [str(name) for name in frame.columns if name in (scores or LABELS)]
    _check_columns(frame, ["target_kind"] if metrics else [], source)
    for kind, name in metrics.items():
        _check_metric(frame, kind, name, source, known)
    chosen = {}
    for target, rows in frame.groupby("target", sort=True):
        kind = str(rows["target_kind"].iloc[0]) if "target_kind" in rows else ""
        names = [name for name in known if name == metrics.get(kind, name)]
        with_values = [name for name in names if rows[name].notna().any()]
        if with_values:
            chosen[str(target)] = with_values[0]
    if not chosen:
        what = f"no score in its columns ({listing(frame.columns)}); wait for the first result"
        raise DataError(source, what)
    return chosen


def _check_metric(
    frame: pd.DataFrame, kind: str, name: str, source: str, scores: Collection[str]
) -> None:
    """Raise a DataError unless the targets of a kind have this score."""
    kinds = sorted(set(frame["target_kind"].dropna().astype(str)))
    if kind not in kinds:
        what = f"no result has a target of kind {kind!r}{nearest(kind, kinds)}"
        raise DataError(source, f"{what} (choose from: {listing(kinds)})")
    rows = frame.loc[frame["target_kind"].astype(str) == kind]
    choices = [one for one in scores if rows[one].notna().any()]
    if name not in choices and choices:
        what = f"targets of kind {kind!r} have no score {name!r}{nearest(name, choices)}"
        raise DataError(source, f"{what} (choose from: {listing(choices)})")


def _scores(frame: pd.DataFrame, chosen: Mapping[str, str]) -> pd.Series:
    """Return the chosen score of each row, negated where lower is better; NaN where missing."""
    scores = pd.Series(float("nan"), index=frame.index)
    metric = frame["target"].astype(str).map(chosen)
    for name in sorted(set(chosen.values())):
        sign = -1.0 if name in LOWER_IS_BETTER else 1.0
        scores = scores.mask(metric == name, sign * pd.to_numeric(frame[name]))
    return scores


def _spread(frame: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
    """Return ``sd`` and ``n_folds`` of the chosen score, where results have those of folds."""
    metric = frame["target"].astype(str).map(chosen)
    found = pd.DataFrame({"sd": float("nan"), "n_folds": float("nan")}, index=frame.index)
    for name in sorted(set(chosen.values())):
        of_fold = re.compile(re.escape(name) + r"_fold\d+")
        columns = [one for one in map(str, frame.columns) if of_fold.fullmatch(one)]
        if columns:
            folds = frame[columns].apply(pd.to_numeric)
            found["sd"] = found["sd"].mask(metric == name, folds.std(axis=1))
            found["n_folds"] = found["n_folds"].mask(metric == name, folds.count(axis=1))
    return found if found["n_folds"].notna().any() else found[[]]


def _pooled(frame: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
    """Return ``pooled``, the chosen score of all folds together, where results have one."""
    columns = [name for name in sorted(set(chosen.values())) if f"{name}_pooled" in frame]
    if not columns:
        return frame[[]]
    renamed = frame[["target", *(f"{name}_pooled" for name in columns)]].rename(
        columns=lambda name: name.removesuffix("_pooled")
    )
    rest = {target: name for target, name in chosen.items() if name in columns}
    return _scores(renamed, rest).rename("pooled").to_frame()


def _unequal_folds(frame: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return the targets of which some fold has twice the participants of another."""
    columns = [name for name in map(str, frame.columns) if re.fullmatch(r"n_test_fold\d+", name)]
    found = {}
    for target, rows in frame.groupby("target", sort=True)[columns] if columns else ():
        least, most = rows.min(axis=1), rows.max(axis=1)  # of each row: rows may be of other people
        unequal = most >= UNEQUAL * least
        if unequal.any():
            found[str(target)] = (int(least[unequal].min()), int(most[unequal].max()))
    return found


def _checked(
    frame: pd.DataFrame, source: str, measure: str, metrics: Mapping[str, str], missing: Missing
) -> StudyTable:
    """Return the table with columns of fixed types, in its order."""
    frame = _with_defaults(frame, missing)
    clean = pd.DataFrame({name: _texts(frame, name, source) for name in _TEXTS})
    clean["size"] = _whole_numbers(frame, "size", source, missing)
    clean["members"] = _whole_numbers(frame, "members", source, missing)
    clean[measure] = pd.to_numeric(frame[measure]).astype("float64")
    optional = [name for name in _OPTIONAL if name in frame]
    if WHO in frame:
        clean[WHO] = _texts(frame, WHO, source)
    for name in ("seconds", "memory_mb", *optional):
        clean[name] = _numbers(frame, name, source, missing, may_miss=True)
    _check_unique(clean, source)
    for name in ("size", "type", "strategy", "members"):
        _check_one_value_each(clean, name, source)
    order = ["parcellation", "size", "type", "pipeline", "target", measure]
    order += ["strategy", "set", "members", "seconds", "memory_mb", *optional]
    order += [*([WHO] if WHO in frame else []), "task"]
    clean = clean[order]
    without = clean[measure].isna()
    return StudyTable(
        frame=clean[~without],
        source=source,
        measure=measure,
        metrics=dict(metrics),
        no_score=clean[without].drop(columns=measure),
        order=tuple(dict.fromkeys(clean["parcellation"])),
    )


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str], source: str) -> None:
    """Raise a DataError if a column is missing."""
    missing = [name for name in wanted if name not in frame]
    if missing:
        found = [str(name) for name in frame.columns]
        hint = nearest(missing[0], found)
        what = f"no column {listing(map(repr, missing))}{hint} (its columns: {listing(found)})"
        raise DataError(source, f"{what}; name the columns as docs/analysis.md does")


def _with_defaults(frame: pd.DataFrame, missing: Missing) -> pd.DataFrame:
    """Return the frame with the columns that may be left out, whether they were or not.

    Empty cells are filled too. The number of members is filled for single parcellations alone: of
    an ensemble it must be known, unless the whole column is left out.
    """
    frame = frame.copy()
    for name, value in _DEFAULTS.items():
        if name not in frame:
            frame[name] = value
    every = pd.Series(data=True, index=frame.index)
    _fill(frame, "strategy", every, missing)
    _fill(frame, "set", every, missing)
    is_single = frame["strategy"].astype(str).str.strip() == SINGLE
    _fill(frame, "members", is_single, missing)
    return frame


def _fill(frame: pd.DataFrame, name: str, rows: pd.Series, missing: Missing) -> None:
    """Fill the empty cells of some rows of a column."""
    column = frame[name].astype("object")
    empty = column.isna() | column.astype(str).str.strip().isin(missing.everywhere)
    frame[name] = column.mask(rows & empty, _DEFAULTS[name])


def _texts(frame: pd.DataFrame, name: str, source: str) -> pd.Series:
    """Return a column as text without blanks around it.

    Raises
    ------
    DataError
        If a value is missing where one must be.
    """
    column = frame[name]
    found = column.astype("object").where(column.notna(), "").astype(str).str.strip()
    if name not in _MAY_BE_EMPTY:
        bad = found == ""
        _raise_at(frame, name, bad, source, "is empty; fill it in, or leave the row out")
    return found.astype("str")


def _numbers(
    frame: pd.DataFrame,
    name: str,
    source: str,
    missing: Missing,
    *,
    above_zero: bool = False,
    may_miss: bool = False,
) -> pd.Series:
    """Return a column as float64.

    Raises
    ------
    DataError
        If a value is no finite number, is not above zero where it must be, or is missing where
        it must not be.
    """
    column = frame[name]
    gone = column.isna() | column.isin((*missing.everywhere, *missing.in_numbers))
    gone |= column.map(_float).isin(missing.numbers)
    if not may_miss:
        cure = "is missing; leave out rows that have no result"
        _raise_at(frame, name, gone, source, cure)
    found = column.map(_float).astype("float64").mask(gone)
    bad = ~gone & ~np.isfinite(found)
    _raise_at(frame, name, bad, source, "is no finite number; write one such as 0.25")
    if above_zero:
        _raise_at(frame, name, found <= 0, source, "is not above 0; the best rank is 1")
    return found


def _float(value: object) -> float:
    """Return a number or the text of one as a number; NaN for others."""
    number = parse_number(value) if isinstance(value, str) else value
    return float(number) if isinstance(number, int | float | np.number) else float("nan")


def _whole_numbers(frame: pd.DataFrame, name: str, source: str, missing: Missing) -> pd.Series:
    """Return a column as int64.

    Raises
    ------
    DataError
        If a value is no whole number from 1.
    """
    found = _numbers(frame, name, source, missing)
    bad = (found < 1) | (found != found.round()) | (found > 2**53)
    _raise_at(frame, name, bad, source, "is no whole number from 1; correct it")
    return found.astype("int64")


def _check_unique(frame: pd.DataFrame, source: str) -> None:
    """Raise a DataError if a parcellation, pipeline and target stand in two rows."""
    key = list(KEY)
    twice = frame.duplicated(key)
    if twice.any():
        second = int(np.argmax(twice))
        same = (frame[key] == frame[key].iloc[second]).all(axis=1)
        rows = places(frame.index, np.flatnonzero(same).tolist())
        values = ", ".join(f"{name} {frame[name].tolist()[second]!r}" for name in KEY)
        what = f"{rows} are all of {values}; keep one row for each"
        raise DataError(source, what)


def _check_one_value_each(frame: pd.DataFrame, name: str, source: str) -> None:
    """Raise a DataError if a parcellation has two values in a column that describes it."""
    first = frame.groupby("parcellation")[name].transform("first")
    other = first != frame[name]
    if other.any():
        second = int(np.argmax(other))
        label = str(frame["parcellation"].iloc[second])
        rows = [int(np.argmax(frame["parcellation"] == label)), second]
        both = zip(frame[name].iloc[rows].tolist(), rows, strict=True)
        values = ", ".join(f"{value} in {place(frame.index, row)}" for value, row in both)
        what = f"column {name!r}: parcellation {label!r} has two values: {values}"
        raise DataError(source, f"{what}; give it one, or two names")


def _raise_at(frame: pd.DataFrame, name: str, bad: pd.Series, source: str, cure: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        others = int(bad.sum()) - 1
        more = f" ({others} more rows like it)" if others else ""
        value = frame[name].iloc[[row]].tolist()[0]  # plain Python: no np.float64() in the text
        where = f"column {name!r}, {place(frame.index, row)}"
        raise DataError(source, f"{where}: {value!r} {cure}{more}")
