"""Files of participants whose names are spelt otherwise than the ids."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.maps import find_maps
from jobpool.brain.spelt_files import SpeltFiles
from jobpool.errors import DataError

COMPOSED, DECOMPOSED = "M\u00fcller", "Mu\u0308ller"


@pytest.mark.parametrize(
    ("template", "participant", "file"),
    [
        ("{participant}.npy", COMPOSED, f"{DECOMPOSED}.npy"),
        ("maps/sub-{participant}_x.npy", COMPOSED, f"maps/sub-{DECOMPOSED}_x.npy"),
        ("{participant}/{participant}.npy", COMPOSED, f"{DECOMPOSED}/{DECOMPOSED}.npy"),
        ("{participant}.npy", "Roy", "R\u200boy.npy"),
        ("{participant}.npy", "Le Roy", "Le\u00a0Roy.npy"),
        ("{participant}.npy", "Le Roy", "Le  Roy.npy"),
        ("a  b/{participant}.npy", "s1", "a  b/s1.npy"),
        ("maps.npz:{participant}", COMPOSED, f"maps.npz:{COMPOSED}"),
        ("{participant}.npy", "site/01", "site/01.npy"),
    ],
)
def test_a_file_is_found_by_the_normal_form_of_its_name(
    template: str, participant: str, file: str, tmp_path: Path
) -> None:
    path = tmp_path / file.split(":", maxsplit=1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

    assert SpeltFiles(template, tmp_path).of(participant) == file


def test_a_file_that_is_not_there_keeps_the_spelling_of_the_id(tmp_path: Path) -> None:
    assert SpeltFiles("no/{participant}.npy", tmp_path).of(COMPOSED) == f"no/{COMPOSED}.npy"


def test_one_name_in_two_spellings_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{COMPOSED}.npy").touch()
    (tmp_path / f"{DECOMPOSED}.npy").touch()

    with pytest.raises(DataError, match="are one name in several spellings; keep one of them"):
        SpeltFiles("{participant}.npy", tmp_path).of(COMPOSED)


def test_maps_with_decomposed_names_belong_to_their_participants(tmp_path: Path) -> None:
    np.save(tmp_path / f"{DECOMPOSED}.npy", np.arange(4.0))
    np.save(tmp_path / "Ann.npy", np.arange(4.0))

    maps = find_maps("{participant}.npy", tmp_path, (COMPOSED, "Ann"))

    assert maps.find_missing() == ()
    assert maps.shape()[0] == 2
