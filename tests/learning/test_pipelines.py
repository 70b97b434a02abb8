import pytest

from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import Kind

ELASTIC = PIPELINES["elastic"]


def test_candidates_stay_the_same_in_every_version() -> None:
    candidates = ELASTIC.candidates(Kind.BINARY, 2, seed=1)

    assert [one["C"] for one in candidates] == pytest.approx([0.65910244577, 0.12823340225])
    assert [one["l1_ratio"] for one in candidates] == pytest.approx([0.68076419953, 0.38925299564])
    assert [one["class_weight"] for one in candidates] == ["balanced", "balanced"]


def test_a_longer_list_of_candidates_begins_with_the_shorter() -> None:
    short = ELASTIC.candidates(Kind.REGRESSION, 5, seed=1)

    long = ELASTIC.candidates(Kind.REGRESSION, 60, seed=1)

    assert long[:5] == short


def test_another_seed_draws_other_candidates() -> None:
    one = ELASTIC.candidates(Kind.REGRESSION, 5, seed=1)

    other = ELASTIC.candidates(Kind.REGRESSION, 5, seed=2)

    assert one != other


@pytest.mark.parametrize(
    ("kind", "name", "low", "high"),
    [
        (Kind.REGRESSION, "alpha", 1e-5, 1e5),
        (Kind.REGRESSION, "l1_ratio", 0.01, 1.0),
        (Kind.BINARY, "C", 1e-5, 1e5),
        (Kind.BINARY, "l1_ratio", 0.01, 1.0),
    ],
)
def test_candidates_fill_the_space_of_the_study(
    kind: Kind, name: str, low: float, high: float
) -> None:
    candidates = ELASTIC.candidates(kind, 1000, seed=1)

    drawn = sorted(float(str(one[name])) for one in candidates)
    assert low <= drawn[0] <= 1.2 * low
    assert high / 1.1 < drawn[-1] <= high


def test_a_log_scale_is_even_over_powers_of_ten() -> None:
    candidates = ELASTIC.candidates(Kind.REGRESSION, 1000, seed=1)

    below_one = sum(float(str(one["alpha"])) < 1 for one in candidates)
    assert 450 < below_one < 550


def test_class_weight_is_drawn_from_its_choices() -> None:
    candidates = ELASTIC.candidates(Kind.BINARY, 100, seed=1)

    assert {one["class_weight"] for one in candidates} == {None, "balanced"}
