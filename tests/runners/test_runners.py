"""What a runner must be: two methods, and forms of axis values of its own if it wants any."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from jobpool.admin.create import create_pool
from jobpool.errors import ConfigError
from jobpool.experiment.axes import Pairs, ValueForm
from jobpool.experiment.config import load_experiment
from jobpool.experiment.reader import Reader
from jobpool.pool import Pool
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext, Runner, prepare
from jobpool.table.grid import Grid, full_product
from jobpool.task import Axis, Json, Value
from tests.support.builders import an_experiment

SITES = Axis(name="site", values=("north", "south"))


class Smallest:
    """All that a runner has to write."""

    def task_grid(self) -> Grid:
        return full_product([SITES])

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        return {"site": point["site"], "cores": context.cores}


def powers(reader: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:
    del folder, singles
    return [(2**number, None) for number in range(reader.whole("powers_of_two", least=1))]


POWERS = ValueForm(keys=("powers_of_two",), example="{powers_of_two: 4}", expand=powers)


def test_a_runner_of_two_methods_fills_a_pool(tmp_path: Path) -> None:
    runner: Runner = Smallest()

    create_pool(
        tmp_path / "pool",
        an_experiment(tmp_path, SITES),
        runner.task_grid(),
        lambda pool: prepare(runner, pool),
        now=0,
    )

    assert len(Pool(tmp_path / "pool").grid) == 2


def test_a_runner_brings_a_form_of_values(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("runner: mine\naxes: {n: [{powers_of_two: 3}, 100]}", encoding="utf-8")

    found = load_experiment(file, forms=lambda runner: {runner: POWERS})

    assert found.axes[0].values == (1, 2, 4, 100)


@pytest.mark.parametrize("form", ["{random: {mesh: m.npy, sizes: 3}}", "{strategies: [voted]}"])
def test_a_form_of_another_runner_is_refused(tmp_path: Path, form: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"runner: function\naxes: {{shape: {form}}}", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"one of: \{glob: \.\.\.\}, \{from: "):
        load_experiment(file, forms=forms_of)
