"""Ensembles in a study: which members there are, which tasks, and what ``init`` says of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.admin.extend import extend_pool
from jobpool.errors import ConfigError
from jobpool.experiment.config import Experiment, load_experiment
from jobpool.learning.checks import Checked, check_study
from jobpool.learning.splits import PoolSplits, make_splits
from jobpool.learning.study import Ensemble, Readers, Study, find_members, read_study
from jobpool.liveness.judge import Life
from jobpool.overview.status import find_status
from jobpool.pool import Pool
from jobpool.runners import forms_of
from jobpool.runners.evaluate.task_grid import notes, task_grid
from jobpool.table.grid import Grid
from jobpool.table.selection import select
from jobpool.task import Axis
from tests.conftest import Jobpool
from tests.support.brain_study import VERTICES, StudyOnDisk

GROWN = {"mesh": "mesh.npy", "sizes": [3, 7], "seeds": [1]}
SETS: list[dict[str, Any]] = [
    {"random": GROWN, "counts": [2, 3]},
    {"name": "files", "members": ["hard", "soft"]},
]


class SetsOnDisk(StudyOnDisk):
    """A study with ensembles beside single parcellations."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        line = np.arange(VERTICES - 2)
        np.save(folder / "mesh.npy", np.stack([line, line + 1, line + 2], axis=1))
        self.strategies: list[str] = ["voted", "stacked", "grid"]
        self.sets: list[dict[str, Any]] = [*SETS]
        self.config["axes"]["pipeline"] = ["elastic", "svm", "elastic+svm"]
        self.plain: list[Any] = [{"glob": "hard.npy"}, {"glob": "soft.npy"}]

    def experiment(self) -> Experiment:
        block = {"strategies": self.strategies, "sets": self.sets}
        self.config["axes"]["parcellation"] = [*self.plain, block] if self.sets else self.plain
        return load_experiment(self.written(), forms=forms_of)

    def all(self) -> tuple[Experiment, Checked]:
        experiment = self.experiment()
        readers = Readers.of(experiment)
        return experiment, check_study(experiment, read_study(experiment, readers), readers)

    def study(self) -> Study:
        return self.all()[1].study

    def grid(self) -> Grid:
        return task_grid(*self.all())

    def notes(self) -> list[str]:
        experiment = self.experiment()
        study = read_study(experiment, Readers.of(experiment))
        splits = PoolSplits(sets=(make_splits(study.ids, study.groups, 5, 3, seed=0),), set_of={})
        return notes(experiment, Checked(study=study, parcellations={}, splits=splits))

    def found(self) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            self.all()
        return {problem.key: problem.advice for problem in caught.value.problems}


@pytest.fixture
def sets(tmp_path: Path) -> SetsOnDisk:
    return SetsOnDisk(tmp_path)


def of_value(grid: Grid, name: str) -> dict[str, object]:
    code = grid.axis("parcellation").values.index(name)
    return {one.name: one.values[code] for one in grid.attributes if one.axis == "parcellation"}


def test_a_study_knows_each_member_once(sets: SetsOnDisk) -> None:
    study = sets.study()

    grown = {f"random_{size}_{one}_seed1" for size in (3, 7) for one in (1, 2, 3)}
    assert study.parcellations.keys() == {"hard", "soft"} | grown
    assert study.shared == study.parcellations.keys()
    assert len(study.ensembles) == 15
    assert study.ensembles["grid_random_7_x2_1"] == Ensemble(
        strategy="grid", set="random_7_seed1", members=("random_7_1_seed1", "random_7_2_seed1")
    )


def test_a_member_that_is_a_value_of_the_axis_has_its_name(sets: SetsOnDisk) -> None:
    sets.plain.append({"random": {"mesh": "mesh.npy", "sizes": [3], "repeats": 2, "seed": 1}})

    study = sets.study()

    assert study.ensembles["voted_random_3_x3_1"].members == (
        "random_3_1",
        "random_3_2",
        "random_3_3_seed1",
    )
    assert "random_3_1_seed1" not in study.parcellations


def test_two_names_of_one_source_are_one_member() -> None:
    def ensemble(name: str) -> str:
        members = f'[["{name}_1","x.npy"],["{name}_2","y.npy"]]'
        return f'ensemble:{{"strategy":"voted","set":"{name}","members":{members}}}'

    found = find_members(
        Axis(name="a", values=("s", "voted_b"), sources=(ensemble("a"), ensemble("b")))
    )

    assert found.singles == {"a_1": "x.npy", "a_2": "y.npy"}
    assert found.ensembles["s"].members == found.ensembles["voted_b"].members


def test_a_combined_pipeline_joins_the_members_of_each_of_its_parts(sets: SetsOnDisk) -> None:
    study = sets.study()

    assert study.members("voted_files", "elastic+svm") == (
        ("hard", "elastic"),
        ("hard", "svm"),
        ("soft", "elastic"),
        ("soft", "svm"),
    )
    assert study.members("hard", "svm") == (("hard", "svm"),)
    assert list(study.pipelines) == ["elastic", "svm"]


def test_a_pipeline_that_only_a_combined_one_names_is_known(sets: SetsOnDisk) -> None:
    sets.config["axes"]["pipeline"] = ["elastic+svm"]
    sets.config["evaluate"]["candidates"] = {"svm": 7}

    study = sets.study()

    assert study.n_candidates(study.pipelines["svm"]) == 7


def test_a_single_parcellation_is_no_task_of_a_combined_pipeline(sets: SetsOnDisk) -> None:
    grid = sets.grid()

    whole = grid.take(np.flatnonzero(~grid.parts.is_dormant))
    assert len(whole) == (15 * 3 + 2 * 2) * 2
    single = select(grid, ["strategy=single"])
    assert single.any()
    assert not (single & select(grid, ["pipeline=elastic+svm"])).any()


def test_the_attributes_of_an_ensemble_are_those_of_its_members_together(
    sets: SetsOnDisk,
) -> None:
    grid = sets.grid()

    assert of_value(grid, "stacked_random_7_x3_1") == {
        "parcels": 21,
        "parcellation_kind": "ensemble",
        "parcellation_type": "ensemble",
        "strategy": "stacked",
        "members": 3,
        "inputs": "random_7_seed1",
    }
    assert of_value(grid, "soft") == {
        "parcels": 5,
        "parcellation_kind": "soft",
        "parcellation_type": "soft",
        "strategy": "single",
        "members": 1,
        "inputs": "soft",
    }
    assert grid.inputs == "inputs"


def test_a_grown_parcellation_is_of_the_type_random(sets: SetsOnDisk) -> None:
    sets.plain.append({"random": {"mesh": "mesh.npy", "sizes": [4]}})

    found = of_value(sets.grid(), "random_4_1")

    assert (found["parcellation_kind"], found["parcellation_type"]) == ("hard", "random")


@pytest.mark.parametrize(
    ("by_fold", "expected"),
    [
        ({"parcels": ">=17"}, {"files", "random_7_x3_1"}),
        ({"parcellations": ["*_x2_*"]}, {"random_3_x2_1", "random_7_x2_1"}),
    ],
)
def test_large_ensembles_enter_by_fold(
    sets: SetsOnDisk, by_fold: dict[str, object], expected: set[str]
) -> None:
    sets.strategies, sets.config["evaluate"]["by_fold"] = ["voted"], by_fold

    grid = sets.grid()

    offered = grid.take(np.flatnonzero(~grid.parts.is_dormant))
    split = offered.take(np.flatnonzero(offered.parts.is_part))
    names = {str(dict(split.point(i))["parcellation"]) for i in range(len(split))}
    assert names == {f"voted_{one}" for one in expected}


@pytest.mark.parametrize(
    ("pipelines", "said"),
    [
        (["elastic+elastic"], "names a pipeline twice; name each once"),
        (["elastic+swm"], "'swm': unknown pipeline; write one of: elastic, svm"),
        (["elastic+"], "'': unknown pipeline; write one of: elastic, svm"),
        (["elastic+svm", "svm+elastic"], "has the same pipelines as elastic+svm; give it once"),
    ],
)
def test_a_wrong_combined_pipeline_is_named(
    sets: SetsOnDisk, pipelines: list[str], said: str
) -> None:
    sets.config["axes"]["pipeline"] = pipelines

    assert sets.found()["axes.pipeline"].startswith(said)


def test_a_combined_pipeline_without_ensembles_is_refused(sets: SetsOnDisk) -> None:
    sets.sets = []

    assert sets.found()["axes.pipeline"].startswith("is for ensembles, and no parcellation is one")


def test_a_part_that_cannot_learn_a_kind_of_target_is_refused(
    sets: SetsOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sets.folder / "numbers_only.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "def ridge(kind, seed):\n"
        "    return (Ridge(), {'alpha': [1.0, 2.0]}) if kind == 'regression' else None\n"
    )
    monkeypatch.syspath_prepend(sets.folder)
    sets.config["axes"]["pipeline"] = ["elastic+numbers_only:ridge"]

    assert sets.found()["axes.pipeline"].startswith("cannot learn sex, a binary target")


def test_a_member_that_is_no_parcellation_is_named_once(sets: SetsOnDisk) -> None:
    (sets.folder / "old").mkdir()
    np.save(sets.folder / "old" / "bad.npy", np.zeros(VERTICES, np.int32))
    np.save(sets.folder / "old" / "good.npy", np.arange(VERTICES) % 4)
    sets.sets.append({"name": "old", "glob": "old/*.npy"})

    with pytest.raises(ConfigError) as caught:
        sets.all()

    assert [(one.key, one.value) for one in caught.value.problems] == [("axes.parcellation", "bad")]


def test_too_few_groups_for_the_fits_of_a_strategy_are_named(sets: SetsOnDisk) -> None:
    sets.table["family"] = [f"family {one % 6}" for one in range(120)]
    sets.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 2}

    assert "leave out the strategies stacked" in sets.found()["evaluate.inner_folds"]


def test_a_target_too_rare_for_the_fits_of_a_strategy_is_named(sets: SetsOnDisk) -> None:
    sets.table["sex"] = np.where(np.arange(120) % 30 == 0, "m", "f")
    sets.config["evaluate"]["outer_folds"] = 2

    found = sets.found()["axes.target"]

    assert found.startswith("has values for 120 participants, too few for outer fold ")
    assert "without inner fold" in found


def test_a_set_is_added_to_a_pool(sets: SetsOnDisk) -> None:
    sets.sets, sets.strategies = [SETS[0]], ["voted"]
    sets.config["axes"]["pipeline"] = ["elastic"]
    experiment, checked = sets.all()
    create_pool(
        sets.folder / "p", experiment, task_grid(experiment, checked), lambda _: None, now=0
    )
    pool = Pool(sets.folder / "p")
    before = pool.grid

    sets.sets, sets.strategies = [{**SETS[0], "counts": [2, 3, 4]}, SETS[1]], ["voted", "grid"]
    sets.plain.append({"random": {"mesh": "mesh.npy", "sizes": [3], "repeats": 2, "seed": 1}})
    sets.config["axes"]["pipeline"] = ["elastic", "elastic+svm"]
    experiment, checked = sets.all()
    n_added = extend_pool(pool, experiment, task_grid(experiment, checked), lambda _: None)

    after = Pool(sets.folder / "p").grid
    assert n_added == ((6 + 1) * 2 * 2 + 4 - 4 - 2) * 2
    assert after.ids()[: len(before)] == before.ids()
    assert after.axis("parcellation").sources[:6] == before.axis("parcellation").sources
    assert after.inputs == "inputs"


def test_a_pool_from_before_ensembles_gets_some(sets: SetsOnDisk) -> None:
    block, sets.sets, sets.config["axes"]["pipeline"] = sets.sets, [], ["elastic"]
    experiment, checked = sets.all()
    made = task_grid(experiment, checked)
    known = ("parcels", "parcellation_kind", "target_kind")
    attributes = tuple(one for one in made.attributes if one.name in known)
    before = replace(made, attributes=attributes, inputs=None)
    create_pool(sets.folder / "p", experiment, before, lambda _: None, now=0)
    sets.sets = block
    experiment, checked = sets.all()

    n_added = extend_pool(
        Pool(sets.folder / "p"), experiment, task_grid(experiment, checked), lambda _: None
    )

    grid = Pool(sets.folder / "p").grid
    assert n_added == 15 * 2
    assert (grid.inputs, of_value(grid, "hard")["strategy"]) == ("inputs", "single")


def test_a_set_of_a_pool_cannot_get_other_members(sets: SetsOnDisk) -> None:
    experiment, checked = sets.all()
    create_pool(
        sets.folder / "p", experiment, task_grid(experiment, checked), lambda _: None, now=0
    )
    sets.sets[1] = {"name": "files", "members": ["soft", "hard"]}
    experiment, checked = sets.all()

    with pytest.raises(ConfigError) as raised:
        extend_pool(
            Pool(sets.folder / "p"), experiment, task_grid(experiment, checked), lambda _: None
        )

    assert (
        "comes from an ensemble (voted) of soft, hard, in the pool from an ensemble (voted) of "
        "hard, soft: finished results depend on it"
    ) in str(raised.value)


def test_a_pool_with_ensembles_is_counted_by_strategy(sets: SetsOnDisk) -> None:
    experiment, checked = sets.all()
    create_pool(
        sets.folder / "p", experiment, task_grid(experiment, checked), lambda _: None, now=0
    )

    found = find_status(
        Pool(sets.folder / "p"), None, ["strategy"], judge=lambda _: Life.ALIVE, now=0.0
    )

    counts = {value: count.total for value, count in found.by[0].values}
    assert counts == {"single": 8, "voted": 30, "stacked": 30, "grid": 30}


def test_the_fits_that_ensembles_share_are_told(sets: SetsOnDisk) -> None:
    assert sets.notes() == [
        "2 single parcellations and 15 ensembles: 5 voted, 5 stacked, 5 grid; "
        "8 different parcellations are members",
        "left out: 4 combinations of single parcellations with elastic+svm: combined pipelines "
        "are for ensembles",
        "64 fits per target and outer fold serve 15 ensembles; one by one they would take 399",
    ]


def test_nothing_is_told_of_a_study_without_ensembles(sets: SetsOnDisk) -> None:
    sets.sets, sets.config["axes"]["pipeline"] = [], ["elastic"]

    assert sets.notes() == []


def test_the_published_study_needs_712_fits_instead_of_3392(sets: SetsOnDisk) -> None:
    random = {
        "mesh": "mesh.npy",
        "sizes": [100, 200, 300, 400, 500],
        "across": [[50, 500], [100, 1000], [300, 1200]],
        "spacing": "linear",
        "seeds": [0, 1],
    }
    sets.sets = [{"random": random, "counts": [3, 5, 8, 10]}]
    sets.config["axes"]["pipeline"] = ["elastic", "svm"]

    assert sets.notes()[-1] == (
        "712 fits per pipeline, target and outer fold serve 192 ensembles; "
        "one by one they would take 3,392"
    )


def test_ensembles_that_make_fits_of_their_own_share_none(sets: SetsOnDisk) -> None:
    sets.config["evaluate"]["fits"] = "own"

    assert sets.notes()[-1] == (
        "399 fits per target and outer fold, as every ensemble makes its own (fits: own)"
    )


@pytest.mark.parametrize(
    ("strategies", "sets_given", "said"),
    [
        (["voted", "voted"], SETS, "voted_files': is given 2 times"),
        (["voted"], [{"random": GROWN, "counts": [2, 2]}], "counts = 2: is given twice"),
        (["voted"], [SETS[1], SETS[1]], "voted_files': is given 2 times"),
        (["voted"], [{}], "give exactly one of: random, members, glob"),
    ],
)
def test_what_stands_twice_is_named(
    sets: SetsOnDisk,
    jobpool: Jobpool,
    strategies: list[str],
    sets_given: list[dict[str, Any]],
    said: str,
) -> None:
    block = {"strategies": strategies, "sets": sets_given}
    sets.config["axes"]["parcellation"] = [*sets.plain, block]

    refused = jobpool("init", sets.written(), sets.folder / "new", "--dry-run")

    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_of_a_grid_only_the_best_is_fitted_on_all(sets: SetsOnDisk) -> None:
    sets.strategies, sets.config["axes"]["pipeline"] = ["grid"], ["elastic"]
    sets.sets = [{"random": {**GROWN, "sizes": [3]}, "counts": [3, 4]}]

    assert sets.notes()[-1] == (
        "at most 14 fits per pipeline, target and outer fold serve 2 ensembles; "
        "one by one they would take 23"
    )
