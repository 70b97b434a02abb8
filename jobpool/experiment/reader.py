"""Take values out of a YAML mapping one by one, and collect every problem on the way.

A value that is wrong is replaced by an empty one of the right type, so that reading goes on and
all problems are reported together by `Reader.finish`.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobpool.errors import ConfigError, Problem, listing, nearest
from jobpool.units import parse_duration

_WITH_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")
_IN_GB = {"M": 1 / 1024, "G": 1.0, "T": 1024.0}


class Reader:
    """Takes the keys of one mapping; readers of inner mappings share its list of problems.

    A `former` one reads for a pool that was made before bare numbers were refused as times, and
    before names had a normal form.
    """

    def __init__(
        self,
        file: Path,
        mapping: Mapping[str, Any],
        key: str = "",
        problems: list[Problem] | None = None,
        *,
        former: bool = False,
    ) -> None:
        self.file, self.key, self.former = file, key, former
        self.problems: list[Problem] = [] if problems is None else problems
        self._mapping = dict(mapping)
        self._asked: list[str] = []
        self._children: list[Reader] = []

    def problem(self, name: str, value: object, advice: str) -> None:
        """Note that the key `name` of this mapping has a value that cannot be used."""
        key = ".".join(part for part in (self.key, name) if part)
        self.problems.append(Problem(self.file, key, value, advice))

    def all_problems(self) -> tuple[Problem, ...]:
        """Return all problems found, unknown keys among them."""
        self.note_unknown()
        return tuple(self.problems)

    def finish(self) -> None:
        """Raise `ConfigError` if there are any problems."""
        if problems := self.all_problems():
            raise ConfigError(problems)

    def note_unknown(self) -> None:
        """Note every key that nothing asked for, here and in inner mappings."""
        for name in self._mapping:
            if name not in self._asked:
                advice = f"unknown key; known here: {listing(self._asked, most=40) or 'none'}"
                self.problem(name, self._mapping[name], advice + nearest(name, self._asked))
        for child in self._children:
            child.note_unknown()

    def names(self) -> list[str]:
        """Return all keys, and count each as known."""
        self._asked += [name for name in self._mapping if name not in self._asked]
        return list(self._mapping)

    def has(self, name: str) -> bool:
        """Say whether the key is given, and count it as known."""
        if name not in self._asked:
            self._asked.append(name)
        return self._mapping.get(name) is not None

    def raw(self, name: str) -> Any:
        """Return the value as YAML gives it, or None."""
        return self._mapping.get(name) if self.has(name) else None

    def _missing(self, name: str, what: str) -> None:
        self.problem(name, None, f"missing; give {what}")

    def child(self, name: str, *, required: bool = False) -> "Reader":
        """Return a reader of the mapping under `name`: an empty one if there is none."""
        child = Reader(
            self.file,
            self.mapping(name, required=required),
            ".".join(part for part in (self.key, name) if part),
            self.problems,
            former=self.former,
        )
        self._children.append(child)
        return child

    def children(self, name: str) -> list["Reader"]:
        """Return a reader of each mapping in the list under `name`; a mapping is a list of one."""
        value = self.raw(name)
        values = [] if value is None else value if isinstance(value, list) else [value]
        for number, one in enumerate(values):
            if not isinstance(one, dict):
                self.problem(f"{name}.{number}", one, "must be a mapping of keys to values")
        mappings = {f"{name}.{i}": one for i, one in enumerate(values) if isinstance(one, dict)}
        made = [
            Reader(
                self.file,
                {str(key): inner for key, inner in one.items()},
                ".".join(part for part in (self.key, key) if part),
                self.problems,
                former=self.former,
            )
            for key, one in mappings.items()
        ]
        self._children += made
        return made

    def mapping(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """Return the mapping under `name`, its keys as text."""
        value = self.raw(name)
        if value is None:
            if required:
                self._missing(name, "a mapping")
            return {}
        if not isinstance(value, dict):
            self.problem(name, value, "must be a mapping of keys to values")
            return {}
        return {str(key): inner for key, inner in value.items()}

    def text(self, name: str, default: str | None = None, choices: tuple[str, ...] = ()) -> str:
        """Return a text, one of `choices` if there are any."""
        value = self.raw(name)
        if value is None:
            if default is None:
                self._missing(name, f"one of: {listing(choices)}" if choices else "a text")
            return default or ""
        if not isinstance(value, str):
            self.problem(name, value, "must be text; put quotes around it")
            return default or ""
        if not value.strip():
            self.problem(name, value, "must not be empty; give a text, or leave the key out")
        elif choices and value not in choices:
            advice = f"must be one of: {listing(choices)}{nearest(value, choices)}"
            self.problem(name, value, advice)
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None if the key is not given."""
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; a single text is a list of one."""
        value = self.raw(name)
        values = [] if value is None else value if isinstance(value, list) else [value]
        wrong = [one for one in values if not isinstance(one, str)]
        for one in wrong:
            self.problem(name, one, "must be text; put quotes around it")
        return tuple(one for one in values if isinstance(one, str))

    def whole(self, name: str, default: int | None = None, least: int | None = None) -> int:
        """Return a whole number of at least `least`."""
        value = self.raw(name)
        if value is None:
            if default is None:
                self._missing(name, "a whole number")
            return default or 0
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(name, value, "must be a whole number")
            return default or 0
        if least is not None and value < least:
            self.problem(name, value, f"must be at least {least}")
        return value

    def optional_whole(self, name: str, least: int | None = None) -> int | None:
        """Return a whole number, or None if the key is not given."""
        return self.whole(name, least=least) if self.has(name) else None

    def number(self, name: str, default: float | None = None, above: float | None = None) -> float:
        """Return a number greater than `above`."""
        value = self.raw(name)
        if value is None:
            if default is None:
                self._missing(name, "a number")
            return default or 0.0
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            self.problem(name, value, f"must be a number{_without_unit(name, value)}")
            return default or 0.0
        if above is not None and not value > above:
            self.problem(name, value, f"must be greater than {above:g}")
        return float(value)

    def duration(self, name: str, default: float | None = None) -> float:
        """Return a length of time in seconds; a bare number is none: it has no unit."""
        value = self.raw(name)
        if value is None:
            if default is None:
                self._missing(name, "a length of time, such as 3h")
            return default or 0.0
        try:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and not self.former and math.isfinite(value):
                raise ValueError(f"has no unit; write {value}s for seconds or {value}m for minutes")
            seconds = parse_duration(value) if isinstance(value, str) else float(value)
            if isinstance(value, bool) or not math.isfinite(seconds):
                raise ValueError(f"{value!r} is not a length of time; write for example 90s or 2h")
        except (ValueError, TypeError) as error:
            self.problem(name, value, str(error))
            return default or 0.0
        if seconds <= 0:
            self.problem(name, value, "must be greater than zero")
        return seconds


def _without_unit(key: str, value: object) -> str:
    """Return advice where a number has a unit behind it, as in ``4GB``."""
    found = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return ""
    factor = _IN_GB.get(found[2][0].upper()) if key.endswith("_gb") else None
    return ", without a unit" + (f": write {float(found[1]) * factor:g}" if factor else "")
