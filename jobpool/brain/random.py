"""Random parcellations: regions that grow from seed vertices until they meet.

The same to the bit on every platform and with every version of the libraries: chance comes from
`random.Random.random` alone, whose numbers Python promises to keep, and everything after it is
done in whole numbers.
"""

import hashlib
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Which vertices are neighbours: those of vertex v are indices[starts[v]:starts[v + 1]]."""

    starts: Integers
    indices: Integers

    @property
    def n_vertices(self) -> int:
        """Return the number of vertices."""
        return len(self.starts) - 1


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
