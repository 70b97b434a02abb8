"""The normal form of names, so that one thing in two spellings is one thing.

1. Accents are composed (Unicode's NFC): file systems and programs write ``é`` in two ways.
2. Blanks of every kind are one blank, none at the ends; characters without width are left out.
3. A whole number with a point, ``1.0``, is ``1``.

Ids, groups, class texts, names of columns and values of axes are compared in this form.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

from jobpool.units import parse_number

# without width: soft hyphen, joiners, marks of direction, byte order mark, variation selectors
_UNSEEN = (0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF)
_UNSEEN_RANGES = ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F))
_CONTROLS = ((0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x84), (0x86, 0x9F))
_SEEN_AS_BLANK = (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0)  # letters and signs without a picture
_CLEAN: dict[int, str] = {
    **dict.fromkeys(_UNSEEN, ""),
    **{
        code: "" for first, last in (*_UNSEEN_RANGES, *_CONTROLS) for code in range(first, last + 1)
    },
    **dict.fromkeys(_SEEN_AS_BLANK, " "),
}
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*")
_ZEROS = re.compile(r"(?<![0-9.])0+(?=[0-9])")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_PUNCTUATION = re.compile(r"[^\w-]|_|(?<!\d)-|-(?!\d)")


def normal(text: str) -> str:
    r"""Return a text with composed accents and single blanks, without characters of no width.

    Examples
    --------
    >>> normal(" Mu\u0308ller\u00a0 \u200bB ")
    'Müller B'
    """
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", text.translate(_CLEAN))
    return " ".join(text.split())


def name_of(text: str) -> str:
    """Return the normal form of the name of a person, a group or a class.

    Examples
    --------
    >>> name_of("1.0"), name_of("007"), name_of("1.50")
    ('1', '007', '1.50')
    """
    found = normal(text)
    whole = _WHOLE.fullmatch(found)
    return whole[1].replace("-0", "0") if whole else found


def folded(name: str) -> str:
    """Return what two names that differ in capitals only have in common.

    Examples
    --------
    >>> folded("Straße") == folded("STRASSE")
    True
    """
    compatible = unicodedata.normalize("NFKC", name).casefold()
    return normal(unicodedata.normalize("NFKC", compatible))


def valued(name: str) -> str:
    """Return what two spellings of one number have in common; others as they are.

    Examples
    --------
    >>> valued("0.50") == valued("0.5"), valued("007") == valued("7"), valued("a1") == valued("a01")
    (True, True, False)
    >>> valued("1e2"), valued("100")
    ('100', '100')
    """
    number = parse_number(_ZEROS.sub("", name))
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return name if number is None else repr(number)


def loosened(name: str) -> str:
    """Return what two names have in common that differ in capitals, accents, blanks and signs only.

    Numbers are compared by value; signs between digits count, but not which.

    Examples
    --------
    >>> loosened("Family Smith-Jones") == loosened("family smith_jones")
    True
    >>> loosened("1-12") == loosened("11-2"), loosened("07") == loosened("7")
    (False, True)
    >>> loosened("Family 01") == loosened("family-1")
    True
    """
    letters = unicodedata.normalize("NFD", folded(name))
    text = _ZEROS.sub("", "".join(one for one in letters if not unicodedata.combining(one)))
    if parse_number(text) is not None:
        return valued(text)
    return _PUNCTUATION.sub("", _BETWEEN_DIGITS.sub("-", text)) or text


def alike(names: Iterable[str], form: Callable[[str], str]) -> list[tuple[str, ...]]:
    """Return different names that have one form, together, each once, in order.

    Examples
    --------
    >>> alike(["Ann", "bob", "ann", "Ann"], folded)
    [('Ann', 'ann')]
    """
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(form(name), []).append(name)
    return [tuple(group) for group in found.values() if len(group) > 1]
