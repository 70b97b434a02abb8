"""``docs/design.md``: it names every module of every room, and its recipes can be followed."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import jobpool
from tests.support.places import CHECKOUT

PACKAGE = Path(jobpool.__file__).parent
PAGE = (CHECKOUT / "docs" / "design.md").read_text(encoding="utf-8")

_BLOCK = re.compile(r"(?:<!-- (new|edit): (\S+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
_LISTED = re.compile(r"^ {4}(\S+\.py) {2,}\S", re.MULTILINE)
_ROOM = re.compile(r"^`jobpool/(\S*)`\n\n((?: {4}.*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one section of the page says: files to write, texts to replace, commands to run."""

    files: tuple[tuple[str, str], ...]
    edits: tuple[tuple[str, str, str], ...]  # file, the text there, the text after
    commands: str


def recipe(title: str) -> Recipe:
    section = PAGE.split(f"\n### {title}\n")[1].split("\n### ")[0]
    files, edits, commands = [], [], ""
    for kind, name, language, body in _BLOCK.findall(section):
        if kind == "new":
            files.append((name, body))
        elif kind == "edit":
            edits.append((name, side_of(body, "-"), side_of(body, "+")))
        elif language == "bash":
            commands += body
    return Recipe(files=tuple(files), edits=tuple(edits), commands=commands)


def side_of(diff: str, sign: str) -> str:
    """Return the lines of a diff that stand on one side of it."""
    return "".join(line[1:] + "\n" for line in diff.splitlines() if line[0] in {" ", sign})


def follow(one: Recipe, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Make the edits of a recipe in a copy of the package, and run its commands there."""
    shutil.copytree(PACKAGE, folder / "jobpool", ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in one.files:
        (folder / name).write_text(content, encoding="utf-8")
    for name, before, after in one.edits:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name} does not hold once: {before}"
        (folder / name).write_text(text.replace(before, after), encoding="utf-8")
    command = f'set -e\njobpool() {{ "{sys.executable}" -m jobpool "$@"; }}\n{one.commands}'
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_form_of_axis_values_is_added_by_the_page(tmp_path: Path) -> None:
    done = follow(recipe("A form of axis values"), tmp_path)

    assert done.returncode == 0, done.stderr
    assert "3 tasks" in done.stdout


def test_a_runner_is_added_by_the_page(tmp_path: Path) -> None:
    done = follow(recipe("A runner"), tmp_path)

    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()
    assert "said" in rows[0].split(",")
    assert len(rows) == 5


def test_a_cause_is_added_by_the_page(tmp_path: Path) -> None:
    runner = recipe("A runner")
    cause = recipe("A cause")
    both = Recipe(
        files=runner.files,
        edits=(*runner.edits, *cause.edits),
        commands=runner.commands + cause.commands,
    )

    done = follow(both, tmp_path)

    assert done.returncode == 0, done.stderr


def test_a_scheduler_is_added_by_the_page(tmp_path: Path) -> None:
    runner, scheduler = recipe("A runner"), recipe("A scheduler")
    init = runner.commands.splitlines()[0] + "\n"
    check = 'grep -l \'"scheduler": *"lab"\' pool/workers/*/*.json\n'
    both = Recipe(
        files=(*runner.files, *scheduler.files),
        edits=(*runner.edits, *scheduler.edits),
        commands=init + scheduler.commands + check,
    )

    done = follow(both, tmp_path)

    assert done.returncode == 0, done.stderr


def listed() -> set[str]:
    return {room + name for room, lines in _ROOM.findall(PAGE) for name in _LISTED.findall(lines)}


def test_the_page_has_a_line_for_every_module() -> None:
    there = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" or path.parent == PACKAGE
    }

    assert sorted(there ^ listed()) == []


@pytest.mark.parametrize("word", ["transaction", "superseded", "postmortem", "out-of-fold"])
def test_the_glossary_has_the_words_of_the_code(word: str) -> None:
    assert re.search(rf"^\| [^|]*\b{word}\b[^|]*\|", PAGE, re.MULTILINE)
