"""The power law: fits worked by hand, and laws that are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from jobpool.analysis.regions import find_region, in_region
from jobpool.analysis.scaling import Regression, fit_power_law, ks_distance, regress
from jobpool.errors import DataError
from jobpool.experiment.report import RegionChoice

# log10 of size       1     2     3     4     5     mean 3, squares around it 10
# log10 of mean rank  3     2     2     1     0     mean 1.6
# products around the means: -2 * 1.4 - 1 * 0.4 + 0 - 1 * 0.6 - 2 * 1.6 = -7
# slope -7 / 10 = -0.7, intercept 1.6 + 0.7 * 3 = 3.7
# line                3.0   2.3   1.6   0.9   0.2
# left                0    -0.3   0.4   0.1  -0.2   squares 0.30 of 5.2 around the mean
# R2 = 1 - 0.30 / 5.2, variance 0.30 / 3 = 0.1, error of the slope sqrt(0.1 / 10) = 0.1
# t with 3 degrees of freedom at 0.975: 3.182446
BY_HAND = pd.DataFrame(
    {"size": [10, 100, 1_000, 10_000, 100_000], "mean_rank": [1e3, 1e2, 1e2, 10.0, 1.0]}
)


def a_law(sizes: list[int], factor: float = 400.0, exponent: float = -0.3) -> pd.DataFrame:
    ranks = factor * np.asarray(sizes, np.float64) ** exponent
    return pd.DataFrame({"size": sizes, "mean_rank": ranks})


def test_the_line_is_the_one_worked_by_hand() -> None:
    law = fit_power_law(BY_HAND)

    assert law.exponent == pytest.approx(-0.7)
    assert law.factor == pytest.approx(10**3.7)
    assert law.r2 == pytest.approx(1 - 0.30 / 5.2)
    assert (law.n, law.n_sizes, law.smallest, law.largest) == (5, 5, 10, 100_000)


def test_the_interval_of_the_exponent_is_the_one_worked_by_hand() -> None:
    law = fit_power_law(BY_HAND)

    assert law.exponent_error == pytest.approx(0.1)
    assert law.exponent_low == pytest.approx(-0.7 - 0.3182446, abs=1e-6)
    assert law.exponent_high == pytest.approx(-0.7 + 0.3182446, abs=1e-6)


def test_the_band_is_the_one_worked_by_hand() -> None:
    law = fit_power_law(BY_HAND)

    band = law.band([1_000.0, 10.0])

    # in the middle the error is sqrt(0.1 / 5), at the end sqrt(0.1 * (1 / 5 + 4 / 10))
    reach = 3.182446 * np.sqrt([0.1 / 5, 0.1 * 0.6])
    middle = np.array([1.6, 3.0])
    assert np.log10(band["mean_rank"]).to_numpy() == pytest.approx(middle)
    assert np.log10(band["low"]).to_numpy() == pytest.approx(middle - reach, abs=1e-5)
    assert np.log10(band["high"]).to_numpy() == pytest.approx(middle + reach, abs=1e-5)


def test_the_distance_to_the_law_is_the_one_worked_by_hand() -> None:
    law = fit_power_law(BY_HAND)

    # data 0 1 2 2 3, line 0.2 0.9 1.6 2.3 3.0: at no place do the numbers of those up to it
    # differ by more than one of five
    assert law.ks == pytest.approx(0.2)


def test_the_distance_of_two_samples_counts_ties() -> None:
    # up to 1 there are 3 of 4 against 1 of 4
    distance = ks_distance(np.array([1.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0, 2.0]))

    assert distance == 0.5


def test_the_law_is_one_line_of_text() -> None:
    text = str(fit_power_law(BY_HAND))

    assert text == (
        "mean rank = 5.01e+03 x parcels^-0.7000 (95 % -1.0182 to -0.3818), 10 to 100,000 parcels, "
        "R2 0.9423, 5 parcellations"
    )


def test_a_law_that_ends_is_fitted_where_it_holds() -> None:
    points = a_law([10, 20, 40, 80, 160, 320, 640, 1280])
    points.loc[6:, "mean_rank"] = points["mean_rank"].iloc[5]

    scaling = find_region(points)

    # the distance is 0 in 10 to 160, in 20 to 320, and in the one with more: 10 to 320
    assert (scaling.region.smallest, scaling.region.largest) == (10, 320)
    assert scaling.region.exponent == pytest.approx(-0.3)
    assert scaling.region.factor == pytest.approx(400)
    assert scaling.region.ks == 0
    assert scaling.whole.exponent > -0.28


def test_a_law_that_begins_is_fitted_where_it_holds() -> None:
    points = a_law([10, 20, 40, 80, 160, 320, 640, 1280])
    points.loc[:2, "mean_rank"] = points["mean_rank"].iloc[2]

    scaling = find_region(points)

    assert (scaling.region.smallest, scaling.region.largest) == (40, 1280)
    assert scaling.region.exponent == pytest.approx(-0.3)


def test_a_law_that_holds_everywhere_is_fitted_everywhere() -> None:
    scaling = find_region(a_law([10, 20, 40, 80, 160, 320, 640]))

    assert scaling.region == scaling.whole


def test_parcellations_of_one_size_enter_together() -> None:
    points = a_law([10, 20, 40, 80, 160, 320, 320, 320, 640])
    # one of three at 320 is far off: the region ends before them all, or holds them all
    points["mean_rank"] *= [1, 1, 1, 1, 1, 1, 3, 1, 3]

    scaling = find_region(points)

    assert (scaling.region.largest, scaling.region.n) == (160, 5)


def test_a_region_holds_half_of_the_parcellations() -> None:
    # the law holds in the first five sizes, but twelve of seventeen parcellations are beyond
    points = a_law([10, 11, 12, 13, 14, *range(100, 112)])
    points.loc[5:, "mean_rank"] = np.linspace(300, 20, 12) ** 2

    scaling = find_region(points)

    assert scaling.region.n >= 9


def test_a_noisy_law_with_two_ends_is_recovered() -> None:
    rng = np.random.default_rng(7)
    sizes = np.unique(np.geomspace(5, 8_000, 300).round()).astype(int)
    held = np.clip(sizes, 20, 2_000)  # no more gain beyond 2,000, no more loss below 20
    ranks = 400 * held**-0.28 * 10 ** rng.normal(0, 0.01, len(sizes))

    region = find_region(pd.DataFrame({"size": sizes, "mean_rank": ranks})).region

    assert region.exponent == pytest.approx(-0.28, abs=0.01)
    assert 14 <= region.smallest <= 28
    assert 1_400 <= region.largest <= 3_000


def test_thousands_of_sizes_are_tried_in_steps() -> None:
    points = a_law(list(range(10, 2_010)))

    scaling = find_region(points)

    # 200 sizes as each border; half of the sizes lie between them in about half of the pairs
    assert scaling.n_candidates <= 200 * 201 / 2
    assert (scaling.region.smallest, scaling.region.largest) == (10, 2_009)


@pytest.mark.parametrize("fit", [fit_power_law, find_region])
@pytest.mark.parametrize(
    ("points", "said"),
    [
        (a_law([10, 20, 40, 80, 160], factor=2.0, exponent=0.0), "all mean ranks are equal"),
        (a_law([100] * 5).assign(mean_rank=[1.0, 2.0, 3.0, 4.0, 5.0]), "all sizes are equal"),
    ],
)
def test_what_does_not_vary_gives_no_law(
    fit: Callable[[pd.DataFrame], object], points: pd.DataFrame, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        fit(points)


def test_a_region_of_equal_mean_ranks_is_none() -> None:
    points = a_law([10, 20, 40, 80, 160, 320, 640])
    points.loc[:4, "mean_rank"] = 200.0

    region = find_region(points).region

    # five sizes of mean rank 200 lie on a line of exponent 0 at distance 0
    assert region.largest > 160
    assert np.isfinite(region.r2)


def test_rows_in_a_region_include_its_borders() -> None:
    points = a_law([10, 20, 40, 80, 160, 320])

    scaling = find_region(points, RegionChoice(sizes=(20, 320)))

    assert in_region(points, scaling)["size"].tolist() == [20, 40, 80, 160, 320]


def test_two_sizes_give_no_law() -> None:
    with pytest.raises(DataError, match="takes 3 different sizes, there are 2"):
        fit_power_law(a_law([10, 10, 20]))


def test_four_sizes_give_no_region() -> None:
    with pytest.raises(DataError, match="takes 5 different sizes, there are 4"):
        find_region(a_law([10, 20, 40, 80, 80]))


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
    # the numbers of `BY_HAND`: slope -0.7, its error 0.1, R2 1 - 0.30 / 5.2;
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
        "No pipeline term: sizes and the other terms determine the pipeline.",
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
