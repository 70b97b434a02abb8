"""Experiment files: axis values from lists, globs, ranges, tables; every problem at once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.errors import ConfigError
from jobpool.experiment.config import Experiment, InitialEstimate, load_experiment
from jobpool.units import parse_duration


def load(folder: Path, text: str) -> Experiment:
    file = folder / "study.yaml"
    file.write_text(text, encoding="utf-8")
    return load_experiment(file, runners=("evaluate", "function"))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(folder, text)
    return [f"{problem.key}: {problem.advice}" for problem in raised.value.problems]


def test_axes_may_be_lists(tmp_path: Path) -> None:
    experiment = load(tmp_path, "runner: function\naxes: {site: [berlin, oslo], lone: x}")

    assert [axis.values for axis in experiment.axes] == [("berlin", "oslo"), ("x",)]


def test_an_axis_may_be_a_range_of_numbers(tmp_path: Path) -> None:
    experiment = load(tmp_path, "runner: function\naxes: {seed: {from: 2, to: 8, step: 3}}")

    assert experiment.axes[0].values == (2, 5, 8)


def test_an_axis_may_be_files_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "b.npy").touch()
    (tmp_path / "a.npy").touch()

    experiment = load(tmp_path, "runner: function\naxes: {map: {glob: '*.npy'}}")

    assert experiment.axes[0].values == ("a", "b")
    assert experiment.axes[0].sources == (str(tmp_path / "a.npy"), str(tmp_path / "b.npy"))


def test_an_axis_may_be_arrays_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", schaefer100=np.zeros(2), schaefer200=np.zeros(2), vox=np.zeros(1))

    experiment = load(tmp_path, "runner: function\naxes: {map: {glob: 'p.npz:schaefer*'}}")

    assert experiment.axes[0].values == ("schaefer100", "schaefer200")
    assert experiment.axes[0].sources[0] == f"{tmp_path / 'p.npz'}:schaefer100"


def test_a_name_of_a_file_may_hold_a_colon(tmp_path: Path) -> None:
    (tmp_path / "run:1").mkdir()
    (tmp_path / "run:1" / "site:2.npy").touch()

    experiment = load(tmp_path, "runner: function\naxes: {map: {glob: 'run:*/site:*.npy'}}")

    assert experiment.axes[0].values == ("site:2",)
    assert experiment.axes[0].sources == (str(tmp_path / "run:1" / "site:2.npy"),)


def test_files_come_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    for name in ("yeo17.npy", "yeo7.npy", "schaefer1000.npy", "schaefer200.npy"):
        (tmp_path / name).touch()

    experiment = load(tmp_path, "runner: function\naxes: {map: {glob: '*.npy'}}")

    assert experiment.axes[0].values == ("schaefer200", "schaefer1000", "yeo7", "yeo17")


def test_an_axis_may_be_the_values_of_a_column(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("id\tsite\n1\toslo\n2\tberlin\n3\toslo\n4\tn/a\n")

    experiment = load(tmp_path, "runner: function\naxes: {site: {table: t.tsv, column: site}}")

    assert experiment.axes[0].values == ("berlin", "oslo")


def test_an_axis_may_be_the_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,is_a,is_b,age\n1,0,1,30\n")

    experiment = load(tmp_path, "runner: function\naxes: {y: [{table: t.csv, columns: is_*}, age]}")

    assert experiment.axes[0].values == ("is_a", "is_b", "age")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "runner: functoin\nseeed: 3\naxes: {a: [x, x], b: [], c: {glob: 'no*.npy'}}\n"
        "passes: {first: {cores: 0, memory_gb: lots, walltime: 3 weeks}}\n",
    )

    assert found == [
        "runner: must be one of: evaluate, function; did you mean 'function'?",
        "axes.a: is given 2 times; each value may be given once",
        "axes.b: has no values; give at least one",
        f"axes.c.glob: matches no file in {tmp_path}; correct the path",
        "passes.first.cores: must be at least 1",
        "passes.first.memory_gb: must be a number",
        "passes.first.walltime: '3 weeks' is not a length of time; "
        "write for example 90s, 30m, 2h or 1d12h",
        "seeed: unknown key; known here: runner, name, seed, axes, evaluate, function, passes, "
        "workers, needs, report, path, environment; did you mean 'seed'?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runner: function\naxes: {a: ['']}", "is empty or has blanks"),
        ("runner: function\naxes: {a: [null]}", "must be text, a number"),
        ("runner: function\naxes: {a: [1, true]}", "equals another value"),
        ("runner: function\naxes: {a: [.nan]}", "must be a finite number"),
        ("runner: function\naxes: {worker: [1]}", "is a column of every results table"),
        ("runner: function\naxes: {'a b': [1]}", "cannot be selected"),
        ("runner: function\naxes: {a: 1}\nworkers: {grace: true}", "is not a length of time"),
        ("runner: function\naxes: {a: 1}\nworkers: {grace: .inf}", "is not a length of time"),
        ("runner: function\naxes: {a: {glb: x}}", "write a list of values, or"),
        ("runner: function\naxes: {a: {from: 5, to: 1}}", "must not be smaller than from, 5"),
        ("runner: function\naxes: {a: {table: t.csv, column: x}}", "no such file"),
        ("runner: function", "axes: missing; give a mapping"),
        ("axes: {a: [1]}", "runner: missing; give one of"),
        ("- a\n- b", "holds no mapping"),
        ("runner: [", "line 1"),
        ("runner: function\nrunner: evaluate", "the key 'runner' is given twice"),
        ("runner: function\naxes: {a: {from: 0, to: 1000000000000}}", "more than 10,000,000"),
        ("runner: function\naxes: {a: 1}\nworkers: {lock: magic}", "must be one of: auto, flock"),
        ("runner: function\naxes: {a: 1}\nworkers: {lost_after: 30s}", "at least 3 heartbeats"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    found = "\n".join(problems(tmp_path, text))

    assert said in found


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; .* jobpool new"):
        load_experiment(tmp_path / "none.yaml")


def test_a_column_with_a_typo_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,site\n1,oslo\n")

    found = problems(tmp_path, "runner: function\naxes: {s: {table: t.csv, column: sites}}")

    assert found == ["axes.s.column: is no column of t.csv; it has: id, site; did you mean 'site'?"]


def test_a_pass_has_resources(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "runner: function\naxes: {a: 1}\npasses:\n"
        "  first: {cores: 1, memory_gb: 4, walltime: 3:00:00, only: a=1, max_running: 50}\n",
    )

    (first,) = experiment.passes
    assert (first.memory_gb, first.walltime_s, first.only) == (4.0, 10800.0, ("a=1",))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d12h", 129600), ("1-06:00:00", 108000)],
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_folder_with_brackets_in_its_name_is_searched(tmp_path: Path) -> None:
    folder = tmp_path / "[old] study"
    folder.mkdir()
    (folder / "a.npy").touch()

    experiment = load(folder, "runner: function\naxes: {map: {glob: '*.npy'}}")

    assert experiment.axes[0].sources == (str(folder / "a.npy"),)


def test_a_table_saved_by_excel_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("site,n\noslo,1\n", encoding="utf-8-sig")

    experiment = load(tmp_path, "runner: function\naxes: {s: {table: t.csv, column: site}}")

    assert experiment.axes[0].values == ("oslo",)


def test_guesses_are_read(tmp_path: Path) -> None:
    text = "runner: function\naxes: {a: [1]}\nneeds: [{only: a=1, time: 2h}, {memory_gb: 3}]\n"
    (tmp_path / "e.yaml").write_text(text)

    found = load_experiment(tmp_path / "e.yaml").needs

    assert found == (InitialEstimate(only=("a=1",), time_s=7200), InitialEstimate(memory_gb=3))


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ("[{only: a=1}]", "needs.0: estimates nothing; give time, memory_gb, or both"),
        ("[3h]", "needs.0: must be a mapping of keys to values"),
        ("[{tmie: 3h, memory_gb: 1}]", "needs.0.tmie: unknown key"),
        ("[{time: soon}]", "needs.0.time: 'soon' is not a length of time"),
    ],
)
def test_a_guess_that_says_nothing_is_an_error(tmp_path: Path, needs: str, expected: str) -> None:
    (first, *_) = problems(tmp_path, f"runner: function\naxes: {{a: [1]}}\nneeds: {needs}\n")

    assert first.startswith(expected)


def test_a_job_must_be_lost_before_it_hangs(tmp_path: Path) -> None:
    found = problems(
        tmp_path, "runner: function\naxes: {a: [1]}\nworkers: {lost_after: 3m, hung_after: 1m}\n"
    )

    assert found == [
        "workers.hung_after: must not be less than lost_after: a job that is listed as running "
        "may be alive"
    ]


def test_a_job_hangs_after_three_times_the_silence_that_loses_it(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "runner: function\naxes: {a: [1]}\nworkers: {lost_after: 2m}\n"
    )

    assert load_experiment(tmp_path / "e.yaml").workers.hung == 360


AN_AXIS = "runner: function\naxes: {site: [oslo]}\n"


def test_a_region_is_read_from_the_file(tmp_path: Path) -> None:
    experiment = load(tmp_path, AN_AXIS + 'report: {region: "7:3000"}')

    assert experiment.report.region.sizes == (7, 3000)


def test_the_published_way_is_read_from_the_file(tmp_path: Path) -> None:
    experiment = load(tmp_path, AN_AXIS + "report: {region_method: published}")

    assert experiment.report.region.method == "published"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{region: 7-30}", "report.region: '7-30' is no region; write its smallest"),
        ('{region: "30:7"}', "report.region: '30:7' is no region; write its smallest"),
        ('{region: "7:30", region_method: published}', "report.region: is given beside a region"),
        ("{region_method: joint}", "report.region_method: must be one of: together, published"),
        ("{regoin: x}", "report.regoin: unknown key; known here: region, region_method"),
    ],
)
def test_a_mistake_in_the_report_section_is_named(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, f"{AN_AXIS}report: {text}")

    assert any(problem.startswith(said) for problem in found), found


def test_values_of_an_axis_have_one_normal_form(tmp_path: Path) -> None:
    (tmp_path / "e\u0301.npy").touch()  # as some file systems write it
    text = "runner: function\naxes: {a: [Mu\u0308ller, 'x  y'], b: {glob: '*.npy'}}"

    a, b = load(tmp_path, text).axes

    assert (a.values, b.values) == (("M\u00fcller", "x y"), ("\u00e9",))
    assert (a.sources, b.sources) == (("Mu\u0308ller", "x  y"), (f"{tmp_path}/e\u0301.npy",))


def test_two_spellings_of_one_value_are_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "runner: function\naxes: {a: [Mu\u0308ller, M\u00fcller]}")

    assert "is given 2 times; each value may be given once" in found[0]


def test_one_site_in_two_spellings_is_one_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("s\nKo\u0308ln\nK\u00f6ln\n1\n1.0\n", encoding="utf-8")

    experiment = load(tmp_path, "runner: function\naxes: {s: {table: t.csv, column: s}}")

    assert experiment.axes[0].values == ("1", "K\u00f6ln")


def test_the_words_for_a_missing_value_may_be_listed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("s\nNA\nx\n-9\nn/a\n", encoding="utf-8")
    table = "table: t.csv, column: s"

    usual = load(tmp_path, f"runner: function\naxes: {{s: {{{table}}}}}").axes[0].values
    own = load(tmp_path, f"runner: function\naxes: {{s: {{{table}, missing: [NA, -9]}}}}")

    assert (usual, own.axes[0].values) == (("-9", "NA", "x"), ("n/a", "x"))


@pytest.mark.parametrize("words", ["[true]", "[null]", "{a: 1}", "[[NA]]"])
def test_what_is_no_list_of_words_is_refused(words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("s\n1\n")
    table = f"table: t.csv, column: s, missing: {words}"

    found = problems(tmp_path, f"runner: function\naxes: {{s: {{{table}}}}}")

    assert "must be a list of words and numbers" in found[0]


def test_one_may_stand_for_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("s\n1\n2\n")
    table = "table: t.csv, column: s, missing: [1]"

    experiment = load(tmp_path, f"runner: function\naxes: {{s: {{{table}}}}}")

    assert experiment.axes[0].values == ("2",)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_whole_numbers_of_a_table_stay_whole(ending: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"s": [1001, 1002, 9007199254740993], "age": [20.5, 31.0, 44.2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")

    experiment = load(tmp_path, f"runner: function\naxes: {{s: {{table: t.{ending}, column: s}}}}")

    assert experiment.axes[0].values == ("1001", "1002", "9007199254740993")


@pytest.mark.parametrize(("one", "other"), [("0.5", "0.50"), ("007", "7")])
def test_a_column_with_one_number_in_two_spellings_is_refused(
    one: str, other: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(f"s\n{one}\n{other}\nx\n")

    found = problems(tmp_path, "runner: function\naxes: {s: {table: t.csv, column: s}}")

    assert "one number in several spellings; write it in one way" in found[0]


def test_a_column_of_numbers_with_commas_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("dose\n0,5\n1\n2,25\n")

    found = problems(tmp_path, "runner: function\naxes: {s: {table: t.tsv, column: dose}}")

    assert "holds '0,5', a number with a comma; write a point" in found[0]


def test_a_text_with_a_comma_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("codes\n1,2\nnone\n")

    experiment = load(tmp_path, "runner: function\naxes: {s: {table: t.tsv, column: codes}}")

    assert experiment.axes[0].values == ("1,2", "none")
