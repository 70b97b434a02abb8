"""Spaces: what the vertices of a map or a parcellation are, as far as its file says so.

A plain array says how many there are. A volume also has a grid and an affine, a CIFTI file its
brain models with the grid and affine of their voxels, a GIFTI file may name its structure, a pair
of hemispheres has a number of vertices in each.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobpool.errors import DataError

HEMISPHERE = "{hemisphere}"  # in a path: L, then R

Affine = tuple[float, ...]  # 16 numbers, row by row
_TOLERANCE = 1e-3  # of a voxel, at the corners of the grid: files keep affines in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What is known about the vertices of a file; None where the file does not say."""

    n_vertices: int
    grid: tuple[int, ...] | None = None  # voxels along each axis of a volume
    affine: tuple[float, ...] | None = None  # its 16 numbers, row by row: voxels to millimetres
    hemispheres: tuple[int, ...] | None = None  # vertices of the left one, then of the right one
    models: str | None = None  # digest of the brain models of a CIFTI file
    two_affines: bool = False  # a NIfTI file whose qform says something else than its sform
    structures: tuple[str, ...] = ()  # such as cortexleft, one a side; empty where none is named

    @property
    def informed(self) -> bool:
        """Say whether more is known than the number of vertices."""
        return (self.grid, self.hemispheres, self.models) != (None, None, None)


class HasSpace(Protocol):
    """Anything with a space: a parcellation, or what is remembered of one."""

    @property
    def space(self) -> Space:
        """Return the space."""
        ...


def sides(text: str) -> tuple[str, ...]:
    """Return the files that a text stands for: those of both hemispheres, or itself.

    Examples
    --------
    >>> sides("a.{hemisphere}.gii"), sides("a.npy")
    (('a.L.gii', 'a.R.gii'), ('a.npy',))
    """
    if HEMISPHERE not in text:
        return (text,)
    return tuple(text.replace(HEMISPHERE, side) for side in ("L", "R"))


def structure(name: str) -> str:
    """Return the name of a structure in the one form that is compared.

    Examples
    --------
    >>> structure("CortexLeft"), structure("CIFTI_STRUCTURE_CORTEX_LEFT")
    ('cortexleft', 'cortexleft')
    """
    return name.upper().removeprefix("CIFTI_STRUCTURE_").replace("_", "").lower()


def join(spaces: tuple[Space, ...], where: object = "") -> Space:
    """Return the space of files whose vertices are put one after the other: left, then right.

    Raises
    ------
    DataError
        If a file says that it is the other hemisphere; `where` names the files.
    """
    if len(spaces) == 1:
        return spaces[0]
    named = [space.structures[0] if space.structures else "" for space in spaces]
    for side, other, name in zip(("left", "right"), ("right", "left"), named, strict=True):
        if name.endswith(other):
            what = f"says in its {side} file that it is the {other} hemisphere"
            raise DataError(str(where), f"{what}; exchange the files, or correct what it says")
    sizes = tuple(space.n_vertices for space in spaces)
    models = [space.models for space in spaces if space.models is not None]
    return Space(
        n_vertices=sum(sizes),
        hemispheres=sizes,
        models="+".join(models) if len(models) == len(spaces) else None,
        structures=tuple(named) if any(named) else (),
    )


def difference(one: Space, other: Space) -> str | None:
    """Return how `one` differs from `other` in words, or None if they may be the same.

    Examples
    --------
    >>> difference(Space(n_vertices=4), Space(n_vertices=5))
    '4 vertices, not 5'
    >>> difference(Space(n_vertices=4), Space(n_vertices=4, grid=(2, 2, 1)))
    """
    if one.n_vertices != other.n_vertices:
        return f"{one.n_vertices} vertices, not {other.n_vertices}{_grids(one, other)}"
    if one.hemispheres and other.hemispheres and one.hemispheres != other.hemispheres:
        return f"hemispheres of {one.hemispheres} vertices, not {other.hemispheres}"
    if one.models and other.models and one.models != other.models:
        return "other brain models: the same number of grayordinates elsewhere in the brain"
    if one.grid and other.grid and bool(one.models) != bool(other.models):
        kinds = ("grayordinates", "the voxels of a volume")
        return "{}, not {}".format(*(kinds if one.models else kinds[::-1]))
    for here, there in zip(one.structures, other.structures, strict=False):
        if here and there and here != there:
            return f"the structure {here}, not {there}"
    return _shift(one, other)


def _grids(one: Space, other: Space) -> str:
    return f" (a grid of {one.grid}, not {other.grid})" if one.grid and other.grid else ""


def _shift(one: Space, other: Space) -> str | None:
    """Compare the grids of two volumes, and where they put their corners."""
    if one.grid is None or other.grid is None:
        return None
    if one.grid != other.grid:
        return f"{one.n_vertices} vertices{_grids(one, other)}"
    if one.affine is None or other.affine is None:
        return None
    apart, voxel = corners_apart(one.grid, one.affine, other.affine)
    if apart <= _TOLERANCE * voxel:
        return None
    return f"the same grid, but its corners are up to {apart:.3g} mm away: another affine"


def is_same_affine(grid: tuple[int, ...], one: Affine, other: Affine) -> bool:
    """Say whether two affines put the corners of a grid in the same places."""
    apart, voxel = corners_apart(grid, one, other)
    return apart <= _TOLERANCE * voxel


def corners_apart(grid: tuple[int, ...], one: Affine, other: Affine) -> tuple[float, float]:
    """Return how far two affines put a corner of a grid apart, and the size of a voxel."""
    first, second = np.reshape(one, (4, 4)), np.reshape(other, (4, 4))
    ends = [(0, size - 1) for size in grid]
    corners = np.stack(np.meshgrid(*ends, [1.0], indexing="ij"), axis=-1).reshape(-1, 4)
    apart = np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max()
    return float(apart), float(np.linalg.norm(second[:3, :3], axis=0).min())


def check_space(maps: Space, parcellation: HasSpace) -> str | None:
    """Return what is wrong with a parcellation for maps of a space, or None if it fits.

    Parameters
    ----------
    maps : Space
        From `Maps.space`.
    parcellation : Parcellation or ParcellationSummary
        Over the same vertices, if all is well.
    """
    found = difference(parcellation.space, maps)
    if found is None:
        return None
    return f"does not fit the maps: it has {found}; give a parcellation in the space of the maps"
