"""What is damaged, torn or does not fit on the disk is passed over, named, and made again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.cache.fits.file import pack
from jobpool.cache.fits.maintenance import find_damaged_fits
from jobpool.cache.roi.maintenance import Damage
from jobpool.disk.files import parse_line
from jobpool.errors import BrokenLockError
from tests.support.fit_study import NAME, a_bucket, has, key_of, put

EVERY = 3  # bytes, of which one is tried
SMALL = 3  # values of an array, so that a file has few bytes to try


@pytest.fixture
def whole(fast_path: Path) -> bytes:
    """Return the content of a file with three small fits."""
    put(a_bucket(fast_path), 0, 1, 2, n=SMALL)
    return a_bucket(fast_path).path.read_bytes()


def starts(content: bytes) -> list[int]:
    """Return where the fits of a file begin."""
    return [at for at in range(len(content)) if content[at : at + 4] == b"JPFR"]


def there(folder: Path) -> list[bool]:
    """Return which of four fits a process that has just started finds; each is right."""
    bucket = a_bucket(folder)
    return [has(bucket, number, n=SMALL) for number in range(4)]


def after_writing(folder: Path, content: bytes) -> tuple[list[bool], list[bool]]:
    """Return which fits are there with this content, and which after a fit was put."""
    a_bucket(folder).path.write_bytes(content)
    before = there(folder)
    put(a_bucket(folder), 3, n=SMALL)
    return before, there(folder)


def verify(folder: Path, *, repair: bool = False) -> tuple[Damage, ...]:
    return find_damaged_fits(folder / "cache", "flock", repair=repair)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def test_a_fit_cut_anywhere_does_not_count(fast_path: Path, whole: bytes) -> None:
    last = starts(whole)[-1]

    seen = [after_writing(fast_path, whole[:at]) for at in range(last, len(whole), EVERY)]

    assert len(seen) > 100
    assert all(one == ([True, True, False, False], [True, True, False, True]) for one in seen)


def test_a_fit_cut_anywhere_is_no_damage(fast_path: Path, whole: bytes) -> None:
    path, last = a_bucket(fast_path).path, starts(whole)[-1]

    found = [path.write_bytes(whole[:at]) and verify(fast_path) for at in range(last, len(whole))]

    assert found == [()] * (len(whole) - last)


def test_the_next_writer_cuts_a_torn_fit(fast_path: Path, whole: bytes) -> None:
    path, last = a_bucket(fast_path).path, starts(whole)[-1]
    path.write_bytes(whole[:-1])

    put(a_bucket(fast_path), 2, n=SMALL)

    assert path.read_bytes() == whole
    assert last > 0


def test_a_reader_goes_on_where_a_torn_fit_was_cut(fast_path: Path, whole: bytes) -> None:
    reader = a_bucket(fast_path)
    reader.path.write_bytes(whole[:-1])
    assert not has(reader, 2, n=SMALL)

    put(a_bucket(fast_path), 3, 2, n=SMALL)

    assert [has(reader, number, n=SMALL) for number in range(4)] == [True] * 4


def test_a_file_that_ends_in_zeros_loses_nothing(fast_path: Path, whole: bytes) -> None:
    before, after = after_writing(fast_path, whole + bytes(5000))

    assert before == [True, True, True, False]
    assert after == [True] * 4


@pytest.mark.parametrize("number", range(3))
def test_a_damaged_byte_costs_one_fit_at_most(fast_path: Path, whole: bytes, number: int) -> None:
    bounds = [*starts(whole), len(whole)]
    places = range(bounds[number], bounds[number + 1], EVERY)

    seen = [after_writing(fast_path, flipped(whole, at)) for at in places]

    expected = [one != number for one in range(3)]
    assert seen == [([*expected, False], [*expected, True])] * len(places)


def test_a_damaged_first_line_costs_nothing(fast_path: Path, whole: bytes) -> None:
    places = range(starts(whole)[0])

    seen = [after_writing(fast_path, flipped(whole, at)) for at in places]

    assert seen == [([True, True, True, False], [True] * 4)] * len(places)


def test_a_damaged_fit_is_made_again(fast_path: Path, whole: bytes) -> None:
    a_bucket(fast_path).path.write_bytes(flipped(whole, starts(whole)[1] + 100))

    put(a_bucket(fast_path), 1, n=SMALL)

    assert there(fast_path) == [True, True, True, False]


def test_a_fit_damaged_after_it_was_seen_is_missing(fast_path: Path, whole: bytes) -> None:
    bucket = a_bucket(fast_path)
    bucket.keys()

    bucket.path.write_bytes(flipped(whole, starts(whole)[1] + 100))

    assert not has(bucket, 1, n=SMALL)
    assert bucket.fill([key_of(1)], lambda _: put(bucket, 1, n=SMALL)).made == 1
    assert has(bucket, 1, n=SMALL)


@pytest.mark.parametrize("offset", [0, 20, 52, 60, -1])
def test_a_damaged_byte_is_named(fast_path: Path, whole: bytes, offset: int) -> None:
    path = a_bucket(fast_path).path
    begin, end = starts(whole)[1:]
    path.write_bytes(flipped(whole, (begin if offset >= 0 else end) + offset))

    (found,) = verify(fast_path)

    assert (found.path, found.removed) == (path, False)
    assert found.what.startswith(f"bytes {begin:,} to {end:,}")


@pytest.mark.parametrize("at", [0, 30])
def test_damage_at_either_end_is_named(fast_path: Path, whole: bytes, at: int) -> None:
    path = a_bucket(fast_path).path
    path.write_bytes(flipped(flipped(whole, at), starts(whole)[-1] + 3))

    found = verify(fast_path)

    assert [one.what for one in found] == [
        f"bytes 0 to {starts(whole)[0]}",
        f"bytes {starts(whole)[-1]:,} to {len(whole):,}",
    ]


def test_repair_keeps_what_is_whole(fast_path: Path, whole: bytes) -> None:
    path, middle = a_bucket(fast_path).path, starts(whole)[1]
    path.write_bytes(flipped(whole, middle + 100))

    (found,) = verify(fast_path, repair=True)

    assert found.removed
    assert verify(fast_path) == ()
    assert there(fast_path) == [True, False, True, False]
    assert len(path.read_bytes()) == len(whole) - (starts(whole)[2] - middle)


def test_repair_keeps_the_name_of_the_bucket(fast_path: Path, whole: bytes) -> None:
    path = a_bucket(fast_path).path
    path.write_bytes(flipped(whole, starts(whole)[1] + 100))

    verify(fast_path, repair=True)

    line = parse_line(path.read_bytes().split(b"\n")[0])
    assert line is not None
    assert line["bucket"] == NAME


def test_a_reader_finds_its_way_in_a_repaired_file(fast_path: Path, whole: bytes) -> None:
    reader = a_bucket(fast_path)
    reader.keys()
    reader.path.write_bytes(flipped(whole, starts(whole)[0] + 100))

    verify(fast_path, repair=True)

    assert [has(reader, number, n=SMALL) for number in range(3)] == [False, True, True]


def test_who_waits_for_the_lock_of_a_repaired_file_writes_into_the_new_one(
    fast_path: Path, whole: bytes
) -> None:
    path = a_bucket(fast_path).path
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.support.fit_study import a_bucket, put\n"
        "bucket = a_bucket(Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "put(bucket, 3, n=3)\n"
    )
    command = [sys.executable, "-c", code, str(fast_path)]
    file = a_bucket(fast_path)._file

    with file.locked() as held:
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert waiting.stdout is not None
        waiting.stdout.readline()
        file.rewrite(held)

    assert waiting.wait(30) == 0
    waiting.stdout.close()
    assert path.stat().st_size > len(whole)
    assert there(fast_path) == [True] * 4


def test_a_lock_that_does_not_lock_is_noticed(fast_path: Path) -> None:
    file = a_bucket(fast_path, "lockf")._file

    with file.locked() as held:
        put(a_bucket(fast_path, "lockf"), 0)  # within a process this kind locks nobody out

        with pytest.raises(BrokenLockError, match=r"cache/fits/.* changed while"):
            file.append(held, key_of(1), pack(key_of(1), {}, {}))

    assert has(a_bucket(fast_path), 0)


FULL = """
import os, sys
from pathlib import Path
from jobpool.errors import StorageError
from tests.support.fit_study import a_bucket, files_in, has, put
folder = Path(sys.argv[1])
bucket = a_bucket(folder)
n = 0
try:
    while True:
        bucket.fill([], print)
        put(bucket, n, n=200)
        n += 1
except StorageError as error:
    print(error.reason)
size = sum(path.stat().st_size for path in files_in(folder, "*"))
reader = a_bucket(folder)
print(n, sum(has(reader, number, n=200) for number in range(n + 1)))
print(len(files_in(folder, ".*.tmp")))
"""


@pytest.mark.parametrize("size_kb", [4, 8, 12, 40])
def test_a_full_disk_leaves_whole_fits_alone(fast_path: Path, size_kb: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = f"mount -t tmpfs -o size={size_kb}k none {fast_path} && "
    script = mount + f'exec {sys.executable} -c "$CODE" {fast_path}'

    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={**os.environ, "CODE": FULL},
        capture_output=True,
        text=True,
        check=True,
    )

    reason, counts, n_temporary = ran.stdout.splitlines()
    assert reason == "No space left on device"
    assert len(set(counts.split())) == 1
    assert n_temporary == "0"
