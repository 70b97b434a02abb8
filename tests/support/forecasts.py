"""What tasks are expected to take, as a test says."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from jobpool.plan.backlog import FloatArray

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Lognormal times and memories, the same on any cores."""

    hours: FloatArray
    gb: FloatArray
    sd: FloatArray
    n_attempts: int = 10_000

    def seconds(self, cores: int, quantile: float = 0.5) -> FloatArray:  # noqa: ARG002 - the protocol's
        return self.hours * HOUR_S * self._factor(quantile)

    def memory_mb(self, cores: int, quantile: float = 0.5) -> FloatArray:  # noqa: ARG002 - the protocol's
        return self.gb * 1024 * self._factor(quantile)

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> FloatArray:
        assert seconds is not None
        assert memory_mb is not None
        margins = zip(
            np.log(seconds / self.seconds(cores)) / self.sd,
            np.log(memory_mb / self.memory_mb(cores)) / self.sd,
            strict=True,
        )
        return np.array([NormalDist().cdf(a) * NormalDist().cdf(b) for a, b in margins])

    def _factor(self, quantile: float) -> FloatArray:
        factor: FloatArray = np.exp(NormalDist().inv_cdf(quantile) * self.sd)
        return factor


def forecast(hours: Sequence[float], gb: Sequence[float] = (1,), sd: float = 0.1) -> Forecast:
    n = len(hours)
    return Forecast(hours=np.array(hours), gb=np.resize(gb, n), sd=np.full(n, sd))
