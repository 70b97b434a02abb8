"""The experiment file: YAML to frozen records, every problem found at once.

Reads files, writes none. The section under the runner's own name is handed to the runner as it
stands: what it means is not known here.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from jobpool.disk.locks import LOCKS
from jobpool.errors import ConfigError, Problem
from jobpool.experiment.axes import PLAIN, ValueForm, read_axes
from jobpool.experiment.reader import Reader
from jobpool.experiment.report import ReportSettings, read_report
from jobpool.experiment.scalars import FormerLoader, Loader, n_values_in, problems_in
from jobpool.experiment.surroundings import read_environment, read_path
from jobpool.table.settings import READING, WorkerSettings
from jobpool.task import Axis

MOST_BYTES, MOST_VALUES = 16_000_000, 1_000_000  # of an experiment file
_TOP_SETTINGS = ("runner", "name", "seed")  # all else at the top is a section
MOST_SAME_INPUTS = 0.9  # with more, tasks far from those that run could wait very long


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The resources of one round of jobs, and the part of the pool they take from."""

    name: str
    cores: int
    memory_gb: float
    walltime_s: float
    partition: str | None = None
    account: str | None = None
    max_running: int | None = None  # throttle of the array: jobs that run at one time
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    sbatch: tuple[str, ...] = ()  # more options, handed to the scheduler as they stand


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialEstimate:
    """What the user thinks a task takes, before the pool knows."""

    only: tuple[str, ...] = ()  # the tasks meant, as selections; empty: all
    time_s: float | None = None  # on one core
    memory_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One study: what varies, how a task is run, with which resources."""

    name: str
    file: Path
    folder: Path  # relative paths in the file start here
    runner: str
    seed: int
    axes: tuple[Axis, ...]
    section: Mapping[str, Any]  # what stands under the runner's name
    passes: tuple[Pass, ...]
    workers: WorkerSettings
    needs: tuple[InitialEstimate, ...] = ()
    report: ReportSettings = field(default_factory=ReportSettings)
    reading: int = READING  # how its files are read
    path: tuple[str, ...] = ()  # absolute; searched for modules before what is installed
    environment: tuple[str, ...] = ()  # of tasks, each as NAME=value


@dataclass(frozen=True, slots=True, kw_only=True)
class InPool:
    """What a pool has that an experiment is read for."""

    axes: tuple[str, ...] = ()  # their names, which are not refused for being taken
    reading: int = READING
    content: bytes | None = None  # of its copy of the file; None: the file is read


_NO_POOL = InPool()


def section_digest(experiment: Experiment) -> str:
    """Return the SHA-256 of what results and running workers depend on."""
    made_of = [experiment.runner, experiment.seed, experiment.section, asdict(experiment.workers)]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()


def read_yaml(file: Path, reading: int = READING, content: bytes | None = None) -> dict[str, Any]:
    """Return the mapping in a YAML file, or in what was read from it.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, is not a mapping, or holds a scalar that can be
        read in two ways.
    """
    try:
        text = (_content_of(file) if content is None else content).decode("utf-8")
    except FileNotFoundError as error:
        advice = (
            "no such file; give the path of an experiment file, or make a new study: jobpool new"
        )
        raise ConfigError((Problem(file, "", None, advice),)) from error
    except UnicodeDecodeError as error:
        number, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        advice = f"line {number}: the byte 0x{byte:02X} is no UTF-8; save the file as UTF-8"
        raise ConfigError((Problem(file, "", None, advice),)) from error
    except IsADirectoryError as error:
        what = "is a pool" if (file / "pool.json").exists() else "is a folder"
        advice = f"{what}; give the experiment file first, then the folder of the pool"
        raise ConfigError((Problem(file, "", None, advice),)) from error
    except OSError as error:
        advice = f"cannot be read: {error.strerror}; ask its owner, or give another file"
        raise ConfigError((Problem(file, "", None, advice),)) from error
    try:
        data = _data_in(text, file, reading)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        advice = f"{line}{error.problem or 'not YAML'}; correct that line"
        raise ConfigError((Problem(file, "", None, advice),)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a number of thousands of digits
        raise ConfigError((Problem(file, "", None, f"not YAML: {error}"),)) from error
    if not isinstance(data, dict):
        advice = "holds no mapping of keys to values; see the examples in configs/"
        raise ConfigError((Problem(file, "", None, advice),))
    return {str(key): value for key, value in data.items()}


def _content_of(file: Path) -> bytes:
    """Return the content of a file that has an end, and not one too far away."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            _refuse(file, "is no regular file; save the experiment in one")
        if found.st_size > MOST_BYTES:
            _refuse(file, f"is larger than {MOST_BYTES // 1_000_000} MB; give an experiment file")
        return stream.read(MOST_BYTES)


def _refuse(file: Path, advice: str) -> NoReturn:
    raise ConfigError((Problem(file, "", None, advice),))


def _data_in(text: str, file: Path, reading: int) -> Any:
    is_former = reading < READING
    loader = FormerLoader(text) if is_former else Loader(text)
    try:
        root = loader.get_single_node()
        if (n_values := n_values_in(root)) > MOST_VALUES:
            what = f"its aliases stand for {n_values:,} values; write at most {MOST_VALUES:,}"
            _refuse(file, what)
        if not is_former and (problems := tuple(problems_in(root, file, _TOP_SETTINGS))):
            raise ConfigError(problems)
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _no_forms(_runner: str) -> Mapping[str, ValueForm]:
    return {}


def load_experiment(
    file: Path,
    *,
    folder: Path | None = None,
    axes: tuple[Axis, ...] | None = None,
    runners: tuple[str, ...] = (),
    forms: Callable[[str], Mapping[str, ValueForm]] = _no_forms,
    pool: InPool = _NO_POOL,
) -> Experiment:
    """Return the experiment in `file`, completely checked but for the runner's own section.

    Parameters
    ----------
    file : Path
        The YAML file.
    folder : Path, optional
        Where relative paths start: by default the folder of `file`.
    axes : tuple of Axis, optional
        The axes frozen in a pool; without them they are read and expanded from the file.
    runners : tuple of str
        The runners there are; empty to accept any.
    forms : callable
        Given the name of the runner, returns the forms of axis values that it adds.
    pool : InPool
        What the pool has whose copy of the file this is, or that is extended.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    experiment, problems = read_experiment(
        file,
        folder=folder,
        axes=axes,
        runners=runners,
        forms=forms,
        pool=pool,
    )
    if problems:
        raise ConfigError(problems)
    return experiment


def read_experiment(
    file: Path,
    *,
    folder: Path | None = None,
    axes: tuple[Axis, ...] | None = None,
    runners: tuple[str, ...] = (),
    forms: Callable[[str], Mapping[str, ValueForm]] = _no_forms,
    pool: InPool = _NO_POOL,
) -> tuple[Experiment, tuple[Problem, ...]]:
    """Return the experiment in `file` and its problems, so that a runner can look for more.

    What is wrong has an empty value in its place. Parameters as of `load_experiment`.

    Raises
    ------
    ConfigError
        If the file is no YAML mapping at all.
    """
    data = read_yaml(file, pool.reading, pool.content)
    reader = Reader(file, data, former=pool.reading < READING)
    folder = (folder or file.parent).resolve()
    runner = reader.text("runner", choices=runners)
    experiment = Experiment(
        name=reader.text("name", default=file.stem),
        file=file,
        folder=folder,
        runner=runner,
        seed=reader.whole("seed", default=0, least=0),
        axes=_read_axes(reader, folder, forms(runner), pool.axes) if axes is None else axes,
        section=_read_section(reader, runner, runners),
        passes=_read_passes(reader.child("passes")),
        workers=_read_workers(reader.child("workers")),
        needs=_read_needs(reader),
        report=read_report(reader.child("report")),
        reading=pool.reading,
        path=read_path(reader, folder, must_exist=axes is None),
        environment=read_environment(reader),
    )
    if axes is not None:
        reader.mapping("axes")
    return experiment, reader.all_problems()


def _read_axes(
    reader: Reader, folder: Path, added: Mapping[str, ValueForm], known: tuple[str, ...]
) -> tuple[Axis, ...]:
    return read_axes(reader.child("axes", required=True), folder, {**PLAIN, **added}, known)


def _read_section(reader: Reader, runner: str, runners: tuple[str, ...]) -> dict[str, Any]:
    if runner and (not runners or runner in runners):
        return reader.mapping(runner)
    for name in runners:  # which of them was meant is not known: none is an unknown key
        reader.has(name)
    return {}


def _read_passes(reader: Reader) -> tuple[Pass, ...]:
    passes = []
    for name in reader.names():
        one = reader.child(name)
        passes.append(
            Pass(
                name=name,
                cores=one.whole("cores", default=1, least=1),
                memory_gb=one.number("memory_gb", above=0),
                walltime_s=one.duration("walltime"),
                partition=one.optional_text("partition"),
                account=one.optional_text("account"),
                max_running=one.optional_whole("max_running", least=1),
                only=one.texts("only"),
                skip=one.texts("skip"),
                sbatch=one.texts("sbatch"),
            )
        )
    return tuple(passes)


def _read_needs(reader: Reader) -> tuple[InitialEstimate, ...]:
    estimates = []
    for one in reader.children("needs"):
        estimate = InitialEstimate(
            only=one.texts("only"),
            time_s=one.duration("time") if one.has("time") else None,
            memory_gb=one.number("memory_gb", above=0) if one.has("memory_gb") else None,
        )
        if estimate.time_s is None and estimate.memory_gb is None:
            one.problem("", None, "estimates nothing; give time, memory_gb, or both")
        estimates.append(estimate)
    return tuple(estimates)


def _read_workers(reader: Reader) -> WorkerSettings:
    usual = WorkerSettings()
    hung_after_s = reader.duration("hung_after") if reader.has("hung_after") else None
    settings = WorkerSettings(
        heartbeat_s=reader.duration("heartbeat", default=usual.heartbeat_s),
        lost_after_s=reader.duration("lost_after", default=usual.lost_after_s),
        grace_s=reader.duration("grace", default=usual.grace_s),
        lock=reader.text("lock", "auto", ("auto", *LOCKS)),
        hung_after_s=hung_after_s,
        ask_scheduler_s=reader.duration("ask_slurm_every", default=usual.ask_scheduler_s),
        park_after=reader.whole("park_after", default=usual.park_after, least=1),
        shared=reader.text("shared", usual.shared, ("private", "group")),
        same_inputs=reader.number("same_inputs", default=usual.same_inputs),
    )
    if not 0 <= settings.same_inputs <= MOST_SAME_INPUTS:
        advice = f"must be from 0 to {MOST_SAME_INPUTS}: the rest of the choices stays random"
        reader.problem("same_inputs", settings.same_inputs, advice)
    if settings.lost_after_s < 3 * settings.heartbeat_s:
        advice = "must be at least 3 heartbeats, or living workers would count as lost"
        reader.problem("lost_after", settings.lost_after_s, advice)
    if settings.hung < settings.lost_after_s:
        advice = "must not be less than lost_after: a job that is listed as running may be alive"
        reader.problem("hung_after", settings.hung, advice)
    return settings
