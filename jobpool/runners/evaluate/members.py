"""Fits of members, from the fit cache: each is made once for all tasks of a pool that need it.

    POOL/cache/fits/    what the members of ensembles predict, and nothing else

The key of a fit is a hash of everything that it is made of, so that an existing fit is found
without opening a map. A task that lacks fits makes the free ones, and waits for those of others.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.cache.fits.cache import Bucket, FitCache
from jobpool.cache.fits.file import Entry
from jobpool.cache.roi.cache import RoiCache
from jobpool.cache.roi.store import RoiMatrix
from jobpool.errors import DataError, Fault, JobpoolError, StorageError
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import NoCandidateError, fit, fit_key
from jobpool.learning.folds import Folds, TooFewError
from jobpool.learning.participants import NOT_FINITE, OF_OTHERS, usable_participants
from jobpool.learning.search import Recipe
from jobpool.learning.targets import Target
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.common import Common, digest_of
from jobpool.runners.evaluate.inputs import MADE_OF, MAPS, inputs_of_values
from jobpool.task import Json

FACTS = "values"  # where the fit cache keeps facts about the ROI values of a fit
UNUSABLE = "unusable"  # and the participants that have the target, but no ROI values
FAILED = "failed"  # instead of a fit: why it is impossible
_TRIES = 5
Member = tuple[str, str]  # parcellation and pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredFit:
    """One fit of a member: on the training part of an outer fold, or on that less an inner fold."""

    member: Member
    fold: int
    inner: int | None = None


class MemberError(JobpoolError):
    """A member of a task cannot be fitted."""

    fault = Fault.TASK
    advice = "correct the member, or leave it out"

    def __init__(self, required: RequiredFit, what: str) -> None:
        super().__init__(required, what)
        self.required, self.what = required, what

    def __str__(self) -> str:
        parcellation, pipeline = self.required.member
        without = (
            "" if self.required.inner is None else f" without inner fold {self.required.inner}"
        )
        return (
            f"{parcellation} by {pipeline}, outer fold {self.required.fold}{without}: {self.what}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """The ROI values of a parcellation for participants that have the target."""

    matrix: RoiMatrix
    usable: Array  # (n_participants,) bool
    dropped: Mapping[str, int]  # reason -> participants

    @classmethod
    def of(cls, matrix: RoiMatrix, target: Target, common: Common | None = None) -> "Values":
        """Return the values of `matrix` for a target, and those of common participants alone."""
        usable, dropped = usable_participants(
            target, matrix.values, matrix.dropped, None if common is None else common.usable
        )
        return cls(matrix=matrix, usable=usable, dropped=dropped)

    @cached_property
    def features(self) -> FloatArray:
        """Return the features, shape (n_usable, n_features), float64."""
        features: FloatArray = self.matrix.values[self.usable].astype(np.float64)
        return features

    @property
    def _lost_some(self) -> bool:
        return NOT_FINITE in self.dropped or OF_OTHERS in self.dropped

    def facts(self) -> dict[str, Json]:
        """Return the facts about them that a result holds."""
        return {
            "roi_values": self.matrix.key[:12],
            "participants": {
                "in_table": len(self.usable),
                "used": int(self.usable.sum()),
                "dropped": dict(self.dropped),
                **({"digest": digest_of(self.usable)} if self._lost_some else {}),
            },
            "n_parcels": self.matrix.n_parcels,
            "n_empty_parcels": self.matrix.n_empty,
            "n_non_finite": self.matrix.n_non_finite,
            "n_features": int(self.matrix.values.shape[1]),
            MADE_OF: {MAPS: self.matrix.maps, "parcellation": self.matrix.parcellation},
        }


@dataclass(kw_only=True, eq=False)
class MemberFits:
    """The fits that one task needs.

    Attributes
    ----------
    target : Target
        What is predicted.
    recipe_of : callable
        Returns the recipe of a pipeline by its name.
    folds : Folds
        The training and test parts.
    roi : RoiCache
        The values of all parcellations.
    common : Common, optional
        The participants that every parcellation can use, where tasks are compared on these.
    kept : FitCache
        Where fits are kept.
    out_of_fold : FitCache
        Where the out-of-fold predictions are kept that the experiment asks for.
    versions : mapping
        Of the libraries that may change a fit.
    context : RunContext
        What the task may use.
    every_s : float
        Seconds of work on one fit that may be lost.
    check : callable
        Refuses inputs that differ from those of the pool.
    """

    target: Target
    recipe_of: Callable[[str], Recipe]
    folds: Folds
    roi: RoiCache
    common: Common | None
    kept: FitCache
    out_of_fold: FitCache
    versions: Mapping[str, str]
    context: RunContext
    every_s: float
    check: Callable[[Mapping[str, str]], None]
    made: int = 0
    reused: int = 0
    waited_s: float = 0.0
    _keys: dict[RequiredFit, str] = field(default_factory=dict)
    _values: tuple[str, Values] | None = None
    _n_left: int | None = None
    _is_noted: bool = False
    _roi_keys: dict[str, str] = field(default_factory=dict)

    def get(self, required_fits: Sequence[RequiredFit]) -> dict[RequiredFit, Entry]:
        """Return fits of one outer fold: make the missing ones, or wait for other workers' fits.

        Raises
        ------
        OutOfTimeError
            If some are still missing at the deadline of the context.
        DataError, StorageError
            If a parcellation cannot be used, or the disk is full or failing.
        """
        found: dict[str, Entry] = {}
        for pipeline in dict.fromkeys(required.member[1] for required in required_fits):
            bucket = self.kept.bucket(self._bucket_name(pipeline, required_fits[0].fold))
            mine = [required for required in required_fits if required.member[1] == pipeline]
            # two parcellations of the same content have one key
            found |= self._fill(bucket, {self.key(required): required for required in mine})
        for required in required_fits:
            if (why := found[self.key(required)].about.get(FAILED)) is not None:
                raise MemberError(required, str(why))
        return {required: found[self.key(required)] for required in required_fits}

    def keep(
        self, pipeline: str, fold: int, made_of: Sequence[str], entry: Entry
    ) -> dict[str, Json]:
        """Keep predictions that were made from fits, and return where they are.

        Parameters
        ----------
        pipeline : str
            Value of the axis.
        fold : int
            The outer fold.
        made_of : sequence of str
            Keys of everything that they were made from.
        entry : Entry
            The predictions.
        """
        bucket = self.out_of_fold.bucket(self._bucket_name(pipeline, fold))
        key = hashlib.sha256(json.dumps(list(made_of)).encode()).hexdigest()
        bucket.put(key, entry.arrays, entry.about)
        return {"bucket": bucket.name, "key": key}

    def place(self, required: RequiredFit) -> dict[str, Json]:
        """Return where a fit is kept."""
        bucket = self._bucket_name(required.member[1], required.fold)
        return {"bucket": bucket, "key": self.key(required)}

    def _bucket_name(self, pipeline: str, fold: int) -> str:
        return json.dumps({"pipeline": pipeline, "target": self.target.name, "fold": fold})

    def _fill(self, bucket: Bucket, keys: Mapping[str, RequiredFit]) -> dict[str, Entry]:
        def make(key: str) -> None:
            bucket.put(key, *self._make(keys[key]))

        found: dict[str, Entry] = {}
        self.reused += len(keys)
        for _ in range(_TRIES):  # a fit damaged right after it was written is made again
            lacking = [key for key in keys if key not in found]
            filled = bucket.fill(lacking, make, self.context.deadline, self._note_left)
            self.made += filled.made
            self.reused -= filled.made
            self.waited_s += filled.waited_s
            found |= {key: entry for key in lacking if (entry := bucket.get(key)) is not None}
            if len(found) == len(keys):
                return found
        raise StorageError(bucket.path, "what was read back differs from what was written")

    def _note_left(self, n_left: int) -> None:
        """Note progress in the checkpoint when fits were made, here or by other workers.

        A task that runs out of time without progress is taken to need more time.
        """
        if n_left and self._n_left is not None and n_left <= self._n_left:
            self._progress.put("fits left", n_left)
            if not self._is_noted:
                self._progress.flush()
                self._is_noted = True
        self._n_left = n_left

    def _make(self, required: RequiredFit) -> tuple[Mapping[str, Array], Mapping[str, Json]]:
        parcellation, pipeline = required.member
        recipe = self.recipe_of(pipeline)
        checkpoint = self._checkpoint({"fit": self.key(required)})
        try:
            values = self._values_of(parcellation)
            data = self.folds.data(
                required.fold, values.features, self.target, values.usable, recipe, required.inner
            )
            with checkpoint.kept_if_it_fails():
                fitted = fit(recipe, data, self.context.cores, checkpoint)
        except (NoCandidateError, TooFewError) as error:
            if isinstance(error, NoCandidateError) and error.first_error:  # it may be corrected
                raise MemberError(required, str(error)) from error
            # any other worker would fail in the same way
            return {}, {FAILED: str(error)}
        except (DataError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise MemberError(required, str(error)) from error
        lacking: list[Json] = [*np.flatnonzero(self.target.present & ~values.usable).tolist()]
        return fitted.arrays(), {**fitted.about(), FACTS: values.facts(), UNUSABLE: lacking}

    def tested(self, fold: int, entries: Sequence[Entry]) -> tuple[Array, int]:
        """Return the test participants that all members can predict, and the number of the others.

        Parameters
        ----------
        fold : int
            The outer fold.
        entries : sequence of Entry
            Any one fit of each member.
        """
        lacking = np.zeros((len(entries), len(self.target.y)), bool)
        for row, entry in zip(lacking, entries, strict=True):
            row[np.asarray(entry.about[UNUSABLE], np.intp)] = True
        tested = self.folds.tested(fold) & self.target.present
        predictable = np.flatnonzero(tested & ~lacking.any(axis=0))
        return predictable, int((tested & ~lacking.all(axis=0)).sum()) - len(predictable)

    def _checkpoint(self, made_of: Mapping[str, Json]) -> Checkpoint:
        context = self.context
        return Checkpoint(context.checkpoint, made_of, every_s=self.every_s, writer=context.writer)

    @cached_property
    def _progress(self) -> Checkpoint:
        return self._checkpoint({"progress": self.target.name})

    def _values_of(self, parcellation: str) -> Values:
        if self._values is None or self._values[0] != parcellation:
            self._values = None  # frees the memory of the last one before the next is read
            matrix = self.roi.matrix(parcellation, deadline=self.context.deadline)
            if matrix.key != self._roi_key(parcellation):
                what = "the parcellation or its maps changed while the task ran; run it again"
                raise DataError(f"parcellation {parcellation}", what)
            values = Values.of(matrix, self.target, self.common)
            self.check(inputs_of_values(parcellation, values.facts()))
            self._values = (parcellation, values)
        return self._values[1]

    def key(self, required: RequiredFit) -> str:
        """Return the key of a fit, by the content of all that makes it; opens no map."""
        if required not in self._keys:
            # of all participants, so that no values are read: their key says who is usable
            everyone = np.ones(len(self.target.y), bool)
            nothing = np.empty((len(everyone), 0))
            recipe = self.recipe_of(required.member[1])
            data = self.folds.data(
                required.fold, nothing, self.target, everyone, recipe, required.inner
            )
            made_of = f"{self._roi_key(required.member[0])} {self.target.digest}"
            if self.common is not None:
                made_of += f" {self.common.digest}"
            self._keys[required] = fit_key(recipe, data, made_of, self.versions)
        return self._keys[required]

    def _roi_key(self, parcellation: str) -> str:
        """Return the key of a parcellation's values, as it was when this task first asked."""
        if parcellation not in self._roi_keys:
            self._roi_keys[parcellation] = self.roi.key(parcellation)
        return self._roi_keys[parcellation]
