"""Making a pool and extending it."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin import extend as extending
from jobpool.admin.create import create_pool
from jobpool.admin.extend import extend_pool
from jobpool.disk.files import replace_whole, write_json
from jobpool.errors import ConfigError, RequestError
from jobpool.execution.claiming import Puller
from jobpool.experiment.config import Experiment, load_experiment
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.table.settings import WorkerSettings, read_info
from jobpool.task import Axis, Cause, TaskState
from tests.support.builders import NOOP, a_pool, an_experiment
from tests.table.test_pool import first_claim


def nothing(_: Path) -> None:
    """Prepare nothing."""


def make(folder: Path, *axes: Axis) -> tuple[Path, Experiment]:
    experiment = an_experiment(folder / "study", *axes)
    create_pool(folder / "pool", experiment, full_product(axes), nothing, now=time.time())
    return folder / "pool", experiment


SITES = Axis(name="site", values=("oslo", "bonn"))
SEEDS = Axis(name="seed", values=(1, 2, 3))


def test_a_new_pool_has_every_combination_waiting(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES, SEEDS)

    assert Pool(pool).counts()[TaskState.WAITING] == 6
    assert {Pool(pool).grid.point(i) for i in range(6)} == {
        (("site", site), ("seed", seed)) for site in SITES.values for seed in SEEDS.values
    }


def test_a_pool_says_first_what_it_is_then_the_settings_of_its_workers(tmp_path: Path) -> None:
    settings = WorkerSettings(lost_after_s=60, lock="flock", same_inputs=0.5)
    pool = a_pool(tmp_path, settings=settings)

    said = json.loads((pool / "pool.json").read_text())

    assert list(said)[:15] == [
        "format",
        "name",
        "runner",
        "folder",
        "lock",
        "created",
        "version",
        "heartbeat_s",
        "lost_after_s",
        "grace_s",
        "hung_after_s",
        "ask_slurm_s",
        "park_after",
        "shared",
        "same_inputs",
    ]
    assert (said["lost_after_s"], said["hung_after_s"], said["same_inputs"]) == (60, 180, 0.5)


def test_a_pool_that_lacks_a_setting_has_the_former_one(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, settings=WorkerSettings(lost_after_s=60))
    said = json.loads((pool / "pool.json").read_text())
    kept = {key: said[key] for key in said if key not in {"hung_after_s", "park_after", "crc"}}

    write_json(pool / "pool.json", kept)

    assert (read_info(pool).hung, read_info(pool).park_after) == (540, 3)


def test_a_pool_is_not_made_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "thesis.tex").touch()

    with pytest.raises(RequestError, match="is there already"):
        make(tmp_path, SITES)

    assert (tmp_path / "pool" / "thesis.tex").exists()


def test_a_making_that_fails_leaves_no_half_pool(tmp_path: Path) -> None:
    experiment = an_experiment(tmp_path / "study", SITES)

    def fail(_: Path) -> None:
        raise RuntimeError("no splits")

    with pytest.raises(RuntimeError, match="no splits"):
        create_pool(tmp_path / "pool", experiment, full_product([SITES]), fail, now=0)

    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_an_experiment_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tasks"):
        make(tmp_path, Axis(name="site", values=()))


def test_an_extension_adds_what_is_new(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES, SEEDS)
    sites = Axis(name="site", values=("bonn", "oslo", "rome"))
    changed = an_experiment(tmp_path / "study", sites, SEEDS)

    n_added = extend_pool(Pool(pool), changed, full_product([sites, SEEDS]), nothing)

    assert n_added == 3
    assert len(set(Pool(pool).grid.ids())) == 9


def test_an_extension_keeps_what_was_done(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES, SEEDS)
    worker = Pool(pool, worker=1)
    claim = first_claim(worker)
    worker.end(Ending(claim=claim, cause=Cause.DONE))
    sites = Axis(name="site", values=("rome", *SITES.values))

    extend_pool(
        worker,
        an_experiment(tmp_path / "study", sites, SEEDS),
        full_product([sites, SEEDS]),
        nothing,
    )

    after = Pool(pool)
    assert after.record(claim.position).state is TaskState.DONE
    assert after.grid.id(claim.position) == claim.id
    assert after.counts()[TaskState.WAITING] == 8


def test_a_pool_can_be_extended_twice(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES)
    more = Axis(name="site", values=(*SITES.values, "rome"))
    most = Axis(name="site", values=("riga", *more.values))
    extend_pool(Pool(pool), an_experiment(tmp_path / "study", more), full_product([more]), nothing)

    extend_pool(Pool(pool), an_experiment(tmp_path / "study", most), full_product([most]), nothing)

    assert Pool(pool).counts()[TaskState.WAITING] == 4


def test_an_extension_that_adds_nothing_changes_nothing(tmp_path: Path) -> None:
    pool, experiment = make(tmp_path, SITES)
    before = (pool / "tasks.npz").read_bytes()

    n_added = extend_pool(Pool(pool), experiment, full_product([SITES]), nothing)

    assert n_added == 0
    assert (pool / "tasks.npz").read_bytes() == before


def test_a_dry_extension_only_counts(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES)
    more = Axis(name="site", values=(*SITES.values, "rome"))

    n_added = extend_pool(
        Pool(pool),
        an_experiment(tmp_path / "study", more),
        full_product([more]),
        nothing,
        dry_run=True,
    )

    assert (n_added, len(Pool(pool).grid)) == (1, 2)


def test_a_worker_that_runs_out_sees_the_extension(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, SITES)
    worker = Pool(pool, worker=1)
    more = Axis(name="site", values=(*SITES.values, "rome"))
    extend_pool(Pool(pool), an_experiment(tmp_path / "study", more), full_product([more]), nothing)

    worker.reload()

    assert len(worker.grid) == 3


@pytest.mark.parametrize(
    ("axes", "call", "said"),
    [
        ((Axis(name="site", values=("oslo",)),), None, "the changed experiment lacks them"),
        ((SITES, SEEDS), None, "an extension cannot change them"),
        ((SITES,), "tests.support.tasks:other", "finished results depend on it"),
    ],
)
def test_an_extension_that_contradicts_is_refused(
    tmp_path: Path, axes: tuple[Axis, ...], call: str | None, said: str
) -> None:
    pool, _ = make(tmp_path, SITES)
    changed = an_experiment(tmp_path / "study", *axes, call=call or "tests.support.tasks:nothing")

    with pytest.raises(ConfigError, match=said):
        extend_pool(Pool(pool), changed, full_product(axes), nothing)

    assert len(Pool(pool).grid) == 2


def test_an_extension_with_another_size_of_a_known_value_is_refused(tmp_path: Path) -> None:
    experiment = an_experiment(tmp_path / "study", SITES)
    before = full_product([SITES], [Attribute(name="size", axis="site", values=(10, 20))])
    after = full_product([SITES], [Attribute(name="size", axis="site", values=(10, 21))])
    create_pool(tmp_path / "pool", experiment, before, nothing, now=0)

    with pytest.raises(ConfigError, match="size was 20 when the pool was made"):
        extend_pool(Pool(tmp_path / "pool"), experiment, after, nothing)


def sites_from(*sources: str | None) -> Axis:
    return Axis(name="site", values=("oslo", "bonn", "rome")[: len(sources)], sources=sources)


@pytest.mark.parametrize(
    ("before", "after"), [("seed=1", "seed=2"), (None, "/data/oslo.npy"), ("/data/oslo.npy", None)]
)
def test_an_extension_with_another_source_of_a_known_value_is_refused(
    tmp_path: Path, before: str | None, after: str | None
) -> None:
    pool, _ = make(tmp_path, sites_from(before, None))
    axis = sites_from(after, None, "rome.npy")
    said = f"axes.site = 'oslo': comes from {after or 'no file'}, in the pool from "

    with pytest.raises(ConfigError) as raised:
        extend_pool(
            Pool(pool), an_experiment(tmp_path / "study", axis), full_product([axis]), nothing
        )

    assert said + f"{before or 'no file'}: " in str(raised.value)
    assert "say so with --moved" in str(raised.value)
    assert Pool(pool).grid.axes[0].sources == (before, None)


def test_sources_change_when_the_study_moved(tmp_path: Path) -> None:
    pool, _ = make(tmp_path, sites_from("/old/a", "/old/b"))
    axis = sites_from("/new/a", "/new/b")
    moved = an_experiment(tmp_path / "new", axis)

    n_added = extend_pool(Pool(pool), moved, full_product([axis]), nothing, moved=True)

    assert (n_added, Pool(pool).grid.axes[0].sources) == (0, ("/new/a", "/new/b"))


def an_extension(folder: Path, before: str, after: str) -> str:
    """Make a pool of two sites, add a third; return what is wrong with the changed settings."""
    start = "runner: function\nfunction: {call: tests.support.tasks:nothing"
    file = folder / "study.yaml"
    file.write_text(f"{start}{before}}}\naxes: {{site: [oslo, bonn], kind: [a]}}\n")
    experiment = load_experiment(file)
    create_pool(folder / "pool", experiment, full_product(experiment.axes), nothing, now=0)
    file.write_text(f"{start}{after}}}\naxes: {{site: [oslo, bonn, rome], kind: [a, b]}}\n")
    changed = load_experiment(file)
    try:
        extend_pool(Pool(folder / "pool"), changed, full_product(changed.axes), nothing)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ", tries: {rome: 3}"),
        ("", ", tries: {rome: {column: x}}"),
        (", tries: {oslo: 4}", ", tries: {oslo: 4, rome: 3}"),
        (", tries: {oslo: 4}", ", tries: {rome: 3, oslo: 4}"),
        (", tries: 4", ", tries: {oslo: 4, bonn: 4, rome: 3}"),
        (", tries: 4", ", tries: {oslo: 4, bonn: 4}"),
        (", tries: 4", ", tries: {a: 4, b: 3}"),
    ],
)
def test_an_added_value_may_bring_its_own_settings(tmp_path: Path, before: str, after: str) -> None:
    said = an_extension(tmp_path, before, after)

    assert said == ""
    assert len(Pool(tmp_path / "pool").grid) == 6
    assert (
        Pool(tmp_path / "pool").experiment().section
        == load_experiment(tmp_path / "study.yaml").section
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ", tries: {oslo: 4}"),
        ("", ", tries: 4"),
        (", tries: {oslo: 4}", ", tries: {oslo: 5, rome: 3}"),
        (", tries: {oslo: 4, bonn: 4}", ", tries: {oslo: 4, rome: 3}"),
        (", tries: {oslo: 4}", ", tries: {oslo: 4, bonn: 4, rome: 3}"),
        (", tries: {oslo: {x: 1}}", ", tries: {oslo: {x: 2}, rome: {x: 1}}"),
        (", tries: {oslo: 4}", ""),
        (", tries: 4", ", tries: {rome: 3}"),
        (", tries: 4", ", tries: {oslo: 4, rome: 3}"),
        (", tries: 4", ", tries: {oslo: 5, bonn: 4, rome: 3}"),
        (", tries: {left: x}", ", tries: {left: x, rome: y}"),
        (", tries: {a: 4}", ", tries: {a: 4, rome: 3}"),
    ],
)
def test_the_settings_of_what_the_pool_has_stay(tmp_path: Path, before: str, after: str) -> None:
    said = an_extension(tmp_path, before, after)

    assert "function.tries" in said
    assert "when the pool was made; finished results depend on it: make a new pool" in said
    assert len(Pool(tmp_path / "pool").grid) == 2


def test_no_new_task_is_there_before_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def be_killed(path: Path, content: bytes, mode: int) -> None:
        if path.name == "tasks.npz":
            raise KilledError(path)
        replace_whole(path, content, mode)

    pool, _ = make(tmp_path, SITES)
    more = Axis(name="site", values=(*SITES.values, "rome"))
    changed = an_experiment(tmp_path / "study", more, text=NOOP + "  tries: {rome: 3}\n")
    monkeypatch.setattr(extending, "replace_whole", be_killed)
    with pytest.raises(KilledError):
        extend_pool(Pool(pool), changed, full_product([more]), nothing)
    monkeypatch.undo()
    half_way = (len(Pool(pool).grid), "tries" in Pool(pool).experiment().section)

    changed = replace(changed, section=Pool(pool).experiment().section)
    extend_pool(Pool(pool), changed, full_product([more]), nothing)

    assert half_way == (2, True)
    assert len(Pool(pool).grid) == 3


def test_split_tasks_enter_once_per_part() -> None:
    parts = Axis(name="part", values=("all", 0, 1, 2))

    grid: Grid = split_parts(full_product([SITES]), parts, np.array([True, False]))

    assert sorted(map(str, (grid.point(i) for i in range(4)))) == sorted(
        map(
            str,
            [
                (("site", "bonn"), ("part", "all")),
                (("site", "oslo"), ("part", 0)),
                (("site", "oslo"), ("part", 1)),
                (("site", "oslo"), ("part", 2)),
            ],
        )
    )


def test_a_big_pool_has_few_files(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 50_000)

    assert len(list(pool.rglob("*"))) < 40


def test_puller_of_an_empty_selection_claims_nothing(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 5), worker=1)

    turn = Puller(pool, random.Random(1), np.zeros(5, bool)).next()

    assert turn.claim is None
