"""Record studies: run them by jobpool on this machine, and keep what each task took as a table.

    python -m benchmarks.recording [fits words sleeps]

Writes ``benchmarks/recorded/NAME.csv``: the values of the axes, the seconds and the memory of each
attempt that ended well. `benchmarks.calibration` foresees them.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import jobpool

FOLDER = Path(__file__).parent / "recorded"


# imported by their own tasks only: the other studies are measured without them
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ridge": ("linear_model", "Ridge", {}),
    "lasso": ("linear_model", "Lasso", {"alpha": 0.01}),
    "svm": ("svm", "SVR", {}),
    "forest": ("ensemble", "RandomForestRegressor", {"n_estimators": 8, "random_state": 1}),
}


def fit(model: str, n: int, features: int, seed: int) -> dict[str, float]:
    """Fit one of scikit-learn's models to generated data."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, features))
    y = X[:, 0] + rng.standard_normal(n)
    module, name, options = MODELS[model]
    made = getattr(import_module(f"sklearn.{module}"), name)(**options)
    return {"score": float(made.fit(X, y).score(X, y))}


def words(text: str, lines: int, run: int) -> dict[str, int]:
    """Sort and count a text by programs of the shell, as a step of a study does."""
    command = f"seq {lines} | sed s/$/{text}/ | sort -R --random-source=/dev/zero | sort | uniq -c"
    done = subprocess.run(
        ["bash", "-c", f"{command} | wc -l"], capture_output=True, check=True, timeout=60
    )
    return {"lines": int(done.stdout) + run}


def sleep(kind: str, run: int) -> dict[str, int]:
    """Wait: kinds that always take the same, and one that depends on luck."""
    base = {"short": 0.005, "middle": 0.05, "long": 0.15, "luck": 0.02}[kind]
    if kind == "luck":
        base *= float(np.random.default_rng(run).lognormal(0, 1))
    time.sleep(base)
    return {"run": run}


STUDIES: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "fits": (
        fit,
        {
            "model": ["ridge", "lasso", "svm", "forest"],
            "n": [50, 200, 500, 1000],
            "features": [5, 20, 80],
            "seed": list(range(8)),
        },
    ),
    "words": (
        words,
        {
            "text": ["a", "hello", "x" * 60],
            "lines": [10, 1000, 10_000, 30_000],
            "run": [*range(20)],
        },
    ),
    "sleeps": (sleep, {"kind": ["short", "middle", "long", "luck"], "run": list(range(60))}),
}


def record(name: str) -> int:
    """Run a study, write its table, and return how many tasks it has."""
    call, axes = STUDIES[name]
    config = {
        "runner": "function",
        "function": {"call": f"benchmarks.recording:{call.__name__}"},
        "axes": axes,
    }
    with tempfile.TemporaryDirectory() as folder:
        pool = jobpool.init(config, Path(folder) / "pool")
        pool.run(workers=2)
        attempts = pool.attempts()
    done = attempts[attempts["cause"] == "done"].sort_values(list(axes))
    FOLDER.mkdir(exist_ok=True)
    columns = [*axes, "seconds", "peak_memory_mb"]
    done[columns].round(3).to_csv(FOLDER / f"{name}.csv", index=False)
    return len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what tasks of some studies take.")
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    for name in parser.parse_args().studies or STUDIES:
        print(f"{name}: {record(name)} tasks")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))
    main()
