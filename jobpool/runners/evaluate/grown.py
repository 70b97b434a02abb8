"""Axis values that are grown at random over a mesh; what each is made from is its source."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jobpool.experiment.axes import Pairs, ValueForm, whole_numbers
from jobpool.experiment.reader import Reader

_BRACES = re.compile(r"\{\w+\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What values are grown over, as it stands in their sources."""

    mesh: str
    mask: str | None

    def source(self, size: int, repeat: int, seed: int) -> str:
        """Return the source of one value."""
        end = f"&mask={self.mask}" if self.mask else ""
        return f"random:{self.mesh}?size={size}&repeat={repeat}&seed={seed}{end}"


def read_ground(reader: Reader, folder: Path) -> Ground:
    """Return the mesh and the mask that are given, whose files must be there."""
    mesh, mask = reader.text("mesh"), reader.optional_text("mask")
    for key, path in (("mesh", mesh), ("mask", mask)):
        # a name in braces stands for several files
        pattern = _BRACES.sub("*", glob.escape(path or ""))
        if path and not glob.glob(pattern, root_dir=folder):  # noqa: PTH207
            reader.problem(key, path, f"matches no file in {folder}; correct the path")
    return Ground(mesh=_quoted(folder, mesh), mask=_quoted(folder, mask) if mask else None)


def from_random(given: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:  # noqa: ARG001
    """Return one value per size and repeat."""
    reader = given.child("random")
    ground = read_ground(reader, folder)
    sizes = whole_numbers(reader, "sizes", least=1, example=100)
    repeats, seed = reader.whole("repeats", default=1, least=1), reader.whole("seed", 0, least=0)
    return [
        (f"random_{size}_{repeat}", ground.source(size, repeat, seed))
        for size in sizes
        for repeat in range(1, repeats + 1)
    ]


def _quoted(folder: Path, path: str) -> str:
    """Return a path for use in a source, in which ? & = % and what is not ASCII mean more."""
    return quote(str(folder / path), safe="/{}: ,+@~()[]")


GROWN = ValueForm(keys=("random",), example="{random: ...}", expand=from_random)
