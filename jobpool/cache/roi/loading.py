"""Parcellations in memory while a cache is filled: each is read once, as far as memory allows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from jobpool.brain.arrays import Array, stamp
from jobpool.brain.maps import Maps
from jobpool.brain.parcellations import Parcellation, ParcellationSummary, read_parcellation
from jobpool.brain.random import is_random, read_recipe
from jobpool.brain.reduction import Reducer
from jobpool.brain.spaces import sides
from jobpool.errors import Fault, JobpoolError

_WEIGHT_BYTES = 256 << 20


class FilesChangedError(JobpoolError):
    """A map or parcellation changed since it was looked at; never leaves this package."""

    fault = Fault.BUG
    advice = "report this with the traceback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What the ROI values of a study are made of."""

    maps: Maps
    parcellations: Mapping[str, str]  # name to source
    folder: Path  # where a relative source starts
    divisor: float = 1.0  # the stored value of a map that stands for 1
    empty: Literal["error", "drop"] = "drop"  # parcels without vertices

    def stamp(self, name: str) -> str:
        """Return text that changes when a file of a parcellation changes, opening none."""
        source = self.parcellations[name]
        files = read_recipe(source).files if is_random(source) else sides(source)
        return json.dumps([source, self.empty, [stamp(file, self.folder) for file in files]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A parcellation ready for use."""

    summary: ParcellationSummary
    parcellation: Parcellation
    divisor: float

    @property
    def n_bytes(self) -> int:
        """Return about what it takes of memory."""
        weights = self.parcellation.weights
        size = int(weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes)
        if self.parcellation.kind == "signed":  # once more by vertex, and all pairs of parcels
            size += size + 2 * 8 * self.parcellation.n_parcels**2
        return size

    @cached_property
    def reducer(self) -> Reducer:
        """Return what reduces maps with it."""
        return Reducer(self.parcellation, self.divisor)

    @cached_property
    def vertices(self) -> Array:
        """Return the vertices that have a weight."""
        return np.unique(self.parcellation.weights.indices)


class Loader:
    """Reads the parcellations of a study."""

    def __init__(self, made_of: Extraction) -> None:
        self._made_of = made_of
        self._summaries: dict[str, ParcellationSummary] = {}  # by stamp
        self._kept: dict[str, Ready] = {}  # by digest
        self._kept_bytes = 0

    def summary(self, name: str) -> ParcellationSummary:
        """Return what a parcellation is; remembered until a file of it changes.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        before = self._made_of.stamp(name)
        if before not in self._summaries:
            self._summaries[before] = self._read(name).summary
        return self._summaries[before]

    def ready(self, digest: str, name: str) -> Ready:
        """Return the parcellation with this digest.

        Raises
        ------
        DataError
            If it cannot be read.
        FilesChangedError
            If its file has another content now.
        """
        if digest in self._kept:
            return self._kept[digest]
        found = self._read(name)
        if found.summary.digest != digest:
            raise FilesChangedError
        return found

    def keeps(self, digest: str) -> bool:
        """Say whether a parcellation stays in memory."""
        return digest in self._kept

    def forget(self) -> None:
        """Keep no weights any more: the process has other things to do."""
        self._kept, self._kept_bytes = {}, 0

    def _read(self, name: str) -> Ready:
        made_of = self._made_of
        found = read_parcellation(made_of.parcellations[name], made_of.folder, made_of.empty)
        summary = ParcellationSummary(
            kind=found.kind,
            n_parcels=found.n_parcels,
            n_empty=found.n_empty,
            n_vertices=found.n_vertices,
            digest=found.digest(),
            space=found.space,
        )
        ready = Ready(summary=summary, parcellation=found, divisor=made_of.divisor)
        if self._kept_bytes + ready.n_bytes <= _WEIGHT_BYTES and summary.digest not in self._kept:
            self._kept[summary.digest] = ready
            self._kept_bytes += ready.n_bytes
        return ready
