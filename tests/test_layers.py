"""The house: rooms in one order, imports point down only, no circles, no module too long."""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import jobpool
from tests.support.places import CHECKOUT

PACKAGE = Path(jobpool.__file__).parent
PUBLIC = "jobpool"  # below all for its version; loads the public names when they are used

# from the ground up: a room imports only from rooms before it
ROOMS = (
    "errors",
    "task",
    "units",
    "installation",
    "disk",
    "brain",
    "table",
    "journal",
    "experiment",
    "analysis",
    "cache",
    "scheduler",
    "pool",
    "learning",
    "needs",
    "runners",
    "liveness",
    "execution",
    "admin",
    "worker",
    "checks",
    "collect",
    "plan",
    "overview",
    "report",
    "api",
    "cli",
    "__main__",
)
HEIGHT = {room: height for height, room in enumerate(ROOMS)}
MOST_LINES, MOST_LOOSE, MOST_LOOSE_TESTS = 500, 8, 5


def modules() -> dict[str, Path]:
    """Return the file of every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, also in a function or for types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from {name if name in known else str(node.module) for name in names} & set(known)


def imports() -> dict[str, set[str]]:
    known = modules()
    del known[PUBLIC]
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_module_has_a_room() -> None:
    rooms = {room_of(name) for name in imports()}

    assert rooms - HEIGHT.keys() == set()


def test_imports_point_down_only() -> None:
    upward = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if HEIGHT[room_of(other)] > HEIGHT[room_of(module)]
    ]

    assert upward == []


def test_no_imports_go_in_a_circle() -> None:
    circle: list[str] = []

    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        circle = error.args[1]

    assert circle == []


def texts_in(path: Path) -> set[object]:
    """Return every text constant of a module that is a whole word, so no docstring."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in tree if isinstance(node, ast.Constant)}


def test_no_line_outside_the_science_knows_an_axis_by_name() -> None:
    science = {"brain", "learning", "runners", "cache", "analysis"}
    axes = {"parcellation", "pipeline", "target", "fold", "parcels"}

    knowing = [
        name
        for name, path in modules().items()
        if name != PUBLIC and room_of(name) not in science and texts_in(path) & axes
    ]

    assert knowing == []


def test_no_module_is_too_long() -> None:
    long = [p.name for p in PACKAGE.rglob("*.py") if len(p.read_text().splitlines()) > MOST_LINES]

    assert long == []


def test_few_modules_stand_outside_a_room() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_LOOSE


def test_few_tests_stand_outside_a_room() -> None:
    assert len(list((CHECKOUT / "tests").glob("test_*.py"))) <= MOST_LOOSE_TESTS


# the keys of experiment files and of pools on disk, and what is read from them
KEYS = re.compile(r"\bask_slurm_(s|every)\b|\bsbatch=one\.texts\(\"sbatch\"\)|\bsbatch: tuple\b")
SLURMS = re.compile(r"slurm|sbatch|squeue|scontrol|scancel|\b(sacct|sinfo|srun)\b", re.IGNORECASE)


def lines_that_know_slurm() -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, path in modules().items()
        if name == PUBLIC or room_of(name) not in {"scheduler", "cli"}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if SLURMS.search(KEYS.sub("", line))
    ]


def test_no_line_outside_the_schedulers_room_knows_slurm() -> None:
    assert lines_that_know_slurm() == []


def test_a_line_that_knows_slurm_would_be_found() -> None:
    assert SLURMS.search(KEYS.sub("", "    # as SLURM says"))
    assert not SLURMS.search(KEYS.sub("", 'reader.duration("ask_slurm_every")'))


def test_only_the_pool_and_its_doctor_open_state_files() -> None:
    others = [name for name in imports() if room_of(name) not in {"table", "pool", "checks"}]

    opening = {name for name in others if opens_shards(modules()[name])}

    assert opening == set()


def opens_shards(path: Path) -> bool:
    """Say whether a file reads `Pool.shards` or imports `Shard`."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return any(isinstance(node, ast.Attribute) and node.attr == "shards" for node in nodes) or any(
        isinstance(node, ast.alias) and node.name == "Shard" for node in nodes
    )
