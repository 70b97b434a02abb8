"""Targets: columns of the participants table as numbers to learn.

    targets:
      mrs_bad: {column: mrs, threshold: 2}                         # above 2 is 1, at or below is 0
      age: {outliers_sd: 3}                                        # values further out are missing
      left: {column: handedness, positive: [left, both]}           # all other values are 0
      severe: {column: grade, positive: [4, 5], negative: [0, 1]}  # all other values are missing
      stage: {kind: regression}                                    # two different numbers

A target without settings is binary if its column holds two different values, else a regression.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.brain.arrays import Array
from jobpool.disk.spelling import alike, folded, name_of, normal
from jobpool.disk.tables import place
from jobpool.errors import DataError, listing, nearest
from jobpool.experiment.reader import Reader
from jobpool.learning.odd_values import WORDS, Counted, codes_for_missing
from jobpool.learning.pipelines.base import Kind
from jobpool.units import parse_number

_CONFLICTS = (
    ("threshold", "positive", "a threshold cuts numbers, positive lists classes; remove one"),
    ("outliers_sd", "positive", "only numbers have outliers, positive lists classes; remove one"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """How a target is made from a column."""

    column: str
    kind: Kind | None = None  # None: by the number of different values
    threshold: float | None = None  # greater values are 1
    outliers_sd: float | None = None  # values further from the mean become missing
    positive: tuple[str, ...] = ()  # values that are 1, each as text: 4 and 4.0 are both ``4``
    negative: tuple[str, ...] = ()  # values that are 0; without them all that are not positive


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """One column of the table as numbers."""

    name: str
    column: str
    kind: Kind
    y: Array  # (n,): 0 and 1 if binary, else float64 in the column's own unit; NaN if missing
    classes: tuple[str, ...] = ()  # what 0 and 1 stand for
    n_outliers: int = 0  # values left out as too far from the mean
    n_neither: int = 0  # values that are listed neither as positive nor as negative
    reason: str = ""  # why it is of this kind
    codes: Counted = ()  # values of the column that look like codes for missing

    @property
    def digest(self) -> str:
        """Return a SHA-256 of the values: another one means other data or other settings."""
        values = np.where(np.isnan(self.y), np.inf, self.y).astype("<f8")
        return hashlib.sha256("\n".join(self.classes).encode() + values.tobytes()).hexdigest()

    @property
    def present(self) -> NDArray[np.bool_]:
        """Return which participants have the target, shape (n,)."""
        return ~np.isnan(self.y)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Return why participants do not have the target, and how many each reason drops."""
        n_missing = int(np.isnan(self.y).sum()) - self.n_outliers - self.n_neither
        counts = {
            f"{self.column} is missing": n_missing,
            f"{self.column} is an outlier": self.n_outliers,
            f"{self.column} is neither positive nor negative": self.n_neither,
        }
        return {reason: count for reason, count in counts.items() if count}


def read_target_settings(reader: Reader, name: str) -> TargetSettings:
    """Return the settings of one target; `reader` collects the problems.

    Parameters
    ----------
    reader : Reader
        Of the mapping from targets to settings.
    name : str
        The target. It may have no settings.
    """
    own = reader.child(name)
    kinds = {one.value: one for one in Kind}
    kind = own.text("kind", choices=tuple(kinds)) if own.has("kind") else ""
    settings = TargetSettings(
        column=normal(own.text("column", default=name)),
        kind=kinds.get(kind),
        threshold=own.number("threshold") if own.has("threshold") else None,
        outliers_sd=own.number("outliers_sd", above=0) if own.has("outliers_sd") else None,
        positive=_read_values(own, "positive"),
        negative=_read_values(own, "negative"),
    )
    _check_together(own, settings)
    return settings


def _read_values(reader: Reader, key: str) -> tuple[str, ...]:
    """Return a list of values as texts; a single value is a list of one."""
    value = reader.raw(key)
    if value is None:
        return ()
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str | int | float) for one in values):
        reader.problem(key, value, "must be a list of values of the column, such as [left, both]")
        return ()
    return tuple(dict.fromkeys(name_of(_as_text(one)) for one in values))


def _check_together(reader: Reader, settings: TargetSettings) -> None:
    for key, other, advice in _CONFLICTS:
        if reader.has(key) and reader.has(other):
            reader.problem(key, reader.raw(key), f"cannot stand beside {other}: {advice}")
    if reader.has("negative") and not reader.has("positive"):
        advice = "needs positive beside it: list there which values are 1"
        reader.problem("negative", reader.raw("negative"), advice)
    both = [one for one in settings.negative if one in settings.positive]
    if both:
        advice = f"{listing(both)} cannot be positive as well; remove it from one of the lists"
        reader.problem("negative", reader.raw("negative"), advice)
    cut = next((key for key in ("threshold", "positive") if reader.has(key)), None)
    if settings.kind is Kind.REGRESSION and cut:
        reader.problem("kind", "regression", f"{cut} makes two classes; remove one of the two")
    if settings.kind is Kind.BINARY and settings.outliers_sd is not None and not cut:
        advice = "two classes have no outliers; remove it, or give a threshold"
        reader.problem("outliers_sd", settings.outliers_sd, advice)


def read_target(frame: pd.DataFrame, name: str, settings: TargetSettings | None = None) -> Target:
    """Return a column as a target: binary with two different values, else regression.

    The class that sorts last, such as 1 or ``yes``, is the positive one. Settings may say
    otherwise.

    Parameters
    ----------
    frame : DataFrame
        The participants table.
    name : str
        The target.
    settings : TargetSettings, optional
        Without them, the column called `name` as it is.

    Raises
    ------
    DataError
        If there is no such column, if it holds neither numbers nor two classes, or infinite
        numbers, or if the settings are wrong for its values.
    """
    settings = settings or TargetSettings(column=name)
    if settings.column not in frame.columns:
        known = [str(column) for column in frame.columns]
        what = f"{settings.column!r} is no column of the participants table; it has: "
        raise DataError(name, what + listing(known) + nearest(settings.column, known))
    column = frame[settings.column]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    values = _different(column, name)
    if len(values) < 2:
        what = f"has {len(values)} different values; a target needs two classes or numbers"
        raise DataError(name, what)
    target = _as_numbers(column, values, name, settings)
    return replace(target, reason=_reason(settings, len(values)), codes=codes_for_missing(column))


def _reason(settings: TargetSettings, n_values: int) -> str:
    """Return why a target is of its kind: what the file says, or how many values there are."""
    if settings.positive:
        return "by the list of positive values"
    if settings.threshold is not None:
        return f"by threshold {_as_text(settings.threshold)}"
    return f"kind: {settings.kind}" if settings.kind else f"{n_values:,} different values"


def _as_numbers(
    column: "pd.Series[Any]", values: list[Any], name: str, settings: TargetSettings
) -> Target:
    """Return the target that a column of these different values is."""
    if settings.positive:
        return _listed_classes(column, name, settings)
    if settings.threshold is not None:
        return _cut(column, name, settings, settings.threshold)
    if len(values) == 2 and settings.kind is not Kind.REGRESSION:
        return _two_classes(column, name, settings)
    if settings.kind is Kind.BINARY:
        what = f"is set to be binary, but has {len(values)} different values; give a threshold, or "
        raise DataError(name, what + "list which values are positive")
    y, n_outliers = _numbers(column, name, settings)
    return Target(
        name=name, column=settings.column, kind=Kind.REGRESSION, y=y, n_outliers=n_outliers
    )


def _different(column: "pd.Series[Any]", name: str) -> list[Any]:
    try:
        found: list[Any] = column[column.notna()].unique().tolist()
    except TypeError as error:  # lists, as Parquet may hold them
        what = "holds lists or the like, neither numbers nor texts; make a column for each value"
        raise DataError(name, what) from error
    return found


def _two_classes(column: "pd.Series[Any]", name: str, settings: TargetSettings) -> Target:
    values: list[Any] = column[column.notna()].unique().tolist()
    values.sort(key=_order(values))
    if alike(map(str, values), folded):
        what = f"its two classes are {values[0]!r} and {values[1]!r}, which differ in capitals "
        raise DataError(name, what + "only; write them in one way")
    if settings.outliers_sd is not None:
        what = "outliers_sd is for numbers, but the column has two different values; remove it, or "
        raise DataError(name, what + "set kind: regression")
    codes = column.map({value: float(code) for code, value in enumerate(values)})
    return Target(
        name=name,
        column=settings.column,
        kind=Kind.BINARY,
        y=codes.to_numpy(dtype=np.float64, na_value=np.nan),
        classes=tuple(str(value) for value in values),
    )


def _order(values: list[Any]) -> Callable[[Any], Any]:
    """Return what classes are sorted by: numbers by size, also where a file holds them as texts."""
    numbers = pd.to_numeric(pd.Series(list(map(str, values))), errors="coerce")
    if numbers.notna().all() and not any(isinstance(one, bool) for one in values):
        return float
    return lambda one: (str(type(one)), one)


def _numbers(
    column: "pd.Series[Any]", name: str, settings: TargetSettings
) -> tuple[NDArray[np.float64], int]:
    """Return the values without outliers, and how many of these there are."""
    if not pd.api.types.is_numeric_dtype(column):
        values = sorted(map(_as_text, column[column.notna()].unique().tolist()))
        what = (
            f"holds {len(values)} different texts ({listing(values, most=4)}), neither numbers nor "
            "two classes; recode it in the table, or list which values are positive"
        )
        raise DataError(name, what + _first_odd(column))
    y = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(y).any():
        what = f"{int(np.isinf(y).sum())} values are infinite; leave those cells empty"
        raise DataError(name, what)
    if settings.outliers_sd is None:
        return y, 0
    # once only: the mean and SD of what is left would make new outliers
    far = np.abs(y - np.nanmean(y)) > settings.outliers_sd * np.nanstd(y, ddof=1)
    y = np.where(far, np.nan, y)
    if np.nanmin(y, initial=np.inf) >= np.nanmax(y, initial=-np.inf):
        what = f"{int(far.sum())} values are outliers and the others are all the same; give a "
        raise DataError(name, what + "larger outliers_sd")
    return y, int(far.sum())


def _first_odd(column: "pd.Series[Any]") -> str:
    """Say which text keeps a column from being numbers, and what to do about it."""
    texts = [None if pd.isna(one) else str(one) for one in column.tolist()]
    odd = [at for at, one in enumerate(texts) if one is not None and parse_number(one) is None]
    some_are_numbers = len(odd) < sum(one is not None for one in texts)
    at = next((at for at in odd if some_are_numbers or _begins_with_digit(str(texts[at]))), None)
    if at is None:
        word = next((one for one in texts if one and one.casefold() in WORDS), None)
        return "" if word is None else f"; {word!r}: {_cure(word)}"
    text = str(texts[at])
    return f"; {place(column.index, at)}: {text!r} is no number: {_cure(text)}"


def _cure(text: str) -> str:
    if text.casefold() in WORDS:
        return f"if it stands for a missing value, list it: missing: [{text!r}]"
    if _begins_with_digit(text) and any(sign in text for sign in ",' _"):
        return "write a point before the decimals, and nothing between thousands"
    if re.fullmatch(r"[-+]?0[0-9.]+", text):
        return "leading zeros make it a code; leave them out"
    return "write digits alone, or leave the cell empty"


def _begins_with_digit(text: str) -> bool:
    return text.lstrip("+-\u2212\u2013<>=~\"'")[:1].isdigit()


def _cut(column: "pd.Series[Any]", name: str, settings: TargetSettings, threshold: float) -> Target:
    values, n_outliers = _numbers(column, name, settings)
    y = np.where(np.isnan(values), np.nan, (values > threshold).astype(np.float64))
    limit = _as_text(threshold)
    if np.nanmin(y) == np.nanmax(y):
        side = "at or below" if np.nanmin(y) else "above"
        ends = f"from {_as_text(np.nanmin(values))} to {_as_text(np.nanmax(values))}"
        what = f"no value is {side} the threshold {limit}: they go {ends}; give one in between"
        raise DataError(name, what)
    return Target(
        name=name,
        column=settings.column,
        kind=Kind.BINARY,
        y=y,
        classes=(f"{settings.column} <= {limit}", f"{settings.column} > {limit}"),
        n_outliers=n_outliers,
    )


def _listed_classes(column: "pd.Series[Any]", name: str, settings: TargetSettings) -> Target:
    texts = column.map(_as_text, na_action="ignore")
    if pd.api.types.is_bool_dtype(column):  # "TRUE" in the file
        settings = replace(
            settings,
            positive=tuple(one.capitalize() for one in settings.positive),
            negative=tuple(one.capitalize() for one in settings.negative),
        )
    known = sorted(texts[texts.notna()].unique().tolist())
    for key, listed in (("positive", settings.positive), ("negative", settings.negative)):
        strange = [one for one in listed if one not in known]
        if strange:
            raise DataError(name, _not_held(key, strange, settings.column, known))
    _check_spelling(known, (*settings.positive, *settings.negative), name, settings.column)
    one = texts.isin(settings.positive).to_numpy()
    present = texts.notna().to_numpy()
    zero = texts.isin(settings.negative).to_numpy() if settings.negative else present & ~one
    if not zero.any():
        what = f"positive lists every value of the column {settings.column}; leave some for class 0"
        raise DataError(name, what)
    others = listing(settings.negative) if settings.negative else "others"
    return Target(
        name=name,
        column=settings.column,
        kind=Kind.BINARY,
        y=np.select([one, zero], [1.0, 0.0], np.nan),
        classes=(
            f"{settings.column}: {others}",
            f"{settings.column}: {listing(settings.positive)}",
        ),
        n_neither=int((present & ~one & ~zero).sum()),
    )


def _check_spelling(known: list[str], listed: Collection[str], name: str, column: str) -> None:
    """Refuse a value that is not listed, while another spelling of it is."""
    for both in alike(known, folded):
        others = [one for one in both if one not in listed]
        if others and len(others) < len(both):
            what = f"the column {column} holds {listing(map(repr, both))}, which differ only in "
            what += f"capitals; list {listing(map(repr, others))} too, or write them in one way"
            raise DataError(name, what)


def _not_held(key: str, strange: list[str], column: str, known: list[str]) -> str:
    advice = ", ".join(f"{one!r}{nearest(one, known)}" for one in strange)
    if {"True", "False"} & set(strange):
        advice += "; put quotes around yes, no, on or off"
    return f"{key} lists what the column {column} does not hold ({listing(known)}): {advice}"


def _as_text(value: object) -> str:
    """Return a value as a lab writes it: a column of whole numbers with gaps is read as floats."""
    if isinstance(value, float | np.floating) and value.is_integer():
        return str(int(value))
    return str(value)
