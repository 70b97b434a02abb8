"""Lines that jobpool prints for a person to paste: names in them are quoted for the shell."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.errors import as_typed, quoted
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.builders import an_experiment

EVIL = "a b;touch X '$(touch Y)'"
PASS = "p;touch Z"


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Return the file of an experiment; name of pool and pass hold commands."""
    file = an_experiment(tmp_path / "study").file
    passes = f"passes: {{'{PASS}': {{memory_gb: 1, walltime: 1h}}}}\n"
    file.write_text(f"{file.read_text()}axes: {{number: [1, 2]}}\n{passes}", encoding="utf-8")
    return tmp_path / EVIL


def commands(said: str) -> list[list[str]]:
    """Return the words of every command that is told, as a shell reads them."""
    return [shlex.split(found.rstrip(");.")) for found in re.findall(r"jobpool [a-z]+ .*", said)]


def held(jobpool: Jobpool, pool: Path) -> Path:
    """Hold all tasks of a pool, so that there is a next step."""
    jobpool("hold", pool, "--all")
    return pool


PRINTED: dict[str, Callable[[Jobpool, Path], str]] = {
    "status": lambda jobpool, pool: jobpool("status", held(jobpool, pool)).stdout,
    "why": lambda jobpool, pool: jobpool("why", pool, Pool(pool).grid.id(0)).stdout,
    "hold": lambda jobpool, pool: jobpool("hold", pool, "--all").stdout,
    "init again": lambda jobpool, pool: (
        jobpool("init", pool.parent / "study" / "experiment.yaml", pool).stderr
    ),
    "no pool": lambda jobpool, pool: jobpool("status", pool.with_name(f"{EVIL}2")).stderr,
}


@pytest.mark.parametrize("printed", PRINTED.values(), ids=PRINTED)
def test_a_line_to_paste_runs_nothing_else(
    pool: Path, jobpool: Jobpool, printed: Callable[[Jobpool, Path], str]
) -> None:
    made = jobpool("init", pool.parent / "study" / "experiment.yaml", pool)
    assert made.returncode == 0, made.stderr

    said = printed(jobpool, pool)

    told = re.findall(r"jobpool [a-z]+ .*", said)
    assert told
    assert EVIL not in "\n".join(told).replace(quoted(pool), "").replace(quoted(f"{pool}2"), "")


def test_the_next_step_of_init_is_one_command_a_line(pool: Path, jobpool: Jobpool) -> None:
    said = jobpool("init", pool.parent / "study" / "experiment.yaml", pool).stdout

    assert ["jobpool", "run", str(pool), "--workers", "2"] in commands(said)
    assert ["jobpool", "submit", str(pool), "--pass", PASS, "--jobs", "2"] in commands(said)


@pytest.mark.parametrize("word", ["a b", "a;b", "$(a)", "`a`", "a'b", "", "a\nb", "*", "~"])
def test_a_word_stays_one_word(word: str) -> None:
    assert shlex.split(f"x {quoted(word)} y") == ["x", word, "y"]
    assert shlex.split(as_typed("x", word, "y")) == ["x", word, "y"]
