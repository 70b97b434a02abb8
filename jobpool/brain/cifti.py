"""The XML header of a CIFTI-2 file.

The parser of nibabel makes an object of every voxel, half a second for each participant's file.
Here the same is read from the text in a fiftieth of that, and the brain models, nearly all of the
text, once for all files that have the same ones.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

_END = b"</BrainModel>"
_Volume = tuple[tuple[int, ...] | None, tuple[float, ...] | None]  # grid and affine
_MODEL_ATTRIBUTES = (
    "ModelType",
    "BrainStructure",
    "SurfaceNumberOfVertices",
    "IndexOffset",
    "IndexCount",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CiftiHeader:
    """What the axes of a CIFTI matrix are."""

    n_grayordinates: int  # along a row
    models: str  # digest of the brain models: structures, vertices and voxels
    grid: tuple[int, ...] | None  # that the voxels are of
    affine: tuple[float, ...] | None  # of the grid, to millimetres
    label_keys: frozenset[int] | None  # of all label tables; None if the rows hold no labels


def read_cifti_header(content: bytes) -> CiftiHeader:
    """Return what the XML of a CIFTI-2 file says.

    Raises
    ------
    ValueError
        If it is no CIFTI-2 file, or its columns are no grayordinates.
    """
    models, rest = _cut_models(content)
    try:
        root = ET.fromstring(rest)
    except ET.ParseError as error:
        raise ValueError(f"the CIFTI header is damaged: {error}") from error
    maps = {
        dimension: found
        for found in root.iter("MatrixIndicesMap")
        for dimension in found.get("AppliesToMatrixDimension", "").split(",")
    }
    columns = maps.get("1")
    if columns is None or columns.get("IndicesMapToDataType") != "CIFTI_INDEX_TYPE_BRAIN_MODELS":
        raise ValueError("has no grayordinates; give .dscalar.nii, .dtseries.nii or .dlabel.nii")
    n_grayordinates, digest = _read_models(models)[:2] if models else _digest(columns)
    rows = maps.get("0")
    labelled = rows is not None and rows.get("IndicesMapToDataType") == "CIFTI_INDEX_TYPE_LABELS"
    keys = frozenset(int(label.get("Key", "0")) for label in root.iter("Label"))
    volume = columns.find("Volume")
    grid, affine = _read_models(models)[2] if models and volume is None else _read_volume(volume)
    return CiftiHeader(
        n_grayordinates=n_grayordinates,
        models=digest,
        grid=grid,
        affine=affine,
        label_keys=keys if labelled else None,
    )


def _cut_models(content: bytes) -> tuple[bytes, bytes]:
    """Return the elements of all brain models, and the rest; nothing if they cannot be cut out."""
    start, end = content.find(b"<BrainModel"), content.rfind(_END)
    models, rest = content[start : end + len(_END)], content[:start] + content[end + len(_END) :]
    if start < 0 or end < start or b"MatrixIndicesMap" in models:
        return b"", content
    return (b"", content) if b"<BrainModel" in rest else (models, rest)


@lru_cache(maxsize=4)  # the same in all files of a study
def _read_models(models: bytes) -> tuple[int, str, _Volume]:
    """Return the number of grayordinates, the digest of their models, and a volume among these."""
    parent = ET.fromstring(b"<models>" + models + b"</models>")
    return *_digest(parent), _read_volume(parent.find("Volume"))


def _digest(parent: ET.Element) -> tuple[int, str]:
    models = parent.findall("BrainModel")
    digest = hashlib.sha256()
    for model in sorted(models, key=lambda one: int(one.get("IndexOffset", "0"))):
        # line breaks between the numbers differ from one program to the next
        numbers = " ".join(" ".join(part.itertext()) for part in model).split()
        digest.update(repr([model.get(name) for name in _MODEL_ATTRIBUTES]).encode())
        digest.update(" ".join(numbers).encode())
    return sum(int(model.get("IndexCount", "0")) for model in models), digest.hexdigest()


def _read_volume(volume: Any) -> _Volume:
    """Return the grid of the voxels of a CIFTI file and its affine to millimetres."""
    if volume is None:
        return None, None
    grid = tuple(map(int, volume.get("VolumeDimensions", "").split(",")))
    found = volume.find("TransformationMatrixVoxelIndicesIJKtoXYZ")
    if found is None:
        return grid, None
    matrix = np.array("".join(found.itertext()).split(), np.float64).reshape(4, 4)
    matrix[:3] *= 10.0 ** (int(found.get("MeterExponent", "-3")) + 3)
    return grid, tuple(matrix.ravel().tolist())
