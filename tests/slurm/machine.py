"""What this machine has for a SLURM of the tests: programs, cgroups, ports, processes."""

import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

PROGRAMS = (
    *("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db", "setpriv"),
    *("sbatch", "scancel", "squeue", "sacct", "sacctmgr", "scontrol", "sinfo"),
)
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
CGROUPS = Path("/sys/fs/cgroup")
POLL_S = 0.05

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdSpoolDir={folder}/spool.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SwitchType=switch/none
MpiDefault=none
ProctrackType={proctrack}
TaskPlugin={task_plugin}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=5
MinJobAge=300
MaxArraySize=10001
NodeName={nodes[0]} NodeHostname=localhost Port={node_ports[0]} CPUs=16 RealMemory=70000
NodeName={nodes[1]} NodeHostname=localhost Port={node_ports[1]} CPUs=16 RealMemory=70000
PartitionName=short Nodes=ALL Default=YES MaxTime=3:00:00 DefMemPerCPU=256 State=UP
PartitionName=long Nodes=ALL MaxTime=30:00:00 DefMemPerCPU=256 State=UP
{more}
"""

ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={accounting_port}
AccountingStoragePass={folder}/munge.socket
"""

# SLURM's own memory watch kills whole jobs; jobs of one partition take the place of others
WITHOUT_ACCOUNTING = """\
JobAcctGatherParams=OverMemoryKill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL MaxTime=3:00:00 DefMemPerCPU=256 PriorityTier=10 State=UP
"""

CGROUP_CONF = {
    "cgroup/v1": f"""\
CgroupPlugin=cgroup/v1
CgroupMountpoint={CGROUPS}
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
""",
    "cgroup/v2": """\
CgroupPlugin=cgroup/v2
IgnoreSystemd=yes
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
""",
}

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={accounting_port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


def why_not() -> str | None:
    """Return why no cluster can be started here, or None if one can."""
    if os.geteuid() != 0:
        return "slurmd needs root, and these tests do not run as root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    if absent:
        return f"not installed: {' '.join(absent)}; run tests/slurm/install.sh as root"
    return None


def memory_plugin() -> str | None:
    """Return SLURM's name for the memory cgroups that can be written here, or None."""
    controllers = CGROUPS / "cgroup.controllers"
    if controllers.exists():
        has_memory = "memory" in controllers.read_text().split()
        return "cgroup/v2" if has_memory and _can_make_groups(CGROUPS) else None
    return (
        "cgroup/v1" if all(_can_make_groups(CGROUPS / c) for c in ("memory", "freezer")) else None
    )


def _can_make_groups(parent: Path) -> bool:
    probe = parent / f"jobpool-probe-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return ports without a listener, below those that the kernel gives to clients."""
    draw = SystemRandom()
    ports: list[int] = []
    while len(ports) < count:
        port = draw.randrange(12_000, 32_000)
        with socket.socket() as probe:
            if port not in ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    return ports


def write_configuration(
    folder: Path, name: str, nodes: tuple[str, str], memory: str | None, *, accounting: bool
) -> int:
    """Write SLURM's three files into `folder`; return the port that accounting will listen on."""
    controller_port, accounting_port, *node_ports = free_ports(4)
    values = {
        "folder": folder,
        "name": name,
        "nodes": nodes,
        "controller_port": controller_port,
        "accounting_port": accounting_port,
        "node_ports": node_ports,
        "proctrack": "proctrack/cgroup" if memory else "proctrack/linuxproc",
        "task_plugin": "task/cgroup" if memory else "task/none",
    }
    more = ACCOUNTING.format_map(values) if accounting else WITHOUT_ACCOUNTING
    (folder / "slurm.conf").write_text(SLURM_CONF.format_map(values | {"more": more}))
    if memory:
        (folder / "cgroup.conf").write_text(CGROUP_CONF[memory])
    slurmdbd = folder / "slurmdbd.conf"
    slurmdbd.touch(mode=0o600)  # slurmdbd refuses a file that others can read
    slurmdbd.write_text(SLURMDBD_CONF.format_map(values))
    return accounting_port


def answers(address: Path | tuple[str, int]) -> bool:
    """Return whether something listens at a socket's path or at a host and port."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(str(address) if isinstance(address, Path) else address) == 0


def processes_with(setting: str) -> Iterator[int]:
    """Yield the processes but this one that have `NAME=value` in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended while we looked
            settings = (folder / "environ").read_bytes().split(b"\0")
            if setting.encode() in settings and int(folder.name) != os.getpid():
                yield int(folder.name)


def kill_all(setting: str) -> None:
    """Kill the processes with `setting`, also those that are being started meanwhile."""
    while pids := list(processes_with(setting)):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)


def thaw(group: Path) -> None:
    """Let the processes of suspended jobs in a cgroup run, for a frozen one cannot be killed."""
    for name, go_on in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        for file in group.rglob(name):
            with suppress(OSError):  # the uppermost group has none, or it is gone
                file.write_text(go_on)


def remove_group(group: Path, timeout_s: float = 10) -> None:
    """Remove a cgroup and all below it, after its processes have gone."""
    end = time.monotonic() + timeout_s
    while group.exists():
        for folder in sorted((file.parent for file in group.rglob("cgroup.procs")), reverse=True):
            with suppress(OSError):  # a killed process has not quite gone
                folder.rmdir()
        if time.monotonic() > end:
            raise TimeoutError(f"cgroup {group} still holds processes")
        time.sleep(POLL_S)
