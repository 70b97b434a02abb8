"""Random parcellations: regions that grow over a mesh from seed vertices until they meet.

``random:MESH?size=100&repeat=1&seed=1&mask=MASK`` says which one is meant. MESH is a GIFTI surface,
a ``.npy`` of triangles, or a NIfTI mask whose voxels above 0 are neighbours if they share a face.
Zeros of MASK, which may be left out, stay background.

A parcellation is the same to the bit on every platform and with every version of the libraries:
chance comes from `random.Random.random` alone, whose numbers Python promises to keep, and
everything after it is done in whole numbers. Reads, never writes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from jobpool.brain.arrays import Array, locate
from jobpool.brain.images import is_image, is_surface, open_image, read_triangles
from jobpool.brain.parcel_files import Labels
from jobpool.brain.spaces import Space, difference, join, sides
from jobpool.errors import DataError

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
PREFIX = "random:"


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Which vertices are neighbours: those of vertex v are indices[starts[v]:starts[v + 1]]."""

    starts: Integers
    indices: Integers

    @property
    def n_vertices(self) -> int:
        """Return the number of vertices."""
        return len(self.starts) - 1


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
    if is_image(text) and not is_surface(text):
        return _read_grid(folder / text)
    edges: list[Integers] = []
    spaces: list[Space] = []
    for side in sides(text):
        triangles, of_side = _read_triangles(side, folder)
        before = sum(space.n_vertices for space in spaces)
        edges += [triangles[:, pair] + before for pair in ([0, 1], [1, 2], [2, 0])]
        spaces.append(of_side)
    space = join(tuple(spaces), folder / text)
    inside = np.ones(space.n_vertices, np.bool_)
    return make_graph(np.concatenate(edges), space.n_vertices), inside, space


def _read_triangles(text: str, folder: Path) -> tuple[Integers, Space]:
    if is_surface(text):
        triangles, space = read_triangles(folder / text)
    else:
        triangles = locate(text, folder).read()
        space = Space(n_vertices=int(triangles.max(initial=-1)) + 1)
    n_vertices = space.n_vertices
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        what = f"has {triangles.dtype} of shape {triangles.shape}; give integers (triangles, 3)"
        raise DataError(folder / text, what)
    if not triangles.size or triangles.min() < 0 or triangles.max() >= n_vertices:
        what = f"has triangles of vertices that do not exist; they go from 0 to {n_vertices - 1}"
        raise DataError(folder / text, what)
    return triangles.astype(np.int64), space


def _read_grid(path: Path) -> tuple[Graph, Booleans, Space]:
    image = open_image(path)
    if image.kind != "volume" or image.space.grid is None or image.n_columns != 1:
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
    apart = difference(join(tuple(found for _, found in parts), text), space)
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


def make_graph(edges: Integers, n_vertices: int) -> Graph:
    """Return the graph of some edges, shape (n_edges, 2); each may be given more than once."""
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[both[:, 0] != both[:, 1]]
    pairs = np.unique(both[:, 0] * n_vertices + both[:, 1])
    starts = np.searchsorted(pairs, np.arange(n_vertices + 1, dtype=np.int64) * n_vertices)
    return Graph(starts=starts.astype(np.int64), indices=pairs % n_vertices)


def grow(graph: Graph, inside: Booleans, n_parcels: int, seed: str) -> Integers:
    """Return a random parcellation of the vertices inside, each parcel connected.

    Seeds are drawn from every connected part in proportion to its size, by the largest remainder;
    a part too small for a seed of its own stays background. They grow as `spread` says.

    Parameters
    ----------
    graph : Graph
        Of n vertices.
    inside : ndarray of shape (n_vertices,), bool
        Other vertices stay background.
    n_parcels : int
        At least 1 and at most the number of vertices inside.
    seed : str
        Another text gives another parcellation.

    Returns
    -------
    ndarray of shape (n_vertices,), int64
        0 for background, else 1 to `n_parcels` in the order of the seed vertices; all occur.

    Raises
    ------
    ValueError
        If there are fewer vertices than parcels.
    """
    n_inside = int(inside.sum())
    if not 1 <= n_parcels <= n_inside:
        raise ValueError(f"{n_parcels} parcels cannot be grown from {n_inside} vertices")
    digest = hashlib.sha256(seed.encode()).digest()
    chance = Random(int.from_bytes(digest))
    return spread(graph, inside, _draw_seeds(_parts(graph, inside), n_parcels, chance))


def spread(graph: Graph, inside: Booleans, seeds: Integers) -> Integers:
    """Return the regions that grow from some vertices, labelled from 1 in their order.

    All grow at once, in rounds: each takes the free neighbours of what it took in the round
    before. A vertex that several could take goes to the one that was smallest before the round,
    among equals to the one with the smallest label.

    Parameters
    ----------
    graph : Graph
        Of n vertices.
    inside : ndarray of shape (n_vertices,), bool
        Other vertices stay background.
    seeds : ndarray of shape (n_parcels,), int64
        Different vertices inside.

    Returns
    -------
    ndarray of shape (n_vertices,), int64
        0 for what is not reached.
    """
    n_parcels = len(seeds)
    labels = np.zeros(graph.n_vertices, np.int64)
    labels[seeds] = np.arange(1, n_parcels + 1)
    sizes = np.bincount(labels, minlength=n_parcels + 1)
    latest = seeds
    while latest.size:
        vertices, takers = _neighbours(graph, latest, labels)
        free = inside[vertices] & (labels[vertices] == 0)
        vertices, takers = vertices[free], takers[free]
        order = np.lexsort((takers, sizes[takers], vertices))
        vertices, takers = vertices[order], takers[order]
        first = np.ones(len(vertices), np.bool_)
        first[1:] = vertices[1:] != vertices[:-1]
        latest = vertices[first]
        labels[latest] = takers[first]
        sizes += np.bincount(takers[first], minlength=n_parcels + 1)
    return labels


def _neighbours(graph: Graph, vertices: Integers, labels: Integers) -> tuple[Integers, Integers]:
    """Return the neighbours of some vertices, and the label of the vertex each is next to."""
    starts = graph.starts[vertices]
    counts = graph.starts[vertices + 1] - starts
    before = np.cumsum(counts) - counts
    places = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return graph.indices[places], np.repeat(labels[vertices], counts)


def _parts(graph: Graph, inside: Booleans) -> list[Integers]:
    """Return the vertices of each connected part, in the order of their first vertices."""
    sources = np.repeat(np.arange(graph.n_vertices), np.diff(graph.starts))
    kept = inside[sources] & inside[graph.indices]
    ends = (sources[kept], graph.indices[kept])
    shape = (graph.n_vertices, graph.n_vertices)
    matrix = sparse.csr_matrix((np.ones(len(ends[0]), np.int8), ends), shape=shape)
    _, part = connected_components(matrix, directed=False)
    vertices = np.flatnonzero(inside)
    by_part = vertices[np.argsort(part[vertices], kind="stable")]
    borders = np.flatnonzero(np.diff(part[by_part])) + 1
    return sorted(np.split(by_part, borders), key=lambda one: int(one[0]))


def _draw_seeds(parts: list[Integers], n_seeds: int, chance: Random) -> Integers:
    """Return different vertices in ascending order, from each part in proportion to its size."""
    total = sum(len(part) for part in parts)
    quotas = [n_seeds * len(part) // total for part in parts]
    remainders = [n_seeds * len(part) % total for part in parts]
    # a stable sort: among equal remainders the part with the smallest vertex comes first
    order = sorted(range(len(parts)), key=lambda one: -remainders[one])
    for one in order[: n_seeds - sum(quotas)]:
        quotas[one] += 1
    drawn: list[int] = []
    for part, quota in zip(parts, quotas, strict=True):
        left = part.tolist()
        for _ in range(quota):
            place = int(chance.random() * len(left))
            left[place], left[-1] = left[-1], left[place]
            drawn.append(left.pop())
    return np.array(sorted(drawn), dtype=np.int64)
