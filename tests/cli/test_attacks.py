"""What a member of the group tries on the pool of somebody else, by a process of another user.

This user, root, is the owner; the member may write to the pool, but to nothing else.
"""

import os
import re
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.admin.create import create_pool
from jobpool.errors import Fault, JobpoolError
from jobpool.pool import Pool
from jobpool.table.code_files import EXPERIMENT, OF_OWNER, CodeFiles
from jobpool.table.grid import full_product
from jobpool.table.settings import WorkerSettings
from jobpool.task import TaskState
from tests.conftest import Jobpool
from tests.support.builders import NOOP, a_pool, an_experiment
from tests.support.places import CHECKOUT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
MEMBER, THEIR_GROUP = 47_001, 47_100
SECRET = b'{"secret":"of the owner"}\n'
LONG_AGO = time.time() - 10 * 86_400


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that all can look into: a pytest that starts closes its own to others."""
    with tempfile.TemporaryDirectory(prefix="jobpool-attacks-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def pool(place: Path) -> Path:
    """Return a pool of the owner's in which the group may write."""
    folder = a_pool(place, 3, settings=WorkerSettings(shared="group"))
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        os.chown(path, -1, THEIR_GROUP)
        path.chmod(mode)
    return folder


@pytest.fixture
def private(place: Path) -> Path:
    """Return a folder of the owner's alone, with old files in it."""
    folder = place / "private"
    folder.mkdir(mode=0o700)
    for name in ("notes.jsonl", "a-1", "a.json", ".a.tmp"):
        (folder / name).write_bytes(SECRET)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def member_does(what: Callable[[], object]) -> int:
    """Run something in a process of the member's, and return 0 if it was allowed."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(OSError):
            _become_member()
            what()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become_member() -> None:
    os.setgroups([])
    os.setgid(THEIR_GROUP)
    os.setuid(MEMBER)
    os.umask(0o007)


@contextmanager
def member_keeps(doing: Callable[[], object]) -> Iterator[None]:
    """Let a process of the member's do something over and over."""
    child = os.fork()
    if child == 0:
        _become_member()
        while True:
            with suppress(OSError):
                doing()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def link(pool: Path, name: str, to: Path) -> None:
    """Put a link in the place of what is there."""
    path = pool / name
    path.parent.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        path.rename(pool / f"aside-{os.getpid()}")
    path.symlink_to(to)


@needs_root
@pytest.mark.parametrize("name", OF_OWNER)
def test_a_member_changes_no_file_that_says_which_code_runs(pool: Path, name: str) -> None:
    before = (pool / name).read_bytes()

    code = member_does(lambda: (pool / name).open("ab").write(b"#"))

    assert code != 0
    assert (pool / name).read_bytes() == before


@needs_root
@pytest.mark.parametrize("name", OF_OWNER)
def test_a_file_that_a_member_put_in_the_place_of_the_owners_is_not_run(
    pool: Path, jobpool: Jobpool, name: str
) -> None:
    content = (pool / name).read_bytes()

    def put() -> None:
        (pool / "own").write_bytes(content.replace(b"tests.support.tasks:nothing", b"os:system"))
        (pool / "own").chmod(0o644)
        (pool / "own").rename(pool / name)

    assert member_does(put) == 0
    done = jobpool("work", pool)

    assert done.returncode == Fault.POOL
    assert f"{name}: belongs to {MEMBER}" in done.stderr


def read_often(pool: Path, times: int) -> set[bytes]:
    """Return all that a worker would run, read while others change it."""
    found = set()
    for _ in range(times):
        with suppress(JobpoolError, OSError):
            found.add(CodeFiles(pool, ()).content(EXPERIMENT))
    return found


@needs_root
def test_a_file_swapped_while_it_is_checked_is_not_run(pool: Path) -> None:
    owners, own = pool / EXPERIMENT, pool / "own"
    content = owners.read_bytes()
    member_does(lambda: own.write_bytes(b"call: os:system"))
    member_does(lambda: own.chmod(0o644))

    def swap() -> None:
        owners.rename(pool / "kept")
        own.rename(owners)
        owners.rename(own)
        (pool / "kept").rename(owners)

    with member_keeps(swap):
        found = read_often(pool, 5_000)

    assert found == {content}


@needs_root
@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("results/00/000000000001.jsonl", "notes.jsonl"),
        ("attempts/00/000000000001.jsonl", "notes.jsonl"),
        ("workers/00/000000000001.json", "a.json"),
        ("results/00", ""),
        ("turns", ""),
        ("bad-nodes", ""),
        ("checkpoints", ""),
        ("cache/roi", ""),
        ("needs.npz", "notes.jsonl"),
        ("state/00", "notes.jsonl"),
    ],
)
def test_a_repair_neither_reads_nor_changes_what_a_link_leads_to(
    pool: Path, private: Path, jobpool: Jobpool, name: str, to: str
) -> None:
    before = contents(private)
    assert member_does(lambda: link(pool, name, private / to)) == 0

    jobpool("doctor", pool, "--repair", "--force")

    assert contents(private) == before
    inside = [path for path in pool.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in inside if b"secret" in path.read_bytes()]


@needs_root
@pytest.mark.parametrize(
    "name", ["results", "attempts", "workers", "state", "turns", "logs/local", "checkpoints"]
)
def test_a_worker_writes_nothing_behind_a_link(
    pool: Path, private: Path, jobpool: Jobpool, name: str
) -> None:
    before = contents(private)
    assert member_does(lambda: link(pool, name, private)) == 0

    done = jobpool("run", pool)

    assert contents(private) == before
    assert "Traceback" not in done.stderr


@needs_root
def test_a_link_in_a_pool_is_named_with_what_to_do(
    pool: Path, private: Path, jobpool: Jobpool
) -> None:
    member_does(lambda: link(pool, "results/00", private))

    done = jobpool("doctor", pool)

    assert done.returncode == Fault.POOL
    assert "results/00: is a symbolic link" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def give_away(pool: Path) -> Path:
    """Make the member the author of a pool."""
    for name in OF_OWNER:
        os.chown(pool / name, MEMBER, -1)
    return pool


@needs_root
def test_others_see_nothing_of_a_private_pool(place: Path) -> None:
    pool = a_pool(place, 1)
    os.chown(pool, -1, THEIR_GROUP)

    assert member_does(lambda: list(pool.iterdir())) != 0
    assert stat.S_IMODE(pool.stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        ("work", "POOL"),
        ("run", "POOL"),
        ("submit", "POOL", "--keep-full"),
        ("plan", "POOL", "--submit"),
        ("show", "POOL", "TASK", "--splits"),
        ("collect", "POOL", "--predictions", "p.parquet"),
        ("cache", "info", "POOL"),
    ],
)
def test_code_of_another_users_pool_is_not_run(
    pool: Path, jobpool: Jobpool, command: tuple[str, ...]
) -> None:
    words = [
        {"POOL": give_away(pool), "TASK": Pool(pool).grid.id(0)}.get(word, word) for word in command
    ]

    done = jobpool(*words)

    assert done.returncode == Fault.POOL, done.stderr
    assert f"belongs to {MEMBER}" in done.stderr
    assert f"--trust {MEMBER}" in done.stderr
    assert Pool(pool).counts()[TaskState.WAITING] == 3


@needs_root
def test_the_pool_of_somebody_else_is_not_extended(pool: Path, jobpool: Jobpool) -> None:
    done = jobpool("extend", pool.parent / "study" / "experiment.yaml", give_away(pool))

    assert done.returncode == Fault.INPUT
    assert f"belongs to {MEMBER}, who alone extends it" in done.stderr


EVIL = "from pathlib import Path\nPath('{marker}').touch()\n"
READERS = (
    ("status", "POOL"),
    ("plan", "POOL"),
    ("why", "POOL", "TASK"),
    ("errors", "POOL"),
    ("log", "POOL"),
    ("collect", "POOL"),
    ("report", "POOL"),
    ("doctor", "POOL"),
)


def with_own_modules(place: Path) -> Path:
    """Return a pool of the member's whose folders of modules have one for each usual name."""
    modules, marker = place / "modules", place / "ran"
    modules.mkdir()
    for name in ("pandas", "scipy", "mine", "sklearn", "matplotlib", "pyarrow"):
        (modules / f"{name}.py").write_text(EVIL.format(marker=marker))
    study = place / "study"
    experiment = an_experiment(
        study, text=f"{NOOP}path: [{modules}]\naxes: {{number: [1]}}\n", call="mine:run"
    )
    own = replace(experiment, path=(str(modules),))
    create_pool(place / "own", own, full_product(own.axes), lambda _: None, now=time.time())
    return give_away(place / "own")


@needs_root
@pytest.mark.parametrize("command", READERS, ids=[words[0] for words in READERS])
def test_reading_the_pool_of_somebody_else_runs_nothing(
    place: Path, jobpool: Jobpool, command: tuple[str, ...]
) -> None:
    pool = with_own_modules(place)
    meant = {"POOL": pool, "TASK": Pool(pool).grid.id(0)}

    done = jobpool(*(meant.get(word, word) for word in command))

    assert "Traceback" not in done.stderr
    assert not (place / "ran").exists()


@needs_root
def test_a_pool_that_is_being_made_is_closed_to_the_group(place: Path) -> None:
    seen: list[tuple[int, int]] = []
    experiment = an_experiment(place / "study", settings=WorkerSettings(shared="group"))

    def look(building: Path) -> None:
        os.chown(building, -1, THEIR_GROUP)
        closed = member_does(lambda: list(building.iterdir()))
        seen.append((stat.S_IMODE(building.stat().st_mode), closed))

    create_pool(place / "pool", experiment, full_product(experiment.axes), look, now=time.time())

    assert seen == [(0o700, 1)]
    assert stat.S_IMODE((place / "pool").stat().st_mode) == 0o2770


def test_the_page_of_security_names_a_test_for_each_line() -> None:
    page = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = "".join(path.read_text(encoding="utf-8") for path in CHECKOUT.rglob("tests/**/*.py"))

    assert len(named) > 10
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
