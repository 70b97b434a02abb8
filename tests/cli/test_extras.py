"""Optional packages: which there are, and the one line that names the extra of a missing one."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import jobpool
from jobpool.collect.frames import to_frame, write_frame
from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment
from jobpool.installation import EXTRAS, missing
from tests.support.brain_study import StudyOnDisk
from tests.support.builders import a_pool

PACKAGE = Path(jobpool.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {"pyyaml": "yaml", "scikit-learn": "sklearn"}


def names(requirements: list[str]) -> set[str]:
    """Return the names to import of what a list of requirements asks for."""
    found = {one.partition(">")[0] for one in requirements}
    return {IMPORTED_AS.get(name, name) for name in found}


def imported() -> set[str]:
    """Return the packages that some module imports, and that Python itself does not have."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"jobpool"}


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)  # as an import of what is not there


def without(package: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run the command line where a package is not installed."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from jobpool.cli import main\n"
        f"sys.argv[1:] = {list(map(str, words))}\n"
        "main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def test_every_package_is_required_or_in_an_extra() -> None:
    assert imported() == names(PROJECT["dependencies"]) | EXTRAS.keys()


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_an_extra_installs_what_it_is_said_to(extra: str) -> None:
    asked = names(PROJECT["optional-dependencies"][extra])

    assert asked == {name for name, one in EXTRAS.items() if one == extra}


def test_all_extras_are_in_all() -> None:
    extras = ",".join(sorted(set(EXTRAS.values())))

    assert PROJECT["optional-dependencies"]["all"] == [f"jobpool[{extras}]"]
    assert "jobpool[all]" in PROJECT["optional-dependencies"]["dev"]


def test_packages_of_two_extras_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "nibabel", "plotly")

    assert missing("nibabel", "numpy", "plotly") == (
        "needs nibabel, plotly, which are not installed; run: pip install 'jobpool[brain,report]'"
    )


@pytest.mark.parametrize(
    ("package", "key", "value"),
    [("lightgbm", "axes.pipeline", "lgbm"), ("optuna", "evaluate.search", "tpe")],
)
def test_a_study_is_refused_where_a_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, key: str, value: str
) -> None:
    study = StudyOnDisk(tmp_path)
    section, name = key.split(".")
    study.config[section][name] = [value] if section == "axes" else value
    hide(monkeypatch, package)

    with pytest.raises(ConfigError) as caught:
        study.checked()

    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == (key, value)
    assert problem.advice.endswith("run: pip install 'jobpool[brain]'")


def test_maps_in_image_files_are_refused_where_nibabel_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyOnDisk(tmp_path)
    (tmp_path / "maps.nii.gz").write_bytes(b"")
    study.config["evaluate"]["maps"] = "maps.nii.gz"
    hide(monkeypatch, "nibabel")

    with pytest.raises(ConfigError, match=r"needs nibabel.*pip install 'jobpool\[brain\]'"):
        study.checked()


def test_participants_in_parquet_are_refused_where_pyarrow_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyOnDisk(tmp_path)
    study.config["evaluate"]["participants"] = "people.parquet"
    hide(monkeypatch, "pyarrow")

    with pytest.raises(ConfigError, match=r"needs pyarrow.*pip install 'jobpool\[parquet\]'"):
        study.checked()


def test_an_axis_from_parquet_is_refused_where_pyarrow_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("runner: function\naxes: {a: {table: t.parquet, column: site}}")
    hide(monkeypatch, "pyarrow")

    with pytest.raises(ConfigError, match=r"needs pyarrow.*pip install 'jobpool\[parquet\]'"):
        load_experiment(file)


@pytest.mark.parametrize("package", [name for name in EXTRAS if EXTRAS[name] == "report"])
def test_a_report_is_refused_where_a_package_is_missing(fast_path: Path, package: str) -> None:
    pool = a_pool(fast_path, 1)

    shown = without(package, "report", pool, "-o", fast_path / "report.html")

    assert (shown.returncode, len(shown.stderr.splitlines())) == (1, 1)
    assert shown.stderr.endswith(
        f"needs {package}, which is not installed; run: pip install 'jobpool[report]'\n"
    )


def test_a_parquet_file_is_refused_where_pyarrow_is_missing(fast_path: Path) -> None:
    pool = a_pool(fast_path, 1)

    shown = without("pyarrow", "collect", pool, "-o", fast_path / "results.parquet")

    assert (shown.returncode, len(shown.stderr.splitlines())) == (1, 1)
    assert shown.stderr.endswith("run: pip install 'jobpool[parquet]'\n")


def test_a_csv_file_has_the_same_values_where_pyarrow_is_missing(fast_path: Path) -> None:
    columns = {
        "x": [1.0, 1e-5, 1e-7, 1e16, 1 / 3, None, -0.0, 123456789.123],
        "n": [2**53 + 1, None, *range(6)],
        "whole": list(range(8)),
        "flag": [True, None, *[False] * 6],
        "text": ["a, b", 'say "no"', "two\nlines", "", None, "é", " c ", "plain"],
        "none": [None] * 8,
    }
    write_frame(fast_path / "with.csv", to_frame(columns))
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from jobpool.collect.frames import to_frame, write_frame\n"
        f"write_frame(Path(sys.argv[1]), to_frame({columns!r}))"
    )

    subprocess.run([sys.executable, "-c", code, str(fast_path / "without.csv")], check=True)

    types = {"n": "Int64", "flag": "boolean"}
    pd.testing.assert_frame_equal(
        pd.read_csv(fast_path / "with.csv", dtype=types),
        pd.read_csv(fast_path / "without.csv", dtype=types),
        check_exact=True,
    )
