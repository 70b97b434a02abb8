"""What results are made of: each input by its content, and refused if it changed in between.

A row is a mean over folds, and a study compares rows: all of them must come from the same maps,
parcellations, targets, splits and code. Their digests are in every result, and in the pool by name
(`jobpool.journal.made_of`): the first result settles them, and a task that finds another one ends
in an error. Versions of libraries
and settings are in every result, too; where they differ, `collect`, `doctor` and the report say so.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jobpool import __version__
from jobpool.disk.locks import best_lock
from jobpool.errors import DataError, listing
from jobpool.journal.made_of import agree, differing, read_agreed
from jobpool.learning.pipelines.base import Pipeline
from jobpool.learning.pipelines.sources import code_of, version_of
from jobpool.learning.search import Recipe, describe
from jobpool.learning.settings import EvaluateSettings
from jobpool.learning.splits import PoolSplits
from jobpool.learning.study import Study
from jobpool.learning.targets import Target
from jobpool.table.settings import read_info
from jobpool.task import Json

# what the numbers of a result come from
LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "lightgbm", "optuna")
MADE_OF = "made_of"  # of a result: name of an input to its digest
SHORT = 12  # digits of a digest, as in results
MAPS = "maps"
Digests = dict[str, str]
_RESTORE = "restore what it was (a task that is parked: jobpool retry), or"
_NEW_POOL = f"{_RESTORE} make a new pool"
_NEW_NAME = f"{_RESTORE} give the changed one another name, and add that with: jobpool extend"
COMMON = "common participants"
_CURES = {
    "parcellation ": _NEW_NAME,
    "code of ": _NEW_NAME,
    COMMON: "restore common.json of the pool from a backup, or make a new pool",
}


def installed() -> dict[str, str]:
    """Return the versions of everything that may change a number."""
    found = {"jobpool": __version__}
    for name in ("jobpool", *LIBRARIES):
        with suppress(PackageNotFoundError):  # an extra that no pipeline of this study needs
            found[name] = version_of(name)
    return found


def versions_of(libraries: Mapping[str, str], pipelines: Iterable[Pipeline]) -> dict[str, Json]:
    """Return the versions that a result holds: of Python, libraries, and what a factory imports."""
    found: dict[str, Json] = {"python": platform.python_version(), **libraries}
    for pipeline in pipelines:
        found |= dict(pipeline.code.packages) if pipeline.code else {}
    return found


def known_inputs(
    parcellations: Mapping[str, str], targets: Iterable[Target], splits: PoolSplits
) -> Digests:
    """Return the inputs that are known before a map is read.

    Parameters
    ----------
    parcellations : mapping of str to str
        Name to digest.
    targets : iterable of Target
        Those to be learned.
    splits : PoolSplits
        The pool's.
    """
    found = {f"parcellation {name}": digest for name, digest in parcellations.items()}
    for target in targets:
        found[f"target {target.name}"] = target.digest
        found[f"splits for {target.name}"] = splits.of(target.name).digest
    return {name: digest[:SHORT] for name, digest in found.items()}


def inputs_of_values(parcellation: str, facts: Mapping[str, Any]) -> Digests:
    """Return what ROI values are made of, by the facts that are kept with them.

    Parameters
    ----------
    parcellation : str
        Its name here: another with the same content may have made them.
    facts : mapping
        From `jobpool.runners.evaluate.members.Values.facts`; of an older jobpool, they say nothing.
    """
    names = {MAPS: MAPS, "parcellation": f"parcellation {parcellation}"}
    made_of = facts.get(MADE_OF, {})
    return {names[key]: str(one)[:SHORT] for key, one in made_of.items() if one}


def inputs_of_code(pipelines: Iterable[Pipeline]) -> Digests:
    """Return the digests of the code of pipelines from outside."""
    coded = {f"code of {one.name}": one.code for one in pipelines}
    return {name: code.digest[:SHORT] for name, code in coded.items() if code is not None}


def settings_of(recipes: Iterable[Recipe], reading: EvaluateSettings) -> Digests:
    """Return digests of all settings: of how maps are read, and of a task's recipes."""
    of_maps = (reading.divisor, reading.problems, reading.drop_empty)
    texts = {f"settings of {MAPS}": repr(of_maps)}
    for one in recipes:
        about = {key: value for key, value in describe(one).items() if key != "code"}
        texts[f"settings of {one.pipeline.name} for {one.kind}"] = json.dumps(about, sort_keys=True)
    return {name: hashlib.sha256(text.encode()).hexdigest()[:SHORT] for name, text in texts.items()}


class Inputs:
    """Refuses tasks whose inputs are not those of the pool's other results.

    Parameters
    ----------
    pool : Path, optional
        Without one, only what this process has read is held against the files.
    place : callable
        Returns the file of an input, or another text that says where it comes from.
    """

    def __init__(self, pool: Path | None, place: Callable[[str], str]) -> None:
        self._pool, self._place = pool, place
        self._lock: str | None = None
        self.libraries = installed()  # as this process began, which goes on with what it loaded

    def check(self, inputs: Mapping[str, str], pipelines: Sequence[Pipeline] = ()) -> None:
        """Refuse inputs that are not the pool's, and code that changed since it was loaded.

        Raises
        ------
        DataError
            Names what changed, and what to do.
        """
        self._check_loaded(pipelines)
        if self._pool is not None:
            self._refuse(differing(read_agreed(self._pool), inputs), inputs)

    def agree(
        self, inputs: Mapping[str, str], versions: Mapping[str, Json] = MappingProxyType({})
    ) -> None:
        """Make inputs those of the pool, if it has no others; note the versions.

        Raises
        ------
        DataError
            Names what the pool has with another content, and what to do.
        StorageError
            If the disk is full, over quota or failing.
        """
        if self._pool is not None:
            noted = {name: str(one) for name, one in versions.items() if name != "python"}
            lock = self._kind_of_lock(self._pool)
            self._refuse(agree(self._pool, lock, inputs, noted), inputs)

    def _check_loaded(self, pipelines: Iterable[Pipeline]) -> None:
        """Refuse code that is no longer in its files: processes started later load the new one."""
        now = installed()
        for name in sorted(now.keys() | self.libraries.keys()):
            if (before := self.libraries.get(name)) != now.get(name):
                what = f"was {before} when this worker started, and is {now.get(name)} now; start a"
                raise DataError(name, f"{what} new worker")
        for one in pipelines:
            if one.code is not None and code_of(one.name) != one.code:
                names = ", ".join(path.name for path in one.code.files)
                what = (
                    f"its code, or what it imports, changed since this worker loaded it ({names})"
                )
                raise DataError(f"pipeline {one.name}", f"{what}; start a new worker")

    def _kind_of_lock(self, pool: Path) -> str:
        if self._lock is None:
            made = (pool / "pool.json").exists()
            self._lock = read_info(pool).lock if made else best_lock(pool)
        return self._lock

    def _refuse(self, other: Mapping[str, str], inputs: Mapping[str, str]) -> None:
        for name, known in other.items():
            cure = next((one for start, one in _CURES.items() if name.startswith(start)), _NEW_POOL)
            what = (
                f"{name} changed since the pool's first results: its content was {known}, and is "
                f"{inputs[name]} now, and rows would mix both; {cure}"
            )
            raise DataError(self._place(name), what)


def place_of(study: Study, name: str, since: float) -> str:
    """Return the file of an input, as the experiment file names it.

    Parameters
    ----------
    study : Study
        The study.
    name : str
        Of an input, as in `known_inputs`, `inputs_of_values` and `inputs_of_code`.
    since : float
        When the pool was made, in seconds since the epoch: files of maps that changed later are
        named.
    """
    kind, _, rest = name.partition(" ")
    if kind == MAPS:
        given = study.settings.maps
        later = list(_changed_maps(study, since))
        named = given if isinstance(given, str) else listing(given.values(), most=3)
        return f"{named} (changed later: {listing(later, most=3)})" if later else named
    if kind == "parcellation":
        return study.parcellations.get(rest, rest)
    pipeline = study.pipelines.get(rest.removeprefix("of "))
    if kind == "code" and pipeline is not None and pipeline.code is not None:
        return listing((str(path) for path in pipeline.code.files), most=3)
    return study.settings.participants


def _changed_maps(study: Study, since: float) -> Iterator[str]:
    """Yield the names of map files that are not in an archive and changed after a time."""
    for source in study.maps().sources:
        for name in dict.fromkeys(source.name(n) for n in range(len(study.ids))):
            with suppress(OSError):  # none, or the name of an array in an archive
                if Path(name).stat().st_mtime > since:
                    yield Path(name).name
