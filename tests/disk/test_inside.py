"""Files inside a pool: no link is followed, whatever it leads to, and wherever it stands."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.disk.coordination import Leases, win_election
from jobpool.disk.files import create_exclusively, read_json, replace_whole, write_json
from jobpool.disk.inside import (
    make_folder,
    names_in,
    open_inside,
    paths_below,
    read_inside,
    remove,
    remove_folder,
    touch,
)
from jobpool.disk.locks import LOCKS
from jobpool.errors import PoolError
from jobpool.journal.jsonl import append_line, read_lines

SECRET = b'{"task":"a"}\n'


@pytest.fixture(autouse=True, params=["by one call", "folder by folder"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open files as this kernel can, then as one that lacks the call."""
    if request.param == "folder by folder":
        monkeypatch.setattr("jobpool.disk.inside.open_without_links", lambda *_: None)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    (folder / "results" / "ab").mkdir(parents=True)
    (folder / "pool.json").touch()
    return folder


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private" / "ab"
    folder.mkdir(parents=True)
    (folder / "file.json").write_bytes(SECRET)
    return folder


def lock(path: Path) -> None:
    with LOCKS["flock"](path, False):
        pass


USES: dict[str, Callable[[Path], object]] = {
    "read": read_inside,
    "read a record": read_json,
    "read lines": lambda path: list(read_lines(path)),
    "append": lambda path: append_line(path, {"task": "b"}),
    "lock": lock,
}
CHANGES: dict[str, Callable[[Path], object]] = {
    "replace": lambda path: replace_whole(path, b""),
    "write a record": lambda path: write_json(path, {}),
    "create": lambda path: create_exclusively(path.with_name("new.json"), b""),
    "make a folder": lambda path: make_folder(path.with_name("new")),
    "remove": remove,
    "touch": touch,
    "take a lease": lambda path: Leases(path.parent).take("new").__enter__(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_link_in_place_of_a_file_is_not_followed(
    pool: Path, private: Path, use: Callable[[Path], object]
) -> None:
    link = pool / "results" / "ab" / "file.json"
    link.symlink_to(private / "file.json")

    with pytest.raises(PoolError, match=r"results/ab/file\.json: is a symbolic link"):
        use(link)

    assert (private / "file.json").read_bytes() == SECRET


@pytest.mark.parametrize("level", ["results", "results/ab"])
@pytest.mark.parametrize("use", (USES | CHANGES).values(), ids=USES | CHANGES)
def test_a_link_in_place_of_a_folder_is_not_followed(
    pool: Path, private: Path, use: Callable[[Path], object], level: str
) -> None:
    (pool / level).rename(pool / "aside")
    (pool / level).symlink_to(private if level.endswith("ab") else private.parent)
    before = (private / "file.json").stat()

    with pytest.raises(PoolError, match=rf"pool/{level}: is a symbolic link"):
        use(pool / "results" / "ab" / "file.json")

    assert names_in(private) == ["file.json"]
    assert (private / "file.json").read_bytes() == SECRET
    assert (private / "file.json").stat().st_mtime_ns == before.st_mtime_ns


def test_a_replaced_link_leaves_its_target_alone(pool: Path, private: Path) -> None:
    link = pool / "needs.npz"
    link.symlink_to(private / "file.json")

    replace_whole(link, b"new")

    assert (private / "file.json").read_bytes() == SECRET
    assert (link.is_symlink(), link.read_bytes()) == (False, b"new")


def test_a_folder_is_listed_through_no_link(pool: Path, private: Path) -> None:
    (pool / "turns").symlink_to(private)

    with pytest.raises(PoolError, match="turns: is a symbolic link"):
        names_in(pool / "turns")
    with pytest.raises(PoolError, match="turns: is a symbolic link"):
        paths_below(pool, "tur*", "*.json")


def test_an_election_removes_nothing_behind_a_link(pool: Path, private: Path) -> None:
    (private / "learn-1").touch()
    (pool / "turns").symlink_to(private)

    with pytest.raises(PoolError, match="turns: is a symbolic link"):
        win_election(pool, "learn", 60.0, 1e9)

    assert names_in(private) == ["file.json", "learn-1"]


def test_a_folder_is_removed_without_what_its_links_lead_to(pool: Path, private: Path) -> None:
    (pool / "results" / "ab" / "inner").symlink_to(private)

    remove_folder(pool / "results")

    assert not (pool / "results").exists()
    assert (private / "file.json").read_bytes() == SECRET


def test_a_pipe_in_place_of_a_file_is_refused_at_once(pool: Path) -> None:
    os.mkfifo(pool / "results" / "ab" / "file.json")

    with pytest.raises(PoolError, match="is no regular file"):
        read_inside(pool / "results" / "ab" / "file.json")
    with pytest.raises(PoolError, match="is no regular file"):
        append_line(pool / "results" / "ab" / "file.json", {})


def test_a_pool_is_reached_through_links(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(pool)

    append_line(tmp_path / "link" / "results" / "ab" / "file.jsonl", {"task": "a"})

    assert len((pool / "results" / "ab" / "file.jsonl").read_bytes().splitlines()) == 1


def test_a_relative_path_is_that_of_the_present_folder(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pool").symlink_to(pool)
    monkeypatch.chdir(tmp_path / "other")
    replace_whole(Path("pool/results/a"), b"")

    monkeypatch.chdir(pool)
    replace_whole(Path("results/b"), b"")

    assert names_in(Path("results")) == ["a", "ab", "b"]


def test_a_link_outside_of_any_pool_is_followed(private: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(private)

    assert read_inside(tmp_path / "link" / "file.json") == SECRET


def test_a_pool_that_lost_its_settings_stays_one_for_a_process_that_knows_it(
    pool: Path, private: Path
) -> None:
    append_line(pool / "results" / "ab" / "file.jsonl", {})
    (pool / "pool.json").unlink()
    (pool / "checkpoints").symlink_to(private)

    with pytest.raises(PoolError, match="checkpoints: is a symbolic link"):
        append_line(pool / "checkpoints" / "file.json", {})


def test_a_missing_file_is_named_by_its_whole_path(pool: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        open_inside(pool / "results" / "ab" / "none", os.O_RDONLY)

    assert raised.value.filename == str(pool / "results" / "ab" / "none")
