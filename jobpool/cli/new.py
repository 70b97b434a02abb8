"""``jobpool new``: lay out a commented starter study."""

import shutil
from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make.")],
) -> None:
    """Lay out a starter study in a new folder: experiment file, sbatch scripts, example data.

    \b
    jobpool new mystudy
    cd mystudy
    jobpool init study.yaml pool
    jobpool run pool --workers 2
    """
    from jobpool.assets import asset
    from jobpool.errors import PoolError

    if name.exists():
        raise PoolError(name, "is there already; choose another name")
    shutil.copytree(asset("examples/nback-flanker"), name / "data")
    shutil.copytree(asset("sbatch"), name / "sbatch")
    text = asset("configs/nback-flanker.yaml").read_text(encoding="utf-8")
    text = text.replace("../examples/nback-flanker/", "data/")
    (name / "study.yaml").write_text(text, encoding="utf-8")
    print(f"{name}/study.yaml   the experiment: edit axes, data and passes here")
    print(f"{name}/data         the example's maps, parcellations and table")
    print(f"{name}/sbatch       scripts for SLURM: edit partition and account here")
    print(f"next: cd {name} && jobpool init study.yaml pool && jobpool run pool --workers 2")
