"""Working a pool off from Python."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import jobpool as jp
from jobpool.table.settings import WorkerSettings
from tests.execution.test_worker import wait_until
from tests.support.builders import a_pool

QUICK = WorkerSettings(heartbeat_s=0.2, lost_after_s=2, grace_s=0.5)


def test_a_script_without_a_main_guard_works_a_pool_off(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def twice(number):\n    return 2 * number\n")
    (tmp_path / "script.py").write_text(
        "import jobpool, mine\n"
        "config = {'runner': 'function', 'function': {'call': mine.twice},\n"
        "          'axes': {'number': range(5)}}\n"
        "pool = jobpool.init(config, 'pool')\n"
        "ended = pool.run(workers=2)\n"
        "print(ended, pool.results()['value'].to_list())\n"
    )

    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("5 of 5 tasks done [0, 2, 4, 6, 8]\n", "")


def test_an_interrupt_returns_the_tasks_in_hand(tmp_path: Path) -> None:
    pool = jp.open(a_pool(tmp_path, 4, call="tests.support.tasks:sleeps", settings=QUICK))
    program = (
        "import jobpool, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored\n"
        f"jobpool.open({str(pool.folder)!r}).run(workers=2)"
    )
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    wait_until(lambda: pool.status().counts.running == 2)

    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)

    assert b"KeyboardInterrupt" in said
    assert (pool.status().counts.waiting, pool.status().counts.running) == (4, 0)


def test_progress_is_shown_on_standard_error_when_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = jp.open(a_pool(tmp_path, 2)).run(progress=True)

    assert (ended.n_done, ended.n_tasks, ended.failed) == (2, 2, ())
    assert capfd.readouterr().out == ""


def test_a_worker_that_fails_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    pool = jp.open(a_pool(tmp_path, 2, call="no.such.module:run"))

    with pytest.raises(jp.JobpoolError, match=r"a worker failed: .*logs/local"):
        pool.run()


def test_a_selection_without_tasks_starts_no_worker(tmp_path: Path) -> None:
    pool = jp.open(a_pool(tmp_path, 2))

    with pytest.raises(jp.SelectionError, match="no task is selected"):
        pool.run(only="number>5")

    assert not (pool.folder / "logs" / "local").exists()
