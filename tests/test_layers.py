"""Imports point down only."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jobpool

PACKAGE = Path(jobpool.__file__).parent
DOOR = PACKAGE / "__init__.py"  # below all for its version; it loads what is public when asked

# a module may import from any line above its own; inside one package also from its own
LAYERS = (
    {"errors", "__init__"},
    {"task", "units", "extras"},
    {"files", "disk", "reader", "assets", "fingerprint", "shapes"},
    {"journal"},
    {"axes", "lock", "table", "workerfiles", "turns", "processes", "stopping"},
    {"grid", "records", "poolinfo"},
    {"experiment", "shard_file"},
    {"selection", "index", "state", "results", "attempts", "cards", "brain", "analysis"},
    {"pool", "affinity", "layout", "scheduler", "cache", "learning"},
    {"puller", "making", "extending", "liveness", "runners", "needs", "moves", "nodes"},
    {"supervisor", "checks", "fitting", "doubts", "execution", "admin"},
    {"runs"},
    {"worker", "status"},
    {"plan"},
    {"overview"},
    {"report"},
    {"api"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "jobpool":
                yield parts[1] if parts[1] in HEIGHT else "__init__"


def upward_imports() -> list[str]:
    return [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path in PACKAGE.rglob("*.py")
        if path != DOOR
        for imported in imported_rooms(path)
        if imported != room_of(path) and HEIGHT[imported] >= HEIGHT[room_of(path)]
    ]


def test_every_room_has_a_layer() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")}

    assert rooms - HEIGHT.keys() == set()


def test_imports_point_down_only() -> None:
    assert upward_imports() == []


def texts_in(path: Path) -> set[object]:
    """Return every text constant of a module that is a whole word, so no docstring."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in tree if isinstance(node, ast.Constant)}


def test_no_line_outside_the_science_knows_an_axis_by_name() -> None:
    science = {"brain", "learning", "runners", "cache", "analysis"}
    axes = {"parcellation", "pipeline", "target", "fold", "parcels"}

    knowing = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if room_of(path) not in science and texts_in(path) & axes
    ]

    assert knowing == []


def test_no_module_is_longer_than_300_lines() -> None:
    long = [p.name for p in PACKAGE.rglob("*.py") if len(p.read_text().splitlines()) > 300]

    assert long == []


# the keys of experiment files and of pools on disk, and what is read from them
KEYS = re.compile(r"\bask_slurm_(s|every)\b|\bsbatch=one\.texts\(\"sbatch\"\)|\bsbatch: tuple\b")
SLURMS = re.compile(r"slurm|sbatch|squeue|scontrol|scancel|\b(sacct|sinfo|srun)\b", re.IGNORECASE)


def lines_that_know_slurm() -> list[str]:
    return [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if room_of(path) not in {"scheduler", "cli"}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if SLURMS.search(KEYS.sub("", line))
    ]


def test_no_line_outside_the_schedulers_room_knows_slurm() -> None:
    assert lines_that_know_slurm() == []


def test_a_line_that_knows_slurm_would_be_found() -> None:
    assert SLURMS.search(KEYS.sub("", "    # as SLURM says"))
    assert not SLURMS.search(KEYS.sub("", 'reader.duration("ask_slurm_every")'))
