"""What ``doctor`` reports: findings, each with its place and what was or can be done."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Weight(StrEnum):
    """How bad a finding is."""

    NOTE = "note"  # normal after a worker was killed; nothing needs to be done
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found."""

    weight: Weight
    place: str  # a file relative to the pool, or a task
    what: str
    repairable: bool = False
    repaired: str = ""  # what was done about it

    @property
    def is_open(self) -> bool:
        """Say whether it is a problem that still stands."""
        return self.weight is Weight.PROBLEM and not self.repaired

    def done(self, what: str) -> "Finding":
        """Return this finding as repaired."""
        return replace(self, repaired=what)

    def __str__(self) -> str:
        if self.repaired:
            end = f"; repaired: {self.repaired}"
        elif self.repairable and self.weight is Weight.PROBLEM:
            end = "; repair it with --repair"
        else:
            end = ""
        return f"{self.weight}: {self.place}: {self.what}{end}"


def problem(place: str, what: str, *, repairable: bool = False) -> Finding:
    """Return a finding that something is wrong."""
    return Finding(weight=Weight.PROBLEM, place=place, what=what, repairable=repairable)


def note(place: str, what: str, *, repairable: bool = False) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(weight=Weight.NOTE, place=place, what=what, repairable=repairable)
