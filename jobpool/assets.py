"""Files that come with the program: example configs, batch scripts, example data.

In a checkout they lie at its top; in an installed package in ``jobpool/assets``.
"""

from pathlib import Path


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
