"""Names that may be one thing in two spellings: refused, or told where they may be two.

Differences that nobody sees are gone by now (`jobpool.disk.spelling`). What is left are capitals,
blanks and signs, which a person can judge.
"""

from collections.abc import Iterator

from jobpool.disk.spelling import alike, folded, loosened, valued
from jobpool.errors import listing
from jobpool.experiment.reader import Reader
from jobpool.learning.odd_values import WORDS
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.study import Readers, Study

_MOST_SHOWN = 4  # pairs of groups


def check_spellings(study: Study, readers: Readers) -> None:
    """Refuse ids that may be one, and a word for missing values that became a class.

    Parameters
    ----------
    study : Study
        As it was read.
    readers : Readers
        They take the problems.
    """
    _check_ids(study, readers.section)
    if study.settings.missing is not None:
        return  # the user said what is missing
    for name, target in study.targets.items():
        words = [one for one in target.classes if one.casefold() in WORDS]
        if words and target.kind is Kind.BINARY:
            advice = (
                f"one of its two classes is {words[0]!r}: if that is a value, say so by positive "
                f"and negative, or missing: []; if it means missing, by missing: [{words[0]!r}]"
            )
            readers.axes.problem("target", name, advice)


def _check_ids(study: Study, reader: Reader) -> None:
    twice = alike(study.ids, _same_id)
    if twice:
        shown = listing((" and ".join(map(repr, one)) for one in twice), most=_MOST_SHOWN)
        advice = (
            f"holds ids that differ in capitals or leading zeros only: {shown}; give each its own"
        )
        reader.problem("id", study.settings.id_column, advice)


def _same_id(name: str) -> str:
    """Return what ids have in common that are one: ``S01`` and ``s01``, ``007`` and ``7``."""
    return valued(name) if name.isdecimal() else folded(name)


def lines_on_groups(study: Study) -> Iterator[str]:
    """Yield what to look at in the groups: names that differ in capitals, blanks and signs only.

    Parameters
    ----------
    study : Study
        Without problems.
    """
    if study.settings.group_column is None:
        return
    found = alike(study.groups, loosened)
    if found:
        shown = listing((" and ".join(map(repr, one)) for one in found), most=_MOST_SHOWN)
        yield (
            f"  look at {study.settings.group_column}: {shown} are different groups; if they are "
            "one, write them in one way"
        )
