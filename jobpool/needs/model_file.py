"""The file ``needs.npz``: written whole, read in parts, without pickles."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.files import replace_whole
from jobpool.disk.npz import UNREADABLE, open_npz
from jobpool.needs.calibration import UNKNOWN, Calibration, unpacked
from jobpool.needs.features import FloatArray
from jobpool.needs.regression import Moments, Posterior
from jobpool.needs.samples import KEPT, NONE_KEPT, Censored, Kept

FORMAT = 1
FILE_NAME = "needs.npz"
_CENSORED = np.dtype(
    [("position", "<u4"), ("cores", "<u4"), ("seconds", "<f8"), ("work", "<f8"), ("mb", "<f8")]
)


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """What has been learned about one pool, and from which attempts."""

    digest: int  # of the columns
    times: Moments  # of the logarithm of wall seconds
    memories: Moments  # of the logarithm of MB
    censored: Mapping[int, Censored] = field(default_factory=dict)  # by position
    offsets: Mapping[int, int] = field(default_factory=dict)  # bytes read, by worker
    n_attempts: int = 0  # completed attempts
    learned: float = 0.0
    time_posterior: Posterior | None = None
    memory_posterior: Posterior | None = None
    kept: Kept = field(default_factory=NONE_KEPT.copy)  # finished attempts, to calibrate with
    time_calibration: Calibration = UNKNOWN
    memory_calibration: Calibration = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class LearnedNeeds:
    """The part of the model state that estimates are made from."""

    time: Posterior
    memory: Posterior
    time_calibration: Calibration
    memory_calibration: Calibration
    censored: Mapping[int, Censored]
    n_attempts: int
    learned: float


def learned_of(state: ModelState) -> LearnedNeeds:
    """Return the part of a model state that estimates are made from."""
    if state.time_posterior is None or state.memory_posterior is None:
        raise ValueError("nothing was learned yet")
    return LearnedNeeds(
        time=state.time_posterior,
        memory=state.memory_posterior,
        time_calibration=state.time_calibration,
        memory_calibration=state.memory_calibration,
        censored=state.censored,
        n_attempts=state.n_attempts,
        learned=state.learned,
    )


def write_model_state(pool: Path, state: ModelState) -> None:
    """Replace the file."""
    header = {
        "format": FORMAT,
        "digest": state.digest,
        "n_attempts": state.n_attempts,
        "learned": state.learned,
    }
    censored = [
        (position, one.cores, one.seconds, one.work, one.memory_mb)
        for position, one in state.censored.items()
    ]
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "failed": np.array(censored, _CENSORED),
        "offsets": np.array(list(state.offsets.items()), np.int64).reshape(-1, 2),
    }
    arrays["kept"] = state.kept
    arrays["time_calibration"] = state.time_calibration.packed()
    arrays["memory_calibration"] = state.memory_calibration.packed()
    for name, moments in (("times", state.times), ("memories", state.memories)):
        arrays[f"{name}_xx"] = _triangle(moments.xx)
        arrays[f"{name}_rest"] = np.concatenate([moments.xy, [moments.yy, moments.n]])
    for name, found in (("time", state.time_posterior), ("memory", state.memory_posterior)):
        if found is not None:
            arrays[f"{name}_covariance"] = _triangle(found.covariance).astype(np.float32)
            arrays[f"{name}_rest"] = np.concatenate([found.mean, found.sd, [found.noise]])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub wants allow_pickle first
    replace_whole(pool / FILE_NAME, buffer.getvalue())


def read_model_state(pool: Path, digest: int) -> ModelState | None:
    """Return the model state, or None if the file cannot be continued."""
    try:
        with open_npz(pool / FILE_NAME) as archive:
            header = _header(archive, digest)
            if header is None:
                return None
            return ModelState(
                digest=digest,
                times=_moments(archive["times_xx"], archive["times_rest"]),
                memories=_moments(archive["memories_xx"], archive["memories_rest"]),
                censored=_censored(archive),
                offsets=_offsets(archive),
                n_attempts=header["n_attempts"],
                learned=header["learned"],
                time_posterior=_posterior(archive["time_covariance"], archive["time_rest"]),
                memory_posterior=_posterior(archive["memory_covariance"], archive["memory_rest"]),
                kept=_kept(archive),
                time_calibration=unpacked(archive["time_calibration"]),
                memory_calibration=unpacked(archive["memory_calibration"]),
            )
    except UNREADABLE:
        return None


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far the attempts were read, and when."""

    offsets: Mapping[int, int]  # bytes, by worker
    learned: float


def read_reached(pool: Path, digest: int) -> Reached | None:
    """Return how far attempts were read, or None if the file cannot be continued."""
    try:
        with open_npz(pool / FILE_NAME) as archive:
            header = _header(archive, digest)
            if header is None:
                return None
            _kept(archive)
            return Reached(offsets=_offsets(archive), learned=float(header["learned"]))
    except UNREADABLE:
        return None


def written_at(pool: Path) -> tuple[int, int] | None:
    """Return what tells two versions of the file apart, or None if there is no file."""
    try:
        status = (pool / FILE_NAME).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def read_learned_needs(pool: Path, digest: int) -> LearnedNeeds | None:
    """Return the part of the file that estimates are made from, or None if there is none."""
    try:
        with open_npz(pool / FILE_NAME) as archive:
            header = _header(archive, digest)
            if header is None:
                return None
            return LearnedNeeds(
                time=_posterior(archive["time_covariance"], archive["time_rest"]),
                memory=_posterior(archive["memory_covariance"], archive["memory_rest"]),
                time_calibration=unpacked(archive["time_calibration"]),
                memory_calibration=unpacked(archive["memory_calibration"]),
                censored=_censored(archive),
                n_attempts=header["n_attempts"],
                learned=header["learned"],
            )
    except UNREADABLE:
        return None


def _header(archive: Mapping[str, NDArray[Any]], digest: int) -> dict[str, Any] | None:
    header: dict[str, Any] = json.loads(archive["header"].tobytes())
    right = header["format"] == FORMAT and header["digest"] == digest
    return header if right else None


def _offsets(archive: Mapping[str, NDArray[Any]]) -> dict[int, int]:
    return dict(archive["offsets"].tolist())


def _kept(archive: Mapping[str, NDArray[Any]]) -> Kept:
    """Return the attempts kept; versions before kept none: what they wrote is made anew."""
    kept = archive["kept"]
    if kept.dtype != KEPT or kept.ndim != 1:
        raise ValueError("not the attempts that were kept")
    return kept


def _censored(archive: Mapping[str, NDArray[Any]]) -> dict[int, Censored]:
    return {
        position: Censored(cores=cores, seconds=seconds, work=work, memory_mb=mb)
        for position, cores, seconds, work, mb in archive["failed"].tolist()
    }


def _triangle(matrix: FloatArray) -> FloatArray:
    """Return the upper half of a symmetric matrix."""
    half: FloatArray = matrix[np.triu_indices(len(matrix))]
    return half


def _square(half: NDArray[Any], size: int) -> FloatArray:
    matrix = np.zeros((size, size))
    matrix[np.triu_indices(size)] = half
    square: FloatArray = matrix + np.triu(matrix, 1).T
    return square


def _moments(half: FloatArray, rest: FloatArray) -> Moments:
    size = len(rest) - 2
    yy, n = rest[size:].tolist()
    return Moments(xx=_square(half, size), xy=rest[:size], yy=yy, n=n)


def _posterior(half: NDArray[Any], rest: FloatArray) -> Posterior:
    size = (len(rest) - 1) // 2
    if not (np.isfinite(half).all() and np.isfinite(rest).all()):
        raise ValueError("not all numbers are finite")
    return Posterior(
        mean=rest[:size],
        sd=rest[size : 2 * size],
        noise=float(rest[-1]),
        covariance=_square(half, size),
    )
