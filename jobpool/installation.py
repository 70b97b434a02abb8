"""What this installation has: optional packages by extra, and the files that come with the program.

The one place that says whether an optional package is there, and what to do if it is not: before
anything is made, and without importing it. The files, such as example configs and batch scripts,
lie at the top of a checkout, and in ``jobpool/assets`` of an installed package.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from jobpool.errors import RequestError

# name to import, and extra of ``pip install 'jobpool[EXTRA]'``
EXTRAS: Mapping[str, str] = {
    "lightgbm": "brain",
    "nibabel": "brain",
    "optuna": "brain",
    "jinja2": "report",
    "matplotlib": "report",
    "plotly": "report",
    "statsmodels": "report",
    "pyarrow": "parquet",
}
REPORT = tuple(name for name, extra in EXTRAS.items() if extra == "report")


def missing(*packages: str) -> str | None:
    """Return what to do about optional packages that are not installed, None if all are.

    Parameters
    ----------
    *packages : str
        Keys of `EXTRAS`.

    Examples
    --------
    >>> missing() is None
    True
    """
    lacking = [name for name in packages if find_spec(name) is None]
    if not lacking:
        return None
    extras = ",".join(dict.fromkeys(EXTRAS[name] for name in lacking))
    are = "is" if len(lacking) == 1 else "are"
    return (
        f"needs {', '.join(lacking)}, which {are} not installed; run: "
        f"pip install 'jobpool[{extras}]'"
    )


def require(where: str, *packages: str) -> None:
    """Refuse to begin what optional packages are missing for.

    Parameters
    ----------
    where : str
        What was asked for; begins the message.
    *packages : str
        Keys of `EXTRAS`.

    Raises
    ------
    RequestError
        If one is not installed.
    """
    if why := missing(*packages):
        raise RequestError(where, why)


def asset(name: str) -> Path:
    """Return the folder or file called `name`, such as ``configs/demo.yaml``.

    Raises
    ------
    FileNotFoundError
        If the installation lacks it.
    """
    package = Path(__file__).parent
    for base in (package / "assets", package.parent):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"{name}: this installation of jobpool is incomplete; install it again")
