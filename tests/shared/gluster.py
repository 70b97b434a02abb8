"""A real shared file system for the tests: GlusterFS, one server, two mounts, all on this machine.

    folder/brick           what the server stores
    folder/one, folder/two the two mounts: to jobpool, two nodes
    folder/*.vol, *.log    configurations and what each process said

The server and the two clients run the parts that a volume made by ``gluster volume create`` has,
with its defaults, caches included. ``glusterd`` is left out: it only hands out configurations, and
its port and folders are fixed for the whole machine. Here the port is a free one, the address is
this machine's own, and nothing outside the folder is touched; the processes are children of the
tests, get SIGTERM from the kernel if these are killed, and are ended by number.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.slurm.machine import SEARCH_PATH, answers, free_ports

PROGRAMS = ("glusterfs", "glusterfsd", "umount", "setpriv")
PATIENCE_S = 30.0

Volume = tuple[str, str, dict[str, object]]  # name, type, options; each stands on the one before

CACHES = ("write-behind", "open-behind", "quick-read", "md-cache", "io-threads")


class GlusterError(Exception):
    """The file system did not come up; the message ends with what it said last."""


def why_not() -> str | None:
    """Return why no GlusterFS can be mounted here, or None if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    if absent:
        return f"not installed: {' '.join(absent)}; run tests/slurm/install.sh as root"
    if os.geteuid() != 0:
        return "mounting needs root, and these tests do not run as root"
    if not os.access("/dev/fuse", os.W_OK):
        return "this machine has no /dev/fuse, so nothing can be mounted"
    return None


class Gluster:
    """One volume and its two mounts.

    Parameters
    ----------
    folder : Path
        An empty folder, on a file system with extended attributes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._mounted: list[Path] = []

    @property
    def mounts(self) -> tuple[Path, Path]:
        """The same files, seen by two clients that share nothing but the server."""
        return self._folder / "one", self._folder / "two"

    def start(self) -> None:
        """Start the server and mount it twice.

        Raises
        ------
        GlusterError
            If it does not come up; everything is taken down again.
        """
        (port,) = free_ports(1)
        brick = self._folder / "brick"
        for folder in (brick, *self.mounts):
            folder.mkdir()
        try:
            self._start("server", "glusterfsd", _server(brick, port))
            self._wait_for(lambda: answers(("127.0.0.1", port)), "the server to answer")
            for mount in self.mounts:
                self._start(mount.name, "glusterfs", _client(port), str(mount))
                self._mounted.append(mount)
                self._wait_for(mount.is_mount, f"{mount.name} to be mounted")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Unmount, and end the server."""
        for mount in self._mounted:
            # lazily: a killed test may have left a process in there
            subprocess.run(
                ("umount", "--lazy", str(mount)), check=False, timeout=60, capture_output=True
            )
        for process in reversed(self._processes):  # all that they could still save is thrown away
            process.kill()
            process.wait()

    def _start(self, name: str, program: str, volumes: str, *words: str) -> None:
        configuration, log = self._folder / f"{name}.vol", self._folder / f"{name}.log"
        configuration.write_text(volumes)
        command = ["setpriv", "--pdeathsig", "TERM", program, "--no-daemon"]
        command += [f"--volfile={configuration}", f"--log-file={log}"]
        command += [f"--pid-file={self._folder / name}.pid", *words]
        self._processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PATH": SEARCH_PATH},
                start_new_session=True,
            )
        )

    def _wait_for(self, is_true: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_true():
            ended = [process for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > end:
                raise GlusterError(f"waited in vain for {what}; {self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(
            f"{log.stem} | {line}"
            for log in logs
            for line in log.read_text(errors="replace").splitlines()[-8:]
        )


def _server(brick: Path, port: int) -> str:
    network = {
        "transport-type": "tcp",
        "transport.address-family": "inet",
        "transport.socket.bind-address": "127.0.0.1",
        "transport.socket.listen-port": port,
        "auth.addr.brick.allow": "127.0.0.1",
    }
    return _stack(
        ("posix", "storage/posix", {"directory": brick}),
        ("access-control", "features/access-control", {}),
        ("locks", "features/locks", {}),
        ("upcall", "features/upcall", {"cache-invalidation": "off"}),
        ("io-threads", "performance/io-threads", {}),
        ("brick", "debug/io-stats", {}),
        ("server", "protocol/server", network),
    )


def _client(port: int) -> str:
    network = {
        "transport-type": "tcp",
        "transport.address-family": "inet",
        "remote-host": "127.0.0.1",
        "remote-port": port,
        "remote-subvolume": "brick",
    }
    return _stack(
        ("client", "protocol/client", network),
        ("distribute", "cluster/distribute", {}),
        ("utime", "features/utime", {"noatime": "on"}),
        *((name, f"performance/{name}", {}) for name in CACHES),
        ("pool", "debug/io-stats", {}),
    )


def _stack(*volumes: Volume) -> str:
    lines, below = [], ""
    for name, kind, options in volumes:
        lines += [f"volume {name}", f"    type {kind}"]
        lines += [f"    option {key} {value}" for key, value in options.items()]
        lines += [f"    subvolumes {below}"] if below else []
        lines += ["end-volume", ""]
        below = name
    return "\n".join(lines)
