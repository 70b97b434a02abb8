"""From maps to ROI values: the weighted mean of each participant's map in each parcel."""

from typing import Any

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.brain.maps import Maps
from jobpool.brain.parcellations import Parcellation
from jobpool.errors import DataError

REDUCTION = "weighted mean, modality by parcel, 1"  # part of every cache key


def roi_means(maps: Maps, parcellation: Parcellation, divisor: float = 1.0) -> Array:
    """Return the mean of every map in every parcel.

    Parameters
    ----------
    maps : Maps
        Of n participants.
    parcellation : Parcellation
        Over the vertices of the maps.
    divisor : float
        The stored value that stands for 1, such as 255 for maps stored as bytes.

    Returns
    -------
    ndarray of shape (n_participants, n_modalities * n_parcels)
        All parcels of the first modality, then all of the second, and so on. Unit of the maps.
        float32 for maps of float32 or of small integers, else float64; summed as float64.

    Raises
    ------
    DataError
        If the vertices differ, a file cannot be read, or a map has values that are not finite.
    """
    n_participants, n_vertices, n_modalities = maps.shape()
    if n_vertices != parcellation.n_vertices:
        what = f"has {n_vertices} vertices, the parcellation {parcellation.n_vertices}"
        raise DataError(str(maps.files[0]), what)
    kind = np.result_type(maps.files[0].header().dtype, np.float32)
    n_parcels = parcellation.n_parcels
    means = np.empty((n_participants, n_modalities * n_parcels), kind)
    total = np.asarray(parcellation.weights.sum(axis=1)).ravel() * divisor
    start = 0
    for block in maps.blocks():
        end = start + len(block)
        _check_finite(block, maps, start)
        for modality in range(n_modalities):
            columns = slice(modality * n_parcels, (modality + 1) * n_parcels)
            sums = _sums(parcellation.weights, block[:, :, modality])
            means[start:end, columns] = sums / total
        start = end
    return means


def _sums(weights: Any, block: Array) -> FloatArray:
    sums: FloatArray = (weights @ block.T.astype(np.float64)).T
    return sums


def _check_finite(block: Array, maps: Maps, start: int) -> None:
    if block.dtype.kind != "f":
        return
    unusable = np.flatnonzero(~np.isfinite(block).all(axis=(1, 2)))
    if unusable.size:
        position = start + int(unusable[0])
        who = maps.participants[position]
        file = maps.files[0 if maps.stacked else position]
        what = f"the map of {who} has values that are not finite; repair it or leave {who} out"
        raise DataError(str(file), what)
