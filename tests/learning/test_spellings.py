"""One thing in two spellings, and words for missing values, in the table of a study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.learning.participants import read_participants
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.brain_study import StudyOnDisk, scores


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    found = StudyOnDisk(tmp_path, n=60)
    found.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 2, "candidates": 2}
    found.config["axes"]["target"] = ["age"]
    return found


SPELLINGS = [
    ("M\u00fcller", "Mu\u0308ller"),
    ("Le Roy", "Le\u00a0Roy"),
    ("Le Roy", " Le  Roy"),
    ("Roy", "R\u200boy"),
    ("1", "1.0"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_one_family_in_two_spellings_is_one_group(one: str, other: str, study: StudyOnDisk) -> None:
    study.table["family"] = [one, other, *(f"family {at // 3}" for at in range(58))]

    groups = study.checked()._study.groups

    assert groups[0] == groups[1] == one


def test_the_scores_are_those_of_one_spelling(study: StudyOnDisk) -> None:
    plain = [f"M\u00fcller {at // 6}" for at in range(60)]
    study.table["family"] = plain
    expected = study.run()
    study.table["family"] = [
        name.replace("\u00fc", "u\u0308") if at % 2 else name for at, name in enumerate(plain)
    ]

    found = study.run()

    assert scores(found, "r2") == scores(expected, "r2")


@pytest.mark.parametrize(("one", "other"), [("s01", "S01"), ("7", "007")])
def test_ids_that_may_be_one_are_refused(one: str, other: str, study: StudyOnDisk) -> None:
    study.table["id"] = [f"sub-{at:02}" for at in range(60)]
    study.table.loc[:1, "id"] = [one, other]

    problems = study.problems()

    assert problems == {
        "evaluate.id": "holds ids that differ in capitals or leading zeros only: "
        f"{one!r} and {other!r}; give each its own"
    }


def test_ids_with_a_point_are_no_numbers(study: StudyOnDisk) -> None:
    study.table["id"] = [f"{1 + at // 20}.{at % 20}" for at in range(60)]

    assert study.checked()._study.ids[1:11:9] == ("1.1", "1.10")


def test_groups_that_may_be_one_are_told(study: StudyOnDisk, jobpool: Jobpool) -> None:
    study.table.loc[:3, "family"] = ["Smith-Jones", "smith jones", "07", "7"]

    shown = jobpool("init", study.written(), study.folder / "new", "--dry-run")

    line = (
        "look at family: 'Smith-Jones' and 'smith jones', '07' and '7' are different groups; if "
        "they are one, write them in one way"
    )
    assert line in shown.stdout, shown.stderr


@pytest.mark.parametrize("values", [("Yes", "yes"), ("NO", "no"), ("stra\u00dfe", "STRASSE")])
def test_two_classes_that_differ_in_capitals_only_are_refused(
    values: tuple[str, str], study: StudyOnDisk
) -> None:
    study.table["age"] = [values[at % 2] for at in range(60)]

    assert "which differ in capitals only; write them in one way" in study.problems()["axes.target"]


def test_a_class_that_is_listed_in_one_spelling_of_two_is_refused(study: StudyOnDisk) -> None:
    study.table["age"] = [("yes", "Yes", "no")[at % 3] for at in range(60)]
    study.config["evaluate"]["targets"] = {"age": {"positive": ["yes"]}}

    assert "holds 'Yes', 'yes', which differ only in capitals" in study.problems()["axes.target"]


@pytest.mark.parametrize(
    ("settings", "n_ones", "n_zeros"),
    [
        ({"positive": ["SSRI", "SNRI"], "negative": ["None"]}, 40, 20),
        ({"positive": ["None"]}, 20, 40),
    ],
)
def test_none_is_a_class_where_it_is_listed(
    settings: dict[str, list[str]], n_ones: int, n_zeros: int, study: StudyOnDisk
) -> None:
    study.table["age"] = [("None", "SSRI", "SNRI")[at % 3] for at in range(60)]
    study.config["evaluate"]["targets"] = {"age": settings}

    y = study.checked()._study.targets["age"].y

    assert (int((y == 1).sum()), int((y == 0).sum())) == (n_ones, n_zeros)


def test_three_texts_are_refused_though_one_of_them_is_none(study: StudyOnDisk) -> None:
    study.table["age"] = [("None", "SSRI", "SNRI")[at % 3] for at in range(60)]

    said = study.problems()["axes.target"]

    assert said.startswith("table.csv: holds 3 different texts (None, SNRI, SSRI)")
    assert "if it stands for a missing value, list it: missing: ['None']" in said


@pytest.mark.parametrize("word", ["NA", "unknown", "?"])
def test_a_word_for_missing_is_no_class_unless_the_user_says_so(
    word: str, study: StudyOnDisk
) -> None:
    study.table["age"] = [("EU", word)[at % 2] for at in range(60)]
    said = study.problems()["axes.target"]
    study.config["evaluate"]["missing"] = []

    classes = study.checked()._study.targets["age"].classes

    assert f"one of its two classes is {word!r}: if that is a value, say so" in said
    assert set(classes) == {"EU", word}


def test_what_is_missing_may_be_listed(study: StudyOnDisk) -> None:
    study.table["age"] = ["NA" if at < 5 else "-9" if at < 8 else str(at) for at in range(60)]
    study.config["evaluate"]["missing"] = ["NA", -9]

    target = study.checked()._study.targets["age"]

    assert target.dropped == {"age is missing": 8}


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("3,5", "line 4: '3,5' is no number: write a point before the decimals"),
        ("1'200", 'line 4: "1\'200" is no number: write a point before the decimals'),
        ("012", "line 4: '012' is no number: leading zeros make it a code"),
        ("unknown", "line 4: 'unknown' is no number: if it stands for a missing value, list it"),
        ("\u221240", "line 4: '\u221240' is no number: write digits alone"),
        ("40%", "line 4: '40%' is no number: write digits alone"),
        ("~40", "line 4: '~40' is no number: write digits alone"),
    ],
)
def test_what_is_no_number_is_named_with_its_line(cell: str, said: str, study: StudyOnDisk) -> None:
    study.table["age"] = [cell if at == 2 else str(at) for at in range(60)]

    assert said in study.problems()["axes.target"]


def test_csv_tables_give_the_classes_that_parquet_ones_give(study: StudyOnDisk) -> None:
    study.table["age"] = [(9, 10)[at % 2] for at in range(59)] + [None]
    from_text = study.checked()._study.targets["age"]
    study.table["age"] = study.table["age"].map({9: "9", 10: "10"})
    study.table.to_parquet(study.folder / "table.parquet")
    study.config["evaluate"]["participants"] = "table.parquet"

    from_parquet = study.checked()._study.targets["age"]

    assert from_text.classes == from_parquet.classes == ("9", "10")
    np.testing.assert_array_equal(from_text.y, from_parquet.y)


def test_a_pool_from_before_these_rules_reads_its_table_as_it_did(
    study: StudyOnDisk, jobpool: Jobpool
) -> None:
    jobpool("init", study.written(), study.folder / "new")
    new = Pool(study.folder / "new")
    replace(new.info, reading=1).write(new.folder)

    old = Pool(study.folder / "new").experiment()

    assert (old.reading, new.experiment().reading) == (1, 2)


def test_the_former_reading_is_that_of_pandas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,group,y,z\n01,a\u00a0b,1,NA\n02,None,,x\n")

    found = read_participants(path, ["id", "group"], ["y", "z"], formerly=True)

    usual = pd.read_csv(path, dtype={"id": str, "group": str})
    pd.testing.assert_frame_equal(found.values, usual)
