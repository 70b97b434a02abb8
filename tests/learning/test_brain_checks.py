"""What `init` says of parcellations."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.runners.evaluate.runner import Evaluate
from tests.support.brain_images import MILLIMETRES, NIBABEL, write_labels, write_nifti
from tests.support.brain_study import LABELS, VERTICES, StudyOnDisk


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    study = StudyOnDisk(tmp_path, 30)
    study.config["evaluate"] |= {"outer_folds": 2}
    return study


def said(runner: Evaluate) -> list[str]:
    """Return the lines about parcellations."""
    lines = runner.understood()
    first = [label for label, _ in lines].index("parcels")
    last = next(at for at in range(first + 1, len(lines)) if lines[at][0])
    return [text for _, text in lines[first:last]]


def test_the_kinds_are_counted_with_their_numbers_of_parcels(study: StudyOnDisk) -> None:
    np.save(study.folder / "hard2.npy", LABELS // 300)
    np.save(study.folder / "ica.npy", np.random.default_rng(0).normal(size=(VERTICES, 7)))
    study.config["axes"]["parcellation"] += ["hard2.npy", {"glob": "ica.npy", "kind": "signed"}]

    assert said(study.checked()) == [
        "2 hard of 4 to 12 parcels; 1 soft of 5 parcels; 1 signed of 7 parcels, fitted by least "
        "squares"
    ]


def test_what_is_odd_in_weights_is_said(study: StudyOnDisk) -> None:
    weights = np.random.default_rng(0).random((VERTICES, 5))
    weights[[3, 4], 1] = -1e-9
    np.save(study.folder / "soft.npy", weights)
    np.save(study.folder / "percent.npy", np.abs(weights) * 100)
    study.config["axes"]["parcellation"] += ["soft:percent.npy"]

    lines = said(study.checked())

    assert lines[1].startswith("  weights above 1, taken as they are: soft:percent.npy (99.9")
    assert lines[2:] == ["  negative weights that count as 0: soft (2)"]


def test_one_parcellation_under_two_names_is_said(study: StudyOnDisk) -> None:
    np.save(study.folder / "copy.npy", LABELS)
    study.config["axes"]["parcellation"] += [{"glob": "copy.npy"}]

    assert said(study.checked())[1:] == ["  look at parcellations that are the same: hard = copy"]


def test_labels_without_a_name_are_said(study: StudyOnDisk) -> None:
    names = {0: "none", **{number: f"area {number}" for number in range(100, 1100, 100)}}
    write_labels(study.folder / "area.label.gii", LABELS, names)
    study.config["axes"]["parcellation"] = ["area.label.gii"]

    assert said(study.checked())[1:] == [
        "  look at labels that the table in their file does not name: area.label.gii (2)"
    ]


def test_parcellations_in_two_spaces_are_refused_though_the_maps_have_none(
    study: StudyOnDisk,
) -> None:
    labels = LABELS.reshape(10, 10, 9)
    write_nifti(study.folder / "one.nii", labels)
    write_nifti(study.folder / "other.nii", labels, np.diag([-2.0, 2.0, 2.0, 1.0]))
    study.config["axes"]["parcellation"] = ["hard.npy", "one.nii", "other.nii"]

    problems = study.problems()

    assert problems["axes.parcellation"].startswith(
        "has another space than the parcellation one.nii: the same grid, but its corners are up to "
    )


def test_a_qform_that_is_not_the_sform_is_said(study: StudyOnDisk) -> None:
    for name, shift in (("same", 1e-5), ("other", 2.0)):
        image = NIBABEL.Nifti1Image(LABELS.reshape(10, 10, 9), MILLIMETRES)
        qform = MILLIMETRES.copy()
        qform[0, 3] += shift
        image.set_qform(qform, code=1)
        image.set_sform(MILLIMETRES, code=4)
        image.to_filename(study.folder / f"{name}.nii")
    np.save(study.folder / "atlas.npy", LABELS // 200)
    study.config["axes"]["parcellation"] = ["same.nii", "atlas.npy", "other.nii"]

    lines = said(study.checked())

    assert "  look at files whose qform is not their sform, which is used: other.nii" in lines
