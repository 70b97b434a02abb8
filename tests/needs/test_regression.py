"""Columns and regression: coefficients come back, censored rows push up, others stay open."""

import numpy as np

from jobpool.needs.features import Layout, Positions, Rows, layout_of
from jobpool.needs.learning import prior_of_memory, prior_of_time
from jobpool.needs.regression import (
    CensoredRows,
    Posterior,
    hazard_of,
    moments_of,
    no_moments,
    posterior_of,
    upper_tail,
)
from jobpool.table.grid import Attribute, Grid, full_product
from jobpool.task import Axis, Value
from tests.support.needs_study import SIZES, Truth, study_grid, wholes

GRID = study_grid()
LAYOUT = layout_of(GRID)
TRUTH = Truth(GRID)
FIRST = np.zeros(1, np.intp)


def rows_of(positions: Positions, cores: float = 1.0) -> Rows:
    return LAYOUT.rows(GRID.codes[:, positions], cores)


def nothing_censored() -> CensoredRows:
    return CensoredRows(rows=rows_of(np.empty(0, np.intp)), least=np.empty(0))


def fitted(positions: Positions, censored: CensoredRows | None = None) -> Posterior:
    observed = np.log(TRUTH.seconds[positions])
    moments = moments_of(rows_of(positions), observed, LAYOUT.n_columns)
    return posterior_of(moments, censored or nothing_censored(), prior_of_time(LAYOUT))


def pair(values: tuple[Value, ...], attribute: tuple[Value | None, ...] = ()) -> Grid:
    axes = (Axis(name="a", values=values), Axis(name="b", values=("x", "y")))
    found = (Attribute(name="n", axis="a", values=attribute),) if attribute else ()
    return full_product(axes, found)


def sizes_of(layout: Layout) -> list[int]:
    return [term.size for term in layout.terms]


def test_expected_times_of_unseen_tasks_come_out_right() -> None:
    shuffled = wholes(GRID)

    found = fitted(shuffled[:150])

    error = rows_of(shuffled[150:]).times(found.mean) - np.log(TRUTH.expected_s[shuffled[150:]])
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_the_noise_is_learned() -> None:
    found = fitted(wholes(GRID)[:300])

    assert 0.25 < found.noise < 0.35


def test_without_data_the_prior_stands() -> None:
    prior = prior_of_memory(LAYOUT)

    found = posterior_of(no_moments(LAYOUT.n_columns), nothing_censored(), prior)

    assert np.allclose(found.mean, prior.mean)
    assert found.noise == prior.noise


def test_a_group_that_explains_nothing_shrinks() -> None:
    found = fitted(wholes(GRID)[:300])
    maps = next(term for term in LAYOUT.terms if term.factors and term.size == len(SIZES))

    assert found.sd[maps.start] < 0.5 * maps.sd


def test_tasks_that_ran_out_of_time_are_expected_beyond_it() -> None:
    censored = rows_of(np.flatnonzero(GRID.column("method") == 3)[:20])
    least = np.full(len(censored), np.log(1e5))

    found = fitted(
        np.flatnonzero(GRID.column("method") == 0), CensoredRows(rows=censored, least=least)
    )

    assert np.all(censored.times(found.mean) > np.log(1e5))


def test_a_bound_that_is_met_anyway_changes_nothing() -> None:
    positions = wholes(GRID)[:200]
    least = np.full(200, np.log(1e-6))

    found = fitted(positions, CensoredRows(rows=rows_of(positions), least=least))

    assert np.allclose(found.mean, fitted(positions).mean, atol=0.01)


def test_more_cores_are_expected_to_help_before_any_was_seen() -> None:
    found = fitted(wholes(GRID)[:50])

    gain = rows_of(FIRST, cores=16.0).times(found.mean) - rows_of(FIRST).times(found.mean)

    assert -0.95 * np.log(16) < gain[0] < -0.75 * np.log(16)


def test_an_axis_with_thousands_of_values_gets_no_column_for_each() -> None:
    layout = layout_of(pair(tuple(f"v{i}" for i in range(5000))))

    assert layout.n_columns < 10


def test_numbers_of_an_axis_give_a_slope() -> None:
    assert sizes_of(layout_of(pair(tuple(range(1, 1001))))) == [1, 1, 2, 2]


def test_an_attribute_of_words_sorts_the_values() -> None:
    layout = layout_of(pair(tuple("vwxyz"), ("soft", "hard", "hard", "soft", None)))

    assert sizes_of(layout) == [2, 3, 5, 6, 10]


def test_a_missing_number_counts_as_the_middle() -> None:
    layout = layout_of(pair(tuple("wxyz"), (10, 100, 1000, None)))

    numbers = next(term.covariate.numbers for term in layout.terms if term.covariate)

    assert numbers.round(6).tolist()[1::2] == [0.0, 0.0]


def test_the_hazard_far_out_grows_like_the_distance() -> None:
    assert np.allclose(hazard_of(np.array([8.0, 30.0, 200.0])), [8.12, 30.03, 200.0], atol=0.05)


def test_the_upper_tail_is_that_of_the_normal_distribution() -> None:
    z = np.array([-4.0, -1.2816, 0.0, 1.2816, 4.0])

    assert np.allclose(upper_tail(z), [0.99997, 0.9, 0.5, 0.1, 0.0000317], atol=1e-5)
