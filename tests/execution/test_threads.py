"""One thread for each core that a task was given: neither more processes nor more threads."""

import json
import os
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

from tests.support.brain_study import StudyOnDisk

WATCHING = """
import json
import os
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_info


class Watching(Ridge):
    def fit(self, X, y):
        np.linalg.svd(X)  # by all threads that linear algebra may use
        found = [one["num_threads"] for one in threadpool_info()]
        line = json.dumps([os.getpid(), max(found)])
        with Path(__file__).with_name("seen.jsonl").open("a") as stream:
            stream.write(line + "\\n")
        return super().fit(X, y)


def watching(kind, seed):
    return None if kind == "binary" else (Watching(), {"alpha": ("log", 1e-3, 1e3)})
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_every_fit_has_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    # helper processes import the module too: those of an earlier test would not find it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    get_reusable_executor().shutdown(wait=True)
    (tmp_path / f"watching{cores}.py").write_text(WATCHING)
    name = f"watching{cores}:watching"
    study = StudyOnDisk(tmp_path)
    study.config["axes"] |= {"pipeline": [name], "target": ["age"]}

    study.run(cores=cores, pipeline=name)

    lines = (tmp_path / "seen.jsonl").read_text().splitlines()
    seen = [json.loads(line) for line in lines]
    assert {threads for _, threads in seen} == {1}
    assert len({process for process, _ in seen} - {os.getpid()}) == (0 if cores == 1 else 2)
