"""Meshes that random parcellations grow over, and the text that says which one is meant.

``random:MESH?size=100&repeat=1&seed=1&mask=MASK``: MESH is a GIFTI surface, a ``.npy`` of
triangles, or a NIfTI mask whose voxels above 0 are neighbours if they share a face. Zeros of MASK,
which may be left out, stay background. Reads, never writes.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from jobpool.brain.arrays import Array, locate
from jobpool.brain.images import is_image, open_image, read_triangles
from jobpool.brain.parcel_files import Labels
from jobpool.brain.random import Booleans, Graph, Integers, grow, make_graph
from jobpool.brain.spaces import Space, difference, join, sides
from jobpool.errors import DataError

PREFIX = "random:"
_SURFACES = (".gii", ".gii.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a random parcellation is grown from."""

    mesh: str
    mask: str | None
    size: int
    repeat: int
    seed: int

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files of mesh and mask."""
        return (*sides(self.mesh), *(sides(self.mask) if self.mask else ()))


def is_random(text: str) -> bool:
    """Say whether a text means a random parcellation."""
    return text.startswith(PREFIX)


def read_recipe(text: str) -> Recipe:
    """Return what ``random:MESH?size=100&repeat=1&seed=1&mask=MASK`` says.

    Raises
    ------
    DataError
        If it says something else.

    Examples
    --------
    >>> read_recipe("random:a.npy?size=10&repeat=2&seed=1")
    Recipe(mesh='a.npy', mask=None, size=10, repeat=2, seed=1)
    """
    mesh, _, query = text.removeprefix(PREFIX).partition("?")
    pairs = [part.partition("=") for part in query.split("&")]
    given = {name: unquote(value) for name, _, value in pairs}
    try:
        return Recipe(
            mesh=unquote(mesh),
            mask=given.pop("mask", None),
            **{name: int(value) for name, value in given.items()},
        )
    except (ValueError, TypeError) as error:
        what = "is no random parcellation; write random:MESH?size=100&repeat=1&seed=1"
        raise DataError(text, what) from error


def grow_labels(recipe: Recipe, folder: Path) -> Labels:
    """Return the random parcellation of a recipe.

    Raises
    ------
    DataError
        If mesh or mask cannot be used, or there are more parcels than vertices.
    """
    graph, inside, space = _read_mesh(recipe.mesh, folder)
    if recipe.mask is not None:
        inside = inside & _read_mask(recipe.mask, folder, space)
    chance = f"{recipe.seed},{recipe.repeat},{recipe.size}"
    try:
        values = grow(graph, inside, recipe.size, chance)
    except ValueError as error:
        what = f"{error}; ask for fewer, or give a finer mesh"
        raise DataError(folder / recipe.mesh, what) from error
    return Labels(values=values, space=space)


def _read_mesh(text: str, folder: Path) -> tuple[Graph, Booleans, Space]:
    """Return the neighbours of all vertices, which of them are inside, and the space."""
    if is_image(text) and not text.endswith(_SURFACES):
        return _read_grid(folder / text)
    edges: list[Integers] = []
    spaces: list[Space] = []
    for side in sides(text):
        triangles, n_vertices = _read_triangles(side, folder)
        before = sum(space.n_vertices for space in spaces)
        edges += [triangles[:, pair] + before for pair in ([0, 1], [1, 2], [2, 0])]
        spaces.append(Space(n_vertices=n_vertices))
    space = join(tuple(spaces))
    inside = np.ones(space.n_vertices, np.bool_)
    return make_graph(np.concatenate(edges), space.n_vertices), inside, space


def _read_triangles(text: str, folder: Path) -> tuple[Integers, int]:
    if text.endswith(_SURFACES):
        triangles, n_vertices = read_triangles(folder / text)
    else:
        triangles = locate(text, folder).read()
        n_vertices = int(triangles.max(initial=-1)) + 1
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        what = f"has {triangles.dtype} of shape {triangles.shape}; give integers (triangles, 3)"
        raise DataError(folder / text, what)
    if not triangles.size or triangles.min() < 0 or triangles.max() >= n_vertices:
        what = f"has triangles of vertices that do not exist; they go from 0 to {n_vertices - 1}"
        raise DataError(folder / text, what)
    return triangles.astype(np.int64), n_vertices


def _read_grid(path: Path) -> tuple[Graph, Booleans, Space]:
    image = open_image(path)
    if image.space.grid is None or image.n_columns != 1:
        raise DataError(path, "is no mask; give a GIFTI surface or one NIfTI volume")
    inside = image.columns().reshape(image.space.grid) > 0
    numbers = np.arange(inside.size).reshape(inside.shape)
    edges = []
    for axis in range(3):
        here, there = (np.delete(numbers, end, axis).ravel() for end in (-1, 0))
        both = inside.ravel()[here] & inside.ravel()[there]
        edges.append(np.stack([here[both], there[both]], axis=1))
    return make_graph(np.concatenate(edges), inside.size), inside.ravel(), image.space


def _read_mask(text: str, folder: Path, space: Space) -> Booleans:
    parts = [_read_one_mask(side, folder) for side in sides(text)]
    apart = difference(join(tuple(found for _, found in parts)), space)
    if apart is not None:
        raise DataError(folder / text, f"has {apart} as in the mesh; give a mask of its vertices")
    return np.concatenate([np.isfinite(values) & (values != 0) for values, _ in parts])


def _read_one_mask(text: str, folder: Path) -> tuple[Array, Space]:
    if is_image(text):
        image = open_image(folder / text)
        values, space = image.columns(), image.space
    else:
        values = locate(text, folder).read()
        space = Space(n_vertices=len(values) if values.ndim else 1)
    if values.size != space.n_vertices:
        raise DataError(folder / text, f"has shape {values.shape}; give one value per vertex")
    return values.ravel(), space
