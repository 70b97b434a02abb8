"""What the controller says of a cluster, as SLURM prints it."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobpool.errors import SchedulerError
from jobpool.experiment.config import Pass
from jobpool.scheduler.base import Limits
from jobpool.scheduler.slurm.limits import read_limits, read_max_array_size, read_partitions

CONFIG = "MaxArrayTasks = 5\nMaxArraySize            = 10001\nMaxDBDMsgs = 1"
SINFO = """\
short*|up|3:00:00|16|70000
short*|up|3:00:00|64|20000
long|up|2-00:00:00|16|70000
fat|up|infinite|96|2000000+
old|down|1:00:00|8|8000
"""
SMALL = Pass(name="small", cores=1, memory_gb=4, walltime_s=3600)


class Programs:
    """Answers as SLURM's programs do, and remembers what was run."""

    def __init__(self, config: str = CONFIG, sinfo: str = SINFO) -> None:
        self.answers = {"scontrol": config, "sinfo": sinfo}
        self.ran: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.ran.append(command)
        return self.answers[command[0]]


@pytest.fixture
def site() -> Limits:
    return read_limits(Programs())


def test_a_cluster_is_known_from_two_questions() -> None:
    programs = Programs()

    site = read_limits(programs)

    assert [command[0] for command in programs.ran] == ["scontrol", "sinfo"]
    assert site.max_array_size == 10_001
    assert [(part.name, part.max_time_s) for part in site.partitions] == [
        *(("short", 10_800.0), ("long", 172_800.0), ("fat", None), ("old", 3600.0))
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [("MaxArraySize = 0", "has no job arrays"), ("nonsense", "names no MaxArraySize")],
)
def test_a_cluster_without_arrays_is_named(config: str, message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        read_max_array_size(Programs(config))


def test_a_cluster_without_a_partition_for_this_user_is_named() -> None:
    with pytest.raises(SchedulerError, match="names no partition"):
        read_partitions(Programs(sinfo="\n"))


def test_a_job_without_a_partition_runs_in_the_default_one(site: Limits) -> None:
    assert [part.name for part in site.of(SMALL)] == ["short"]


def test_a_job_that_fits_one_kind_of_node_is_not_refused(site: Limits) -> None:
    assert site.refusal(replace(SMALL, cores=64, memory_gb=19)) is None


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (replace(SMALL, walltime_s=4 * 3600), "partition short allows 3 h"),
        (replace(SMALL, cores=64, memory_gb=60), "partition short has 64 cores, 68.4 GB"),
        (replace(SMALL, partition="old"), "partition old is down"),
        (replace(SMALL, partition="lnog"), "no partition 'lnog'.* did you mean 'long'"),
        (replace(SMALL, partition="long", walltime_s=3 * 86400), "partition long allows 48 h"),
        (replace(SMALL, sbatch=("--partition=old",)), "partition old is down"),
    ],
)
def test_a_job_that_the_cluster_has_no_place_for_is_refused_with_the_reason(
    site: Limits, job: Pass, reason: str
) -> None:
    refusal = site.refusal(job)

    assert re.search(reason, refusal or "")


def test_a_job_that_may_go_to_several_partitions_needs_room_in_one(site: Limits) -> None:
    job = replace(SMALL, partition="short,long", walltime_s=4 * 3600)

    assert site.refusal(job) is None


def test_a_cluster_without_a_default_partition_refuses_nothing(site: Limits) -> None:
    without = replace(site, partitions=site.partitions[2:])

    assert without.refusal(replace(SMALL, cores=1000)) is None
