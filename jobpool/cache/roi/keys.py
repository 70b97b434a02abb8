"""What a study's cache must hold: keys of spans and of packed values, from the files as they are.

    digests.json    stamp of the files of a parcellation -> digest of its content

Keys are made of what the files hold or when they changed. To ask every map file for its size and
time takes seconds on a network disk where there are thousands, so the answer is trusted for
`TRUSTED_S`: a map that is edited while workers run is noticed after that time at the latest.
Parcellations are fewer, and their files are asked every time.

To read a large parcellation only to know its key takes seconds, in every process. `digests.json`
is a memory. If a file turns out to hold something else than what is remembered for its size and
time, it is refused. Beyond that nothing depends on the memory: it is replaced whole, what two
processes write at the same time may be lost, and a damaged file is made again.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool import __version__
from jobpool.brain.parcel_kinds import READING
from jobpool.brain.parcellations import ParcellationSummary
from jobpool.brain.spaces import check_space
from jobpool.cache.roi.extraction import Extraction, Loader
from jobpool.cache.roi.store import roi_key
from jobpool.disk.files import read_json, write_json
from jobpool.disk.inside import make_folder
from jobpool.errors import DataError, JobpoolError

TRUSTED_S = 60.0
OTHER_CONTENT = (
    "holds something else than when its values were computed, at the same size and time; restore "
    "it, or make a new pool"
)
_TRIES = 5
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Participants whose maps are read together."""

    start: int
    stop: int
    identity: str  # of their map files
    key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """What there must be for the maps as they are, and all parcellations that can be used."""

    identity: str  # of all map files
    stamps: Mapping[str, str]  # of the files of each parcellation, by name
    spans: tuple[Span, ...]
    summaries: Mapping[str, ParcellationSummary]  # by name
    names: Mapping[str, str]  # digest to one of the names with this content
    keys: Mapping[str, str]  # digest to the key of the packed values
    problems: Mapping[str, str]  # name to what is wrong with a parcellation


class Planner:
    """Reads which files a study has, and remembers it for `TRUSTED_S`."""

    def __init__(self, folder: Path, made_of: Extraction, loader: Loader) -> None:
        self._made_of, self._loader = made_of, loader
        self._digests = Digests(folder, made_of, loader)
        self._identity: tuple[float, str] | None = None  # when it was asked, and the answer
        self._layout: Layout | None = None

    def forget(self) -> None:
        """Read everything again next time."""
        self._identity = self._layout = None

    def key(self, name: str) -> str:
        """Return the key of the packed values of a parcellation, opening no map.

        Raises
        ------
        DataError
            If the parcellation cannot be read.
        """
        return self._key(self.identity(), self.parcellation(name))

    def parcellation(self, name: str) -> str:
        """Return the digest of a parcellation, as its files are now.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        return self._digests.of(name)

    def identity(self) -> str:
        """Return the identity of all maps, at most `TRUSTED_S` old."""
        now = time.monotonic()
        if self._identity is None or now - self._identity[0] > TRUSTED_S:
            self._identity = (now, self._made_of.maps.identity())
        return self._identity[1]

    def layout(self) -> Layout:
        """Return what the cache must hold: for maps at most `TRUSTED_S` old, else as it is now.

        Raises
        ------
        DataError
            If the first map cannot be read, or files change while they are read.
        """
        known = self._layout
        for _ in range(_TRIES):
            before, stamps = self.identity(), self._stamps()
            if known is not None and (known.identity, known.stamps) == (before, stamps):
                return known
            found = self._read(before, stamps)
            # the keys belong together if nothing changed in between
            self._identity = (time.monotonic(), self._made_of.maps.identity())
            if (self._identity[1], self._stamps()) == (before, stamps):
                self._digests.remember(
                    {stamps[name]: one.digest for name, one in found.summaries.items()}
                )
                self._layout = found
                return found
        raise changing(self._made_of)

    def _stamps(self) -> dict[str, str]:
        found = {}
        for name in self._made_of.parcellations:
            try:
                found[name] = self._made_of.stamp(name)
            except DataError as error:  # reported as a problem of this parcellation
                found[name] = str(error)
        return found

    def _read(self, identity: str, stamps: Mapping[str, str]) -> Layout:
        made_of = self._made_of
        space = made_of.maps.space()
        summaries: dict[str, ParcellationSummary] = {}
        problems: dict[str, str] = {}
        remembered = self._digests.known(stamps)
        for name, source in made_of.parcellations.items():
            try:
                found = self._loader.summary(name)
            except DataError as error:
                problems[name] = str(error)
                continue
            if remembered.get(name, found.digest) != found.digest:
                problems[name] = f"{source}: {OTHER_CONTENT}"
                continue
            if (wrong := check_space(space, found)) is not None:
                problems[name] = f"{source}: {wrong}"
                continue
            summaries[name] = found
        names = {one.digest: name for name, one in reversed(summaries.items())}
        return Layout(
            identity=identity,
            stamps=stamps,
            spans=tuple(self._span(start, stop) for start, stop in made_of.maps.spans()),
            summaries=summaries,
            names=names,
            keys={digest: self._key(identity, digest) for digest in names},
            problems=problems,
        )

    def _span(self, start: int, stop: int) -> Span:
        identity = self._made_of.maps.identity(start, stop)
        return Span(start=start, stop=stop, identity=identity, key=self._key(identity, ""))

    def _key(self, maps: str, parcellation: str) -> str:
        divisor = self._made_of.divisor
        return roi_key(maps=maps, parcellation=parcellation, divisor=divisor)


def changing(made_of: Extraction) -> DataError:
    """Return the error for files that keep changing."""
    what = "maps or parcellations keep changing while they are read; wait until they are complete"
    return DataError(made_of.folder, what)


class Digests:
    """The digests of a study's parcellations."""

    def __init__(self, folder: Path, made_of: Extraction, loader: Loader) -> None:
        self._path, self._made_of, self._loader = folder / "digests.json", made_of, loader
        self._known: dict[str, str] = {}  # by stamp

    def of(self, name: str) -> str:
        """Return the digest of a parcellation, reading it only if no process has read it yet.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        stamp = self._made_of.stamp(name)
        found = _named(stamp)
        if found not in self._known:
            self._known |= self._read()
        if found in self._known:
            return self._known[found]
        digest = self._loader.summary(name).digest
        if (
            self._made_of.stamp(name) == stamp
        ):  # else the digest may belong to another content than the stamp
            self.remember({stamp: digest})
        return digest

    def known(self, stamps: Mapping[str, str]) -> dict[str, str]:
        """Return the digests that are remembered, of stamps by name."""
        known = self._read()
        return {
            name: known[_named(stamp)] for name, stamp in stamps.items() if _named(stamp) in known
        }

    def remember(self, digests: Mapping[str, str]) -> None:
        """Remember digests by stamps that did not change while reading, for all processes."""
        new = {_named(stamp): digest for stamp, digest in digests.items()}
        known = self._read()
        self._known |= known | new
        if new.items() <= known.items():
            return
        with suppress(OSError, JobpoolError):  # no permission to write, or a full disk
            make_folder(self._path.parent)
            write_json(self._path, {"format": FORMAT, "digests": dict(self._known)})

    def _read(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            record = read_json(self._path)
            if record is not None and record["format"] == FORMAT:
                found = record["digests"]
                if isinstance(found, dict):
                    return {key: str(digest) for key, digest in found.items()}
        return {}


def _named(stamp: str) -> str:
    # with the version: another one may read the same file differently
    return hashlib.sha256(f"{__version__} {READING} {stamp}".encode()).hexdigest()[:32]
