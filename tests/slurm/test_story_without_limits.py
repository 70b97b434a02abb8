"""What the suite does where SLURM cannot limit memory: it skips, or fails where all is required."""

import os
import subprocess
import sys

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.machine import CGROUPS
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

NEEDS_LIMITS = "tests/slurm/test_jobs.py::test_the_kernels_kill_is_counted_inside_the_job"
# a container that may look at cgroups but make none
READ_ONLY = f"""\
for group in {CGROUPS} {CGROUPS}/*; do
    ! mountpoint -q "$group" || mount -o remount,bind,ro "$group"
done
exec "$@"
"""


@pytest.mark.parametrize(("required", "end"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_machine_without_memory_cgroups_counts_as_required(
    slurm: Cluster, required: str, end: str
) -> None:
    test = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", NEEDS_LIMITS)

    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *test],
        cwd=CHECKOUT,
        env=os.environ | {"JOBPOOL_REQUIRE_SLURM": required},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert end in ended.stdout.splitlines()[-1], ended.stdout + ended.stderr
    assert "no memory cgroup can be used here" in ended.stdout
