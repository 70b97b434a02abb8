"""Splits: which participants are tested in which fold, the same for every task of a pool.

    splits.npz    ``outer`` and ``inner`` folds, the ``holdout`` of each training part, and a JSON
                  header with a hash of all that made them

They follow from participants, groups and seed alone, never from a target. A group (a family, a
site, a paper) is never divided, in the outer folds, the inner ones or the holdouts. The order in
which groups are dealt out comes from SHA-256, so that no other version of any library can change
it. Format 1 had no holdout; it follows from the rest.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.files import replace_whole
from jobpool.disk.npz import UNREADABLE, open_npz
from jobpool.errors import DataError

FORMAT = 2
FILE_NAME = "splits.npz"
HOLDOUT_SHARE = 0.25
Folds = NDArray[np.int16]
Holdout = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """The folds of all participants of a table, in its order."""

    outer: Folds  # (n_participants,): the outer fold that tests the participant
    inner: Folds  # (n_outer, n_participants): the inner fold within the training part, else -1
    holdout: Holdout  # (n_outer, n_participants): 1 tested, 0 trained, -1 not in the training part
    holdout_share: float  # of the training part, as near as whole groups come to it
    seed: int
    digest: str  # SHA-256 of all above, participants and groups
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


def hold_out_groups(groups: Sequence[str], share: float, seed: str) -> Holdout:
    """Hold out whole groups: as near to `share` of the participants as groups come.

    That number is found first. Then, in the order of the SHA-256 of `seed` and their name, each
    group is held out with which later ones can still reach it. Neither side is empty.

    Parameters
    ----------
    groups : sequence of str
        The group of each participant.
    share : float
        Between 0 and 1.
    seed : str
        Another seed holds out other groups.

    Returns
    -------
    ndarray of shape (n_participants,), int8
        1 for each participant held out, else 0.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or `share` is not between 0 and 1.

    Examples
    --------
    >>> hold_out_groups(["a", "a", "b", "c", "c", "d", "d", "d"], 0.25, "1").tolist()
    [0, 0, 0, 1, 1, 0, 0, 0]
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} cannot be held out; give one between 0 and 1")
    names, members = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"of {len(names)} groups none can be held out")
    sizes = np.bincount(members).tolist()
    keys = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in names.tolist()]
    order = sorted(range(len(names)), key=keys.__getitem__)
    wanted = share * len(members)
    mask = (1 << int(wanted) + max(sizes) + 1) - 1  # no nearest sum lies beyond
    sums = [1]  # of the last groups of the order: bit n says that some of them have n members
    for group in reversed(order):
        sums.append((sums[-1] | sums[-1] << sizes[group]) & mask)
    left = min(
        (n for n in range(1, len(members)) if sums[-1] >> n & 1),
        key=lambda n: abs(n - wanted),
    )
    is_out = np.zeros(len(names), np.int8)
    for position, group in enumerate(order):
        if sizes[group] <= left and sums[-2 - position] >> left - sizes[group] & 1:
            is_out[group] = 1
            left -= sizes[group]
    return is_out[members]


def make_splits(
    participants: Sequence[str],
    groups: Sequence[str],
    n_outer: int,
    n_inner: int,
    seed: int,
    holdout_share: float = HOLDOUT_SHARE,
) -> Splits:
    """Return outer folds, and inner folds and a holdout within the training part of each.

    Parameters
    ----------
    participants, groups : sequence of str
        Id and group of each participant.
    n_outer, n_inner : int
        Number of folds.
    seed : int
        Another seed gives other folds.
    holdout_share : float
        Share of a training part to be held out, between 0 and 1.

    Raises
    ------
    ValueError
        If there are too few groups for the folds.
    """
    outer = deal_groups(groups, n_outer, f"outer {seed}")
    inner = np.full((n_outer, len(outer)), -1, np.int16)
    for fold in range(n_outer):
        train, chosen = _training_part(outer, fold, groups)
        inner[fold, train] = deal_groups(chosen, n_inner, f"inner {seed} {fold}")
    holdout = _hold_out(outer, groups, holdout_share, seed)
    numbers = (seed, holdout_share)
    return Splits(
        outer=outer,
        inner=inner,
        holdout=holdout,
        holdout_share=holdout_share,
        seed=seed,
        digest=_digest(participants, groups, numbers, (outer, inner, holdout)),
    )


def _training_part(
    outer: Folds, fold: int, groups: Sequence[str]
) -> tuple[NDArray[np.intp], list[str]]:
    """Return who is not tested in an outer fold, and the group of each."""
    train = np.flatnonzero(outer != fold)
    return train, [groups[position] for position in train.tolist()]


def _hold_out(outer: Folds, groups: Sequence[str], share: float, seed: int) -> Holdout:
    n_outer = int(outer.max()) + 1
    holdout = np.full((n_outer, len(outer)), -1, np.int8)
    for fold in range(n_outer):
        train, chosen = _training_part(outer, fold, groups)
        holdout[fold, train] = hold_out_groups(chosen, share, f"holdout {seed} {fold}")
    return holdout


def _digest(
    participants: Sequence[str],
    groups: Sequence[str],
    numbers: Sequence[float],
    parts: Sequence[Folds | Holdout],
) -> str:
    about = json.dumps([list(participants), list(groups), *numbers])
    digest = hashlib.sha256(about.encode())
    for part in parts:
        digest.update(repr(part.shape).encode() + part.astype("<i2").tobytes())
    return digest.hexdigest()


def write_splits(path: Path, splits: Splits) -> None:
    """Replace `path` by the splits."""
    about = {"format": FORMAT, "seed": splits.seed, "holdout_share": splits.holdout_share}
    header = json.dumps({**about, "sha256": splits.digest, "targets": dict(splits.targets)})
    text = np.frombuffer(header.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, header=text, outer=splits.outer, inner=splits.inner, holdout=splits.holdout
    )
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
    header, parts = _read_parts(path)
    seed, share = header["seed"], header.get("holdout_share", HOLDOUT_SHARE)
    numbers = (seed,) if header["format"] == 1 else (seed, share)
    digest = _digest(participants, groups, numbers, parts)
    if digest != header["sha256"]:
        what = (
            "its hash is wrong: the file is damaged, or the participants, their order or their "
            "groups changed since the pool was made; restore the table, or make a new pool"
        )
        raise DataError(path, what)
    if header["format"] == 1:
        parts = (*parts, _hold_out(parts[0], groups, share, seed))
        digest = _digest(participants, groups, (seed, share), parts)
    outer, inner, holdout = parts
    return Splits(
        outer=outer,
        inner=inner,
        holdout=holdout,
        holdout_share=share,
        seed=seed,
        digest=digest,
        targets=header.get("targets", {}),
    )


def _read_parts(path: Path) -> tuple[dict[str, Any], tuple[NDArray[Any], ...]]:
    """Return the header and the arrays, in the order of their hash."""
    try:
        with open_npz(path) as archive:
            header: dict[str, Any] = json.loads(archive["header"].tobytes())
            if header["format"] > FORMAT:
                what = f"written in format {header['format']}, this jobpool knows {FORMAT}; install"
                raise DataError(path, f"{what} a newer")
            names = ("outer", "inner", "holdout")[: 2 if header["format"] == 1 else 3]
            return header, tuple(archive[name] for name in names)
    except FileNotFoundError as error:
        raise DataError(path, "missing: the making of this pool was cut short") from error
    except UNREADABLE as error:
        raise DataError(path, f"damaged ({error}); restore it from a backup") from error
