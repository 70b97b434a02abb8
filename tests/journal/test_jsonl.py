"""Lines of JSON with a checksum each."""

import json
from pathlib import Path

from jobpool.disk.files import checked_line
from jobpool.disk.validation import is_text
from jobpool.journal.jsonl import append_line, read_lines
from jobpool.task import Json

RECORD: dict[str, Json] = {"task": "ü", "scores": [0.5, None]}


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / "f.jsonl"
    path.write_bytes(content)
    return path


def test_a_checked_line_is_json_that_others_can_read(tmp_path: Path) -> None:
    append_line(tmp_path / "f.jsonl", RECORD)

    (line,) = read_lines(tmp_path / "f.jsonl")

    assert json.loads(line.raw) == {**RECORD, "crc": "760909ec"}


def test_text_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    append_line(tmp_path / "f.jsonl", {"name": "caf\udce9"})

    (line,) = read_lines(tmp_path / "f.jsonl")

    assert line.record == {"name": "caf\udce9"}


def test_a_torn_last_line_is_told_from_the_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    append_line(path, {"n": 1})
    path.write_bytes(path.read_bytes() + checked_line({"n": 2})[:-9])

    lines = list(read_lines(path))

    assert [line.record for line in lines] == [{"n": 1}, None]
    assert [line.is_torn for line in lines] == [False, True]


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "none")) == []


def test_a_line_damaged_after_its_writing_is_not_torn(tmp_path: Path) -> None:
    path = a_file(tmp_path, checked_line({"n": 1}).replace(b"1", b"2", 1) + checked_line({"n": 2}))

    lines = list(read_lines(path))

    assert [line.record for line in lines] == [None, {"n": 2}]
    assert [line.is_torn for line in lines] == [False, False]


def test_a_record_of_another_shape_counts_as_damaged(tmp_path: Path) -> None:
    path = a_file(tmp_path, checked_line({"task": 1}) + checked_line({"task": "a"}))

    lines = list(read_lines(path, {"task": is_text}))

    assert [line.record for line in lines] == [None, {"task": "a"}]


def test_reading_goes_on_where_an_earlier_reader_stopped(tmp_path: Path) -> None:
    first = checked_line({"n": 1})
    path = a_file(tmp_path, first + checked_line({"n": 2}))

    lines = list(read_lines(path, start=len(first)))

    assert [line.record for line in lines] == [{"n": 2}]


def test_a_damaged_byte_that_became_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    damaged = checked_line({"task": "a b"}).replace(b" ", b"\r")
    path = a_file(tmp_path, damaged + checked_line({"n": 2}))

    lines = list(read_lines(path))

    assert [line.number for line in lines] == [1, 2]
    assert b"".join(line.raw for line in lines) == path.read_bytes()
