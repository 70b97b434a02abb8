"""Files of participants by the normal form of their names: an id is written in one way only.

The names of files are not: macOS decomposes accents, and what nobody sees is copied along.
"""

from collections.abc import Mapping
from pathlib import Path

from jobpool.disk.npz import split_location
from jobpool.disk.spelling import normal
from jobpool.errors import DataError, listing

PLACE = "{participant}"


class SpeltFiles:
    """Finds the files that a path with a place for the participant stands for."""

    def __init__(self, template: str, folder: Path) -> None:
        self._template, self._folder = template, folder
        self._odd: dict[Path, Mapping[str, list[str]]] = {}  # by folder

    def of(self, participant: str) -> str:
        """Return the path of one participant, spelt as on the disk where it differs.

        Parameters
        ----------
        participant : str
            The id, in its normal form.

        Raises
        ------
        DataError
            If several files have this name in its normal form.
        """
        path, member = split_location(self._template)
        pieces = path.split("/")
        found: list[str] = []
        for piece in pieces:
            name = piece.replace(PLACE, participant)
            # inside a folder of one participant only if its own name may have other spellings
            is_first = not any(PLACE in one for one in pieces[: len(found)])
            if PLACE in piece and (is_first or not participant.isascii() or " " in participant):
                name = self._spelt(name, self._folder / "/".join(found))
            found.append(name)
        of_member = "" if member is None else f":{member.replace(PLACE, participant)}"
        return "/".join(found) + of_member

    def _spelt(self, name: str, folder: Path) -> str:
        if folder not in self._odd:
            self._odd[folder] = _odd_names(folder)
        known = set(self._odd[folder].get(normal(name), ()))
        if known and (folder / name).exists():
            known.add(name)
        if len(known) > 1:
            what = f"{listing(map(ascii, sorted(known)))} are one name in several spellings"
            raise DataError(folder, f"{what}; keep one of them")
        return known.pop() if known else name


def _odd_names(folder: Path) -> dict[str, list[str]]:
    """Return the names in a folder that are not in their normal form, by that form."""
    odd: dict[str, list[str]] = {}
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:  # a folder that is not there has no files: told where they are opened
        return odd
    for name in sorted(names):
        if normal(name) != name:
            odd.setdefault(normal(name), []).append(name)
    return odd
