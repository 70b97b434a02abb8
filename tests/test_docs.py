"""The documentation is run: what README.md and docs/*.md show is what the program does.

A page's ```console blocks belong together: the lines ``$ command`` (continued by ``> ``) run in
order, in one shell, in an empty folder; the lines below a command are what it prints, where
``...`` stands for anything. A block after ``<!-- file: NAME -->`` is written there first. The
```pycon blocks of a page are one session of Python, run where the first of them stands. Blocks of
other kinds are not run: what needs a cluster or minutes, shown as it once went.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer

from jobpool.cli import COMMANDS
from jobpool.errors import ConfigError
from jobpool.experiment.config import Experiment, load_experiment
from jobpool.experiment.reader import Reader
from jobpool.learning.settings import read_evaluate_settings
from jobpool.runners import RUNNERS
from jobpool.runners.evaluate.runner import Evaluate
from tests.support.places import CHECKOUT

PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in [CHECKOUT / "README.md", *CHECKOUT.glob("docs/*.md")]
)
CONFIGS = sorted(path.name for path in (CHECKOUT / "configs").glob("*.yaml"))

_BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
_DOCTEST = "python -m doctest -o ELLIPSIS -o NORMALIZE_WHITESPACE"
_MARK = "== end of command, code "
# answers as a cluster's controller does, so that sbatch lines can be shown anywhere
_SCONTROL = "#!/bin/sh\necho 'MaxArraySize            = 1001'\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a page, and what the page says that it prints."""

    command: str
    shown: str


def text_of(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def steps_of(page: str) -> list[Step]:
    """Return the commands of a page; a file that it gives is written by a command."""
    steps, blocks = [], _BLOCK.findall(text_of(page))
    session = "".join(f"{body}\n" for _, kind, body in blocks if kind == "pycon")
    for name, kind, body in blocks:
        if name:
            steps.append(Step(command=f"cat > {name} <<'END'\n{body}END", shown=""))
        elif kind == "pycon" and session:
            written = f"cat > session.txt <<'END'\n{session}END\n"
            steps.append(Step(command=f"{written}{_DOCTEST} session.txt", shown=""))
            session = ""
        elif kind == "console":
            joined = body.replace("\n> ", "\x00")
            for piece in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
                command, _, shown = piece.partition("\n")
                steps.append(Step(command=command.replace("\x00", "\n"), shown=shown))
    return steps


def printed_by(steps: list[Step], folder: Path) -> list[tuple[str, int]]:
    """Return what each command prints, and its exit code."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "scontrol").write_text(_SCONTROL)
    (programs / "scontrol").chmod(0o755)
    work = folder / "work"
    work.mkdir()
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "JOBPOOL"))}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": path, "LC_ALL": "C.UTF-8", "COLUMNS": "120", "TERM": "dumb"}
    script = "".join(f"{one.command}\necho '{_MARK}'$?\n" for one in steps)
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=work,
        env=outside | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=True,
    )
    pieces = re.split(rf"^{_MARK}(\d+)\n", ended.stdout, flags=re.MULTILINE)
    return [(out, int(code)) for out, code in zip(pieces[::2], pieces[1::2], strict=False)]


def as_shown(printed: str, shown: str) -> bool:
    """Say whether a page shows what was printed; nothing shown stands for anything."""
    squeezed = ["\n".join(line.rstrip() for line in t.splitlines()) for t in (printed, shown)]
    pattern = re.escape(squeezed[1]).replace(r"\.\.\.", ".*")
    return not shown.strip() or re.fullmatch(pattern, squeezed[0], re.DOTALL) is not None


def code_shown(step: Step) -> int:
    """Return the exit code that what a page shows stands for."""
    return 1 if "jobpool: " in step.shown else 0


@pytest.mark.parametrize("page", [page for page in PAGES if steps_of(page)])
def test_the_commands_of_a_page_print_what_it_shows(page: str, tmp_path: Path) -> None:
    steps = steps_of(page)

    printed = printed_by(steps, tmp_path)

    wrong = [
        f"$ {step.command}\n{out}[code {code}]\nbut the page shows:\n{step.shown}"
        for step, (out, code) in zip(steps, printed, strict=True)
        if code != code_shown(step) or not as_shown(out, step.shown)
    ]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("page", [*PAGES, "examples/nback-flanker/README.md"])
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    targets = [(CHECKOUT / page).parent / target for target, _ in _LINK.findall(text_of(page))]

    assert [target for target in targets if not target.exists()] == []


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that a page's headings have where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_a_page_leads_to_a_heading(page: str) -> None:
    here = CHECKOUT / page
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text_of(page))

    found = {
        anchor: anchors_of(here.parent / target if target else here) for target, anchor in links
    }

    assert [anchor for anchor, known in found.items() if anchor not in known] == []


def test_the_readme_links_to_every_page() -> None:
    linked = {target for target, _ in _LINK.findall(text_of("README.md"))}

    assert set(PAGES) - linked == {"README.md"}


def commands_with_help() -> dict[str, str]:
    """Return every command, those of a group among them, with the text of its help."""
    found: dict[str, str] = {}
    for name in COMMANDS:
        command = getattr(import_module(f"jobpool.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            inner = [one.callback for one in command.registered_commands if one.callback]
            found |= {f"{name} {one.__name__}": str(one.__doc__) for one in inner}
        else:
            found[name] = str(command.__doc__)
    return found


HELP = commands_with_help()


@pytest.mark.parametrize("command", HELP)
def test_the_help_of_a_command_holds_an_example(command: str) -> None:
    assert f"\n    jobpool {command} " in HELP[command]


@pytest.mark.parametrize("command", HELP)
def test_every_option_of_a_command_is_in_its_section(command: str) -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "jobpool", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", helped.stdout, flags=re.MULTILINE)
    _, _, section = text_of("docs/commands.md").partition(f"\n## {command.split(maxsplit=1)[0]}\n")

    missing = {one for one in options if f"`{one}" not in section.partition("\n## ")[0]}

    assert missing <= {"--help"}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_example_has_no_wrong_setting(name: str) -> None:
    experiment = load_experiment(CHECKOUT / "configs" / name, axes=(), runners=tuple(RUNNERS))
    section = Reader(experiment.file, experiment.section, "evaluate")

    read_evaluate_settings(section)

    section.finish()


def test_the_example_with_data_has_sixteen_tasks() -> None:
    experiment = load_experiment(CHECKOUT / "configs" / "nback-flanker.yaml")

    grid = Evaluate(experiment).task_grid()

    assert np.count_nonzero(~grid.parts.is_dormant) == 16


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "nback-flanker.yaml"])
def test_every_pass_of_an_example_has_resources(name: str) -> None:
    experiment = load_experiment(CHECKOUT / "configs" / name, axes=())

    assert experiment.passes


def known_keys(file: Path, text: str) -> set[str]:
    """Return the keys that the program names when it meets one that it does not know."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(file)
    listed = [re.search(r"known here: ([^;]*)", one.advice) for one in caught.value.problems]
    return {key for found in listed if found for key in found[1].split(", ")}


def read(file: Path) -> Experiment:
    """Read a whole experiment but for its axes, or raise all its problems."""
    experiment = load_experiment(file, axes=())
    section = Reader(file, experiment.section, "evaluate")
    read_evaluate_settings(section)
    section.finish()
    return experiment


def test_every_key_is_on_its_page(tmp_path: Path) -> None:
    page = text_of("docs/experiment-file.md")
    top = "runner: evaluate\naxes: {}\nx: 1\nworkers: {x: 1}\n"
    one = "passes: {p: {x: 1, memory_gb: 1, walltime: 1h}}\n"
    inner = (
        "runner: evaluate\naxes: {}\nevaluate: {maps: m, participants: p, x: 1, by_fold: {x: 1}}\n"
    )
    keys = known_keys(tmp_path / "a.yaml", top + one) | known_keys(tmp_path / "b.yaml", inner)

    missing = {key for key in keys if f"`{key}`" not in page}

    assert len(keys) > 25
    assert missing == set()


def test_the_first_sbatch_line_of_the_slurm_page_is_one_that_is_printed() -> None:
    lines = [line for one in steps_of("docs/slurm.md") for line in one.shown.splitlines()]
    first = next(line for line in lines if line.startswith("sbatch "))

    assert {"--parsable", "--cpus-per-task=1"} <= set(shlex.split(first))
