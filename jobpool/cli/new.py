"""``jobpool new``: lay out a commented starter study."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

# what is called otherwise in the new folder than in the program's own
_RENAMED = {
    "../examples/nback-flanker/": "data/",
    "examples/nback-flanker/": "data/",
    "configs/nback-flanker.yaml": "study.yaml",
    " POOL": " pool",
}


def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make.")],
) -> None:
    """Lay out a commented starter study in a new folder.

    It holds an experiment file, sbatch scripts, and the example data it runs on.

    \b
    jobpool new mystudy
    cd mystudy
    jobpool init study.yaml pool
    jobpool run pool --workers 2
    """
    from jobpool.errors import AccessError, RequestError

    if name.exists():
        raise RequestError(name, "is there already; choose another name")
    try:
        _lay_out(name)
    except OSError as error:
        what = f"cannot be made: {error.strerror or error}; choose another place"
        raise AccessError(name, what) from error
    print(f"{name}/study.yaml   the experiment: edit axes, data and passes here")
    print(f"{name}/data         the example's maps, parcellations and table")
    print(f"{name}/sbatch       scripts for SLURM: edit partition and account here")
    go = f"cd {shlex.quote(str(name))}"
    print(f"next: {go} && jobpool init study.yaml pool && jobpool run pool --workers 2")


def _lay_out(folder: Path) -> None:
    from jobpool.installation import asset

    # they serve the program itself: the demo, and jobpool submit
    without = shutil.ignore_patterns("demo.sh", "*.ipynb", "worker.sbatch", "__pycache__")
    shutil.copytree(asset("examples/nback-flanker"), folder / "data", ignore=without)
    shutil.copytree(asset("sbatch"), folder / "sbatch", ignore=without)
    shutil.copyfile(asset("configs/nback-flanker.yaml"), folder / "study.yaml")
    for file in (folder / "study.yaml", folder / "data" / "README.md"):
        text = file.read_text(encoding="utf-8")
        for old, new_name in _RENAMED.items():
            text = text.replace(old, new_name)
        file.write_text(text, encoding="utf-8")
    _name_study(folder / "study.yaml", folder.absolute().name)


def _name_study(file: Path, name: str) -> None:
    """Call the study as its folder is called, its comment staying in place."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("name: "):
            before, _, comment = line.partition("#")
            quoted = json.dumps(name, ensure_ascii=False)  # YAML reads JSON's quotes
            lines[number] = f"{f'name: {quoted}'.ljust(len(before) - 1)} #{comment}"
    file.write_text("".join(lines), encoding="utf-8")
