"""The notebook of the example runs, cell by cell, as its reader runs it."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.places import CHECKOUT

NOTEBOOK = CHECKOUT / "examples" / "nback-flanker" / "explore.ipynb"
# what a notebook does with a cell: its last expression is shown, as HTML if it can be
_KERNEL = """
import ast, json, sys
shown, names = [], {"__name__": "__main__"}
for cell in json.load(open("explore.ipynb", encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)
        as_html = getattr(value, "_repr_html_", None)
        shown.append([cell["id"], as_html() if as_html else repr(value)])
json.dump(shown, open("shown.json", "w"))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what each cell shows, by its id."""
    folder = tmp_path_factory.mktemp("notebook") / "study"
    shutil.copytree(NOTEBOOK.parent, folder)
    subprocess.run([sys.executable, "-c", _KERNEL], cwd=folder, check=True, timeout=280)
    return dict(json.loads((folder / "shown.json").read_text()))


def test_the_new_pool_is_shown_as_waiting(shown: dict[str, str]) -> None:
    assert "<b>2</b>&nbsp;waiting" in shown["make"]


def test_the_pool_is_shown_as_done_after_the_run(shown: dict[str, str]) -> None:
    assert "100.0 %" in shown["work"]


def test_the_results_are_shown(shown: dict[str, str]) -> None:
    assert "yeo7" in shown["results"]
    assert "roc_auc" in shown["results"]


def test_nothing_failed(shown: dict[str, str]) -> None:
    assert "traceback" in shown["errors"]
    assert "<td>" not in shown["errors"]


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]

    assert [cell["id"] for cell in cells if cell.get("outputs")] == []
