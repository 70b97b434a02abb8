import os
from pathlib import Path

import numpy as np
import pytest

from jobpool.errors import DataError
from jobpool.learning.splits import Folds, deal_groups, make_splits, read_splits, write_splits

RNG = np.random.default_rng(0)
GROUPS = tuple(f"family-{one}" for one in RNG.integers(0, 60, 200))  # 1 to 8 members each
IDS = tuple(f"sub-{one}" for one in range(200))


def folds_per_group(folds: Folds, groups: tuple[str, ...]) -> int:
    """Return the largest number of folds that members of one group are in."""
    array = np.asarray(groups)
    return max(len(np.unique(folds[array == group])) for group in set(groups))


def test_outer_folds_divide_no_group() -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    assert folds_per_group(splits.outer, GROUPS) == 1


@pytest.mark.parametrize("fold", range(5))
def test_inner_folds_divide_no_group(fold: int) -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    assert folds_per_group(splits.inner[fold], GROUPS) == 1


@pytest.mark.parametrize("fold", range(5))
def test_inner_folds_hold_exactly_the_training_part(fold: int) -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    np.testing.assert_array_equal(splits.inner[fold] == -1, splits.outer == fold)
    assert set(splits.inner[fold].tolist()) == {-1, 0, 1, 2}


def test_folds_are_of_nearly_equal_size() -> None:
    sizes = np.bincount(deal_groups(GROUPS, 5, "seed"))

    assert sizes.max() - sizes.min() <= 1


def test_splits_stay_the_same_in_every_version() -> None:
    splits = make_splits(tuple("abcdefgh"), tuple("AABCDEFG"), 2, 2, seed=7)

    assert splits.outer.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    assert splits.inner.tolist() == [[-1, -1, -1, 1, 1, 0, -1, 0], [0, 0, 1, -1, -1, -1, 1, -1]]
    assert splits.digest[:12] == "032ffea57837"


def test_another_seed_gives_other_folds() -> None:
    one = make_splits(IDS, GROUPS, 5, 3, seed=1)

    other = make_splits(IDS, GROUPS, 5, 3, seed=2)

    assert (one.outer != other.outer).any()


def test_the_order_of_rows_does_not_move_a_participant() -> None:
    order = RNG.permutation(200)
    straight = deal_groups(GROUPS, 5, "seed")

    shuffled = deal_groups([GROUPS[one] for one in order], 5, "seed")

    np.testing.assert_array_equal(shuffled, straight[order])


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be dealt out to 3 folds"):
        deal_groups(["a", "a", "b"], 3, "seed")


def test_splits_come_back_from_disk_unchanged(tmp_path: Path) -> None:
    made = make_splits(IDS, GROUPS, 5, 3, seed=1)
    write_splits(tmp_path / "splits.npz", made)

    found = read_splits(tmp_path / "splits.npz", IDS, GROUPS)

    np.testing.assert_array_equal(found.outer, made.outer)
    np.testing.assert_array_equal(found.inner, made.inner)
    assert found.digest == made.digest


def test_a_changed_group_is_noticed(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.npz", make_splits(IDS, GROUPS, 5, 3, seed=1))

    with pytest.raises(DataError, match="groups changed since the pool was made"):
        read_splits(tmp_path / "splits.npz", IDS, ("family-x", *GROUPS[1:]))


def test_splits_cut_short_are_noticed(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.npz", make_splits(IDS, GROUPS, 5, 3, seed=1))
    os.truncate(tmp_path / "splits.npz", 300)

    with pytest.raises(DataError, match="damaged"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)


def test_a_flipped_byte_in_the_folds_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "splits.npz"
    write_splits(path, make_splits(IDS, GROUPS, 5, 3, seed=1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match="damaged"):
        read_splits(path, IDS, GROUPS)


def test_missing_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"splits\.npz: missing"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)
