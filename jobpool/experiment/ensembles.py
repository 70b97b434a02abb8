"""Ensembles as axis values: several other values that decide together.

What an ensemble is made of stands in its source, the text beside the value in ``tasks.npz``:
``ensemble:{"strategy": "voted", "set": "atlases", "members": [["glasser", "/data/glasser.npy"]]}``.
So nothing that is added to the experiment file later changes it.
"""

import json
from dataclasses import dataclass

from jobpool.errors import listing

PREFIX = "ensemble:"
STRATEGIES = ("voted", "stacked", "grid")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSource:
    """What stands behind an axis value that is an ensemble."""

    strategy: str  # how the members decide together
    set: str  # sets of one name are nested: the smaller one is the beginning of the larger one
    members: tuple[tuple[str, str], ...]  # name and source of each

    def text(self) -> str:
        """Return the source as text.

        Examples
        --------
        >>> EnsembleSource(strategy="voted", set="s", members=(("a", "a.npy"),)).text()
        'ensemble:{"strategy":"voted","set":"s","members":[["a","a.npy"]]}'
        """
        parts = {"strategy": self.strategy, "set": self.set, "members": self.members}
        return PREFIX + json.dumps(parts, separators=(",", ":"))


def read_ensemble(source: str | None) -> EnsembleSource | None:
    """Return the ensemble that a source means, None if it means something else.

    Examples
    --------
    >>> read_ensemble('ensemble:{"strategy":"grid","set":"s","members":[["a","a.npy"]]}').members
    (('a', 'a.npy'),)
    >>> read_ensemble("a.npy") is None
    True
    """
    if source is None or not source.startswith(PREFIX):
        return None
    parts = json.loads(source.removeprefix(PREFIX))
    members = tuple((str(name), str(text)) for name, text in parts["members"])
    return EnsembleSource(strategy=parts["strategy"], set=parts["set"], members=members)


def describe_source(source: str | None) -> str:
    """Return what a message says of the source of an axis value.

    Examples
    --------
    >>> describe_source("a.npy"), describe_source(None)
    ('a.npy', 'no file')
    >>> describe_source('ensemble:{"strategy":"grid","set":"s","members":[["a","a.npy"]]}')
    'an ensemble (grid) of a'
    """
    found = read_ensemble(source)
    if found is None:
        return source or "no file"
    names = [name for name, _ in found.members]
    return f"an ensemble ({found.strategy}) of {listing(names)}"
