import json
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jobpool.errors import DataError
from jobpool.learning.conventions import PLAIN, PUBLISHED, USUAL
from jobpool.learning.splits import (
    FORMAT,
    Dealer,
    PoolSplits,
    Splits,
    deal_groups,
    deal_splits,
    hold_out_groups,
    make_splits,
    read_splits,
    write_splits,
)

RNG = np.random.default_rng(0)
GROUPS = tuple(f"family-{one}" for one in RNG.integers(0, 60, 200))  # 1 to 8 members each
IDS = tuple(f"sub-{one}" for one in range(200))
LETTERS, FAMILIES = tuple("abcdefgh"), tuple("AABCDEFG")
SEX = RNG.permutation(np.repeat([0, 1], [160, 40])).astype(np.int8)
EVEN_SPLITS = deal_splits(IDS, Dealer(groups=GROUPS, strata=SEX), 5, 3, 1)
SOME = np.where(np.arange(200) % 4 == 0, -1, 0).astype(np.int8)  # who lacks the target
OF_SOME = deal_splits(IDS, Dealer(groups=GROUPS, strata=SOME), 5, 3, 1)
SHA_OF_FORMAT_2 = "b018db4b656e85666fff6530e82f5d988fff83dfa4ed82b5fff0dca4f64384e3"
SHA_OF_FORMAT_1 = "032ffea578373b4779553c2a44341d27d3361adfcbcf336fb4e7f783eb4245a5"
SIZES = st.lists(st.integers(1, 12), min_size=6, max_size=20)


def of_sizes(sizes: list[int]) -> tuple[str, ...]:
    return tuple(f"group-{number}" for number, size in enumerate(sizes) for _ in range(size))


def divided(rows: NDArray[np.signedinteger], groups: Sequence[str]) -> set[str]:
    """Return the groups whose members are in more than one fold of any row."""
    array = np.asarray(groups)
    return {one for one in groups if (np.ptp(np.atleast_2d(rows)[:, array == one], axis=1)).any()}


def splits_of(sizes: list[int], n_outer: int, seed: int) -> tuple[Splits, tuple[str, ...]]:
    groups = of_sizes(sizes)
    ids = [str(one) for one in range(len(groups))]
    return make_splits(ids, groups, n_outer, 2, seed), groups


def pool_of(splits: Splits) -> PoolSplits:
    """Return what a pool keeps whose targets all have these splits."""
    return PoolSplits(sets=(splits,), set_of={}, conventions={**PUBLISHED, "splits": PLAIN})


def write_by_hand(path: Path, header: dict[str, object], **arrays: Any) -> None:
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, header=text, **arrays)


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(3, 6), st.integers(0, 99))
def test_outer_folds_divide_no_group(sizes: list[int], n_outer: int, seed: int) -> None:
    splits, groups = splits_of(sizes, n_outer, seed)

    assert divided(splits.outer, groups) == set()


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(3, 6), st.integers(0, 99))
def test_inner_folds_divide_no_group(sizes: list[int], n_outer: int, seed: int) -> None:
    splits, groups = splits_of(sizes, n_outer, seed)

    assert divided(splits.inner, groups) == set()


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(3, 6), st.integers(0, 99))
def test_holdouts_divide_no_group(sizes: list[int], n_outer: int, seed: int) -> None:
    splits, groups = splits_of(sizes, n_outer, seed)

    assert divided(splits.holdout, groups) == set()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.floats(0.05, 0.95))
def test_no_choice_of_groups_comes_nearer_to_the_share(sizes: list[int], share: float) -> None:
    sums = {sum(chosen) for n in range(1, len(sizes)) for chosen in combinations(sizes, n)}

    held_out = hold_out_groups(of_sizes(sizes), share, "seed")

    wanted = share * sum(sizes)
    assert abs(int(held_out.sum()) - wanted) == min(abs(one - wanted) for one in sums)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_of_two_groups_one_is_held_out(one: int, other: int) -> None:
    held_out = hold_out_groups(of_sizes([one, other]), 0.25, "seed")

    assert set(held_out.tolist()) == {0, 1}


def test_a_quarter_of_each_training_part_is_held_out() -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    assert (splits.holdout == 1).sum(axis=1).tolist() == [40] * 5


def test_holdouts_hold_exactly_the_training_part() -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    outside = splits.outer == np.arange(5)[:, np.newaxis]
    np.testing.assert_array_equal(splits.holdout == -1, outside)


def test_another_seed_holds_out_other_groups() -> None:
    one = hold_out_groups(GROUPS, 0.25, "1")

    other = hold_out_groups(GROUPS, 0.25, "2")

    assert (one != other).any()


def test_the_order_of_rows_holds_out_the_same_participants() -> None:
    order = RNG.permutation(200)
    straight = hold_out_groups(GROUPS, 0.25, "seed")

    shuffled = hold_out_groups([GROUPS[one] for one in order], 0.25, "seed")

    np.testing.assert_array_equal(shuffled, straight[order])


def test_one_group_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="of 1 groups none can be held out"):
        hold_out_groups(["a", "a"], 0.25, "seed")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_that_is_none_or_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="give one between 0 and 1"):
        hold_out_groups(["a", "b"], share, "seed")


@pytest.mark.parametrize("fold", range(5))
def test_inner_folds_hold_exactly_the_training_part(fold: int) -> None:
    splits = make_splits(IDS, GROUPS, 5, 3, seed=1)

    np.testing.assert_array_equal(splits.inner[fold] == -1, splits.outer == fold)
    assert set(splits.inner[fold].tolist()) == {-1, 0, 1, 2}


def test_folds_are_of_nearly_equal_size() -> None:
    sizes = np.bincount(deal_groups(GROUPS, 5, "seed"))

    assert sizes.max() - sizes.min() <= 1


def test_splits_stay_the_same_in_every_version() -> None:
    splits = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)

    assert splits.outer.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    assert splits.inner.tolist() == [[-1, -1, -1, 1, 1, 0, -1, 0], [0, 0, 1, -1, -1, -1, 1, -1]]
    assert splits.holdout.tolist() == [[-1, -1, -1, 0, 0, 0, -1, 1], [0, 0, 0, -1, -1, -1, 1, -1]]
    assert splits.digest == SHA_OF_FORMAT_2


def test_another_seed_gives_other_folds() -> None:
    one = make_splits(IDS, GROUPS, 5, 3, seed=1)

    other = make_splits(IDS, GROUPS, 5, 3, seed=2)

    assert (one.outer != other.outer).any()


def test_the_order_of_rows_does_not_move_a_participant() -> None:
    order = RNG.permutation(200)
    straight = deal_groups(GROUPS, 5, "seed")

    shuffled = deal_groups([GROUPS[one] for one in order], 5, "seed")

    np.testing.assert_array_equal(shuffled, straight[order])


@pytest.mark.parametrize("name", ["outer", "inner", "holdout"])
def test_even_splits_divide_no_group(name: str) -> None:
    assert divided(getattr(EVEN_SPLITS, name), GROUPS) == set()


def test_even_outer_folds_have_the_same_number_of_each_class() -> None:
    counts = [np.bincount(EVEN_SPLITS.outer[one == SEX], minlength=5) for one in (0, 1)]

    assert [one.tolist() for one in counts] == [[32] * 5, [8] * 5]


def test_even_inner_folds_have_nearly_the_same_number_of_each_class() -> None:
    rows = [np.bincount(row[(SEX == 1) & (row >= 0)], minlength=3) for row in EVEN_SPLITS.inner]

    assert np.ptp(rows, axis=1).max() <= 1


def test_an_even_holdout_has_a_quarter_of_each_class() -> None:
    held_out = EVEN_SPLITS.holdout == 1

    assert held_out[:, SEX == 1].sum(axis=1).tolist() == [8] * 5
    assert held_out[:, SEX == 0].sum(axis=1).tolist() == [32] * 5


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0001, 0.9999), st.integers(0, 99))
def test_both_sides_of_an_even_holdout_have_both_classes(share: float, seed: int) -> None:
    dealer = Dealer(groups=GROUPS, strata=SEX)

    held_out = dealer.hold_out(dealer.present(), share, str(seed))

    sides = set(zip(held_out.tolist(), SEX.tolist(), strict=True))
    assert sides == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_who_lacks_the_target_is_in_no_part() -> None:
    absent = SOME == -1

    assert (OF_SOME.outer[absent] == -1).all()
    assert (OF_SOME.inner[:, absent] == -1).all()
    assert (OF_SOME.holdout[:, absent] == -1).all()


def test_splits_of_one_class_are_the_plain_ones_of_who_has_the_target() -> None:
    present = SOME == 0
    ids, groups = np.array(IDS)[present].tolist(), np.array(GROUPS)[present].tolist()

    plain = make_splits(ids, groups, 5, 3, seed=1)

    np.testing.assert_array_equal(OF_SOME.outer[present], plain.outer)
    np.testing.assert_array_equal(OF_SOME.inner[:, present], plain.inner)
    np.testing.assert_array_equal(OF_SOME.holdout[:, present], plain.holdout)


def test_even_splits_stay_the_same_in_every_version() -> None:
    strata = np.array([0, 1, 1, 0, 0, 1, 0, 0], np.int8)
    splits = deal_splits(LETTERS, Dealer(groups=FAMILIES, strata=strata), 2, 2, 7)

    assert splits.outer.tolist() == [0, 0, 1, 0, 0, 1, 1, 1]
    assert splits.inner.tolist() == [[-1, -1, 0, -1, -1, 1, 1, 0], [0, 0, -1, 1, 1, -1, -1, -1]]
    assert splits.holdout.tolist() == [[-1, -1, 1, -1, -1, 0, 1, 0], [0, 0, -1, 0, 1, -1, -1, -1]]
    assert splits.digest == "3e280fc4415ac61f7a45140cb2313479b92b21ad0793d4be903562587ed400f3"


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be dealt out to 3 folds"):
        deal_groups(["a", "a", "b"], 3, "seed")


def test_splits_come_back_from_disk_unchanged(tmp_path: Path) -> None:
    made = make_splits(IDS, GROUPS, 5, 3, seed=1)
    write_splits(tmp_path / "splits.npz", pool_of(made))

    found = read_splits(tmp_path / "splits.npz", IDS, GROUPS).of("age")

    np.testing.assert_array_equal(found.outer, made.outer)
    np.testing.assert_array_equal(found.inner, made.inner)
    np.testing.assert_array_equal(found.holdout, made.holdout)
    assert (found.digest, found.holdout_share) == (made.digest, made.holdout_share)


def test_splits_of_format_1_get_the_holdout_they_would_have_had(tmp_path: Path) -> None:
    made = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)
    header = {"format": 1, "seed": 7, "sha256": SHA_OF_FORMAT_1, "targets": {"age": "12ab"}}
    write_by_hand(tmp_path / "splits.npz", header, outer=made.outer, inner=made.inner)

    found = read_splits(tmp_path / "splits.npz", LETTERS, FAMILIES)

    np.testing.assert_array_equal(found.of("age").holdout, made.holdout)
    assert (found.of("age").digest, found.targets) == (made.digest, {"age": "12ab"})
    assert found.conventions == PUBLISHED


def test_splits_of_format_2_stay_as_they_are_for_every_target(tmp_path: Path) -> None:
    made = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)
    header = {"format": 2, "seed": 7, "holdout_share": 0.25, "sha256": SHA_OF_FORMAT_2}
    arrays = {"outer": made.outer, "inner": made.inner, "holdout": made.holdout}
    write_by_hand(tmp_path / "splits.npz", header, **arrays)

    found = read_splits(tmp_path / "splits.npz", LETTERS, FAMILIES)

    assert (found.of("age").digest, found.of("sex").digest) == (SHA_OF_FORMAT_2, SHA_OF_FORMAT_2)
    assert found.conventions == PUBLISHED


def test_splits_of_two_targets_come_back_from_disk_unchanged(tmp_path: Path) -> None:
    made = PoolSplits.made({"sex": EVEN_SPLITS, "twin": EVEN_SPLITS, "age": OF_SOME}, USUAL)
    write_splits(tmp_path / "splits.npz", made)

    found = read_splits(tmp_path / "splits.npz", IDS, GROUPS)

    assert (len(found.sets), found.conventions) == (2, USUAL)
    assert found.of("twin").digest == found.of("sex").digest == EVEN_SPLITS.digest
    for name in ("outer", "inner", "holdout", "strata"):
        np.testing.assert_array_equal(getattr(found.of("age"), name), getattr(OF_SOME, name))


def test_a_target_without_splits_is_named() -> None:
    made = PoolSplits.made({"sex": EVEN_SPLITS}, {"splits": "even"})

    with pytest.raises(DataError, match="no splits for the target age"):
        made.of("age")


def test_a_changed_class_is_noticed(tmp_path: Path) -> None:
    changed = replace(EVEN_SPLITS, strata=1 - SEX)
    write_splits(tmp_path / "splits.npz", PoolSplits.made({"sex": changed}, {"splits": "even"}))

    with pytest.raises(DataError, match="its hash is wrong"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)


def test_splits_of_a_newer_format_are_refused(tmp_path: Path) -> None:
    write_by_hand(tmp_path / "splits.npz", {"format": FORMAT + 1})

    with pytest.raises(DataError, match=f"this jobpool knows {FORMAT}; install a newer"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)


def test_a_changed_holdout_is_noticed(tmp_path: Path) -> None:
    made = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)
    header = {"format": 2, "seed": 7, "holdout_share": 0.25, "sha256": made.digest}
    arrays = {"outer": made.outer, "inner": made.inner, "holdout": np.abs(made.holdout)}
    write_by_hand(tmp_path / "splits.npz", header, **arrays)

    with pytest.raises(DataError, match="its hash is wrong"):
        read_splits(tmp_path / "splits.npz", LETTERS, FAMILIES)


def test_splits_without_their_holdout_are_damaged(tmp_path: Path) -> None:
    made = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)
    header = {"format": 2, "seed": 7, "holdout_share": 0.25, "sha256": made.digest}
    write_by_hand(tmp_path / "splits.npz", header, outer=made.outer, inner=made.inner)

    with pytest.raises(DataError, match="damaged"):
        read_splits(tmp_path / "splits.npz", LETTERS, FAMILIES)


def test_another_share_gives_another_hash() -> None:
    quarter = make_splits(LETTERS, FAMILIES, 2, 2, seed=7)

    third = make_splits(LETTERS, FAMILIES, 2, 2, seed=7, holdout_share=0.33)

    assert third.digest != quarter.digest


def test_a_changed_group_is_noticed(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.npz", pool_of(make_splits(IDS, GROUPS, 5, 3, seed=1)))

    with pytest.raises(DataError, match="groups changed since the pool was made"):
        read_splits(tmp_path / "splits.npz", IDS, ("family-x", *GROUPS[1:]))


def test_splits_cut_short_are_noticed(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.npz", pool_of(make_splits(IDS, GROUPS, 5, 3, seed=1)))
    os.truncate(tmp_path / "splits.npz", 300)

    with pytest.raises(DataError, match="damaged"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)


def test_a_flipped_byte_in_the_folds_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "splits.npz"
    write_splits(path, pool_of(make_splits(IDS, GROUPS, 5, 3, seed=1)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match="damaged"):
        read_splits(path, IDS, GROUPS)


def test_missing_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"splits\.npz: missing"):
        read_splits(tmp_path / "splits.npz", IDS, GROUPS)
