"""Splits: which participants are tested in which fold, the same for every task of a pool.

    splits.npz    ``outer`` and ``inner`` folds, and a JSON header with a hash of all that made them

They follow from participants, groups and seed alone, never from a target. A group (a family, a
site, a paper) is never divided, in the outer folds or in the inner ones. The order in which groups
are dealt out comes from SHA-256, so that no other version of any library can change it.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import DataError
from jobpool.files import replace_whole

FORMAT = 1
FILE_NAME = "splits.npz"
Folds = NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """The folds of all participants of a table, in its order."""

    outer: Folds  # (n_participants,): the outer fold that tests the participant
    inner: Folds  # (n_outer, n_participants): the inner fold within the training part, else -1
    seed: int
    digest: str  # SHA-256 of participants, groups, seed and folds
    targets: Mapping[str, str] = field(default_factory=dict)  # digest of each target's values

    @property
    def n_outer(self) -> int:
        """Return the number of outer folds."""
        return len(self.inner)


def deal_groups(groups: Sequence[str], n_folds: int, seed: str) -> Folds:
    """Deal whole groups out to folds of nearly equal size.

    The largest groups first, each to the fold that has fewest participants so far; groups of one
    size in the order of the SHA-256 of `seed` and their name.

    Parameters
    ----------
    groups : sequence of str
        The group of each participant.
    n_folds : int
        Number of folds.
    seed : str
        Another seed deals the groups differently.

    Returns
    -------
    ndarray of shape (n_participants,), int16
        The fold of each participant, from 0.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.

    Examples
    --------
    >>> deal_groups(["a", "a", "b", "c", "c", "d"], 2, "1").tolist()
    [1, 1, 1, 0, 0, 0]
    """
    names, members = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < n_folds:
        raise ValueError(f"{len(names)} groups cannot be dealt out to {n_folds} folds")
    sizes = np.bincount(members)
    keys = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in names.tolist()]
    fold_of_group = np.zeros(len(names), np.int16)
    filled = [0] * n_folds
    for group in sorted(range(len(names)), key=lambda one: (-int(sizes[one]), keys[one])):
        fold = filled.index(min(filled))
        fold_of_group[group] = fold
        filled[fold] += int(sizes[group])
    return fold_of_group[members]


def make_splits(
    participants: Sequence[str], groups: Sequence[str], n_outer: int, n_inner: int, seed: int
) -> Splits:
    """Return outer folds, and inner folds within the training part of each.

    Parameters
    ----------
    participants, groups : sequence of str
        Id and group of each participant.
    n_outer, n_inner : int
        Number of folds.
    seed : int
        Another seed gives other folds.

    Raises
    ------
    ValueError
        If there are too few groups for the folds.
    """
    outer = deal_groups(groups, n_outer, f"outer {seed}")
    inner = np.full((n_outer, len(outer)), -1, np.int16)
    for fold in range(n_outer):
        train = np.flatnonzero(outer != fold)
        chosen = [groups[position] for position in train.tolist()]
        inner[fold, train] = deal_groups(chosen, n_inner, f"inner {seed} {fold}")
    digest = _digest(participants, groups, seed, (outer, inner))
    return Splits(outer=outer, inner=inner, seed=seed, digest=digest)


def _digest(
    participants: Sequence[str], groups: Sequence[str], seed: int, folds: tuple[Folds, Folds]
) -> str:
    digest = hashlib.sha256(json.dumps([list(participants), list(groups), seed]).encode())
    for part in folds:
        digest.update(repr(part.shape).encode() + part.astype("<i2").tobytes())
    return digest.hexdigest()


def write_splits(path: Path, splits: Splits) -> None:
    """Replace `path` by the splits."""
    about = {"format": FORMAT, "seed": splits.seed, "sha256": splits.digest}
    header = json.dumps({**about, "targets": dict(splits.targets)})
    buffer = io.BytesIO()
    text = np.frombuffer(header.encode(), np.uint8)
    np.savez_compressed(buffer, header=text, outer=splits.outer, inner=splits.inner)
    replace_whole(path, buffer.getvalue())


def read_splits(path: Path, participants: Sequence[str], groups: Sequence[str]) -> Splits:
    """Return the splits in `path`, checked against the participants they were made for.

    Parameters
    ----------
    path : Path
        Written by `write_splits`.
    participants, groups : sequence of str
        Id and group of each participant, as they are now.

    Raises
    ------
    DataError
        If the file is missing or damaged, of a newer format, or made for other participants or
        groups.
    """
    try:
        # opened here: NumPy leaves its own file open when the archive is damaged
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            header: dict[str, Any] = json.loads(archive["header"].tobytes())
            outer, inner = archive["outer"], archive["inner"]
    except FileNotFoundError as error:
        raise DataError(path, "missing: the making of this pool was cut short") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(path, f"damaged ({error}); restore it from a backup") from error
    if header["format"] > FORMAT:
        what = f"written in format {header['format']}, this jobpool knows {FORMAT}; install a newer"
        raise DataError(path, what)
    digest = _digest(participants, groups, header["seed"], (outer, inner))
    if digest != header["sha256"]:
        what = (
            "its hash does not fit: the file is damaged, or the participants, their order or their "
            "groups changed since the pool was made; restore the table, or make a new pool"
        )
        raise DataError(path, what)
    return Splits(
        outer=outer,
        inner=inner,
        seed=header["seed"],
        digest=digest,
        targets=header.get("targets", {}),
    )
