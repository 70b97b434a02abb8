from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobpool.errors import DataError
from jobpool.experiment.reader import Reader
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.targets import Target, TargetSettings, read_target, read_target_settings

NAN = np.nan


def settings_of(settings: Mapping[str, object], name: str = "y") -> TargetSettings:
    """Return the settings that the experiment file gives."""
    reader = Reader(Path("study.yaml"), {name: settings}, "evaluate.targets")
    found = read_target_settings(reader, name)
    reader.finish()
    return found


def target_of(values: object, **settings: object) -> Target:
    return read_target(pd.DataFrame({"y": values}), "y", settings_of(settings))


def problems_of(settings: Any) -> list[str]:
    reader = Reader(Path("study.yaml"), {"y": settings}, "evaluate.targets")
    read_target_settings(reader, "y")
    return [f"{one.key}: {one.advice}" for one in reader.all_problems()]


def test_numbers_make_a_regression() -> None:
    target = read_target(pd.DataFrame({"age": [20, 30, 41]}), "age")

    assert target.kind is Kind.REGRESSION
    assert target.y.tolist() == [20.0, 30.0, 41.0]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["no", "yes", "no"], ("no", "yes")),
        ([1, 2, 1], ("1", "2")),
        ([False, True, False], ("False", "True")),
        (pd.Categorical(["no", "yes", "no"]), ("no", "yes")),
    ],
)
def test_two_different_values_make_a_binary_target(
    values: list[object], classes: tuple[str, str]
) -> None:
    target = read_target(pd.DataFrame({"sex": values}), "sex")

    assert (target.kind, target.classes) == (Kind.BINARY, classes)
    assert target.y.tolist() == [0.0, 1.0, 0.0]


def test_a_missing_value_is_not_a_class() -> None:
    target = read_target(pd.DataFrame({"sex": ["f", None, "m"]}), "sex")

    assert target.classes == ("f", "m")
    np.testing.assert_array_equal(target.present, [True, False, True])


def test_three_texts_are_no_target() -> None:
    with pytest.raises(DataError, match="3 different texts"):
        read_target(pd.DataFrame({"site": ["a", "b", "c"]}), "site")


def test_a_constant_is_no_target() -> None:
    with pytest.raises(DataError, match="has 1 different values"):
        read_target(pd.DataFrame({"age": [3, 3, 3]}), "age")


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="1 values are infinite"):
        read_target(pd.DataFrame({"age": [1.0, 2.0, np.inf]}), "age")


def test_without_settings_the_digest_is_what_it_was() -> None:
    target = read_target(pd.DataFrame({"sex": ["f", None, "m"]}), "sex")

    assert target.digest[:12] == "083c37fc3238"


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    frame = pd.DataFrame({"age": [1, 2, 3]})

    with pytest.raises(DataError, match=r"'agee' is no column .* it has: age; did you mean 'age'"):
        read_target(frame, "old", TargetSettings(column="agee"))


def test_a_threshold_makes_two_classes() -> None:
    frame = pd.DataFrame({"mrs": [0, 2, 3, None, 6]})

    target = read_target(frame, "mrs_bad", TargetSettings(column="mrs", threshold=2.0))

    assert (target.kind, target.classes) == (Kind.BINARY, ("mrs <= 2", "mrs > 2"))
    np.testing.assert_array_equal(target.y, [0, 0, 1, NAN, 1])


@pytest.mark.parametrize(("threshold", "side"), [(9, "above"), (0.5, "at or below")])
def test_a_threshold_with_all_values_on_one_side_is_refused(threshold: float, side: str) -> None:
    with pytest.raises(DataError, match=f"no value is {side} the threshold {threshold}: .* 1 to 3"):
        target_of([1, 2, 3], threshold=threshold)


def test_a_threshold_for_texts_is_refused() -> None:
    with pytest.raises(DataError, match="neither numbers nor two classes"):
        target_of(["a", "b", "c"], threshold=1)


def test_outliers_become_missing() -> None:
    values = [*range(20), None, 1000]

    target = target_of(values, outliers_sd=3)

    assert target.dropped == {"y is missing": 1, "y is an outlier": 1}
    np.testing.assert_array_equal(target.y, [*range(20), NAN, NAN])


@pytest.mark.parametrize(("outliers_sd", "n_outliers"), [(1.48, 1), (1.49, 0)])
def test_the_sd_of_outliers_has_one_degree_of_freedom(outliers_sd: float, n_outliers: int) -> None:
    target = target_of([0, 1, 2, 11], outliers_sd=outliers_sd, threshold=1)  # 7.5 / 5.07 SD

    assert target.n_outliers == n_outliers


def test_what_is_left_makes_no_new_outliers() -> None:
    target = target_of([*range(20), 100, 100_000], outliers_sd=3)

    assert target.n_outliers == 1


def test_outliers_go_before_the_threshold() -> None:
    target = target_of([*range(20), 1000], outliers_sd=3, threshold=9)

    assert (target.kind, target.n_outliers) == (Kind.BINARY, 1)
    np.testing.assert_array_equal(target.y, [*[0] * 10, *[1] * 10, NAN])


def test_outliers_of_two_values_are_refused() -> None:
    with pytest.raises(DataError, match="outliers_sd is for numbers"):
        target_of([0, 1, 1], outliers_sd=3)


def test_outliers_that_leave_a_constant_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 values are outliers .* give a larger outliers_sd"):
        target_of([*[1] * 30, 2], outliers_sd=3, kind="regression")


def test_what_is_not_listed_as_positive_is_class_0() -> None:
    values = ["left", "right", "both", None, "unsure"]

    target = target_of(values, positive=["left", "both"])

    assert (target.kind, target.classes) == (Kind.BINARY, ("y: others", "y: left, both"))
    np.testing.assert_array_equal(target.y, [1, 0, 1, NAN, 0])


def test_what_is_neither_positive_nor_negative_is_missing() -> None:
    target = target_of([0, 1, 2, None, 4, 5], positive=[4, 5], negative=[0, 1])

    np.testing.assert_array_equal(target.y, [0, 0, NAN, NAN, 1, 1])
    assert target.classes == ("y: 0, 1", "y: 4, 5")
    assert target.dropped == {"y is missing": 1, "y is neither positive nor negative": 1}


@pytest.mark.parametrize(
    ("values", "positive"),
    [([1, 2, None], 2), ([1, 2, 3], "2"), (["1", "2", "x"], 2), ([False, True], True)],
)
def test_listed_values_are_compared_as_texts(values: list[object], positive: object) -> None:
    target = target_of(values, positive=positive)

    assert target.y[:2].tolist() == [0.0, 1.0]


def test_a_listed_value_that_the_column_does_not_hold_is_named_with_the_nearest() -> None:
    message = (
        r"positive lists .* column y does not hold \(left, right\): 'lefft'; did you mean 'left'"
    )

    with pytest.raises(DataError, match=message):
        target_of(["left", "right"], positive="lefft")


def test_a_yes_that_yaml_read_as_true_is_explained() -> None:
    with pytest.raises(DataError, match="'True'; put quotes around yes"):
        target_of(["yes", "no"], positive=True)


def test_a_list_of_every_value_is_refused() -> None:
    with pytest.raises(DataError, match="positive lists every value of the column y"):
        target_of(["a", "b"], positive=["a", "b"])


def test_two_numbers_can_be_taken_as_numbers() -> None:
    target = target_of([2, 5, None], kind="regression")

    assert (target.kind, target.classes) == (Kind.REGRESSION, ())
    np.testing.assert_array_equal(target.y, [2, 5, NAN])


def test_two_texts_cannot_be_taken_as_numbers() -> None:
    with pytest.raises(DataError, match="neither numbers nor two classes"):
        target_of(["a", "b"], kind="regression")


def test_three_numbers_are_not_binary() -> None:
    with pytest.raises(DataError, match="set to be binary, but has 3 different values"):
        target_of([1, 2, 3], kind="binary")


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 1},
        {"threshold": 2},
        {"outliers_sd": 1},
        {"positive": [1]},
        {"positive": [1], "negative": [2]},
    ],
)
def test_settings_that_change_the_values_change_the_digest(settings: Mapping[str, object]) -> None:
    values = [0, 1, 2, 3, 30]
    plain = target_of(values)

    changed = target_of(values, **settings)

    assert changed.digest != plain.digest


def test_no_settings_are_the_column_of_the_same_name() -> None:
    reader = Reader(Path("study.yaml"), {})

    assert read_target_settings(reader, "age") == TargetSettings(column="age")


def test_settings_are_read_as_they_are_written() -> None:
    written = {"column": "mrs", "kind": "binary", "threshold": 2, "outliers_sd": 4}

    settings = settings_of(written, "bad")

    assert settings == TargetSettings(
        column="mrs", kind=Kind.BINARY, threshold=2.0, outliers_sd=4.0
    )


@pytest.mark.parametrize(
    ("settings", "key", "advice"),
    [
        ({"threshold": 1, "positive": 2}, "threshold", "cannot stand beside positive"),
        ({"outliers_sd": 3, "positive": 2}, "outliers_sd", "cannot stand beside positive"),
        ({"negative": 1}, "negative", "needs positive beside it"),
        ({"positive": [1, 2], "negative": [2, 3]}, "negative", "2 cannot be positive as well"),
        ({"kind": "regression", "threshold": 1}, "kind", "threshold makes two classes"),
        ({"kind": "regression", "positive": 1}, "kind", "positive makes two classes"),
        ({"kind": "binary", "outliers_sd": 3}, "outliers_sd", "two classes have no outliers"),
        ({"kind": "binnary"}, "kind", "did you mean 'binary'"),
        ({"outliers_sd": 0}, "outliers_sd", "must be greater than 0"),
        ({"threshold": "two"}, "threshold", "must be a number"),
        ({"positive": []}, "positive", "must be a list of values"),
        ({"positive": [[1]]}, "positive", "must be a list of values"),
        ({"treshold": 1}, "treshold", "did you mean 'threshold'"),
    ],
)
def test_a_setting_that_cannot_be_is_reported_once(
    settings: Mapping[str, object], key: str, advice: str
) -> None:
    (problem,) = problems_of(settings)

    assert problem.startswith(f"evaluate.targets.y.{key}: ")
    assert advice in problem


def test_settings_that_are_no_mapping_are_reported() -> None:
    assert problems_of(3) == ["evaluate.targets.y: must be a mapping of keys to values"]


def test_a_column_of_lists_is_no_target() -> None:
    frame = pd.DataFrame({"age": [[1], [2], [3]]})

    with pytest.raises(DataError, match="holds lists or the like"):
        read_target(frame, "age")
