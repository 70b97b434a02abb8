"""The values of an axis that are grown at random over a mesh."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.parcellations import read_parcellation
from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.task import Axis


def axis(folder: Path, form: str) -> Axis:
    file = folder / "study.yaml"
    file.write_text(f"runner: evaluate\naxes: {{shape: {form}}}", encoding="utf-8")
    return load_experiment(file, forms=forms_of).axes[0]


def problems(folder: Path, form: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        axis(folder, form)
    return [f"{problem.key}: {problem.advice}" for problem in raised.value.problems]


def a_mesh(folder: Path) -> Path:
    np.save(folder / "m.npy", np.array([[0, 1, 2], [1, 2, 3]]))
    return folder


def test_there_is_a_value_for_each_size_in_each_repeat(tmp_path: Path) -> None:
    form = "{random: {mesh: m.npy, sizes: [3, 2], repeats: 2, seed: 7}}"

    found = axis(a_mesh(tmp_path), form)

    assert found.values == ("random_3_1", "random_3_2", "random_2_1", "random_2_2")
    assert found.sources[1] == f"random:{tmp_path}/m.npy?size=3&repeat=2&seed=7"


def test_the_source_of_a_value_is_a_parcellation(tmp_path: Path) -> None:
    source = axis(a_mesh(tmp_path), "{random: {mesh: m.npy, sizes: 3}}").sources[0]

    parcellation = read_parcellation(str(source), tmp_path)

    assert (parcellation.n_parcels, parcellation.n_vertices) == (3, 4)


def test_a_mask_may_be_given_for_both_hemispheres(tmp_path: Path) -> None:
    for name in ("m.L.npy", "m.R.npy"):
        np.save(tmp_path / name, np.array([[0, 1, 2], [1, 2, 3]]))
        np.save(tmp_path / f"cortex {name}", np.array([1, 1, 1, 0]))
    mask = "cortex m.{hemisphere}.npy"

    form = f'{{random: {{mesh: "m.{{hemisphere}}.npy", sizes: [2], mask: "{mask}"}}}}'
    source = str(axis(tmp_path, form).sources[0])

    assert source.endswith(f"&mask={tmp_path}/{mask}")
    assert read_parcellation(source, tmp_path).weights.sum() == 6


def test_a_path_may_hold_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "a&b=c?d%2F é #[x]"
    folder.mkdir()

    source = axis(a_mesh(folder), "{random: {mesh: m.npy, sizes: [2]}}").sources[0]

    assert read_parcellation(str(source), Path("/")).n_parcels == 2


def test_random_values_may_stand_beside_others(tmp_path: Path) -> None:
    form = "[glasser, {random: {mesh: m.npy, sizes: [2]}}]"

    assert axis(a_mesh(tmp_path), form).values == ("glasser", "random_2_1")


def test_a_form_without_sizes_is_refused_beside_other_values(tmp_path: Path) -> None:
    found = problems(a_mesh(tmp_path), "[glasser, {random: {mesh: m.npy, sizes: []}}]")

    assert found == [
        "axes.shape.random.sizes: is empty; give at least one whole number, such as [100]"
    ]


def test_the_same_size_twice_is_refused(tmp_path: Path) -> None:
    found = problems(a_mesh(tmp_path), "{random: {mesh: m.npy, sizes: [2, 2]}}")

    assert found[0] == "axes.shape.random.sizes: is given twice; give it once"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("{mesh: m.npy}", "axes.shape.random.sizes: missing; give a list of whole numbers"),
        ("{sizes: [2]}", "axes.shape.random.mesh: missing; give a text"),
        ("{mesh: m.npy, sizes: [0]}", "axes.shape.random.sizes: must be a whole number of at"),
        ("{mesh: m.npy, sizes: [true]}", "axes.shape.random.sizes: must be a whole number of at"),
        ("{mesh: m.npy, sizes: [2.5]}", "axes.shape.random.sizes: must be a whole number of at"),
        ("{mesh: m.npy, sizes: []}", "axes.shape.random.sizes: is empty; give at least one whole"),
        ("{mesh: m.npy, sizes: 2, repeats: 0}", "axes.shape.random.repeats: must be at least 1"),
        ("{mesh: m.npy, sizes: 2, seed: -1}", "axes.shape.random.seed: must be at least 0"),
        ("{mesh: m.npy, sizes: 2, sed: 1}", "axes.shape.random.sed: unknown key; known here: mesh"),
        ("{mesh: n.npy, sizes: 2}", "axes.shape.random.mesh: matches no file in "),
        ("{mesh: m.npy, sizes: 2, mask: n}", "axes.shape.random.mask: matches no file in "),
        ("7", "axes.shape.random: must be a mapping of keys to values"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, form: str, said: str) -> None:
    found = problems(a_mesh(tmp_path), f"{{random: {form}}}")

    assert any(problem.startswith(said) for problem in found), found
