"""The code that a pipeline from outside is made of: its own files, and the packages they import.

A factory's module is read, and every module that it names in an import, in a function too, with
a literal ``import_module("...")``, or through an object that it holds. Of these:

1. Files of the user's own, and all of the package that the factory is in, count by their content;
   of the factory's module, what the factory depends on.
2. Installed packages count by their version.
3. Python's own modules and jobpool count by theirs, which every result has anyway.

What a factory reads while it runs (data files, environment variables) is not code and not seen.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from types import ModuleType

from jobpool.learning.pipelines.excerpt import reachable, text_of

_SOURCE = (".py", ".pyw")
_INSTALLED = ("site-packages", "dist-packages")
_KNOWN = {"jobpool", "__main__"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a factory is made of, as its files were when they were read."""

    digest: str  # SHA-256 of all own files and their names as modules
    files: tuple[Path, ...]  # own files, in the order of the modules' names
    packages: tuple[tuple[str, str], ...]  # installed ones and their versions, by name

    @property
    def short(self) -> str:
        """Return the beginning of the digest, as results have it."""
        return self.digest[:12]


def code_of(factory: str) -> Code:
    """Return the code of a factory that has been imported, as its files are now.

    Parameters
    ----------
    factory : str
        ``module:function``.
    """
    module, _, function = factory.partition(":")
    home = module.partition(".")[0]
    open_, own, packages = [module], dict[str, tuple[Path, bytes]](), set[str]()
    seen = {module}
    while open_:
        name = open_.pop()
        spec = _spec(name)
        if spec is None or _is_pythons(name, spec):
            continue
        if name.partition(".")[0] != home and _is_installed(spec):
            packages.add(name.partition(".")[0])
            continue
        path = _file_of(spec)
        content, imported = _read(name, spec, path, function if name == module else "")
        if path is not None:
            own[name] = path, content
        for other in sorted(_parents(name) | imported):
            # of a package that counts by its version, its modules need no look
            if other not in seen and other.partition(".")[0] not in packages:
                seen.add(other)
                open_.append(other)
    digest = hashlib.sha256()
    for name in sorted(own):
        digest.update(f"{name}\n".encode() + hashlib.sha256(own[name][1]).digest())
    return Code(
        digest=digest.hexdigest(),
        files=tuple(own[name][0] for name in sorted(own)),
        packages=tuple(sorted({pair for one in packages for pair in _versions(one)})),
    )


def _parents(name: str) -> set[str]:
    """Return the packages that a module is in: their code runs first."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def _spec(name: str) -> ModuleSpec | None:
    """Return where a module comes from, importing none but the own packages that it is in."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return getattr(loaded, "__spec__", None)
    top = name.partition(".")[0]
    if top != name and ((above := _spec(top)) is None or _is_installed(above)):
        return above  # to look for a part of it would import all of it
    with suppress(Exception):  # what a user's package raises, or a name that is no module
        return importlib.util.find_spec(name)
    return None


def _is_pythons(name: str, spec: ModuleSpec) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in _KNOWN or spec.origin in {"built-in", "frozen"}


def _is_installed(spec: ModuleSpec) -> bool:
    """Say whether a package manager laid a module there, so that its version says what it is."""
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return any(set(Path(place).parts) & set(_INSTALLED) for place in places) or any(
        Path(place).is_relative_to(home)
        for place in places
        for home in _homes(spec.name.partition(".")[0])
    )


@cache
def _homes(package: str) -> tuple[str, ...]:
    """Return where installed distributions keep a package outside of the usual folders.

    What is installed in place, to be edited, has no file there, or an ``.egg-info`` beside it.
    """
    found = [distribution(name) for name in _distributions().get(package, [])]
    return tuple(
        str(one.locate_file(package))
        for one in found
        if any(str(file).endswith(".dist-info/RECORD") for file in one.files or ())
    )


def _file_of(spec: ModuleSpec) -> Path | None:
    """Return the file of a module; of one in a .zip archive, the archive."""
    if spec.origin is None:
        return None
    path = Path(spec.origin)
    return next((one for one in (path, *path.parents) if one.is_file()), None)


def _read(name: str, spec: ModuleSpec, path: Path | None, function: str) -> tuple[bytes, set[str]]:
    """Return the content of a module that counts, and the modules that this may have imported.

    Of the module of a factory, only what the `function` depends on counts.
    """
    content = b"" if path is None else path.read_bytes()
    loaded, imported, names = sys.modules.get(name), set[str](), None
    if path is not None and path.suffix in _SOURCE:
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        with suppress(SyntaxError, ValueError):  # then it cannot be imported either
            body = ast.parse(content).body
            by_itself = any(name in _named(one, package) for top in body for one in ast.walk(top))
            # a module that imports itself can reach every name of its own
            statements = reachable(content, function) if function and not by_itself else body
            nodes = [node for one in statements for node in ast.walk(one)]
            imported = {module for node in nodes for module in _named(node, package)}
            if function and not by_itself:
                names = {node.id for node in nodes if isinstance(node, ast.Name)}
                content = text_of(content, statements).encode("utf-8", "surrogateescape")
    if loaded is not None:
        imported |= set(_held(loaded, names))
    return content, imported


def _held(module: ModuleType, names: Collection[str] | None) -> Iterator[str]:
    """Yield the modules of what a module holds, as a name that is computed may have led there."""
    for attribute, value in list(vars(module).items()):
        name = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None)
        # Python puts a part of a package there, whoever imported it
        is_part = name == f"{module.__name__}.{attribute}"
        if isinstance(name, str) and not is_part and (names is None or attribute in names):
            yield name


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the modules that one statement or call names."""
    match node:
        case ast.Import(names=names):
            yield from (one.name for one in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            name = ".".join([*base, *([module] if module else [])])
            yield name
            yield from (f"{name}.{one.name}" for one in names)
        case ast.Call(func=func, args=[ast.Constant(value=str(text)), *_]):
            called = getattr(func, "attr", getattr(func, "id", ""))
            if called in {"import_module", "__import__"} and not text.startswith("."):
                yield text


def _versions(package: str) -> Iterator[tuple[str, str]]:
    """Yield the distributions that an importable package comes from, with their versions."""
    for name in _distributions().get(package, [package]):
        with suppress(PackageNotFoundError):  # a file laid there by hand
            yield name, version_of(name)


def version_of(name: str) -> str:
    """Return the version of a distribution; with a digest if it is from a folder or a repository.

    There, code changes from one installation to the next while the version stays.

    Raises
    ------
    PackageNotFoundError
        If it is not installed.
    """
    found = distribution(name)
    if found.read_text("direct_url.json") is None:
        return found.version
    listed = [
        f"{file} {file.hash.value}"
        for file in found.files or ()
        if file.hash is not None and ".dist-info/" not in str(file)
    ]
    digest = hashlib.sha256("\n".join(sorted(listed)).encode()).hexdigest()
    return f"{found.version} ({digest[:8]})"


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: sorted(set(found)) for name, found in packages_distributions().items()}
