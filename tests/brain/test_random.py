"""Random parcellations grown over a mesh."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from jobpool.brain.arrays import Array
from jobpool.brain.parcellations import describe_parcellation, read_parcellation
from jobpool.brain.random import Graph, grow, make_graph, spread
from jobpool.errors import DataError
from tests.support.brain_images import icosphere, write_gifti, write_nifti, write_surface

TRIANGLES, N = icosphere(3)  # 642 vertices


def sphere() -> Graph:
    edges = np.concatenate([TRIANGLES[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    return make_graph(edges, N)


def path_of(n_vertices: int) -> Graph:
    """Return vertices in a row."""
    numbers = np.arange(n_vertices)
    return make_graph(np.stack([numbers[:-1], numbers[1:]], axis=1), n_vertices)


def grown(graph: Graph, n_parcels: int, seed: str = "1") -> Array:
    return grow(graph, np.ones(graph.n_vertices, np.bool_), n_parcels, seed)


def n_pieces(graph: Graph, labels: Array) -> int:
    """Return the number of connected pieces that the labels cut the vertices into."""
    sources = np.repeat(np.arange(graph.n_vertices), np.diff(graph.starts))
    same = labels[sources] == labels[graph.indices]
    ends = (sources[same], graph.indices[same])
    shape = (graph.n_vertices, graph.n_vertices)
    matrix = sparse.csr_matrix((np.ones(same.sum()), ends), shape=shape)
    return int(connected_components(matrix, directed=False)[0])


def labels_of(folder: Path, text: str) -> Array:
    parcellation = read_parcellation(text, folder)
    return np.asarray(parcellation.labels @ parcellation.weights, np.int64)


@pytest.mark.parametrize("n_parcels", [1, 7, 100, N])
def test_every_parcel_is_one_piece(n_parcels: int) -> None:
    graph = sphere()

    labels = grown(graph, n_parcels)

    assert np.unique(labels).tolist() == list(range(1, n_parcels + 1))
    assert n_pieces(graph, labels) == n_parcels


def test_a_random_parcellation_is_the_same_everywhere() -> None:
    labels = grown(sphere(), 50, "1,2,50")

    digest = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()

    assert digest == "b04920323a08f96886cd65d8935f3df82ddcb6ae2bfaa4315f0c1fc51ade3162"


def test_another_seed_gives_another_parcellation() -> None:
    graph = sphere()

    assert grown(graph, 50, "1").tolist() != grown(graph, 50, "2").tolist()


def test_labels_follow_the_order_of_the_seeds() -> None:
    labels = grown(path_of(100), 10)

    assert (np.diff(labels) >= 0).all()


def test_what_is_outside_stays_background() -> None:
    graph, inside = sphere(), np.arange(N) % 5 > 0

    labels = grow(graph, inside, 20, "1")

    assert not labels[~inside].any()
    assert len(np.unique(labels)) == 21


def test_seeds_are_shared_by_the_size_of_the_parts() -> None:
    rows = np.array([*range(59), *range(60, 99)])  # in a row 60 vertices, then 40
    graph = make_graph(np.stack([rows, rows + 1], axis=1), 100)

    labels = grown(graph, 5)

    assert len(np.unique(labels[:60])) == 3
    assert len(np.unique(labels[60:])) == 2


def test_a_part_too_small_for_a_seed_stays_background() -> None:
    graph = make_graph(np.stack([np.arange(98), np.arange(1, 99)], axis=1), 100)

    labels = grown(graph, 4)

    assert np.flatnonzero(labels == 0).tolist() == [99]


def test_every_vertex_may_be_a_parcel_of_its_own() -> None:
    graph = make_graph(np.array([[0, 1], [2, 3]]), 5)

    assert grown(graph, 5).tolist() == [1, 2, 3, 4, 5]


def test_a_free_vertex_goes_to_the_smallest_region() -> None:
    edges = np.array([[0, 1], [0, 5], [0, 6], [3, 2], [1, 4], [2, 4]])  # 4 is two steps from both

    labels = spread(make_graph(edges, 7), np.ones(7, np.bool_), np.array([0, 3]))

    assert labels.tolist() == [1, 1, 2, 2, 2, 1, 1]


def test_among_regions_of_one_size_it_goes_to_the_first() -> None:
    edges = np.array([[0, 1], [3, 2], [1, 4], [2, 4]])

    labels = spread(make_graph(edges, 5), np.ones(5, np.bool_), np.array([0, 3]))

    assert labels.tolist() == [1, 1, 2, 2, 1]


def test_more_parcels_than_vertices_are_refused(tmp_path: Path) -> None:
    write_surface(tmp_path / "s.gii", TRIANGLES, N)

    with pytest.raises(DataError, match="643 parcels cannot be grown from 642 vertices; ask for"):
        read_parcellation("random:s.gii?size=643&repeat=1&seed=1", tmp_path)


def test_a_surface_and_its_triangles_give_the_same_parcellation(tmp_path: Path) -> None:
    write_surface(tmp_path / "s.surf.gii", TRIANGLES, N)
    np.save(tmp_path / "s.npy", TRIANGLES)
    texts = [f"random:{name}?size=30&repeat=1&seed=1" for name in ("s.surf.gii", "s.npy")]

    digests = {read_parcellation(text, tmp_path).digest() for text in texts}

    assert len(digests) == 1


@pytest.mark.parametrize("other", ["size=31&repeat=1&seed=1", "size=30&repeat=2&seed=1",
                                   "size=30&repeat=1&seed=2"])  # fmt: skip
def test_size_repeat_seed_each_give_another_one(tmp_path: Path, other: str) -> None:
    np.save(tmp_path / "s.npy", TRIANGLES)
    texts = [f"random:s.npy?{one}" for one in ("size=30&repeat=1&seed=1", other)]

    one, two = (labels_of(tmp_path, text) for text in texts)

    assert one.tolist() != two.tolist()


def test_regions_never_leave_their_hemisphere(tmp_path: Path) -> None:
    for side in ("L", "R"):
        write_surface(tmp_path / f"s.{side}.gii", TRIANGLES, N)

    text = "random:s.{hemisphere}.gii?size=40&repeat=1&seed=1"
    labels = labels_of(tmp_path, text)

    assert describe_parcellation(text, tmp_path).space.hemispheres == (N, N)
    assert np.unique(labels[:N]).tolist() == list(range(1, 21))
    assert np.unique(labels[N:]).tolist() == list(range(21, 41))


def test_zeros_of_the_mask_stay_background(tmp_path: Path) -> None:
    mask = np.arange(N) >= 42
    write_surface(tmp_path / "s.gii", TRIANGLES, N)
    write_gifti(tmp_path / "mask.gii", mask.astype(np.float32))

    labels = labels_of(tmp_path, "random:s.gii?size=5&repeat=1&seed=1&mask=mask.gii")

    assert ((labels > 0) == mask).all()


def test_a_mask_of_other_vertices_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", TRIANGLES)
    np.save(tmp_path / "m.npy", np.ones(7, np.bool_))

    with pytest.raises(DataError, match="has 7 vertices, not 642 as in the mesh"):
        read_parcellation("random:s.npy?size=5&repeat=1&seed=1&mask=m.npy", tmp_path)


def test_voxels_are_neighbours_where_they_share_a_face(tmp_path: Path) -> None:
    mask = np.zeros((3, 2, 2), np.uint8)
    mask[0, 0, 0] = mask[1, 0, 0] = mask[2, 1, 0] = mask[2, 1, 1] = 1  # a corner in between
    write_nifti(tmp_path / "mask.nii.gz", mask)

    text = "random:mask.nii.gz?size=2&repeat=1&seed=1"
    labels = labels_of(tmp_path, text).reshape(3, 2, 2)

    assert labels[0, 0, 0] == labels[1, 0, 0] == 1
    assert labels[2, 1, 0] == labels[2, 1, 1] == 2
    assert labels.sum() == 6
    assert describe_parcellation(text, tmp_path).space.grid == (3, 2, 2)


def test_a_summary_of_a_random_parcellation_is_made_anew_for_another_mesh(tmp_path: Path) -> None:
    text = "random:s.npy?size=5&repeat=1&seed=1"
    np.save(tmp_path / "s.npy", TRIANGLES)
    before = describe_parcellation(text, tmp_path)
    np.save(tmp_path / "s.npy", icosphere(2)[0])

    after = describe_parcellation(text, tmp_path)

    assert (before.kind, before.n_parcels) == (after.kind, after.n_parcels) == ("hard", 5)
    assert (before.n_vertices, after.n_vertices) == (642, 162)


@pytest.mark.parametrize("query", ["", "size=ten", "size=1&repeat=1&seed=1&colour=1", "size=1"])
def test_a_text_that_says_something_else_is_refused(tmp_path: Path, query: str) -> None:
    with pytest.raises(DataError, match="is no random parcellation; write random:MESH"):
        read_parcellation(f"random:s.npy?{query}", tmp_path)


@pytest.mark.parametrize(
    ("triangles", "said"),
    [
        (np.zeros((4, 2), np.int32), r"int32 of shape \(4, 2\); give integers"),
        (np.zeros((4, 3)), r"float64 of shape \(4, 3\); give integers"),
        (np.array([[0, 1, -1]]), "triangles of vertices that do not exist"),
        (np.zeros((0, 3), np.int32), "triangles of vertices that do not exist"),
    ],
)
def test_what_is_no_mesh_is_refused(tmp_path: Path, triangles: Array, said: str) -> None:
    np.save(tmp_path / "s.npy", triangles)

    with pytest.raises(DataError, match=said):
        read_parcellation("random:s.npy?size=1&repeat=1&seed=1", tmp_path)


def test_a_surface_with_triangles_beyond_its_points_is_refused(tmp_path: Path) -> None:
    write_surface(tmp_path / "s.gii", TRIANGLES, 600)

    with pytest.raises(DataError, match="they go from 0 to 599"):
        read_parcellation("random:s.gii?size=1&repeat=1&seed=1", tmp_path)


def test_an_image_without_triangles_is_no_mesh(tmp_path: Path) -> None:
    write_gifti(tmp_path / "s.gii", np.zeros(4, np.float32))

    with pytest.raises(DataError, match=r"has no triangles; give a \.surf\.gii file"):
        read_parcellation("random:s.gii?size=1&repeat=1&seed=1", tmp_path)


def test_a_large_mesh_has_as_many_parcels_as_asked_for(tmp_path: Path) -> None:
    triangles, n_vertices = icosphere(6)
    np.save(tmp_path / "s.npy", triangles)

    summary = describe_parcellation("random:s.npy?size=6000&repeat=1&seed=1", tmp_path)

    assert (summary.n_vertices, summary.n_parcels) == (n_vertices, 6000)


def test_several_volumes_are_no_mesh(tmp_path: Path) -> None:
    write_nifti(tmp_path / "m.nii", np.ones((2, 2, 2, 2), np.uint8))

    with pytest.raises(DataError, match="is no mask; give a GIFTI surface or one NIfTI volume"):
        read_parcellation("random:m.nii?size=1&repeat=1&seed=1", tmp_path)


def test_a_mask_has_one_value_per_vertex(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", TRIANGLES)
    np.save(tmp_path / "m.npy", np.ones((N, 2)))

    with pytest.raises(DataError, match=r"has shape \(642, 2\); give one value per vertex"):
        read_parcellation("random:s.npy?size=5&repeat=1&seed=1&mask=m.npy", tmp_path)
