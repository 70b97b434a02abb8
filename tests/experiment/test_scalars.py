"""Plain scalars of an experiment file: what a person reads in them, or an error."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from jobpool.api.given import yaml_text
from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment, read_yaml
from jobpool.experiment.scalars import Dumper, FormerLoader, Loader, why_not
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.fuzzing import FUZZ, TEXTS


def value_of(folder: Path, scalar: str) -> Any:
    (folder / "s.yaml").write_text(f"a: {scalar}\n", encoding="utf-8")
    return read_yaml(folder / "s.yaml")["a"]


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("1e-3", 0.001),
        ("1e4", 1e4),
        ("1.0e-4", 1e-4),
        ("-.5", -0.5),
        ("+5", 5),
        ("0", 0),
        ("9007199254740993", 9007199254740993),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("y", "y"),
        ("N", "N"),
        ("2020-01-31", "2020-01-31"),
        ("2020-13-45", "2020-13-45"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("1:30", "1:30"),
        ("3:00:00", "3:00:00"),
        ("1.2.3", "1.2.3"),
        ("1-2", "1-2"),
        ("12e", "12e"),
        ("=", "="),
        ("'007'", "007"),
        ('"NO"', "NO"),
        ("!!str 007", "007"),
    ],
)
def test_a_scalar_is_what_a_person_reads(scalar: str, value: object, tmp_path: Path) -> None:
    found = value_of(tmp_path, scalar)

    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("scalar", "said"),
    [
        ("007", "has leading zeros; put quotes around it to keep them, or write 7"),
        ("008", "has leading zeros; put quotes around it to keep them, or write 8"),
        ("-00.50", "or write -0.50"),
        ("1_000", "may be text or a number; put quotes around it"),
        ("2023_01", "may be text or a number; put quotes around it"),
        ("1,5", "may be text or a number; put quotes around it"),
        ("1 000", "may be text or a number; put quotes around it"),
        ("1'000", "may be text or a number; put quotes around it"),
        ("[1,000]", "has leading zeros; put quotes around it"),
        ("\u22125", "put quotes around it, or write -5"),
        ("\uff11\uff12", "put quotes around it, or write 12"),
        ("0x1F", "a number of another base; put quotes around it"),
        ("0o17", "a number of another base; put quotes around it"),
        ("0b101", "a number of another base; put quotes around it"),
        ("NO", "may be text, or true or false; put quotes around it"),
        ("yes", "may be text, or true or false; put quotes around it"),
        ("On", "may be text, or true or false; put quotes around it"),
        ("oFF", "may be text, or true or false; put quotes around it"),
        ("Null", "may be text, or stand for no value; put quotes around it"),
        ("nan", "may be text, or stand for no value; put quotes around it"),
        ("-Inf", "may be text, or stand for no value; put quotes around it"),
        ("\u201c007\u201d", "begins with a quote of a word processor"),
        ("!!int 007", "is no value of the type 'int'; leave the type out"),
        ("!!bool maybe", "is no value of the type 'bool'; leave the type out"),
        ("!!timestamp 2020-01-31", "is no value of the type 'timestamp'; leave the type out"),
        ("{b: }", "has no value; give one, or remove the key"),
    ],
)
def test_a_scalar_with_two_meanings_is_refused(scalar: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        value_of(tmp_path, scalar)

    assert said in str(caught.value)


def test_each_refused_scalar_has_its_key_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("axes:\n  subject:\n  - 007\n  - a\n  region: [DK, NO]\nseed: 010\n")

    with pytest.raises(ConfigError) as caught:
        read_yaml(file)

    shown = [(one.key, one.value, one.advice[:7]) for one in caught.value.problems]
    assert shown == [
        ("axes.subject", "007", "line 3:"),
        ("axes.region", "NO", "line 5:"),
        ("seed", "010", "line 6:"),
    ]


def test_keys_are_texts_as_they_are_written(tmp_path: Path) -> None:
    found = value_of(tmp_path, "{NO: 1, 1: 2, 007: 3, 1.0: 4, true: 5, null: 6, 2020-01-31: 7}")

    assert list(found) == ["NO", "1", "007", "1.0", "true", "null", "2020-01-31"]


def test_a_number_in_quotes_is_the_key_without_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key '1' is given twice"):
        value_of(tmp_path, "{1: a, '1': b}")


def test_a_section_that_is_commented_out_is_none(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: 1\npasses:\n#  first: {}\n")

    assert read_yaml(tmp_path / "s.yaml") == {"a": 1, "passes": None}


def test_a_file_of_other_bytes_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes("a: 1\nb: Köln\n".encode("latin-1"))

    with pytest.raises(ConfigError, match="line 2: the byte 0xF6 is no UTF-8; save the file as"):
        read_yaml(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("passes: {p: {memory_gb: 1, walltime: 10}}", "walltime = 10: has no unit; write 10s for"),
        ("needs: [{time: 90}]", "needs.0.time = 90: has no unit; write 90s for seconds or 90m"),
        ("workers: {heartbeat: 20}", "workers.heartbeat = 20: has no unit; write 20s"),
        ("workers: {grace: 1e1}", "workers.grace = 10.0: has no unit; write 10.0s"),
        ("passes: {p: {memory_gb: 1, walltime: '10'}}", "'10' is not a length of time"),
        (
            "passes: {p: {memory_gb: 4GB, walltime: 1h}}",
            "must be a number, without a unit: write 4",
        ),
        ("passes: {p: {memory_gb: 4096M, walltime: 1h}}", "without a unit: write 4"),
        ("passes: {p: {memory_gb: 4 lumps, walltime: 1h}}", "must be a number, without a unit"),
        ("seed:", "seed = '': line 3: has no value; give one, or remove the key"),
        ("passes: {p: {memory_gb: 4 GB, walltime: 1h}}", "without a unit: write 4"),
    ],
)
def test_a_quantity_has_the_unit_that_it_needs(settings: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"runner: function\naxes: {{a: [1]}}\n{settings}\n")

    with pytest.raises(ConfigError) as caught:
        load_experiment(tmp_path / "s.yaml")

    assert said in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("3:00:00", 10800), ("30:00", 1800), ("2h", 7200)])
def test_a_time_of_the_clock_needs_no_quotes(text: str, seconds: float, tmp_path: Path) -> None:
    passes = f"passes: {{p: {{memory_gb: 1, walltime: {text}}}}}"
    (tmp_path / "s.yaml").write_text(f"runner: function\naxes: {{a: [1]}}\n{passes}\n")

    assert load_experiment(tmp_path / "s.yaml").passes[0].walltime_s == seconds


ODD = [
    "007",
    "NO",
    "1e-3",
    "1_000",
    "",
    "null",
    "2020-01-31",
    "1:30",
    "~",
    "true",
    "<<",
    "=",
    "nan",
]


@FUZZ
@given(texts=st.lists(TEXTS))
@example(texts=ODD)
def test_a_dict_of_python_means_what_it_says(texts: list[str]) -> None:
    plain = [text for text in texts if text.isprintable()]

    loaded = yaml.safe_load(yaml_text({"a": plain}))
    written = yaml.dump({"a": plain}, Dumper=Dumper)

    assert loaded == {"a": plain}
    assert read_text(written) == {"a": plain}


def read_text(text: str) -> Any:
    return yaml.load(text, Loader)


def test_a_date_of_python_is_its_text(tmp_path: Path) -> None:
    text = yaml_text({"axes": {"day": [datetime.date(2020, 1, 31)]}})

    assert read_text(text) == {"axes": {"day": ["2020-01-31"]}}


def test_a_pool_from_before_these_rules_opens(tmp_path: Path, jobpool: Jobpool) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "runner: function\naxes: {y1: [1900], y2: [2000]}\nfunction: {call: 'calendar:leapdays'}\n"
    )
    jobpool("init", file, tmp_path / "pool")
    replace(Pool(tmp_path / "pool").info, reading=1).write(tmp_path / "pool")
    former = "passes: {p: {memory_gb: 1, walltime: 600}}\n"
    copy = tmp_path / "pool" / "experiment.yaml"
    copy.write_text(copy.read_text() + former)

    found = Pool(tmp_path / "pool").experiment()

    assert (found.passes[0].walltime_s, found.reading) == (600, 1)


def test_the_former_loader_is_that_of_yaml_1_1() -> None:
    text = "a: [007, 1_000, NO, 3:00:00, 1e-3, 2020-01-31]"

    assert yaml.load(text, FormerLoader) == yaml.safe_load(text)


def test_a_long_scalar_is_read_at_once() -> None:
    assert why_not("12" + " " * 5000 + "x") is None
    assert why_not("1" + "_" * 5000) is not None
