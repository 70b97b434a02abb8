"""Plain scalars in an experiment file: what a person reads in them, or an error.

1. ``true`` and ``false`` are that; ``null`` and ``~`` are no value.
2. Decimal digits, with a sign, a point or an exponent, are a number: ``1e-3``.
3. What YAML or a person may read in two ways is refused with the advice to put quotes around it:
   leading zeros, ``_``, commas or blanks between digits, numbers of another base, ``yes`` and
   ``no``, ``on`` and ``off``, ``nan`` and ``inf``; and a key with nothing behind it.
4. Everything else is text as it is written, also dates, times and ``1:30``.

What stands in quotes is text, and so is every key. A pool that was made before there were these
rules keeps to YAML 1.1: `FormerLoader`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from jobpool.errors import Problem
from jobpool.units import parse_number

_TAG = "tag:yaml.org,2002:"
_NO_VALUE = frozenset({"", "~", "null"})
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)")
_LEADING_ZEROS = re.compile(r"[-+]?0[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_TWO_WAYS = (
    (
        re.compile(r"yes|no|on|off", re.IGNORECASE),
        "may be text, or true or false; put quotes around it, or write true or false",
    ),
    (
        re.compile(r"Null|NULL|(?i:[-+]?(?:nan|inf|infinity))"),
        "may be text, or stand for no value; put quotes around it",
    ),
    (
        re.compile(r"[-+]?0[xXoObB][0-9a-fA-F_]+"),
        "may be text, or a number of another base; put quotes around it, or write decimals",
    ),
    (
        re.compile(r"[-+]?[0-9]+[_, '\u2019][0-9_, '\u2019]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"),
        "may be text or a number; put quotes around it, or write digits and a point alone",
    ),
    (
        re.compile(r"[\u2018-\u201f\u00ab].*"),
        "begins with a quote of a word processor, which YAML takes for text; write ' or \"",
    ),
)
_DASHES = str.maketrans("\u2212\u2013\u2012", "---")


def reads_as_text(text: str) -> bool:
    """Say whether a text, written without quotes, is read as this text.

    Examples
    --------
    >>> [reads_as_text(one) for one in ("a", "2020-01-31", "1e-3", "NO", "007", "true", "")]
    [True, True, False, False, False, False, False]
    """
    return _tag(text) == "str" and why_not(text) is None


def why_not(text: str) -> str | None:
    """Return why a plain scalar can be read in two ways, and what to write; None if it cannot.

    Examples
    --------
    >>> why_not("007")
    'has leading zeros; put quotes around it to keep them, or write 7'
    >>> why_not("3:00:00")
    """
    if _LEADING_ZEROS.fullmatch(text):
        number = re.sub(r"^([-+]?)0+(?=[0-9])", r"\1", text)
        return f"has leading zeros; put quotes around it to keep them, or write {number}"
    for pattern, why in _TWO_WAYS:
        if pattern.fullmatch(text):
            return why
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    if plain != text and parse_number(plain) is not None:
        return f"may be text or a number; put quotes around it, or write {plain}"
    return None


def _tag(text: str) -> str:
    """Return the type of a plain scalar, as the end of YAML's name for it."""
    if text in _NO_VALUE:
        return "null"
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return "bool"
    if text == "<<":
        return "merge"
    number = parse_number(text)
    if isinstance(number, int):
        return "int"
    return "float" if number is not None or _INFINITE.fullmatch(text) else "str"


class FormerLoader(yaml.SafeLoader):
    """YAML 1.1, but for a key given twice, which is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping in which no key is given twice."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


_COUNTING = -1  # of a node that is being counted


class _Plain(str):
    """The type of a scalar that has neither quotes nor a type of its own."""

    __slots__ = ()


class Loader(FormerLoader):
    """YAML with scalars by the rules of this module."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Return the type of a node that has none of its own."""
        if kind is yaml.ScalarNode:
            return _Plain(_TAG + _tag(value)) if implicit[0] else f"{_TAG}str"
        return f"{_TAG}map" if kind is yaml.MappingNode else f"{_TAG}seq"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are texts."""
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != f"{_TAG}merge":
                key_node.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


def n_values_in(root: yaml.Node | None) -> int:
    """Return how many values a file has when all of its aliases are written out.

    Raises
    ------
    YAMLError
        If a value holds itself.
    """
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = _COUNTING
            counts[id(node)] = 1 + sum(map(count, _inside(node)))
        elif counts[id(node)] == _COUNTING:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a value holds itself")
        return counts[id(node)]

    return 0 if root is None else count(root)


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def problems_in(root: yaml.Node | None, file: Path, settings: Collection[str]) -> Iterator[Problem]:
    """Yield every scalar below a node of a file that is refused, with its key and line.

    Parameters
    ----------
    root : Node, optional
        Of the whole file; None if it is empty.
    file : Path
        What the problems name.
    settings : collection of str
        Keys at the top that need a value; of the others, sections, all may be commented out.
    """
    stack: list[tuple[yaml.Node, tuple[str, ...]]] = [] if root is None else [(root, ())]
    seen: set[int] = set()
    while stack:
        node, path = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack += [(one, path) for one in reversed(node.value)]
        elif isinstance(node, yaml.MappingNode):
            stack += [(value, (*path, _shown(key))) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.ScalarNode) and (why := _why_refused(node, path, settings)):
            line = f"line {node.start_mark.line + 1}: "
            yield Problem(file, ".".join(path), node.value, line + why)


def _why_refused(
    node: yaml.ScalarNode, path: tuple[str, ...], settings: Collection[str]
) -> str | None:
    if isinstance(node.tag, _Plain):
        if node.value == "" and (len(path) > 1 or set(path) & set(settings)):
            return "has no value; give one, or remove the key"
        return why_not(node.value)
    if node.tag not in {f"{_TAG}str", f"{_TAG}{_tag(node.value)}"}:
        return f"is no value of the type {node.tag.removeprefix(_TAG)!r}; leave the type out"
    return None


def _shown(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "?"


class Dumper(yaml.SafeDumper):
    """Writes texts so that `Loader` reads them as texts."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if reads_as_text(text) else "'"
    node: yaml.ScalarNode = dumper.represent_scalar(f"{_TAG}str", text, style=style)
    return node


Dumper.add_representer(str, _text)
