"""What a report fits: the ``report`` section, which no result depends on."""

import re
from dataclasses import dataclass, field
from typing import Literal

from jobpool.errors import RequestError, nearest
from jobpool.experiment.reader import Reader

Method = Literal["together", "published"]
METHODS: tuple[Method, ...] = ("together", "published")
_WRITTEN = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
_EXAMPLE = "write its smallest and largest size, such as 7:3000"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionChoice:
    """How the region of the power law is chosen; or the sizes that it has, both included."""

    method: Method = "together"
    sizes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """The ``report`` section."""

    region: RegionChoice = field(default_factory=RegionChoice)


def read_region(text: str) -> tuple[int, int]:
    """Return the sizes that a text such as ``7:3000`` names, both ends included.

    Raises
    ------
    RequestError
        If it is no such text.

    Examples
    --------
    >>> read_region("7:3000")
    (7, 3000)
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or not 1 <= int(found[1]) < int(found[2]):
        raise RequestError("region", f"{text!r} is no region; {_EXAMPLE}")
    return int(found[1]), int(found[2])


def region_choice(region: str | None, method: str | None) -> RegionChoice:
    """Return how the region is chosen, from what the user wrote.

    Raises
    ------
    RequestError
        If the region is none, the method is unknown, or both are given.
    """
    if region is not None and method is not None:
        what = "is given beside a region; a region that is named is not chosen: leave one out"
        raise RequestError("region method", what)
    found = next((one for one in METHODS if one == (method or METHODS[0])), None)
    if found is None:
        what = f"{method!r} is unknown{nearest(str(method), METHODS)}; write one of: "
        raise RequestError("region method", what + ", ".join(METHODS))
    return RegionChoice(method=found, sizes=None if region is None else read_region(region))


def read_report(reader: Reader) -> ReportSettings:
    """Return the settings in a section; `reader` collects the problems."""
    text = reader.optional_text("region")
    method = reader.text("region_method", METHODS[0], METHODS)
    choice = RegionChoice()
    try:
        given = method if reader.has("region_method") and method in METHODS else None
        choice = region_choice(text, given)
    except RequestError as error:
        reader.problem("region", text, error.what)
    return ReportSettings(region=choice)
