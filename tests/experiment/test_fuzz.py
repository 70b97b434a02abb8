"""Experiment files of any content: every one is read, or refused with all that is wrong in it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobpool.errors import ConfigError
from jobpool.experiment.config import Experiment, load_experiment
from jobpool.runners import RUNNERS, forms_of, make_runner
from tests.support.fuzzing import FUZZ, NUMBERS, ODD, TEXTS, Change, damage, nested, told

VALID: dict[str, Any] = {
    "name": "study",
    "runner": "function",
    "seed": 1,
    "function": {"call": "tests.support.tasks:nothing"},
    "axes": {"site": ["north", "south"], "seed": {"from": 1, "to": 3}},
    "passes": {
        "first": {
            "cores": 1,
            "memory_gb": 4,
            "walltime": "3h",
            "only": ["site=north"],
            "sbatch": ["--nice=100"],
        }
    },
    "workers": {"heartbeat": "20s", "lost_after": "3m", "grace": "10s", "park_after": 3},
    "needs": [{"only": ["site=north"], "time": "2h", "memory_gb": 8}],
}
TEXT = yaml.safe_dump(VALID).encode()
# YAML gives more than JSON does: dates, bytes, sets, numbers of base 60, pairs
SCALARS = st.sampled_from(
    [
        b"2020-01-01",
        b"2020-13-45",
        b"2020-01-01 25:61:61",
        b"!!binary aGVsbG8=",
        b"!!set {a, b}",
        b"!!omap [a: 1]",
        b"!!python/object:os.system x",
        b"!!int x",
        b"!!float x",
        b"1:30:00",
        b"0b2",
        b"0o9",
        b".nan",
        b"-.inf",
        b"1e400",
        b"9" * 5000,
        b"*a",
        b"&a [*a]",
        b"<<: 3",
        b"? [a]\n: b",
        b"? {a: 1}\n: b",
        b"%YAML 9.9",
        b"\xef\xbb\xbfa: 1",
        b"'\\ud800'",
        b'"\\ud800"',
        b'"\\x00"',
        b"{a: 1, a: 2}",
        b"{1: a, '1': b}",
        b"|\n  text",
    ]
)


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        file.write_bytes(content)
        yield file


def read(file: Path) -> object:
    """Read an experiment as ``jobpool init`` does, up to its grid."""

    def load() -> object:
        experiment = load_experiment(file, runners=tuple(RUNNERS), forms=forms_of)
        return len(make_runner(experiment, None).task_grid())

    return told(load)


def is_read_or_refused(content: bytes) -> bool:
    with file_of(content) as file:
        found = read(file)
        return isinstance(found, int) or (isinstance(found, ConfigError) and bool(str(found)))


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every value in a nested one stands."""
    if path:
        yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from paths_in(value[key], (*path, key))


PATHS = st.sampled_from(list(paths_in(VALID)))


def replaced(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(whole) if isinstance(whole, dict) else list(whole)
    copy[path[0]] = replaced(whole[path[0]], path[1:], value)
    return copy


def test_the_file_that_is_changed_here_is_right() -> None:
    with file_of(TEXT) as file:
        assert read(file) == 6


@FUZZ
@given(path=PATHS, value=ODD)
@example(path=("axes",), value={})
def test_an_odd_value_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    content = yaml.safe_dump(replaced(VALID, path, value), allow_unicode=True)

    assert is_read_or_refused(content.encode("utf-8", "surrogatepass"))


@FUZZ
@given(path=PATHS, scalar=SCALARS)
def test_a_value_that_only_yaml_knows_is_read_or_refused(
    path: tuple[Any, ...], scalar: bytes
) -> None:
    content = yaml.safe_dump(replaced(VALID, path, "HERE")).encode()

    assert is_read_or_refused(content.replace(b"HERE", scalar))


@settings(FUZZ, max_examples=60)
@given(change=damage())
def test_changed_bytes_are_read_or_refused(change: Change) -> None:
    assert is_read_or_refused(change(TEXT))


@settings(FUZZ, max_examples=60)
@given(mapping=st.dictionaries(TEXTS, nested(nested(st.one_of(NUMBERS, TEXTS))), max_size=5))
def test_any_mapping_is_refused(mapping: dict[str, Any]) -> None:
    with file_of(yaml.safe_dump(mapping, allow_unicode=True).encode("utf-8", "replace")) as file:
        assert isinstance(read(file), ConfigError)


@pytest.mark.parametrize("depth", [50, 100_000])
def test_a_value_nested_deeply_is_read_or_refused(depth: int) -> None:
    content = TEXT + b"more: " + b"[" * depth + b"]" * depth

    assert is_read_or_refused(content)


def loaded(content: str) -> Experiment:
    with file_of(content.encode()) as file:
        return load_experiment(file)


@settings(FUZZ, max_examples=60)
@given(name=TEXTS, seed=st.integers(0, 1 << 40))
def test_what_is_right_is_read_as_it_is_written(name: str, seed: int) -> None:
    content = yaml.safe_dump({**VALID, "name": f"x{name}", "seed": seed}, allow_unicode=False)

    found = told(lambda: loaded(content))

    assert isinstance(found, ConfigError) or (found.name, found.seed) == (f"x{name}", seed)
