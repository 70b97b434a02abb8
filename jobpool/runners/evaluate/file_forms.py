"""The form of axis values that are parcellations in files: ``{glob: "ica*.npy", kind: signed}``.

It is the form of files that every experiment has, with two additions: ``atlases.nii.gz:2`` and
``atlases.nii.gz:*`` name columns of one file, and ``kind`` says what the parcellations are where
their numbers leave that open. Both stand in the source of a value.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from jobpool.brain.parcel_files import count_columns
from jobpool.brain.parcel_kinds import KINDS, of_kind
from jobpool.errors import DataError
from jobpool.experiment.axes import Pairs, ValueForm, from_files
from jobpool.experiment.reader import Reader

_COLUMNS = re.compile(r"(?P<files>.+(?<!\.npz)):(?P<columns>[\d*?]+)")


def parcellation_files(reader: Reader, folder: Path) -> list[tuple[str, str]]:
    """Return one name and source per file, array or column that ``glob`` matches."""
    kind = reader.text("kind", "", KINDS) if reader.has("kind") else ""
    pairs = [pair for one in reader.texts("glob") for pair in _matching(reader, one, folder)]
    return [(name, of_kind(source, kind) if kind else source) for name, source in pairs]


def _matching(reader: Reader, pattern: str, folder: Path) -> list[tuple[str, str]]:
    found = _COLUMNS.fullmatch(pattern)
    if found is None:
        return from_files(reader, pattern, folder)
    pairs: list[tuple[str, str]] = []
    for name, file in from_files(reader, found["files"], folder):
        try:
            n_columns = count_columns(file, folder)
        except DataError as error:
            reader.problem("glob", pattern, str(error))
            continue
        numbers = [number for number in range(1, n_columns + 1) if _is_in(number, found["columns"])]
        if not numbers:
            advice = f"matches no column of {file}; it has {n_columns}, counted from 1"
            reader.problem("glob", pattern, advice)
        pairs += [(f"{name}_{number}", f"{file}:{number}") for number in numbers]
    return pairs


def _is_in(number: int, pattern: str) -> bool:
    return fnmatchcase(str(number), pattern)


def _expand(reader: Reader, folder: Path, _singles: Mapping[str, str]) -> Pairs:
    return list(parcellation_files(reader, folder))


FILES = ValueForm(keys=("glob",), example="{glob: ...}", expand=_expand)
