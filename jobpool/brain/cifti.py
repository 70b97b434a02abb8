"""The XML header of a CIFTI-2 file: where its grayordinates are, and the labels it declares.

nibabel reads the values. Its parser of this header makes an object of every voxel, half a second
for each participant's file; here the same is read from the text in a fiftieth of that.
"""

import hashlib
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_WHERE = ("ModelType", "BrainStructure", "SurfaceNumberOfVertices", "IndexOffset", "IndexCount")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiftiHeader:
    """What the axes of a CIFTI matrix are."""

    n_grayordinates: int  # along a row
    models: str  # digest of the brain models: structures, vertices and voxels
    label_keys: frozenset[int] | None  # of all label tables; None if the rows hold no labels


def read_header(content: bytes) -> CiftiHeader:
    """Return what the XML of a CIFTI-2 file says.

    Raises
    ------
    ValueError
        If it is no CIFTI-2 file, or its columns are no grayordinates.
    """
    try:
        root = ET.fromstring(content)
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
    models = columns.findall("BrainModel")
    digest = hashlib.sha256()
    for model in sorted(models, key=lambda one: int(one.get("IndexOffset", "0"))):
        # line breaks between the numbers differ from one program to the next
        numbers = " ".join(" ".join(part.itertext()) for part in model).split()
        digest.update(repr([model.get(name) for name in _WHERE]).encode())
        digest.update(" ".join(numbers).encode())
    rows = maps.get("0")
    labelled = rows is not None and rows.get("IndicesMapToDataType") == "CIFTI_INDEX_TYPE_LABELS"
    keys = frozenset(int(label.get("Key", "0")) for label in root.iter("Label"))
    return CiftiHeader(
        n_grayordinates=sum(int(model.get("IndexCount", "0")) for model in models),
        models=digest.hexdigest(),
        label_keys=keys if labelled else None,
    )
