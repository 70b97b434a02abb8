"""Real workers, hit at random: every task ends, every attempt has a cause, no process is left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.tasks import is_poison

# one process, so that the chaos is made once for all tests
pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(600)]


def chaos(folder: Path, n_tasks: int, n_workers: int, n_hits: int) -> dict[str, Any]:
    """Return the report of a pool that was worked off under fire."""
    numbers = {"--tasks": n_tasks, "--workers": n_workers, "--hits": n_hits}
    words = [str(word) for pair in numbers.items() for word in pair]
    command = [sys.executable, "-m", "tests.support.chaos", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


# 5,000 tasks: 50 s on two idle cores
@pytest.fixture(
    scope="module",
    params=[
        pytest.param((250, 3, 6), id="250 tasks"),
        pytest.param((5000, 8, 48), id="5000 tasks", marks=pytest.mark.slow),
    ],
)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    n_tasks, n_workers, n_hits = request.param
    return n_tasks, chaos(tmp_path_factory.mktemp("chaos") / "a", n_tasks, n_workers, n_hits)


def test_every_task_is_done_unless_it_is_poison(report: tuple[int, dict[str, Any]]) -> None:
    n_tasks, found = report
    n_poison = sum(is_poison(number) for number in range(n_tasks))

    assert found["states"]["done"] + found["states"]["parked"] == n_tasks
    assert found["states"]["parked"] >= n_poison
    assert found["wrong"] == {}


def test_every_claim_has_one_attempt_with_a_cause(report: tuple[int, dict[str, Any]]) -> None:
    _, found = report

    assert found["attempts"] == found["claims"] == sum(found["causes"].values())


def test_the_dead_are_found_by_others(report: tuple[int, dict[str, Any]]) -> None:
    _, found = report

    assert found["hits"]["SIGKILL"] >= 1
    assert found["found by others"] >= 1


def test_no_worker_leaves_with_an_error(report: tuple[int, dict[str, Any]]) -> None:
    _, found = report

    assert found["complaints"] == []


def test_no_process_is_left(report: tuple[int, dict[str, Any]]) -> None:
    _, found = report

    assert found["orphans"] == []
