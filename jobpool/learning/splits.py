"""Splits: which participants are tested in which fold, the same for every task with one target.

    splits.npz    for one target or several: the ``strata`` of participants, ``outer`` and ``inner``
                  folds, and the ``holdout`` of each training part; and a JSON header with a hash of
                  all that made them, and with the conventions of the pool

A group (a family, a site, a paper) is never divided, in the outer folds, the inner ones or the
holdouts. The order in which groups are dealt out comes from SHA-256, so that no other version of
any library can change it. By which convention they are dealt out is told in
`jobpool.learning.conventions`.

Pools of format 1 and 2 have the conventions of the publication. Format 1 had no holdout; it follows
from the rest.
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
from jobpool.learning.conventions import PLAIN, PUBLISHED
from jobpool.learning.strata import Strata, deal_evenly

FORMAT = 3
FILE_NAME = "splits.npz"
HOLDOUT_SHARE = 0.25
_ARRAYS = ("outer", "inner", "holdout", "strata")  # in the order of their hash
_N_ARRAYS = {1: 2, 2: 3}
_SHARES = 1000  # whole numbers, that no machine rounds in another way
Folds = NDArray[np.int16]
Holdout = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """The folds of all participants of a table, in its order."""

    outer: Folds  # (n_participants,): the outer fold that tests the participant; -1: no target
    inner: Folds  # (n_outer, n_participants): the inner fold within the training part, else -1
    holdout: Holdout  # (n_outer, n_participants): 1 tested, 0 trained, -1 not in the training part
    holdout_share: float  # of the training part, as near as whole groups come to it
    seed: int
    digest: str  # SHA-256 of all above, participants and groups
    strata: Strata | None = None  # (n_participants,): the class of each, -1: no target; None: plain

    @property
    def n_outer(self) -> int:
        """Return the number of outer folds."""
        return len(self.inner)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolSplits:
    """The splits of all targets of a pool, and the conventions that the pool was made with."""

    sets: tuple[Splits, ...]
    set_of: Mapping[str, int]  # by target
    conventions: Mapping[str, str] = field(default_factory=lambda: PUBLISHED)
    targets: Mapping[str, str] = field(default_factory=dict)  # digest of each target's values

    @classmethod
    def made(cls, by_target: Mapping[str, Splits], conventions: Mapping[str, str]) -> "PoolSplits":
        """Return the splits of several targets; those that are the same are kept once."""
        sets = {one.digest: one for one in by_target.values()}
        numbers = {digest: number for number, digest in enumerate(sets)}
        set_of = {target: numbers[one.digest] for target, one in by_target.items()}
        return cls(sets=tuple(sets.values()), set_of=set_of, conventions=conventions)

    @property
    def n_outer(self) -> int:
        """Return the number of outer folds."""
        return self.sets[0].n_outer

    def of(self, target: str) -> Splits:
        """Return the splits of a target.

        Raises
        ------
        DataError
            If the pool has none for it.
        """
        if self.conventions["splits"] == PLAIN:
            return self.sets[0]
        if target not in self.set_of:
            what = f"has no splits for the target {target}; add it with: jobpool extend"
            raise DataError(FILE_NAME, what)
        return self.sets[self.set_of[target]]


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dealer:
    """Deals out the groups of any part of the participants."""

    groups: Sequence[str]  # of each participant
    strata: Strata | None = None  # the class of each; -1: in no part; None: all in one

    def present(self) -> NDArray[np.bool_]:
        """Return who can be in a part, shape (n_participants,)."""
        everyone = np.ones(len(self.groups), bool)
        return everyone if self.strata is None else self.strata >= 0

    def deal(self, part: NDArray[np.bool_], n_folds: int, seed: str) -> Folds:
        """Return the fold of each participant in `part`, -1 of all others.

        Raises
        ------
        ValueError
            If there are fewer groups than folds.
        """
        groups, strata = self._of(part)
        folds = np.full(len(part), -1, np.int16)
        if strata is None:
            folds[part] = deal_groups(groups, n_folds, seed)
        else:
            folds[part] = deal_evenly(groups, strata, [1] * n_folds, seed)
        return folds

    def hold_out(self, part: NDArray[np.bool_], share: float, seed: str) -> Holdout:
        """Return 1 for each participant of `part` that is held out, 0 for the others, else -1.

        Raises
        ------
        ValueError
            If there are fewer than two groups, or `share` is not between 0 and 1.
        """
        groups, strata = self._of(part)
        held_out = np.full(len(part), -1, np.int8)
        if strata is None or len(set(groups)) < 2 or not 0 < share < 1:
            held_out[part] = hold_out_groups(groups, share, seed)
        else:
            out = min(max(round(share * _SHARES), 1), _SHARES - 1)
            shares = [_SHARES - out, out]
            held_out[part] = deal_evenly(groups, strata, shares, seed)
        return held_out

    def _of(self, part: NDArray[np.bool_]) -> tuple[list[str], Strata | None]:
        """Return the groups of a part, and their strata if there are several."""
        groups = [self.groups[position] for position in np.flatnonzero(part).tolist()]
        if self.strata is None or len(np.unique(self.strata[part])) < 2:
            return groups, None
        return groups, self.strata[part]


def make_splits(
    participants: Sequence[str],
    groups: Sequence[str],
    n_outer: int,
    n_inner: int,
    seed: int,
    holdout_share: float = HOLDOUT_SHARE,
) -> Splits:
    """Return plain splits: all participants, and nothing but the sizes of parts is even.

    Parameters
    ----------
    participants, groups : sequence of str
        Id and group of each participant.
    n_outer, n_inner, seed, holdout_share
        As of `deal_splits`.

    Raises
    ------
    ValueError
        If there are too few groups for the folds.
    """
    dealer = Dealer(groups=groups)
    return deal_splits(participants, dealer, n_outer, n_inner, seed, holdout_share)


def deal_splits(
    participants: Sequence[str],
    dealer: Dealer,
    n_outer: int,
    n_inner: int,
    seed: int,
    holdout_share: float = HOLDOUT_SHARE,
) -> Splits:
    """Return outer folds, and inner folds and a holdout within the training part of each.

    Parameters
    ----------
    participants : sequence of str
        The id of each.
    dealer : Dealer
        Knows the group and the class of each participant.
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
    present = dealer.present()
    outer = dealer.deal(present, n_outer, f"outer {seed}")
    inner = np.full((n_outer, len(outer)), -1, np.int16)
    for fold in range(n_outer):
        inner[fold] = dealer.deal(present & (outer != fold), n_inner, f"inner {seed} {fold}")
    parts = (outer, inner, _hold_out(dealer, outer, holdout_share, seed))
    return _splits(participants, dealer, (seed, holdout_share), parts)


def _splits(
    participants: Sequence[str],
    dealer: Dealer,
    numbers: tuple[int, float],
    parts: Sequence[NDArray[Any]],
) -> Splits:
    outer, inner, holdout = parts
    hashed = parts if dealer.strata is None else (*parts, dealer.strata)
    return Splits(
        outer=outer,
        inner=inner,
        holdout=holdout,
        holdout_share=numbers[1],
        seed=numbers[0],
        digest=_digest(participants, dealer.groups, numbers, hashed),
        strata=dealer.strata,
    )


def _hold_out(dealer: Dealer, outer: Folds, share: float, seed: int) -> Holdout:
    return np.stack(
        [
            dealer.hold_out(dealer.present() & (outer != fold), share, f"holdout {seed} {fold}")
            for fold in range(int(outer.max()) + 1)
        ]
    )


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


def write_splits(path: Path, splits: PoolSplits) -> None:
    """Replace `path` by the splits."""
    first = splits.sets[0]
    header = {
        "format": FORMAT,
        "seed": first.seed,
        "holdout_share": first.holdout_share,
        "conventions": dict(splits.conventions),
        "set_of": dict(splits.set_of),
        "sha256": [one.digest for one in splits.sets],
        "targets": dict(splits.targets),
    }
    plain = splits.conventions["splits"] == PLAIN
    arrays = {
        name: np.stack([getattr(one, name) for one in splits.sets])
        for name in (_ARRAYS[:-1] if plain else _ARRAYS)
    }
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=text, **arrays)  # type: ignore[arg-type]  # as in needs
    replace_whole(path, buffer.getvalue())


def read_splits(path: Path, participants: Sequence[str], groups: Sequence[str]) -> PoolSplits:
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
    header, arrays = _read_parts(path)
    seed, share = header["seed"], header.get("holdout_share", HOLDOUT_SHARE)
    hashes = header["sha256"]
    if header["format"] < 3:  # one set, for every target
        hashes, arrays = [hashes], tuple(one[np.newaxis] for one in arrays)
    numbers = (seed,) if header["format"] == 1 else (seed, share)
    sets: list[Splits] = []
    for found, sha in zip(zip(*arrays, strict=True), hashes, strict=True):
        if _digest(participants, groups, numbers, found) != sha:
            what = (
                "its hash is wrong: the file is damaged, or the participants, their order or their "
                "groups changed since the pool was made; restore the table, or make a new pool"
            )
            raise DataError(path, what)
        dealer = Dealer(groups=groups, strata=found[3] if len(found) == len(_ARRAYS) else None)
        parts = found[:3]
        if header["format"] == 1:
            parts = (*found, _hold_out(dealer, found[0], share, seed))
        sets.append(_splits(participants, dealer, (seed, share), parts))
    return PoolSplits(
        sets=tuple(sets),
        set_of=header.get("set_of", {}),
        conventions={**PUBLISHED, **header.get("conventions", {})},
        targets=header.get("targets", {}),
    )


def read_conventions(path: Path) -> Mapping[str, str]:
    """Return the conventions of a pool alone.

    Raises
    ------
    DataError
        If the file is missing or damaged, or of a newer format.
    """
    return {**PUBLISHED, **_read_parts(path)[0].get("conventions", {})}


def _read_parts(path: Path) -> tuple[dict[str, Any], tuple[NDArray[Any], ...]]:
    """Return the header and the arrays, in the order of their hash."""
    try:
        with open_npz(path) as archive:
            header: dict[str, Any] = json.loads(archive["header"].tobytes())
            if header["format"] > FORMAT:
                what = f"written in format {header['format']}, this jobpool knows {FORMAT}; install"
                raise DataError(path, f"{what} a newer")
            names = _ARRAYS[: _N_ARRAYS.get(header["format"], len(_ARRAYS))]
            if header.get("conventions", PUBLISHED)["splits"] == PLAIN:
                names = tuple(one for one in names if one != "strata")
            return header, tuple(archive[name] for name in names)
    except FileNotFoundError as error:
        raise DataError(path, "missing: the making of this pool was cut short") from error
    except UNREADABLE as error:
        raise DataError(path, f"damaged ({error}); restore it from a backup") from error
