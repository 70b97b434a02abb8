"""Do 80 % intervals hold 80 %? Each study is half done in random order, and the rest is foreseen.

    python -m benchmarks.calibration [--seeds 3] [--study sites cold ...] [--at 0.05 0.2 0.5]
                                     [--workers 0.5]

For each study and share of its tasks that are done: the share of the other tasks whose time lies
in its 80 % interval, the width of the interval (its upper end by its lower), the typical error of
the median, and in how many of the runs the 80 % interval of the work that is left holds it. Learns
with the pool's own code, without a folder.
"""

import argparse
import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_studies import SIMULATED, TimedStudy, recorded_names, timed_study
from benchmarks.figures import machine, table
from jobpool.needs.estimates import Estimates, estimates_of
from jobpool.needs.features import layout_of
from jobpool.needs.learning import fitted, with_samples
from jobpool.needs.model_file import learned_of
from jobpool.needs.samples import Censored, Sample
from jobpool.task import Cause

NO_END_S = 1e9


@dataclass(frozen=True, kw_only=True)
class Held:
    """How well the intervals held in one run."""

    inside: float  # share of the tasks left that lie in their interval
    width: float  # upper end of the interval by its lower one: the median of the tasks
    error: float  # of the median: typical factor
    work: bool  # whether the work that is left lies in its interval
    work_width: float
    seconds: float  # to learn and to foresee


def foresee(
    study: TimedStudy,
    done: Sequence[int],
    cut: Sequence[int] = (),
    cut_s: float = 0.0,
    running: Mapping[int, float] = MappingProxyType({}),
) -> Estimates:
    """Return the estimates after some tasks were done, others cut, while others run so long."""
    layout = layout_of(study.grid)
    samples = [_sample(one, float(study.seconds[one])) for one in done]
    samples += [_sample(one, cut_s, Cause.TIME) for one in cut]
    positions = {sample.task: int(sample.task) for sample in samples}
    state = with_samples(None, study.grid, samples, positions)
    state = fitted(state, study.grid, (), {i: Censored(seconds=s) for i, s in running.items()})
    return estimates_of(study.grid, layout, learned_of(state))


def _sample(position: int, seconds: float, cause: Cause = Cause.DONE) -> Sample:
    return Sample(
        task=str(position),
        fence=1,
        cause=cause,
        ended=0.0,
        seconds=round(seconds, 3),
        cores=1,
        memory_mb=4096.0,
        peak_memory_mb=100.0,
        found=False,
    )


def pulled(
    study: TimedStudy, n_done: int, n_workers: int, seed: int
) -> tuple[list[int], dict[int, float]]:
    """Return which tasks are done when so many are, and for how long others run by then."""
    order = np.random.default_rng(seed).permutation(len(study.grid)).tolist()
    running, done, now = list[tuple[float, float, int]](), list[int](), 0.0
    while len(done) < n_done:
        while len(running) < n_workers and order:
            position = order.pop()
            heapq.heappush(running, (now + float(study.seconds[position]), now, position))
        now, _, position = heapq.heappop(running)
        done.append(position)
    return done, {position: now - began for _, began, position in running}


def measure(study: TimedStudy, share: float, seed: int, n_workers: int = 1) -> Held:
    """Return how the intervals hold when workers have done a share of the tasks."""
    n_done = max(round(share * len(study.grid)), 5)
    done, running = pulled(study, n_done, n_workers, seed)
    before = time.perf_counter()
    estimates = foresee(study, done, running=running)
    rest = np.ones(len(study.grid), bool)
    rest[[*done, *running]] = False
    work = estimates.work(rest, 1, NO_END_S).interval()
    low, middle, high = (estimates.seconds(1, q)[rest] for q in (0.1, 0.5, 0.9))
    took = time.perf_counter() - before
    true: NDArray[np.float64] = np.round(study.seconds[rest], 3)
    error = np.abs(np.log(middle / np.maximum(true, 1e-3)))
    return Held(
        inside=float(np.mean((low <= true) & (true <= high))),
        width=float(np.median(high / low)),
        error=float(np.exp(np.median(error))),
        work=bool(work.low <= true.sum() <= work.high),
        work_width=work.high / work.low,
        seconds=took,
    )


def rows(
    names: Sequence[str], shares: Sequence[float], seeds: int, workers: float = 0.0
) -> list[list[object]]:
    """Return a row of the table for each study and share."""
    found: list[list[object]] = []
    for name in names:
        for share in shares:
            studies = [timed_study(name, seed) for seed in range(seeds)]
            n_workers = max(round(workers * share * len(studies[0].grid)), 1)
            runs = [measure(one, share, seed, n_workers) for seed, one in enumerate(studies)]
            inside = [run.inside for run in runs]
            found.append(
                [
                    name,
                    f"{share:.0%}",
                    f"{np.mean(inside):.1%}",
                    f"{min(inside):.0%} to {max(inside):.0%}",
                    f"{np.mean([run.width for run in runs]):.2f}",
                    f"{np.mean([run.error for run in runs]):.2f}",
                    f"{sum(run.work for run in runs)} of {seeds}",
                    f"{np.mean([run.work_width for run in runs]):.3f}",
                    f"{np.mean([run.seconds for run in runs]):.2f}",
                ]
            )
    return found


HEADER = (
    "study",
    "done",
    "held",
    "from run to run",
    "width",
    "error",
    "work held",
    "width of work",
    "s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure whether intervals hold what they say.")
    parser.add_argument("--seeds", type=int, default=3)
    names = [*SIMULATED, *recorded_names()]
    parser.add_argument("--study", nargs="+", default=names, choices=names)
    parser.add_argument("--workers", type=float, default=0.0, help="for each task that is done")
    parser.add_argument("--at", nargs="+", type=float, default=[0.05, 0.2, 0.5])
    options = parser.parse_args()
    found = rows(options.study, options.at, options.seeds, options.workers)
    print(machine())
    print(table(HEADER, found))


if __name__ == "__main__":
    main()
