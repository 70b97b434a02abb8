"""Fingerprints: what errors that came about in the same way have in common.

Where it happened counts first: the type of the error, and the innermost frames of the user's own
code. Then the words of the message that do not vary. If the traceback shows the statement that made
the message, the constant text of the statement says which words these are. Elsewhere all that looks
made up for the occasion is left out: paths, numbers, hexadecimal digits, UUIDs, quoted words, days,
temporary names, the name of the node. The words that remain count, in any order.
"""

import ast
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import PurePosixPath

_FRAMES = 3  # innermost frames of a traceback that tell one failure from another
_LONGEST = 4000  # of a message: it may hold a whole log
_FRAME = re.compile(r'^[ |]*File "(.*)", line \d+, in (.*)$')  # a bar: in a group of exceptions
_CODE = re.compile(r"[ |]*    (?!File \")")  # below the line of a frame
_MARKS = re.compile(r"[ |~^]*$")  # Python's below the part of a statement
# code that is not the user's own: installed, part of Python, or jobpool's
_LIBRARY = re.compile(
    r"/(site|dist)-packages/|/lib(64)?/python3|^<|"
    r"/jobpool/(runners|execution|learning|cache|brain|disk|journal)/"
)
_TYPED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?", re.DOTALL)
_COMMAND = re.compile(
    r"Command (.*) (returned non-zero exit status \d+|died with <Signals\.\w+|timed out)", re.DOTALL
)
_QUOTED = re.compile(
    r"(?<!\w)[bu]?'(?:[^'\n\\]|\\.)*'(?!\w)|(?<!\w)[bu]?\"(?:[^\"\n\\]|\\.)*\"(?!\w)|`[^`\n]*`"
)
_PATH = re.compile(
    r"(?:[a-z]+://|(?<![\w/])[~.]{0,2}/)[^\s'\"<>|,;()\[\]{}]+"
    r"|(?<![\w/])[\w.-]+(?:/[\w.-]+){2,}|(?<![\w/])[\w.-]+/[\w.-]+\.\w+"
)
_BETWEEN = re.compile(r"[\s,;()\[\]{}=|<>*]+")
_FILE = re.compile(r"[\w-]+((?:\.[A-Za-z]\w{0,4}){1,2})")
_NUMBERED = re.compile(r"([A-Za-z]{2,})[-_]?\d+")  # node12, sub-01
_HEX = re.compile(r"[0-9a-f-]{6,}", re.IGNORECASE)
_OCCASION = re.compile(
    r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?|tmp[._]?\w{6,}"
    r"|(?:Jan|Febr?|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)(?:uary|il|e|y|ust|ember|ober)?"
)
_COUNTS = frozenset({"code", "status", "signal", "Errno"})  # the number behind it says what it was
_ONE_THING = re.compile(r"\s*[^\s,;]*(?:[,;]\s*[^\s,;]+)*\s*")  # a word, or words with commas


def fingerprint(error: str | None, traceback: str | None = None, node: str | None = None) -> str:
    """Return what errors that came about in the same way have in common.

    Parameters
    ----------
    error : str, optional
        The type and the message.
    traceback : str, optional
        As Python prints it.
    node : str, optional
        Where it happened: the name is not part of the fingerprint.

    Examples
    --------
    >>> fingerprint("ValueError: no luck with 7") == fingerprint("ValueError: no luck with 12")
    True
    >>> fingerprint("ValueError: no luck") == fingerprint("ValueError: no scan")
    False
    """
    message, kind = (error or "")[:_LONGEST], ""
    if node:
        message = re.sub(rf"\b{re.escape(node.partition('.')[0])}(?:\.[\w.]+)?\b", "#", message)
    if typed := _TYPED.fullmatch(message):
        kind, message = typed[1], typed[2] or ""
    before = traceback or ""
    if error and "\n" not in error:  # else it may tell of frames in a helper process
        before = before.rpartition(error)[0] or before
    places, code = _places(before)
    return "\n".join([*places, " ".join([kind, *sorted(set(_told(message, code)))])])


def short_fingerprint(
    error: str | None, traceback: str | None = None, node: str | None = None
) -> int:
    """Return the fingerprint as a number from 1 to 65,535, as a task's record keeps it.

    Examples
    --------
    >>> short_fingerprint("KeyError: 'a'") == short_fingerprint("KeyError: 'b'")
    True
    """
    found = fingerprint(error, traceback, node).encode("utf-8", "replace")
    return zlib.crc32(found) % 0xFFFF + 1


@lru_cache(maxsize=256)  # many attempts failed in one way
def _places(traceback: str) -> tuple[tuple[str, ...], str]:
    """Return the innermost places in the user's code, and the code that raised the error."""
    frames = _frames(traceback)
    own = [frame for frame in frames if not _LIBRARY.search(frame[0])] or frames
    places = [f"{PurePosixPath(file).name} {name}: {code}" for file, name, code in own[-_FRAMES:]]
    return tuple(places), frames[-1][2] if frames else ""


def _frames(traceback: str) -> list[tuple[str, str, str]]:
    """Return file, function and code of each frame."""
    lines = traceback.splitlines()
    frames = []
    for number, line in enumerate(lines):
        if frame := _FRAME.match(line):
            code = takewhile(_CODE.match, lines[number + 1 :])
            parts = [part.strip(" |") for part in code if not _MARKS.match(part)]
            frames.append((frame[1], frame[2], " ".join(parts)))
    return frames


def _told(message: str, code: str) -> Iterator[str]:
    """Yield the words of a message that do not vary, given the line of code that raised it."""
    if command := _COMMAND.match(message):
        yield from ("Command", _program(command[1]), command[2])
        return
    for template in _templates(code):
        gaps = _gaps(message, template)
        if gaps is not None:
            for text in template:
                yield from _words(text or "")
            for gap in gaps:
                yield from ["..."] if _ONE_THING.fullmatch(gap) else _words(gap)
            return
    yield from _words(message)


def _words(text: str) -> Iterator[str]:
    before = ""
    for token in _BETWEEN.split(_PATH.sub(" / ", _QUOTED.sub(" ... ", text))):
        word = token.strip("\"'.:!?")
        if word:
            yield f"{before} {word}" if before in _COUNTS and word.isdigit() else _constant(word)
            before = word


def _constant(word: str) -> str:
    """Return a word without what varies in it."""
    if _OCCASION.fullmatch(word):
        return "#"
    if file := _FILE.fullmatch(word):
        return f"#{file[1]}"
    if not any(sign.isdigit() for sign in word):
        return word
    numbered = None if _HEX.fullmatch(word) else _NUMBERED.fullmatch(word)
    return f"{numbered[1]}#" if numbered else "#"


def _program(command: str) -> str:
    """Return the name of the program in a command, as `subprocess` prints a text or a list."""
    try:
        parts = ast.literal_eval(command)
        parts = ast.literal_eval(parts) if str(parts).startswith("[") else parts
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        parts = command.strip("'[]").replace("', '", " ")
    words = " ".join(map(str, parts)) if isinstance(parts, list | tuple) else str(parts)
    first = re.sub(r"^(?:\S*/)?(?:ba|da|z|k)?sh -\w*c ", "", words).split()
    return PurePosixPath(first[0]).name if first else ""


@lru_cache(maxsize=1024)
def _templates(code: str) -> Sequence[Sequence[str | None]]:
    """Return the texts that a statement makes, each as its constant pieces; None for the others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's code: it told them before
            tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # part of a longer statement
        return ()
    made = [node.msg for node in ast.walk(tree) if isinstance(node, ast.Assert) and node.msg]
    for node in ast.walk(tree):
        made += node.args if isinstance(node, ast.Call) else []
    found = [tuple(_pieces(node)) for node in made]
    return [pieces for pieces in found if any(re.search(r"[^\W\d_]", p or "") for p in pieces)]


def _pieces(node: ast.expr) -> Iterator[str | None]:
    """Yield the constant pieces of an expression that makes a text; None for the others."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                yield from _pieces(value)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _pieces(left)
            yield from _pieces(right)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            yield from _with_gaps(re.split(r"%(?:\(\w+\))?[-+ #0-9.]*[a-zA-Z]", text))
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            yield from _with_gaps(re.split(r"\{[^{}]*\}", text))
        case _:
            yield None


def _with_gaps(texts: list[str]) -> Iterator[str | None]:
    yield texts[0]
    for text in texts[1:]:
        yield None
        yield text


def _gaps(message: str, pieces: Sequence[str | None]) -> list[str] | None:
    """Return what stands between the constant pieces of a message; None if they are not in it."""
    gaps, at, is_open = [], 0, False
    for piece in filter(lambda one: one != "", pieces):
        if piece is None:
            is_open = True
            continue
        found = message.find(piece, at)
        if found < 0 or (found > at and not is_open):
            return None
        gaps.append(message[at:found])
        at, is_open = found + len(piece), False
    if at < len(message) and not is_open:
        return None
    return [*gaps, message[at:]]
