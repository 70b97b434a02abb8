"""How the region of the power law is chosen; the published one, from the published ranks.

``published-ranks.csv`` holds the 220 single parcellations of Hahn et al., Cereb Cortex 33:176,
2023, as the study's page on base results lists them: mean rank over 45 targets and 3 pipelines.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as models
from scipy.stats import kstest, linregress

from jobpool.analysis.ranks import rank
from jobpool.analysis.regions import Scaling, find_region, in_region, laws_by_target
from jobpool.analysis.scaling import Regression, fit_power_law, regress
from jobpool.analysis.study_table import read_study_table
from jobpool.analysis.whole import Analysis, analyse
from jobpool.errors import DataError
from jobpool.experiment.report import RegionChoice
from tests.support.synthetic_study import a_study

PUBLISHED = Path(__file__).parents[1] / "assets" / "published-ranks.csv"
AS_PUBLISHED = RegionChoice(method="published")


@pytest.fixture(scope="module")
def ranks() -> pd.DataFrame:
    return pd.read_csv(PUBLISHED)


@pytest.fixture(scope="module")
def as_published() -> Analysis:
    return analyse(read_study_table(PUBLISHED), AS_PUBLISHED)


def cut(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the published region by scipy alone: the low end first, then the high end."""
    rows = frame.sort_values("size", kind="stable")

    def distance(low: int, high: int) -> float:
        part = rows.iloc[low : len(rows) - high]
        x, y = part["size"].to_numpy(float), part["mean_rank"].to_numpy()
        law = linregress(np.log10(x), np.log10(y))
        return float(kstest(y, 10**law.intercept * x**law.slope).statistic)

    most = range(len(rows) // 4)
    low = int(np.argmin([distance(k, 0) for k in most]))
    high = int(np.argmin([distance(low, k) for k in most]))
    return rows.iloc[low : len(rows) - high]


def with_types(frame: pd.DataFrame) -> Any:
    """Return the regression of statsmodels with terms for types."""
    logs = frame.assign(x=np.log10(frame["size"]), y=np.log10(frame["mean_rank"]))
    return models.ols("y ~ x + C(type)", logs).fit()


def term(found: Regression | None, name: str) -> float:
    assert found is not None
    return {one.name: one.coefficient for one in found.terms}[name]


def law_of(found: Analysis) -> Scaling:
    assert found.scaling is not None
    return found.scaling


def test_the_published_region_is_that_of_scipy(ranks: pd.DataFrame, as_published: Analysis) -> None:
    expected = cut(ranks)

    region = law_of(as_published).region

    assert (region.smallest, region.largest, region.n) == (7, 4000, 206)
    assert len(expected) == 206
    assert law_of(as_published).names == frozenset(expected["parcellation"])


def test_the_published_coefficient_is_that_with_types(
    ranks: pd.DataFrame, as_published: Analysis
) -> None:
    expected = with_types(cut(ranks))

    coefficient = term(as_published.regression, "log10(size)")

    assert coefficient == pytest.approx(expected.params["x"], abs=1e-12)
    assert coefficient == pytest.approx(-0.277, abs=1e-3)
    assert expected.nobs == 206


def test_a_region_that_is_named_is_taken(ranks: pd.DataFrame) -> None:
    table = read_study_table(PUBLISHED)

    found = analyse(table, RegionChoice(sizes=(7, 3000)))

    inside = ranks[ranks["size"].between(7, 3000)]
    coefficient = term(found.regression, "log10(size)")
    assert coefficient == pytest.approx(with_types(inside).params["x"], abs=1e-12)
    assert round(coefficient, 3) == -0.277
    assert law_of(found).rivals == ()


def test_the_usual_region_of_the_published_ranks_is_another(ranks: pd.DataFrame) -> None:
    scaling = find_region(ranks)

    assert (scaling.region.smallest, scaling.region.largest) == (30, 1500)
    assert term(regress(in_region(ranks, scaling), ("type",)), "log10(size)") == pytest.approx(
        -0.313, abs=5e-4
    )


def test_rivals_are_the_next_nearest_regions(ranks: pd.DataFrame) -> None:
    scaling = find_region(ranks)

    distances = [one.ks for one in (scaling.region, *scaling.rivals)]
    assert len(distances) == 6
    assert distances == sorted(distances)
    assert scaling.rivals[0] == fit_power_law(ranks[ranks["size"].between(20, 2637)])


def test_an_interval_that_includes_the_choice_is_wider(ranks: pd.DataFrame) -> None:
    scaling = find_region(ranks, resample=True)

    width = scaling.exponent_high - scaling.exponent_low
    usual = scaling.region.exponent_high - scaling.region.exponent_low
    assert 1.5 * usual < width < 2.5 * usual


def test_an_interval_of_a_given_region_is_that_of_least_squares(ranks: pd.DataFrame) -> None:
    scaling = find_region(ranks, RegionChoice(sizes=(7, 3000)), resample=True)

    width = scaling.exponent_high - scaling.exponent_low
    usual = scaling.region.exponent_high - scaling.region.exponent_low
    assert width == pytest.approx(usual, rel=0.25)


def test_the_interval_is_the_same_in_any_order(ranks: pd.DataFrame) -> None:
    mixed = ranks.sample(frac=1, random_state=1)

    one, another = (find_region(points, resample=True) for points in (ranks, mixed))

    assert (one.exponent_low, one.exponent_high) == (another.exponent_low, another.exponent_high)


def test_the_published_region_takes_ties_in_the_order_of_the_table(ranks: pd.DataFrame) -> None:
    turned = ranks.iloc[::-1]

    scaling = find_region(turned, AS_PUBLISHED)

    assert scaling.names == frozenset(cut(turned)["parcellation"])


def test_a_region_of_too_few_sizes_says_how_many_are_needed(ranks: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="takes 5 different sizes, the region has 3"):
        find_region(ranks, RegionChoice(sizes=(4000, 6000)))


def test_few_rows_have_no_published_region_of_fewer_sizes() -> None:
    few = pd.DataFrame({"size": [10, 20, 40, 80], "mean_rank": [4.0, 3.0, 2.0, 1.0]})

    with pytest.raises(DataError, match="takes 5 different sizes, there are 4"):
        find_region(few, AS_PUBLISHED)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    file = tmp_path_factory.mktemp("study") / "study.csv"
    a_study(n_parcellations=40).to_csv(file, index=False)
    return analyse(read_study_table(file))


def test_slopes_of_pipelines_are_those_of_statsmodels(study: Analysis) -> None:
    assert study.across is not None
    rows = in_region(study.across.by_pipeline, law_of(study))
    logs = rows.assign(x=np.log10(rows["size"]), y=np.log10(rows["mean_rank"]))
    expected = models.ols("y ~ x * C(pipeline) + C(type)", logs).fit()

    found = study.regression_pipeline_by_size

    slope = term(found, "log10(size) x pipeline lgbm")
    assert slope == pytest.approx(expected.params["x:C(pipeline)[T.lgbm]"])
    assert found is not None
    assert found.r2 == pytest.approx(expected.rsquared)


def test_slopes_of_ensembles_are_those_of_statsmodels(study: Analysis) -> None:
    assert study.together is not None
    points = study.together.overall
    rows = points[points["size"].between(300, 1500)]  # those of ensembles
    logs = rows.assign(
        x=np.log10(rows["size"]),
        y=np.log10(rows["mean_rank"]),
        ensemble=rows["strategy"].ne("single").astype(int),
    )
    expected = models.ols("y ~ x * ensemble", logs).fit()

    found = study.regression_ensemble_by_size

    assert term(found, "ensemble yes") == pytest.approx(expected.params["ensemble"])
    assert term(found, "log10(size) x ensemble yes") == pytest.approx(expected.params["x:ensemble"])


def test_each_target_has_the_law_of_its_own_ranks(study: Analysis) -> None:
    assert study.ranking is not None
    cells = in_region(study.ranking.cells, law_of(study))
    target = str(study.laws_by_target["target"].iloc[0])
    means = cells[cells["target"] == target].groupby("parcellation")[["size", "rank"]].mean()
    expected = linregress(np.log10(means["size"]), np.log10(means["rank"]))

    steepest = study.laws_by_target.iloc[0]

    assert steepest["exponent"] == pytest.approx(expected.slope)
    assert steepest["error"] == pytest.approx(expected.stderr)
    assert study.laws_by_target["exponent"].is_monotonic_increasing


def test_a_target_whose_ranks_do_not_vary_has_no_law(tmp_path: Path) -> None:
    rows = [
        (f"p{size}", size, "hard", "svm", target, 0.1 if target == "flat" else size / 1000)
        for size in (10, 20, 40, 80, 160, 320)
        for target in ("flat", "steep")
    ]
    columns = ["parcellation", "size", "type", "pipeline", "target", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "t.csv", index=False)
    ranking = rank(read_study_table(tmp_path / "t.csv"))

    found = laws_by_target(ranking.cells, find_region(ranking.overall))

    assert found["target"].tolist() == ["steep"]


def test_a_region_without_any_size_says_how_many_are_needed(ranks: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="takes 5 different sizes, the region has 0"):
        find_region(ranks, RegionChoice(sizes=(10_000, 20_000)))


def test_a_small_region_is_fitted_whatever_a_resample_draws() -> None:
    sizes = np.arange(1, 81)
    points = pd.DataFrame({"size": sizes, "mean_rank": 100.0 / sizes})

    found = find_region(points, RegionChoice(sizes=(60, 64)), resample=True)

    assert found.region.exponent == pytest.approx(-1)


def test_equal_ranks_at_one_end_are_no_published_region() -> None:
    points = pd.DataFrame({"size": np.arange(10, 130, 10), "mean_rank": [12.0, 11.0, *[5.5] * 10]})

    found = find_region(points, RegionChoice(method="published"))

    assert found.region.smallest == 10
