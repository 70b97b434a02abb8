"""`jobpool show`: what a task is made of, so that another program can repeat it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import ElasticNet
from sklearn.metrics import explained_variance_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.brain_study import StudyOnDisk
from tests.support.evaluate_study import StrategiesStudy


@pytest.fixture
def study(tmp_path: Path) -> StrategiesStudy:
    study = StrategiesStudy(tmp_path / "study")
    study.config["axes"]["pipeline"] = ["elastic", "svm", "elastic+svm"]
    study.made()
    return study


def the_task(study: StudyOnDisk, **point: str) -> str:
    grid = Pool(study.pool).grid
    (found,) = [
        one
        for one in range(len(grid))
        if ({"target": "age", "fold": "all"} | point).items() <= dict(grid.point(one)).items()
    ]
    return grid.id(found)


def shown(jobpool: Jobpool, study: StudyOnDisk, task: str, option: str) -> pd.DataFrame:
    printed = jobpool("show", study.pool, task, option)
    assert printed.returncode == 0, printed.stderr
    return pd.read_csv(io.StringIO(printed.stdout), dtype={"participant": str})


def test_a_plain_program_repeats_a_fold_from_what_is_shown(
    study: StrategiesStudy, jobpool: Jobpool
) -> None:
    task = the_task(study, parcellation="a", pipeline="elastic")
    result = study.evaluate("a")

    candidates = shown(jobpool, study, task, "--candidates")
    splits = shown(jobpool, study, task, "--splits")

    labels = np.load(study.folder / "a.npy")
    X = np.stack(
        [
            study.maps[:, labels == one, modality].mean(axis=1)
            for modality in (0, 1)
            for one in np.unique(labels)
        ],
        axis=1,
    )
    y = study.table["age"].to_numpy()
    train = (splits["outer_fold"] != 0).to_numpy()
    net = make_pipeline(RobustScaler(quantile_range=(5, 95)), ElasticNet(tol=1e-3))
    model = TransformedTargetRegressor(net, transformer=StandardScaler())
    points = [
        {f"regressor__elasticnet__{name}": [row[name]] for name in ("alpha", "l1_ratio")}
        for _, row in candidates.iterrows()
    ]
    inner = PredefinedSplit(splits["inner_fold_0"][train])
    search = GridSearchCV(model, points, scoring="explained_variance", cv=inner)
    search.fit(X[train], y[train])
    fold = result["folds"][0]
    predicted = search.predict(X[~train])
    expected = explained_variance_score(y[~train], predicted)
    assert fold["scores"]["explained_variance"] == pytest.approx(expected, rel=1e-9)
    assert fold["candidate"] == search.best_index_


def test_candidates_of_a_combined_pipeline_are_those_of_each(
    study: StrategiesStudy, jobpool: Jobpool
) -> None:
    task = the_task(study, parcellation="voted_abc_x2", pipeline="elastic+svm")

    found = shown(jobpool, study, task, "--candidates")

    assert found["pipeline"].tolist() == ["elastic"] * 2 + ["svm"] * 2
    assert found["candidate"].tolist() == [0, 1, 0, 1]
    assert found["alpha"].isna().tolist() == [False, False, True, True]


def test_splits_keep_groups_together(study: StrategiesStudy, jobpool: Jobpool) -> None:
    task = the_task(study, parcellation="a", pipeline="svm")

    found = shown(jobpool, study, task, "--splits")

    assert found["participant"].tolist() == study.table["id"].tolist()
    assert (found.groupby("group")["outer_fold"].nunique() == 1).all()
    assert found["inner_fold_1"].isna().equals(found["outer_fold"] == 1)
    assert set(found["held_out_0"].dropna()) == {0, 1}


def test_a_table_keeps_its_origin(study: StrategiesStudy, jobpool: Jobpool, tmp_path: Path) -> None:
    task = the_task(study, parcellation="a", pipeline="svm")
    file = tmp_path / "candidates.parquet"

    jobpool("show", study.pool, task, "--candidates", "-o", file)

    found = pd.read_parquet(file)
    assert found.attrs["jobpool"]["by"] == "candidate"
    assert found["percentile"].dtype == np.int64


def test_what_is_shown_must_be_said(study: StrategiesStudy, jobpool: Jobpool) -> None:
    refused = jobpool("show", study.pool, the_task(study, parcellation="a", pipeline="svm"))

    assert refused.returncode == 2
    assert "say what to show: --candidates or --splits" in refused.stderr


def test_candidates_that_follow_from_scores_cannot_be_shown(
    study: StrategiesStudy, jobpool: Jobpool
) -> None:
    study.config["evaluate"]["search"] = "tpe"
    study.made()

    refused = jobpool(
        "show", study.pool, the_task(study, parcellation="a", pipeline="svm"), "--candidates"
    )

    assert refused.returncode == 1
    assert "tpe asks for candidates by the scores of those before" in refused.stderr
