"""The regression: the same numbers as plain least squares, and what a design cannot have."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from jobpool.analysis.regression import Regression, regress
from jobpool.errors import DataError


def points(n: int = 30, seed: int = 3) -> pd.DataFrame:
    """Return mean ranks that fall with size, by type and by pipeline, with noise."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": np.geomspace(10, 2_000, n).round().astype(int),
            "type": np.resize(["hard", "random", "soft"], n),
            "pipeline": np.resize(["svm", "elastic"], n),
        }
    )
    logs = 2.5 - 0.3 * np.log10(frame["size"]) + rng.normal(0, 0.05, n)
    logs += frame["type"].map({"hard": 0.0, "random": 0.1, "soft": -0.1})
    logs += frame["pipeline"].map({"elastic": 0.0, "svm": -0.2})
    return frame.assign(mean_rank=10**logs)


def design(frame: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    columns = [
        np.ones(len(frame)),
        np.log10(frame["size"]),
        frame["type"] == "random",
        frame["type"] == "soft",
        frame["pipeline"] == "svm",
    ]
    return np.column_stack(columns).astype(np.float64)


NAMES = ("intercept", "log10(size)", "type random", "type soft", "pipeline svm")


def coefficients(regression: Regression) -> list[float]:
    found = {term.name: term.coefficient for term in regression.terms}
    return [found[name] for name in NAMES]


def test_the_coefficients_are_those_of_least_squares() -> None:
    frame = points()
    expected = np.linalg.lstsq(design(frame), np.log10(frame["mean_rank"]))[0]

    regression = regress(frame)

    assert coefficients(regression) == pytest.approx(expected.tolist(), rel=1e-10)
    assert regression.baselines == {"type": "hard", "pipeline": "elastic"}


def test_the_errors_are_those_of_least_squares() -> None:
    frame = points()
    X, y = design(frame), np.log10(frame["mean_rank"]).to_numpy()
    beta = np.linalg.lstsq(X, y)[0]
    variance = ((y - X @ beta) ** 2).sum() / (len(y) - 5)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(X.T @ X)))
    reach = student.ppf(0.975, len(y) - 5) * errors

    found = {term.name: term for term in regress(frame).terms}

    assert [found[name].error for name in NAMES] == pytest.approx(errors.tolist(), rel=1e-9)
    assert [found[name].low for name in NAMES] == pytest.approx((beta - reach).tolist(), rel=1e-9)
    assert [found[name].high for name in NAMES] == pytest.approx((beta + reach).tolist(), rel=1e-9)


def test_the_share_of_variance_is_that_of_least_squares() -> None:
    frame = points()
    X, y = design(frame), np.log10(frame["mean_rank"]).to_numpy()
    left = ((y - X @ np.linalg.lstsq(X, y)[0]) ** 2).sum()
    total = ((y - y.mean()) ** 2).sum()

    regression = regress(frame)

    assert regression.r2 == pytest.approx(1 - left / total)
    # 30 rows, 5 coefficients
    assert regression.adjusted_r2 == pytest.approx(1 - (left / 25) / (total / 29))
    assert (regression.n, regression.n_parameters) == (30, 5)


def test_the_line_worked_by_hand() -> None:
    # the numbers of tests/analysis/test_powerlaw.py: slope -0.7, its error 0.1, R2 1 - 0.30 / 5.2;
    # adjusted: 1 - (0.30 / 3) / (5.2 / 4)
    frame = pd.DataFrame(
        {"size": [10, 100, 1_000, 10_000, 100_000], "mean_rank": [1e3, 1e2, 1e2, 10.0, 1.0]}
    )

    regression = regress(frame, factors=())

    assert [term.coefficient for term in regression.terms] == pytest.approx([3.7, -0.7])
    assert regression.terms[1].error == pytest.approx(0.1)
    assert regression.terms[1].t == pytest.approx(-7)
    assert regression.r2 == pytest.approx(1 - 0.30 / 5.2)
    assert regression.adjusted_r2 == pytest.approx(1 - 0.1 / 1.3)


def test_the_predictions_lie_on_the_line_of_their_type() -> None:
    regression = regress(points())
    intercept, slope, _, soft, svm = coefficients(regression)

    lines = regression.predictions
    line = lines[(lines["type"] == "soft") & (lines["pipeline"] == "svm")]

    expected = intercept + soft + svm + slope * np.log10(line["size"])
    assert np.log10(line["mean_rank"]).to_numpy() == pytest.approx(expected.to_numpy())
    assert (line["low"] < line["mean_rank"]).all()
    assert (line["mean_rank"] < line["high"]).all()


def test_the_band_is_that_of_least_squares() -> None:
    frame = points()
    X, y = design(frame), np.log10(frame["mean_rank"]).to_numpy()
    beta = np.linalg.lstsq(X, y)[0]
    variance = ((y - X @ beta) ** 2).sum() / 25

    lines = regress(frame).predictions
    at = design(lines)

    reach = student.ppf(0.975, 25) * np.sqrt(
        np.einsum("ij,jk,ik->i", at, variance * np.linalg.inv(X.T @ X), at)
    )
    assert np.log10(lines["low"]).to_numpy() == pytest.approx(at @ beta - reach)
    assert np.log10(lines["high"]).to_numpy() == pytest.approx(at @ beta + reach)


def test_each_line_stays_within_the_sizes_of_its_group() -> None:
    frame = points()

    lines = regress(frame).predictions

    ends = lines.groupby(["type", "pipeline"])["size"].agg(["min", "max"])
    expected = frame.groupby(["type", "pipeline"])["size"].agg(["min", "max"])
    np.testing.assert_allclose(ends, expected)


def test_one_type_has_no_term() -> None:
    regression = regress(points().assign(type="hard"))

    assert regression.left_out == ("No type term: all rows have type 'hard'.",)
    assert [term.name for term in regression.terms] == ["intercept", "pipeline svm", "log10(size)"]
    assert "type" not in regression.predictions


def test_one_pipeline_has_no_term() -> None:
    regression = regress(points().assign(pipeline="svm"))

    assert regression.left_out == ("No pipeline term: all rows have pipeline 'svm'.",)
    assert regression.formula == "log10_rank ~ log10_size + C(type)"


def test_a_factor_without_a_column_has_no_term() -> None:
    regression = regress(points().drop(columns="pipeline"))

    assert regression.left_out == ("No pipeline term: there is no pipeline column.",)


def test_a_pipeline_that_the_type_tells_has_no_term() -> None:
    frame = points()

    regression = regress(frame.assign(pipeline=frame["type"].map(str.upper)))

    assert regression.left_out == (
        "No pipeline term: sizes and the other terms already tell the pipeline.",
    )
    assert regression.baselines == {"type": "hard"}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (points().iloc[:5], "coefficients take more than"),
        (points().assign(size=100), "all sizes are equal"),
        (points().assign(mean_rank=2.0), "all mean ranks are equal"),
    ],
)
def test_too_little_to_fit_is_refused(frame: pd.DataFrame, said: str) -> None:
    with pytest.raises(DataError, match=said):
        regress(frame)
