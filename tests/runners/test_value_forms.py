"""The values of an axis that are grown at random, and those that are ensembles of others."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from jobpool.brain.parcellations import read_parcellation
from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment
from jobpool.experiment.ensembles import EnsembleSource, read_ensemble
from jobpool.runners import forms_of
from jobpool.task import Axis

PUBLISHED = """
- strategies: [voted, stacked, grid]
  sets:
    - random:
        mesh: m.npy
        sizes: [100, 200, 300, 400, 500]
        across: [[50, 500], [100, 1000], [300, 1200]]
        spacing: linear
        seeds: [0, 1]
      counts: [3, 5, 8, 10]
"""
PLAIN = {"random": {"mesh": "m.npy", "sizes": [2], "repeats": 3, "seed": 1}}


def axis(folder: Path, form: object) -> Axis:
    np.save(folder / "m.npy", np.array([[0, 1, 2], [1, 2, 3]]))
    file = folder / "study.yaml"
    shape = yaml.safe_load(form) if isinstance(form, str) else form
    file.write_text(yaml.safe_dump({"runner": "evaluate", "axes": {"shape": shape}}))
    return load_experiment(file, forms=forms_of).axes[0]


def one_set(**form: object) -> dict[str, object]:
    return {"strategies": ["voted"], "sets": [form]}


def grown(**form: object) -> dict[str, object]:
    counts = form.pop("counts", [2])
    return {"random": {"mesh": "m.npy", **form}, "counts": counts}


def problems(folder: Path, form: object) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        axis(folder, form)
    return [f"{problem.key}: {problem.advice}" for problem in raised.value.problems]


def ensembles(found: Axis) -> dict[str, EnsembleSource]:
    pairs = zip(map(str, found.values), map(read_ensemble, found.sources), strict=True)
    return {value: ensemble for value, ensemble in pairs if ensemble is not None}


def names(found: Axis, value: str) -> list[str]:
    return [name for name, _ in ensembles(found)[value].members]


def test_there_is_a_value_for_each_size_in_each_repeat(tmp_path: Path) -> None:
    form = "{random: {mesh: m.npy, sizes: [3, 2], repeats: 2, seed: 7}}"

    found = axis(tmp_path, form)

    assert found.values == ("random_3_1", "random_3_2", "random_2_1", "random_2_2")
    assert found.sources[1] == f"random:{tmp_path}/m.npy?size=3&repeat=2&seed=7"


def test_the_source_of_a_value_is_a_parcellation(tmp_path: Path) -> None:
    source = axis(tmp_path, "{random: {mesh: m.npy, sizes: 3}}").sources[0]

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

    source = axis(folder, "{random: {mesh: m.npy, sizes: [2]}}").sources[0]

    assert read_parcellation(str(source), Path("/")).n_parcels == 2


def test_random_values_may_stand_beside_others(tmp_path: Path) -> None:
    form = "[glasser, {random: {mesh: m.npy, sizes: [2]}}]"

    assert axis(tmp_path, form).values == ("glasser", "random_2_1")


def test_a_form_without_sizes_is_refused_beside_other_values(tmp_path: Path) -> None:
    found = problems(tmp_path, "[glasser, {random: {mesh: m.npy, sizes: []}}]")

    assert found == [
        "axes.shape.random.sizes: is empty; give at least one whole number, such as [100]"
    ]


def test_the_same_size_twice_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "{random: {mesh: m.npy, sizes: [2, 2]}}")

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
def test_a_mistake_in_random_values_is_named(tmp_path: Path, form: str, said: str) -> None:
    found = problems(tmp_path, f"{{random: {form}}}")

    assert any(problem.startswith(said) for problem in found), found


def test_one_block_makes_the_published_ensembles(tmp_path: Path) -> None:
    found = ensembles(axis(tmp_path, yaml.safe_load(PUBLISHED)))

    assert len(found) == 192
    assert len({source for one in found.values() for _, source in one.members}) == 178
    assert len({one.set for one in found.values()}) == 16
    assert "voted_random_300_x5_1" in found
    assert "grid_random_100-1000_x10_0" in found


@pytest.mark.parametrize("ends", [(50, 500), (100, 1000), (300, 1200)])
@pytest.mark.parametrize("count", [3, 5, 8, 10])
def test_the_published_sizes_across_a_range_are_those_of_numpy(
    ends: tuple[int, int], count: int, tmp_path: Path
) -> None:
    found = ensembles(axis(tmp_path, yaml.safe_load(PUBLISHED)))

    members = found[f"voted_random_{ends[0]}-{ends[1]}_x{count}_1"].members

    sizes = [int(name.split("_")[1]) for name, _ in members]
    assert sizes == np.linspace(*ends, count).astype(int).tolist()


def test_a_member_across_a_range_is_the_first_of_its_fixed_size(tmp_path: Path) -> None:
    found = axis(tmp_path, yaml.safe_load(PUBLISHED))

    across = names(found, "voted_random_100-1000_x3_0")

    assert across == ["random_100_1_seed0", "random_550_1_seed0", "random_1000_1_seed0"]
    assert names(found, "voted_random_100_x3_0")[0] == across[0]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"across": [[10, 50], [10, 50]]}, "across: is given twice; give it once"),
        ({"across": [[10, 50], [50, 10]]}, "across: must be two whole numbers of at least 1"),
        ({"across": [[10, 50], 7]}, "across: must be two whole numbers: [smallest, largest]; or"),
        ({"across": [10, 50], "spacing": "even"}, "spacing: must be one of: log, linear"),
        ({"sizes": [2], "spacing": "linear"}, "spacing: is of sizes across a range; give across"),
        ({"across": [[2, 3]], "spacing": "linear", "counts": [3]}, "counts: is more than the 2"),
    ],
)
def test_a_mistake_in_ranges_is_named(form: dict[str, object], said: str, tmp_path: Path) -> None:
    found = problems(tmp_path, [one_set(**grown(**form))])

    assert any(said in problem for problem in found), found


def test_smaller_sets_are_the_beginning_of_larger_ones(tmp_path: Path) -> None:
    found = axis(tmp_path, [one_set(**grown(sizes=[2], seeds=4, counts=[2, 3]))])

    assert names(found, "voted_random_2_x2_4") == ["random_2_1_seed4", "random_2_2_seed4"]
    assert names(found, "voted_random_2_x3_4")[:2] == names(found, "voted_random_2_x2_4")
    assert {one.set for one in ensembles(found).values()} == {"random_2_seed4"}


def test_sizes_across_a_range_are_those_of_a_smaller_count_where_they_meet(tmp_path: Path) -> None:
    found = axis(tmp_path, [one_set(**grown(across=[10, 1000], counts=[3, 5]))])

    few, many = names(found, "voted_random_10-1000_x3_0"), names(found, "voted_random_10-1000_x5_0")

    assert few == ["random_10_1_seed0", "random_100_1_seed0", "random_1000_1_seed0"]
    assert set(few) < set(many)


def test_a_grown_member_has_the_source_of_a_plain_random_value(tmp_path: Path) -> None:
    found = axis(tmp_path, [PLAIN, one_set(**grown(sizes=[2], seeds=[1], counts=[3]))])

    sources = [source for _, source in ensembles(found)["voted_random_2_x3_1"].members]

    assert sources == list(found.sources[:3])


def test_a_set_is_the_same_whatever_else_the_axis_has(tmp_path: Path) -> None:
    form = one_set(**grown(sizes=[2], seeds=[1]))

    before, after = axis(tmp_path, [form]), axis(tmp_path, ["glasser", PLAIN, form])

    assert before.sources[0] == after.sources[-1]


def test_members_are_values_that_stand_anywhere_in_the_axis(tmp_path: Path) -> None:
    form = one_set(name="atlases", members=["yeo*", "glasser", "yeo7"])

    found = axis(tmp_path, ["yeo7", form, "glasser", "yeo17", "other"])

    assert found.values == ("yeo7", "voted_atlases", "glasser", "yeo17", "other")
    assert names(found, "voted_atlases") == ["yeo7", "yeo17", "glasser"]


def test_files_may_be_members_only(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    np.save(tmp_path / "old" / "a.npy", np.zeros(3))
    np.save(tmp_path / "old" / "b.npy", np.zeros(3))

    found = axis(tmp_path, ["glasser", one_set(name="old", glob="old/*.npy", counts=2)])

    assert found.values == ("glasser", "voted_old_x2")
    assert ensembles(found)["voted_old_x2"].members[1] == ("b", str(tmp_path / "old" / "b.npy"))


def test_sets_on_two_meshes_have_names_of_their_own(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.array([[0, 1, 2]]))
    other = {"name": "fine", "random": {"mesh": "n.npy", "sizes": [2]}, "counts": [2]}

    found = axis(tmp_path, [{"strategies": "grid", "sets": [grown(sizes=[2]), other]}])

    assert found.values == ("grid_random_2_x2_0", "grid_fine_2_x2_0")


def test_one_name_for_members_of_two_meshes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.array([[0, 1, 2]]))
    other = {"random": {"mesh": "n.npy", "sizes": [2]}, "counts": [3]}

    found = problems(tmp_path, [one_set(**grown(sizes=[2])), one_set(**other)])

    assert found == [
        f"axes.shape: would mean both random:{tmp_path}/m.npy?size=2&repeat=1&seed=0 and "
        f"random:{tmp_path}/n.npy?size=2&repeat=1&seed=0, and there are 1 more such names; "
        "give a set, or a file, another name"
    ]


def test_a_set_given_twice_is_named_with_both(tmp_path: Path) -> None:
    sets = [{"name": "s", "members": ["a", "b"]}, {"name": "s", "members": ["b", "c"]}]

    found = problems(tmp_path, ["a", "b", "c", {"strategies": ["grid"], "sets": sets}])

    assert found == [
        "axes.shape: is given 2 times; each value may be given once: an ensemble (grid) of a, b, "
        "an ensemble (grid) of b, c"
    ]


def test_many_values_given_twice_are_not_all_listed(tmp_path: Path) -> None:
    form = one_set(**grown(sizes=list(range(1, 21))))

    found = problems(tmp_path, [form, form])

    assert len(found) == 13
    assert found[-1] == "axes.shape: has 20 values that are given several times"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"strategies": ["vote"], "sets": []}, "strategies: unknown strategy; write one of: voted"),
        ({"strategies": ["voted"]}, "sets: missing; give a list of sets"),
        ({"sets": [{"name": "s", "members": ["a", "b"]}]}, "strategies: missing; give at least"),
        (one_set(name="s"), "sets.0: give exactly one of: random, members, glob"),
        (one_set(name="s", members=["a"], glob="m.npy"), "sets.0: give exactly one of: random, "),
        (one_set(members=["a", "b"]), "sets.0.name: missing; give a text"),
        (one_set(name="s", members=["a", "bb"]), "sets.0.members: matches no single value of this"),
        (one_set(name="s", members=["a"]), "sets.0: has too few members: a; give at least 2"),
        (one_set(name="s", members=[]), "sets.0: has too few members: none; give at least 2"),
        (one_set(name="s", members=["?"], counts=[1]), "sets.0.counts: must be a whole number of"),
        (one_set(name="s", members=["?"], counts=[]), "sets.0.counts: is empty; give at least one"),
        (one_set(name="s", members=["?"], counts=[4]), "sets.0.counts: is more than the 2 members"),
        (one_set(name="s", members=["?"], cuonts=[2]), "sets.0.cuonts: unknown key; known here: "),
        (one_set(name="s", glob="x*.npy"), "sets.0.glob: matches no file in "),
        (one_set(name="s", glob=["m.npy"] * 2), "sets.0: has members of the same name: m; give ea"),
        (one_set(random={"mesh": "m.npy", "sizes": [2]}), "sets.0.counts: missing; give a list of"),
        (one_set(**grown()), "sets.0.random.sizes: missing; give a list of whole numbers, or: acr"),
        (one_set(**grown(sizes=[0])), "sets.0.random.sizes: must be a whole number of at least 1"),
        (one_set(**grown(sizes=[2], mesh="n.npy")), "sets.0.random.mesh: matches no file in "),
        (one_set(**grown(sizes=[2], seeds=[-1])), "sets.0.random.seeds: must be a whole number"),
        (one_set(**grown(sizes=[2], seed=1)), "sets.0.random.seed: unknown key; known here: mesh"),
        (one_set(**grown(across=7)), "sets.0.random.across: must be two whole numbers: [smallest"),
        (one_set(**grown(across=[True, 7])), "sets.0.random.across: must be two whole numbers: "),
        (one_set(**grown(across=[7, 7])), "sets.0.random.across: must be two whole numbers of"),
        (
            one_set(**grown(across=[1, 3], counts=[3, 8])),
            "sets.0.counts: is more than the 3 different sizes in [1, 3]; ",
        ),
        ({"strategies": ["voted"], "sets": ["a"]}, "sets.0: must be a mapping of keys to values"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, form: dict[str, object], said: str) -> None:
    found = problems(tmp_path, ["a", "b", form])

    assert any(problem.startswith(f"axes.shape.{said}") for problem in found), found
