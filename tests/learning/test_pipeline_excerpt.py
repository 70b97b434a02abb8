"""What of a factory's module counts for it, so that another factory may be written beside it."""

import pytest

from jobpool.learning.pipelines.excerpt import reachable, text_of

MODULE = '''"""Factories of our lab."""
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.svm import SVR

ALPHAS = [1, 10]
C, GAMMA = [1], [2]
STEPS = {"a": ALPHAS}


class Ours(Ridge):
    def fit(self, X, y):
        return super().fit(clean(X), y)


def clean(X):
    return X  # as it is


def ridge(kind, seed):
    """Return our ridge."""
    return Ours(), {"alpha": ALPHAS}


def svm(kind, seed):
    return SVR(), {"C": C, "gamma": GAMMA}


if __name__ == "__main__":
    print(ridge("regression", 0))
'''


def counted(source: str, name: str = "ridge") -> str:
    content = source.encode()
    return text_of(content, reachable(content, name))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ALPHAS = [1, 10]", "ALPHAS = [1, 100]"),
        ("clean(X), y", "clean(X) * 2, y"),
        ("return X  # as", "return -X  # as"),
        ("from sklearn.linear_model import Ridge", "from ours import Ridge"),
        ("import numpy as np", "import numpy as np\nnp.seterr(all='raise')"),
        ("C, GAMMA", "Ridge.alpha = 3\nC, GAMMA"),
        ("C, GAMMA", "ALPHAS += [5]\nC, GAMMA"),
        ("C, GAMMA", "from helper import *\nC, GAMMA"),
        ("C, GAMMA", "try:\n    import fast\nexcept ImportError:\n    fast = None\nC, GAMMA"),
        ("C, GAMMA", "import patches\nC, GAMMA"),
        ("def svm", "@register\ndef svm"),
        ("return Ours(), {", "return globals()['Ours'](), {"),
    ],
)
def test_a_change_of_what_a_factory_depends_on_counts(before: str, after: str) -> None:
    changed = MODULE.replace(before, after, 1)

    assert changed != MODULE
    assert counted(changed) != counted(MODULE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Factories of our lab", "All factories"),
        ("from sklearn.svm import SVR", "from sklearn.svm import SVR, SVC"),
        ("C, GAMMA = [1], [2]", "C, GAMMA = [1], [2, 3]"),
        ("return SVR()", "return SVR(epsilon=1)"),
        ("def svm", "def forest(kind, seed):\n    return None\n\n\ndef svm"),
        ('print(ridge("regression", 0))', "pass"),
        ('STEPS = {"a": ALPHAS}', "STEPS = {}"),
        ("\n\nALPHAS", "\n# the strengths\n\nALPHAS"),
    ],
)
def test_a_change_of_something_else_does_not_count(before: str, after: str) -> None:
    changed = MODULE.replace(before, after, 1)

    assert changed != MODULE
    assert counted(changed) == counted(MODULE)


def test_all_of_a_module_that_looks_names_up_counts() -> None:
    source = MODULE.replace("SVR()", "eval('SVR')()")

    assert counted(source) == text_of(source.encode(), reachable(source.encode(), "svm"))


def test_all_of_a_module_that_makes_the_factory_in_no_statement_counts() -> None:
    assert "def svm" in counted(MODULE, "made_elsewhere")


def test_a_decorated_definition_counts_with_its_decorator() -> None:
    source = "def twice(f): return f\n\n@twice\ndef ridge(kind, seed): return None\n"

    assert counted(source) == "def twice(f): return f\n@twice\ndef ridge(kind, seed): return None"


REGISTRY = """
KINDS, NOTED = {}, []
class Base:
    def __init_subclass__(cls): KINDS[cls.__name__] = cls
class Mine(Base):
    power = 1
def helper(x=NOTED.append(1)):
    return 2
class Table:
    NOTED.append(3)
def ridge(kind, seed):
    return KINDS["Mine"], NOTED
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("power = 1", "power = 2"), ("append(1)", "append(2)"), ("append(3)", "append(2)")],
)
def test_a_definition_that_does_more_than_bind_its_name_counts(before: str, after: str) -> None:
    assert counted(REGISTRY.replace(before, after)) != counted(REGISTRY)


@pytest.mark.parametrize(
    "lookup",
    [
        "getattr(sys.modules[__name__], 'helper')()",
        "importlib.import_module(__name__).helper()",
        "__import__(__name__).helper()",
    ],
)
def test_a_module_that_looks_itself_up_counts_whole(lookup: str) -> None:
    source = f"import importlib, sys\ndef helper(): return 1\ndef ridge(k, s): return {lookup}\n"

    assert counted(source) != counted(source.replace("return 1", "return 2"))
