"""All probes of a file system, as one side runs them; its report is a file beside the mail.

    FOLDER/plan.json       the kind of lock that the pool has
    FOLDER/report-N.json   what side N found: host and probes; written when all are done
    FOLDER/mail-0, mail-1  see `jobpool.checks.probes.talk`

The folder lies in the pool, is made for one probing, and is removed after it.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jobpool.checks.probes.locks import probe_lock, probe_visits
from jobpool.checks.probes.names import probe_creation, probe_link, probe_rename
from jobpool.checks.probes.space import probe_room
from jobpool.checks.probes.talk import (
    Probed,
    ProbeError,
    Side,
    SilentPartnerError,
    lay_out_mail,
)
from jobpool.checks.probes.times import probe_clocks, probe_delay
from jobpool.disk.files import read_json, write_json
from jobpool.disk.locks import LOCKS
from jobpool.errors import JobpoolError

OLD_S = 3600.0  # no probing takes so long: its folder was left by a process that was killed
PREFIX = "probe-"

Probe = Callable[[Side], Probed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one side found."""

    host: str
    probes: tuple[Probed, ...]

    @property
    def locks(self) -> dict[str, bool]:
        """Say of each kind of lock whether it holds between the two sides."""
        found = {one.name.removeprefix("lock "): one.well is True for one in self.probes}
        return {kind: found[kind] for kind in LOCKS if kind in found}


def probes_of(lock: str) -> Mapping[str, Probe]:
    """Return all probes by name, in the order in which both sides run them."""
    probes: dict[str, Probe] = {
        "exclusive creation": probe_creation,
        "link": probe_link,
        "rename": probe_rename,
    }
    probes |= {f"lock {kind}": partial(probe_lock, kind=kind) for kind in LOCKS}
    return probes | {
        "delay": probe_delay,
        "clocks": probe_clocks,
        "visits": partial(probe_visits, kind=lock),
    }


@contextmanager
def probe_folder(pool: Path, lock: str) -> Iterator[Path]:
    """Yield a folder in the pool that is ready for both sides; it is removed afterwards."""
    for old in pool.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > OLD_S:
                shutil.rmtree(old, ignore_errors=True)
    folder = pool / f"{PREFIX}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        lay_out_mail(folder)
        write_json(folder / "plan.json", {"lock": lock})
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_side(folder: Path, number: int, host: str) -> None:
    """Run all probes as one of the two sides, and write the report.

    Raises
    ------
    SilentPartnerError
        If the other side never comes, or comes no more.
    """
    plan = read_json(folder / "plan.json") or {}
    side = Side(folder=folder, number=number)
    side.meet()
    found = [probe_room(folder)]
    for name, probe in probes_of(str(plan["lock"])).items():
        side.next_probe()
        found.append(_run(probe, name, side))
    report: dict[str, Any] = {"host": host, "probes": [asdict(one) for one in found]}
    write_json(folder / f"report-{number}.json", report)


def _run(probe: Probe, name: str, side: Side) -> Probed:
    try:
        return probe(side)
    except SilentPartnerError:
        raise
    except (OSError, ProbeError, JobpoolError) as error:
        what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return Probed(name=name, well=False, what=f"failed: {what}")


def read_report(folder: Path, number: int) -> Report | None:
    """Return what a side found, or None as long as it is at it."""
    try:
        content: Any = read_json(folder / f"report-{number}.json")
    except FileNotFoundError:
        return None
    if content is None:
        return None
    return Report(host=content["host"], probes=tuple(Probed(**one) for one in content["probes"]))
