"""Do 80 % intervals hold 80 %? Each study is half done in random order, and the rest is foreseen.

    python -m benchmarks.calibration [--seeds 3] [--study sites cold ...] [--at 0.05 0.2 0.5]

For each study and share of its tasks that are done: the share of the other tasks whose time lies
in its 80 % interval, the width of the interval (its upper end by its lower), the typical error of
the median, and in how many of the runs the 80 % interval of the work that is left holds it. Learns
with the pool's own code, without a folder.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_studies import SIMULATED, TimedStudy, recorded_names, timed_study
from benchmarks.figures import machine, table
from jobpool.needs.estimates import Estimates, estimates_of
from jobpool.needs.features import layout_of
from jobpool.needs.learning import learn_from
from jobpool.needs.model_file import learned_of
from jobpool.needs.samples import Sample
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
    study: TimedStudy, done: Sequence[int], cut: Sequence[int] = (), cut_s: float = 0
) -> Estimates:
    """Return the estimates after some tasks were done and others cut for lack of time."""
    layout = layout_of(study.grid)
    samples = [_sample(one, float(study.seconds[one])) for one in done]
    samples += [_sample(one, cut_s, Cause.TIME) for one in cut]
    positions = {sample.task: int(sample.task) for sample in samples}
    state = learn_from(None, study.grid, samples, positions)
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


def measure(study: TimedStudy, share: float, seed: int) -> Held:
    """Return how the intervals hold when a share of the tasks is done."""
    order = np.random.default_rng(seed).permutation(len(study.grid))
    n_done = max(round(share * len(order)), 5)
    before = time.perf_counter()
    estimates = foresee(study, order[:n_done].tolist())
    rest = np.zeros(len(order), bool)
    rest[order[n_done:]] = True
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


def rows(names: Sequence[str], shares: Sequence[float], seeds: int) -> list[list[object]]:
    """Return a row of the table for each study and share."""
    found: list[list[object]] = []
    for name in names:
        for share in shares:
            runs = [measure(timed_study(name, seed), share, seed) for seed in range(seeds)]
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
    parser.add_argument("--at", nargs="+", type=float, default=[0.05, 0.2, 0.5])
    options = parser.parse_args()
    found = rows(options.study, options.at, options.seeds)
    print(machine())
    print(table(HEADER, found))


if __name__ == "__main__":
    main()
