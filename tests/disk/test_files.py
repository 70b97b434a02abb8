"""Disk tricks: whole files, exclusive files, checked lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.disk.files import (
    checked_line,
    create_exclusively,
    parse_line,
    read_json,
    replace_whole,
    write_json,
)
from jobpool.errors import StorageError
from jobpool.task import Json


def test_a_replaced_file_holds_the_new_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    replace_whole(path, b"new")

    assert path.read_bytes() == b"new"


def test_replacing_leaves_no_other_file(tmp_path: Path) -> None:
    replace_whole(tmp_path / "file", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_exclusive_file_is_made_once(tmp_path: Path) -> None:
    create_exclusively(tmp_path / "file", b"first")

    with pytest.raises(FileExistsError):
        create_exclusively(tmp_path / "file", b"second")

    assert (tmp_path / "file").read_bytes() == b"first"


@pytest.mark.parametrize("offset", range(len(checked_line({"task": "abc", "n": 12})) - 1))
def test_a_changed_byte_in_a_line_is_noticed(offset: int) -> None:
    line = bytearray(checked_line({"task": "abc", "n": 12}))

    line[offset] ^= 0x01

    assert parse_line(bytes(line)) is None


@pytest.mark.parametrize(
    "record",
    [
        {"task": "a", "result": {"x": 0.1, "n": [1, None, True]}},
        {"x": float("inf"), "text": "\udc80"},
    ],
)
def test_a_line_comes_back_as_it_was_written(record: dict[str, Json]) -> None:
    assert parse_line(checked_line(record)) == record


def test_a_line_without_its_line_break_is_whole() -> None:
    assert parse_line(checked_line({"task": "a"})[:-1]) == {"task": "a"}


@pytest.mark.parametrize("line", [b'{"task":"a"}\n', b'[1,"crc":"00000000"}\n', b"\n", b""])
def test_a_line_without_a_checksum_is_damaged(line: bytes) -> None:
    assert parse_line(line) is None


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", {"a": [1, 2]})

    assert read_json(tmp_path / "f.json") == {"a": [1, 2]}


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """Return a folder on which a small file system can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    return tmp_path


def run_on_full_disk(folder: Path, code: str) -> str:
    """Run Python code with a 64 kB tmpfs mounted on `folder`, seen by that process alone."""
    command = f'mount -t tmpfs -o size=64k none {folder} && exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        env={**os.environ, "CODE": code, "FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing_behind(small_disk: Path) -> None:
    said = run_on_full_disk(
        small_disk,
        "import os; from pathlib import Path\n"
        "from jobpool.journal.jsonl import append_line, read_lines\n"
        "from jobpool.errors import StorageError\n"
        "path = Path(os.environ['FOLDER']) / 'f.jsonl'\n"
        "append_line(path, {'n': 1})\n"
        "try: append_line(path, {'n': 'x' * 100_000})\n"
        "except StorageError as error: print(error.reason)\n"
        "print([line.record for line in read_lines(path)])",
    )

    assert said.splitlines() == ["No space left on device", "[{'n': 1}]"]


def test_replacing_on_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    said = run_on_full_disk(
        small_disk,
        "import os; from pathlib import Path\n"
        "from jobpool.disk.files import replace_whole\n"
        "from jobpool.errors import StorageError\n"
        "folder = Path(os.environ['FOLDER'])\n"
        "replace_whole(folder / 'f', b'old')\n"
        "try: replace_whole(folder / 'f', b'x' * 100_000)\n"
        "except StorageError as error: print(error.reason)\n"
        "print((folder / 'f').read_bytes(), [p.name for p in folder.iterdir()])",
    )

    assert said.splitlines() == ["No space left on device", "b'old' ['f']"]


def test_a_wrong_path_is_not_called_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError) as raised:
        replace_whole(tmp_path / "file" / "inner", b"")

    assert not isinstance(raised.value, StorageError)
