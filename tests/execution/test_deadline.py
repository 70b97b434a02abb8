"""The end of a worker's job, which a person may move while it runs."""

import pytest

from jobpool.errors import SchedulerError
from jobpool.execution import deadline
from jobpool.execution.deadline import Deadline, JobEnd

NOW = 1_800_000_000.0


class Controller:
    """Answers when a job ends, and counts how often it was asked."""

    def __init__(self, *left_s: float | None) -> None:
        self.left_s, self.n_asked = list(left_s), 0

    def __call__(self, _patience_s: float) -> float | None:
        self.n_asked += 1
        if not self.left_s:
            raise SchedulerError("squeue did not answer")
        left_s = self.left_s.pop(0)
        return None if left_s is None else NOW + left_s


@pytest.fixture(autouse=True)
def _no_answer_is_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SOON_S", 0.0)


def a_deadline(left_s: float | None, controller: Controller) -> Deadline:
    end = None if left_s is None else NOW + left_s
    return Deadline(JobEnd(end, controller, now=lambda: NOW))


def test_the_controller_is_not_asked_while_there_is_time() -> None:
    controller = Controller(0)

    assert not a_deadline(3600, controller).is_reached()
    assert controller.n_asked == 0


@pytest.mark.parametrize("extended_to_s", [3600, None])
def test_a_task_of_a_job_that_was_extended_goes_on(extended_to_s: float | None) -> None:
    extended = a_deadline(60, Controller(extended_to_s))

    assert not extended.is_reached()
    assert extended.wait_s() >= 3480


def test_a_task_is_stopped_at_the_end_that_was_confirmed() -> None:
    assert a_deadline(60, Controller(60)).is_reached()


def test_without_an_answer_the_known_end_stands() -> None:
    assert a_deadline(60, Controller()).is_reached()


def test_an_answer_is_good_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SOON_S", 30.0)
    controller = Controller(60, 60)
    end = JobEnd(NOW + 60, controller, now=lambda: NOW)

    end.confirm()

    assert controller.n_asked == 0
