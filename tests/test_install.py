"""A wheel outside the checkout: it is built, installed and used where no source can be seen.

Its dependencies are those of this Python environment, linked in after the wheel itself, so that
nothing is downloaded; the installed folder stands before them on the path. One more installation
has what ``pip install jobpool`` brings and nothing else: these packages come from an index.
"""

import csv
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobpool.installation import EXTRAS
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slow

EXAMPLE = ("contrasts.tsv", "maps_4mm.npz", "parcellations_4mm.npz", "soft_schaefer100_4mm.npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A virtual environment with the wheel, and an empty folder to work in."""

    python: Path
    folder: Path

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment, without any setting that could lead elsewhere."""
        return subprocess.run(
            [str(self.python.with_name(command[0])), *command[1:]],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, question: str) -> str:
        """Return what a line of Python prints."""
        return self.run("python", "-c", question).stdout.strip()


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, timeout=300, cwd="/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(CHECKOUT))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    top = tmp_path_factory.mktemp("installation")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(top / "venv")], check=True)
    python = top / "venv" / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", str(wheel))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([str(python), "-c", ask], text=True).strip())
    # a line of a .pth file is a folder; the files of the same kind in there are not read
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (top / "elsewhere").mkdir()
    return Installation(python=python, folder=top / "elsewhere")


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return an installation without extras, in whose folder a study of a function lies."""
    top = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", str(top / "venv")], check=True)
    python = top / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    asked = subprocess.run(
        [*install, "download", "--no-deps", "--retries=0", f"--dest={top}", "filelock"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if asked.returncode:
        pytest.skip(f"no package index answers: {asked.stderr.strip().splitlines()[-1]}")
    subprocess.run([*install, "install", str(wheel)], check=True, timeout=900, cwd="/")
    folder = top / "elsewhere"
    folder.mkdir()
    site_packages = next((top / "venv" / "lib").glob("python*/site-packages"))
    (site_packages / "squares.py").write_text("def square(n):\n    return {'square': n * n}\n")
    text = "runner: function\nfunction: {call: squares:square}\naxes: {n: [1, 2, 3]}\n"
    (folder / "study.yaml").write_text(text)
    return Installation(python=python, folder=folder)


@pytest.fixture(scope="module")
def study(installed: Installation) -> Installation:
    """The same installation, in whose folder a study and its pool were made."""
    for words in (("new", "mystudy"), ("init", "mystudy/study.yaml", "pool")):
        made = installed.run("jobpool", *words)
        assert made.returncode == 0, made.stderr
    return installed


def test_the_wheel_holds_no_tests(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert tops == {"jobpool", "jobpool-0.1.0.dist-info"}


def test_the_checkout_is_not_on_the_path(installed: Installation) -> None:
    where = installed.ask("import jobpool; print(jobpool.__file__)")
    path = installed.ask("import sys; print(sys.path)")

    assert Path(where).is_relative_to(installed.python.parents[1])
    assert str(CHECKOUT) not in path.replace(sysconfig.get_path("purelib"), "")


def test_the_installed_program_tells_its_version(installed: Installation) -> None:
    told = installed.run("jobpool", "--version")

    assert (told.returncode, told.stdout) == (0, "jobpool 0.1.0\n")


def test_the_installed_program_has_its_example_configs(installed: Installation) -> None:
    ask = "from jobpool.installation import asset; print(*map(str, asset('configs').iterdir()))"

    names = [Path(word).name for word in installed.ask(ask).split()]

    assert sorted(names) == sorted(file.name for file in (CHECKOUT / "configs").iterdir())


def test_a_new_study_has_its_data(study: Installation) -> None:
    files = {file.name for file in (study.folder / "mystudy" / "data").iterdir()}

    assert files >= {*EXAMPLE, "LICENSES.txt", "README.md"}


@pytest.mark.parametrize("name", ["first_pass", "second_pass", "by_fold"])
def test_a_new_study_has_the_script(study: Installation, name: str) -> None:
    laid_out = study.folder / "mystudy" / "sbatch" / f"{name}.sbatch"

    assert laid_out.read_bytes() == (CHECKOUT / "sbatch" / f"{name}.sbatch").read_bytes()


def test_the_study_can_be_checked_from_another_folder(study: Installation) -> None:
    checked = study.run("jobpool", "init", "mystudy/study.yaml", "other", "--dry-run")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("16 tasks\n")
    assert not (study.folder / "other").exists()


def test_a_task_of_the_study_runs(study: Installation) -> None:
    done = study.run("jobpool", "run", "pool", "--only", "parcellation=yeo7")

    assert (done.returncode, done.stdout) == (0, "1 of 1 tasks done\n")


def test_submit_names_a_script_of_the_installation(study: Installation) -> None:
    shown = study.run("jobpool", "submit", "pool", "--pass", "first", "--dry-run")

    (script,) = (word for word in shlex.split(shown.stdout) if word.endswith(".sbatch"))
    assert shown.returncode == 0
    assert Path(script).is_file()
    assert Path(script).is_relative_to(study.python.parents[1])


def test_submit_names_the_installed_program(study: Installation) -> None:
    shown = study.run("jobpool", "submit", "pool", "--pass", "first", "--dry-run")

    assert f"--export=ALL,JOBPOOL={study.python.with_name('jobpool')}" in shlex.split(shown.stdout)


@pytest.mark.timeout(1200)  # what it brings is downloaded and installed: a minute or several
def test_the_bare_wheel_runs_a_study_of_a_function(bare: Installation) -> None:
    steps = [
        bare.run("jobpool", *words.split())
        for words in (
            "init study.yaml pool",
            "run pool",
            "status pool",
            "collect pool",
            "collect pool -o results.csv",
            "collect pool -o attempts.csv --attempts",
        )
    ]

    assert [one.returncode for one in steps] == [0] * len(steps), [one.stderr for one in steps]
    rows = csv.DictReader((bare.folder / "results.csv").read_text().splitlines())
    assert [(row["n"], row["square"]) for row in rows] == [("1", "1"), ("2", "4"), ("3", "9")]
    assert len((bare.folder / "attempts.csv").read_text().splitlines()) == 4


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("package", sorted(EXTRAS))
def test_the_bare_wheel_comes_without(bare: Installation, package: str) -> None:
    found = bare.ask(f"import importlib.util as u; print(u.find_spec({package!r}))")

    assert found == "None"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("report pool -o report.html", "report"),
        ("collect pool -o results.parquet", "parquet"),
        ("init trees.yaml trees", "brain"),
    ],
)
def test_the_bare_wheel_names_the_extra_in_one_line(
    bare: Installation, words: str, extra: str
) -> None:
    bare.run("jobpool", "init", "study.yaml", "pool")
    text = (CHECKOUT / "configs" / "nback-flanker.yaml").read_text(encoding="utf-8")
    data = str(CHECKOUT / "examples" / "nback-flanker")
    text = text.replace("../examples/nback-flanker", data).replace("[elastic]", "[lgbm]")
    (bare.folder / "trees.yaml").write_text(text)
    before = sorted(bare.folder.iterdir())

    shown = bare.run("jobpool", *words.split())

    assert (shown.returncode, len(shown.stderr.splitlines())) == (1, 1), shown.stderr
    assert f"run: pip install 'jobpool[{extra}]'" in shown.stderr
    assert sorted(bare.folder.iterdir()) == before
