"""Which files and packages the code of a factory is made of."""

import base64
import hashlib
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from jobpool.learning.pipelines.sources import Code, code_of, version_of

MODULES = {
    "{lab}/__init__.py": "from . import shared\n",
    "{lab}/shared.py": "import json\n",
    "{lab}/factories.py": (
        "import importlib\n"
        "import numpy as np\n"
        "from .deep.models import thing\n"
        "import {lab}_beside\n"
        "import {lab}_other as other\n"
        "def another(kind, seed):\n"
        "    return other\n"
        "def make(kind, seed):\n"
        "    import {lab}_late\n"
        "    return importlib.import_module('{lab}_named')\n"
    ),
    "{lab}/deep/__init__.py": "",
    "{lab}/deep/models.py": "from .. import shared\nfrom . import parts\nthing = 1\n",
    "{lab}/deep/parts.py": "",
    "{lab}/unused.py": "",
    "{lab}_beside.py": "import {lab}_below\n",
    "{lab}_below.py": "",
    "{lab}_late.py": "",
    "{lab}_named.py": "",
    "{lab}_other.py": "",
}
USED = {*MODULES} - {"{lab}/unused.py", "{lab}_other.py"}


class Lab:
    """The modules of a lab in a folder, under names that no other test has imported."""

    def __init__(self, folder: Path, modules: Mapping[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.name = folder, f"lab_{abs(hash(folder)):x}"
        for path, text in modules.items():
            file = self.file(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{lab}", self.name))

    def file(self, path: str) -> Path:
        return self.folder / path.replace("{lab}", self.name)

    def code(self) -> Code:
        module = f"{self.name}.factories"
        importlib.import_module(module)
        return code_of(f"{module}:make")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.syspath_prepend(tmp_path)
    return Lab(tmp_path, MODULES)


def test_own_files_are_all_that_is_imported_anywhere(lab: Lab) -> None:
    assert set(lab.code().files) == {lab.file(path) for path in USED}


def test_installed_packages_count_by_their_version(lab: Lab) -> None:
    assert lab.code().packages == (("numpy", np.__version__),)


@pytest.mark.parametrize("path", sorted(USED))
def test_a_change_of_any_of_them_is_another_code(lab: Lab, path: str) -> None:
    before = lab.code()

    lab.file(path).write_text(lab.file(path).read_text() + "print('another line')\n")

    assert lab.code().digest != before.digest


@pytest.mark.parametrize("path", sorted(set(MODULES) - USED))
def test_a_change_of_what_is_not_imported_is_none(lab: Lab, path: str) -> None:
    before = lab.code()

    lab.file(path).write_text("# another line\n")

    assert lab.code() == before


def test_what_others_import_of_the_package_is_no_part_of_the_code(lab: Lab) -> None:
    before = lab.code()

    importlib.import_module(f"{lab.name}.unused")

    assert lab.code() == before


def test_the_code_does_not_depend_on_where_it_lies(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lab.code()
    moved = tmp_path / "moved"
    monkeypatch.syspath_prepend(moved)
    for name in [one for one in sys.modules if one.startswith(lab.name)]:
        monkeypatch.delitem(sys.modules, name)
    for path in MODULES:
        target = moved / lab.file(path).relative_to(tmp_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        lab.file(path).rename(target)

    after = lab.code()

    assert after.digest == before.digest
    assert after.files != before.files


def an_installation(folder: Path, name: str, content: str, url: str | None) -> None:
    """Lay out a package as pip does."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    digest = (
        base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode().rstrip("=")
    )
    (info / "RECORD").write_text(f"{name}.py,sha256={digest},{len(content)}\n")
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {}}))


def versions_before_and_after(folder: Path, name: str, url: str | None) -> list[str]:
    found = []
    for content in ("A = 1\n", "A = 2\n"):
        an_installation(folder, name, content, url)
        found.append(version_of(name))
    return found


def test_a_package_from_an_index_is_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)

    assert versions_before_and_after(tmp_path, "from_index", None) == ["1.0", "1.0"]


def test_a_package_from_a_repository_is_its_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)

    before, after = versions_before_and_after(tmp_path, "from_folder", "file:///home/lab/tools")

    assert before.startswith("1.0 (")
    assert after != before


def test_a_module_that_imports_itself_counts_whole(lab: Lab) -> None:
    file = lab.file("{lab}/factories.py")
    before = lab.code()
    file.write_text(file.read_text() + f"import {lab.name}.factories as itself\n")
    with_itself = lab.code()

    file.write_text(file.read_text() + "def late(): return 1\n")

    assert len({before.digest, with_itself.digest, lab.code().digest}) == 3
