"""The command line as a user meets it: exit codes, messages, no traceback for a mistake."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.cli import COMMANDS
from jobpool.cli.wait import CODES
from jobpool.disk.files import write_json
from jobpool.errors import Fault
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.builders import a_pool

STUDY = """
runner: function
axes: {site: [berlin, oslo], factor: {from: 1, to: 3}}
function: {call: "tests.support.tasks:nothing"}
passes:
  first: {cores: 1, memory_gb: 1, walltime: 10m, only: "site=oslo"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY, encoding="utf-8")
    return file


def test_init_prints_the_counts_by_axis(config: Path, jobpool: Jobpool) -> None:
    done = jobpool("init", config, config.parent / "pool")

    assert done.returncode == 0
    assert done.stdout.startswith("6 tasks\n  site    2 values\n            berlin")


def test_a_dry_init_makes_nothing(config: Path, jobpool: Jobpool) -> None:
    done = jobpool("init", config, config.parent / "pool", "--dry-run")

    assert done.returncode == 0
    assert not (config.parent / "pool").exists()


def test_init_reports_all_mistakes_of_a_file(config: Path, jobpool: Jobpool) -> None:
    config.write_text("runner: function\naxes: {a: [x, x], b: []}\nsed: 1\n")

    done = jobpool("init", config, config.parent / "pool")

    assert done.returncode == 1
    assert done.stderr.startswith("jobpool: 4 problems:\n")
    assert not (config.parent / "pool").exists()


def test_a_pass_with_a_wrong_selection_is_a_problem_of_the_file(
    config: Path, jobpool: Jobpool
) -> None:
    config.write_text(STUDY.replace("site=oslo", "site=olso"))

    done = jobpool("init", config, config.parent / "pool")

    assert done.returncode == 1
    assert "passes.first = 'site=olso': no value matches 'olso'" in done.stderr
    assert "did you mean 'oslo'" in done.stderr


def test_mistakes_of_all_kinds_are_reported_together(config: Path, jobpool: Jobpool) -> None:
    config.write_text(
        STUDY.replace("tests.support.tasks", "tests.taskz").replace("cores: 1", "cors: 1")
    )

    done = jobpool("init", config, config.parent / "pool")

    assert done.stderr.startswith("jobpool: 2 problems:\n")
    assert "passes.first.cors = 1: unknown key" in done.stderr
    assert "function.call = 'tests.taskz:nothing': cannot be imported" in done.stderr


def test_extend_says_how_many_it_added(config: Path, jobpool: Jobpool) -> None:
    pool = config.parent / "pool"
    jobpool("init", config, pool)
    config.write_text(STUDY.replace("oslo]", "oslo, rome]"))

    done = jobpool("extend", config, pool)

    assert done.stdout == f"added 3 tasks to {pool}, which had 6\n"
    assert len(Pool(pool).grid) == 9


POOL_COMMANDS = [
    ["work"],
    ["run"],
    ["status"],
    ["errors"],
    ["collect"],
    ["log"],
    ["doctor"],
    ["retry"],
    ["rerun", "--all"],
    ["hold", "--all"],
    ["release"],
    ["submit", "--pass", "first"],
]


@pytest.mark.parametrize("command", POOL_COMMANDS, ids=lambda words: words[0])
def test_an_unknown_pool_is_one_clear_line(
    tmp_path: Path, jobpool: Jobpool, command: list[str]
) -> None:
    done = jobpool(command[0], tmp_path / "none", *command[1:])

    assert done.returncode == 1
    assert done.stderr == (
        f"jobpool: {tmp_path}/none: no such folder; "
        f"make one with: jobpool init CONFIG {tmp_path}/none\n"
    )


@pytest.mark.parametrize("command", POOL_COMMANDS, ids=lambda words: words[0])
def test_a_pool_of_a_newer_format_is_one_clear_line(
    tmp_path: Path, jobpool: Jobpool, command: list[str]
) -> None:
    pool = a_pool(tmp_path, 2)
    write_json(pool / "pool.json", {"format": 99})

    done = jobpool(command[0], pool, *command[1:])

    assert done.returncode == Fault.POOL
    assert "install the newer jobpool that made it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", POOL_COMMANDS, ids=lambda words: words[0])
def test_a_pool_without_permission_is_one_clear_line(tmp_path: Path, command: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a pool to another user needs root")
    pool = a_pool(tmp_path, 2)
    pool.chmod(0o700)
    os.chown(pool, 65534, 65534)
    without_roots_power = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    done = subprocess.run(
        [*without_roots_power, sys.executable, "-m", "jobpool", command[0], pool, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (Fault.FILE_SYSTEM, False), done.stderr
    assert f"{pool}: cannot be read: Permission denied" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["work"],
        ["run"],
        ["status"],
        ["errors"],
        ["collect"],
        ["log"],
        ["retry"],
        ["rerun"],
        ["hold"],
        ["release"],
        ["submit", "--pass", "first"],
    ],
    ids=lambda words: words[0],
)
def test_a_wrong_selection_names_what_there_is(
    config: Path, jobpool: Jobpool, command: list[str]
) -> None:
    pool = config.parent / "pool"
    jobpool("init", config, pool)

    done = jobpool(command[0], pool, *command[1:], "--only", "stie=oslo")

    assert done.returncode == 1
    assert "the pool has no 'stie'; it has: site, factor; did you mean 'site'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_has_exit_code_2(jobpool: Jobpool) -> None:
    assert jobpool("init").returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(jobpool: Jobpool, command: str) -> None:
    done = jobpool(command, "--help")

    assert done.returncode == 0
    assert f"jobpool {command} " in done.stdout.partition("Usage:")[2].partition("\n")[2]


@pytest.mark.parametrize(
    ("command", "code"),
    [("collect", Fault.POOL), ("doctor", Fault.POOL), *(("wait", code) for code in CODES.values())],
)
def test_help_names_the_exit_codes_that_a_command_gives_on_its_own(
    jobpool: Jobpool, command: str, code: int
) -> None:
    words = " ".join(jobpool(command, "--help").stdout.split())

    assert re.search(rf"Exit code .*\b{int(code)}\b", words)


def test_the_version_is_printed(jobpool: Jobpool) -> None:
    assert jobpool("--version").stdout == "jobpool 0.1.0\n"


def test_a_starter_study_runs_as_it_is_laid_out(tmp_path: Path, jobpool: Jobpool) -> None:
    jobpool("new", tmp_path / "mystudy")

    done = jobpool("init", tmp_path / "mystudy" / "study.yaml", tmp_path / "pool", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("16 tasks")


@pytest.mark.parametrize("command", ["--help", "status"])
def test_looking_loads_neither_pandas_nor_scikit_learn(tmp_path: Path, command: str) -> None:
    pool = a_pool(tmp_path, 3)
    words = {"--help": ["--help"], "status": ["status", str(pool)]}[command]
    code = (
        "import atexit, sys\n"
        "from jobpool.cli import main\n"
        "heavy = {'pandas', 'sklearn', 'scipy', 'matplotlib', 'joblib', 'pyarrow', 'plotly',"
        " 'jinja2', 'lightgbm', 'nibabel', 'optuna', 'statsmodels'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules))))\n"
        f"sys.argv[1:] = {words}\n"
        "main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("os:sep", "is no function but '/'"),
        ("tests.support.tasks:number", "cannot be called with the axes site, factor"),
    ],
)
def test_a_function_that_does_not_fit_the_axes_is_refused(
    config: Path, jobpool: Jobpool, call: str, said: str
) -> None:
    config.write_text(STUDY.replace("tests.support.tasks:nothing", call))

    done = jobpool("init", config, config.parent / "pool")

    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_pattern_that_matches_nothing_is_one_clear_problem(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    jobpool("new", tmp_path / "study")
    file = tmp_path / "study" / "study.yaml"
    text = file.read_text().replace("npz:yeo*", "npz:yoe*").replace("npz:schaefer*", "npz:shc*")
    file.write_text(text.replace("soft_schaefer100_4mm.npz", "nothing.npz"))

    done = jobpool("init", file, tmp_path / "pool")

    assert done.returncode == 1
    assert done.stderr.startswith("jobpool: 3 problems:\n")
    assert "Traceback" not in done.stderr


def test_a_terminal_without_unicode_gets_escapes(config: Path, jobpool: Jobpool) -> None:
    config.write_text(STUDY.replace("oslo", "tromsø"), encoding="utf-8")

    done = jobpool("init", config, config.parent / "pool", PYTHONIOENCODING="ascii")

    assert (done.returncode, r"troms\xf8" in done.stdout) == (0, True)


def test_an_extension_from_another_folder_is_refused(config: Path, jobpool: Jobpool) -> None:
    jobpool("init", config, config.parent / "pool")
    moved = config.parent / "elsewhere" / "study.yaml"
    moved.parent.mkdir()
    moved.write_text(STUDY)

    done = jobpool("extend", moved, config.parent / "pool")

    assert (done.returncode, "say so with --moved" in done.stderr) == (1, True)


def test_a_study_that_was_moved_goes_on_in_its_new_place(tmp_path: Path, jobpool: Jobpool) -> None:
    jobpool("new", tmp_path / "old")
    jobpool("init", tmp_path / "old" / "study.yaml", tmp_path / "old" / "pool")
    (tmp_path / "old").rename(tmp_path / "new")

    done = jobpool("extend", tmp_path / "new" / "study.yaml", tmp_path / "new" / "pool", "--moved")

    worked = jobpool("work", tmp_path / "new" / "pool", "--only", "parcels=7")
    assert done.stdout.startswith("added 0 tasks"), done.stderr
    assert "(1 done)" in worked.stderr, worked.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["status"], ""),
        (["errors"], ""),
        (["log"], ""),
        (["collect"], ""),
        (["retry"], ""),
        (["rerun", "--all"], ""),
        (["release"], ""),
        (["hold", "--all"], "cannot write: Read-only file system"),
        (["work"], "Read-only file system; ask its owner"),
        (["run"], "Read-only file system; ask its owner"),
        (["doctor"], "Read-only file system; ask its owner"),
        (["collect", "-o", "results.csv"], "cannot write: Read-only file system"),
    ],
    ids=" ".join,
)
def test_a_pool_on_a_read_only_disk_is_looked_at_or_refused(
    tmp_path: Path, command: list[str], said: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    code = Fault.FILE_SYSTEM if said else 0
    pool = a_pool(tmp_path, 2)
    words = [sys.executable, "-m", "jobpool", command[0], str(pool), *command[1:]]
    words = [str(pool / word) if word.endswith(".csv") else word for word in words]
    mount = (
        f"mount --bind {pool} {pool} && mount -o remount,ro,bind {pool} && exec {shlex.join(words)}"
    )

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True, check=False
    )

    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr
