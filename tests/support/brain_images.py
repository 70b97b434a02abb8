"""Image files of a few vertices, written through nibabel, and a mesh."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from jobpool.brain.arrays import Array

NIBABEL: Any = nibabel  # most of it has no types
MILLIMETRES = np.diag([2.0, 2.0, 2.0, 1.0])
GREY = 9  # grayordinates of a small CIFTI file: 3 left, 2 right, 4 voxels
_SEEDS = ((0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4),
          (11, 10, 2), (10, 7, 6), (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8),
          (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1))  # fmt: skip


def write_nifti(path: Path, values: Array, affine: Array = MILLIMETRES, intent: str = "") -> None:
    image = NIBABEL.Nifti1Image(values, affine, dtype=values.dtype)
    if intent:
        image.header.set_intent(intent)
    image.to_filename(path)


def write_scaled(path: Path, stored: Array, slope: float) -> None:
    """Write integers that the file says to multiply."""
    image = NIBABEL.Nifti1Image(stored, MILLIMETRES, dtype=stored.dtype)
    image.header.set_slope_inter(slope, 0)
    image.to_filename(path)


def write_gifti(
    path: Path, *arrays: Array, intent: str = "NIFTI_INTENT_NONE", structure: str = ""
) -> None:
    parts = [
        NIBABEL.gifti.GiftiDataArray(array, intent=intent, datatype=array.dtype) for array in arrays
    ]
    meta = {"AnatomicalStructurePrimary": structure} if structure else {}
    image = NIBABEL.gifti.GiftiImage(darrays=parts, meta=NIBABEL.gifti.GiftiMetaData(meta))
    NIBABEL.save(image, path)


def write_labels(path: Path, labels: Array, names: Mapping[int, str]) -> None:
    """Write a GIFTI file of labels with a table of their names."""
    table = NIBABEL.gifti.GiftiLabelTable()
    for key, name in names.items():
        label = NIBABEL.gifti.GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    part = NIBABEL.gifti.GiftiDataArray(labels, intent="NIFTI_INTENT_LABEL", datatype=labels.dtype)
    NIBABEL.save(NIBABEL.gifti.GiftiImage(darrays=[part], labeltable=table), path)


def write_surface(path: Path, triangles: Array, n_vertices: int, structure: str = "") -> None:
    points = NIBABEL.gifti.GiftiDataArray(
        np.zeros((n_vertices, 3), np.float32), "NIFTI_INTENT_POINTSET"
    )
    faces = NIBABEL.gifti.GiftiDataArray(triangles.astype(np.int32), "NIFTI_INTENT_TRIANGLE")
    if structure:
        points.meta["AnatomicalStructurePrimary"] = structure
    NIBABEL.save(NIBABEL.gifti.GiftiImage(darrays=[points, faces]), path)


def grey_matter(left: Sequence[int] = (0, 1, 3), affine: Array = MILLIMETRES, more: int = 0) -> Any:
    """Return the axis of a small CIFTI file; `more` slices of voxels are added to its volume."""
    mask = np.zeros((3, 3, 3 + more), np.bool_)
    mask[1, :2, :2] = True
    return (
        NIBABEL.cifti2.BrainModelAxis.from_surface(np.array(left), 5, "CortexLeft")
        + NIBABEL.cifti2.BrainModelAxis.from_surface(np.array([1, 2]), 5, "CortexRight")
        + NIBABEL.cifti2.BrainModelAxis.from_mask(mask, affine=affine, name="thalamus_left")
    )


def write_dscalar(path: Path, rows: Array, axis: Any = None) -> None:
    scalars = NIBABEL.cifti2.ScalarAxis([f"map {one}" for one in range(len(rows))])
    NIBABEL.cifti2.Cifti2Image(rows, (scalars, axis or grey_matter())).to_filename(path)


def write_dtseries(path: Path, rows: Array) -> None:
    series = NIBABEL.cifti2.SeriesAxis(0, 1, len(rows))
    NIBABEL.cifti2.Cifti2Image(rows, (series, grey_matter())).to_filename(path)


def write_pscalar(path: Path, rows: Array) -> None:
    """Write values of parcels, which are no grayordinates."""
    axis = NIBABEL.cifti2.ParcelsAxis.from_brain_models([("a", grey_matter())])
    scalars = NIBABEL.cifti2.ScalarAxis([f"map {one}" for one in range(len(rows))])
    NIBABEL.cifti2.Cifti2Image(rows, (scalars, axis)).to_filename(path)


def write_dlabel(path: Path, rows: Array, names: Mapping[int, str]) -> None:
    table = {key: (name, (0.0, 0.0, 0.0, 1.0)) for key, name in names.items()}
    axis = NIBABEL.cifti2.LabelAxis([f"map {one}" for one in range(len(rows))], [table] * len(rows))
    NIBABEL.cifti2.Cifti2Image(rows, (axis, grey_matter())).to_filename(path)


def icosphere(levels: int) -> tuple[Array, int]:
    """Return the triangles of a sphere, and its number of vertices: 12, 42, 162, 642, ..."""
    triangles, n_vertices = np.array(_SEEDS), 12
    for _ in range(levels):
        edges = np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
        known, middle = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
        first, second, third = np.split(middle.ravel() + n_vertices, 3)
        a, b, c = triangles.T
        corners = [(a, first, third), (b, second, first), (c, third, second)]
        corners.append((first, second, third))
        triangles = np.concatenate([np.stack(corner, axis=1) for corner in corners])
        n_vertices += len(known)
    return triangles, n_vertices
