"""What room is left on a file system: space, and the number of files that may still be made."""

import os
from pathlib import Path

from jobpool.checks.probes.talk import Probed

LITTLE_GB = 5.0
FEW_FILES = 20_000  # some thousand workers make four files each
GB = 1e9


def probe_room(folder: Path) -> Probed:
    """Say how much space and how many inodes are left, as far as the file system tells.

    On file systems with quotas this is often the quota of the folder, and sometimes that of all.
    """
    found = os.statvfs(folder)
    space_gb = found.f_bavail * found.f_frsize / GB
    what = f"{space_gb:,.0f} GB" if space_gb >= 10 else f"{space_gb:.1f} GB"
    has_count = found.f_files > 0  # some keep no count
    what += f" and {found.f_favail:,} files left" if has_count else " left, any number of files"
    enough = space_gb >= LITTLE_GB and (not has_count or found.f_favail >= FEW_FILES)
    return Probed(name="room", well=enough, what=what, value=round(space_gb, 1))
