"""What a worker has is read from its job, its cgroup and its machine."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobpool.errors import SchedulerError
from jobpool.scheduler.base import Job
from jobpool.scheduler.slurm.environment import oom_kills, read_capacity, read_job, step_kills
from jobpool.scheduler.slurm.own_job import asked_once
from jobpool.units import parse_clock

V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2_MOUNT = "35 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_JOB = "slurm/uid_7/job_12"
V2_JOB = "system.slice/slurmstepd.scope/job_12"
IN_SLURM = {"SLURM_JOB_ID": "12", "SLURM_JOB_END_TIME": "1800000000"}
ARRAY_TASK = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


def write(root: Path, name: str, text: object) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", encoding="utf-8")


def a_machine(root: Path, cgroup: str = "0::/", mount: str = V2_MOUNT) -> Path:
    write(root, "proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB")
    write(root, "proc/self/cgroup", cgroup)
    write(root, "proc/self/mountinfo", mount)
    return root


def a_node_with_job(root: Path, job: str = "12", step: str = "batch") -> Path:
    """Lay out a machine without SLURM's cgroups: this process is below one of SLURM's."""
    write(a_machine(root), "proc/self/stat", "78 (python) S 77 78")
    write(root, "proc/77/stat", "77 (bash) S 76 77")
    write(root, "proc/77/cmdline", "bash")
    write(root, "proc/76/stat", "76 (slurmstepd) S 1 76")
    write(root, "proc/76/cmdline", f"slurmstepd: [{job}.{step}]")
    return root


def a_v1_job(root: Path) -> Path:
    """Lay out a machine whose process is in the lowest of three levels of a job's cgroup."""
    a_machine(root, f"5:cpu:/\n4:memory:/{V1_JOB}/step_batch/task_0\n0::/", V1_MOUNT)
    top = f"sys/fs/cgroup/memory/{V1_JOB}"
    for level, limit in ((top, 300 << 20), (f"{top}/step_batch", 200 << 20)):
        write(root, f"{level}/memory.limit_in_bytes", limit)
    write(root, f"{top}/step_batch/task_0/memory.limit_in_bytes", 9223372036854771712)
    return root


def a_v2_job(root: Path) -> Path:
    a_machine(root, f"0::/{V2_JOB}/step_batch/user/task_0", V2_MOUNT)
    write(root, f"sys/fs/cgroup/{V2_JOB}/memory.max", 200 << 20)
    write(root, f"sys/fs/cgroup/{V2_JOB}/step_batch/memory.max", "max")
    return root


def never(command: Sequence[str]) -> str:
    raise AssertionError(f"{command} was run")


def no_answer(command: Sequence[str]) -> str:
    raise SchedulerError("squeue did not answer within 20 s")


class Squeue:
    """Answers as squeue does, and remembers what it was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.asked.append(list(command))
        return self.answer


def test_outside_slurm_a_worker_has_the_whole_machine(tmp_path: Path) -> None:
    capacity = read_capacity({}, root=a_machine(tmp_path), run=never, usable_cores=8)

    assert (capacity.cores, capacity.memory_mb, capacity.end, capacity.gpus) == (8, 16000, None, 0)


def test_a_machine_that_tells_nothing_has_unknown_memory(tmp_path: Path) -> None:
    capacity = read_capacity({}, root=tmp_path, run=never)

    assert capacity.memory_mb is None


def test_the_job_has_fewer_cores_than_its_node(tmp_path: Path) -> None:
    job = {**IN_SLURM, "SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}

    capacity = read_capacity(job, root=a_node_with_job(tmp_path), run=never, usable_cores=64)

    assert capacity.cores == 4


def test_a_job_without_cores_per_task_has_those_of_its_node(tmp_path: Path) -> None:
    job = {**IN_SLURM, "SLURM_CPUS_ON_NODE": "16"}

    capacity = read_capacity(job, root=a_node_with_job(tmp_path), run=never, usable_cores=64)

    assert capacity.cores == 16


def test_a_job_has_no_more_cores_than_the_kernel_lets_it_use(tmp_path: Path) -> None:
    job = {**IN_SLURM, "SLURM_CPUS_PER_TASK": "16"}

    capacity = read_capacity(job, root=a_node_with_job(tmp_path), run=never, usable_cores=2)

    assert capacity.cores == 2


@pytest.mark.parametrize(
    ("given", "memory_mb"),
    [
        ({"SLURM_MEM_PER_NODE": "4096"}, 4096),
        ({"SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "4"}, 1024),
        ({"SLURM_MEM_PER_GPU": "2048", "SLURM_GPUS_ON_NODE": "2"}, 4096),
        ({"SLURM_MEM_PER_NODE": "0"}, 16000),  # --mem=0: all of the node
        ({}, 16000),
    ],
)
def test_memory_is_what_slurm_gave_the_job(
    tmp_path: Path, given: dict[str, str], memory_mb: int
) -> None:
    capacity = read_capacity({**IN_SLURM, **given}, root=a_node_with_job(tmp_path), run=never)

    assert capacity.memory_mb == memory_mb


@pytest.mark.parametrize("lay_out", [a_v1_job, a_v2_job])
def test_memory_is_the_smallest_limit_of_the_cgroup(
    tmp_path: Path, lay_out: Callable[[Path], Path]
) -> None:
    lay_out(tmp_path)
    job = {**IN_SLURM, "SLURM_MEM_PER_NODE": "4096"}

    capacity = read_capacity(job, root=tmp_path, run=never)

    assert capacity.memory_mb == 200


def test_a_container_that_sees_a_part_of_the_cgroups_finds_its_limit(tmp_path: Path) -> None:
    mount = V1_MOUNT.replace(" / /sys", " /docker/abc /sys")
    a_machine(tmp_path, "4:memory:/docker/abc/inner", mount)
    write(tmp_path, "sys/fs/cgroup/memory/inner/memory.limit_in_bytes", 500 << 20)

    capacity = read_capacity({}, root=tmp_path, run=never)

    assert capacity.memory_mb == 500


def test_the_end_is_what_the_job_was_told(tmp_path: Path) -> None:
    capacity = read_capacity(IN_SLURM, root=a_node_with_job(tmp_path), run=never)

    assert capacity.end == 1_800_000_000


def test_an_older_slurm_is_asked_once_for_all_that_it_did_not_tell(tmp_path: Path) -> None:
    squeue = Squeue(
        "12  12_0  RUNNING 0 2:00 1 cpu=1,mem=1G\n14  12_3  RUNNING 0 1-00:01:00 1 cpu=1,mem=3G\n"
    )
    scheduler = asked_once(squeue)
    job, root = {"SLURM_JOB_ID": "14", **ARRAY_TASK}, a_node_with_job(tmp_path, "14")

    capacity = read_capacity(job, root=root, run=scheduler, now=lambda: 1000.0)
    own = read_job(job, root=root, run=scheduler)

    # by its own number: where 14 is also the number of one task, the whole array is listed
    assert [command[-2:] for command in squeue.asked] == [["--jobs", "14"]]
    assert (capacity.end, capacity.memory_mb) == (1000 + 86_400 + 60, 3072)
    assert own == Job(label="12_3")


@pytest.mark.parametrize("answer", ["UNLIMITED", "NOT_SET", "INVALID", "", "slurm: error"])
def test_a_time_that_squeue_does_not_know_is_no_end(answer: str) -> None:
    assert parse_clock(answer) is None


def test_a_controller_that_does_not_answer_leaves_the_end_unknown(tmp_path: Path) -> None:
    capacity = read_capacity({"SLURM_JOB_ID": "12"}, root=a_machine(tmp_path), run=no_answer)

    assert capacity.end is None


def test_a_job_has_the_gpus_that_slurm_gave_it(tmp_path: Path) -> None:
    capacity = read_capacity(
        {**IN_SLURM, "SLURM_GPUS_ON_NODE": "2"}, root=a_node_with_job(tmp_path), run=never
    )

    assert capacity.gpus == 2


def test_outside_slurm_every_gpu_of_the_machine_counts(tmp_path: Path) -> None:
    write(a_machine(tmp_path), "proc/driver/nvidia/gpus/0000:01:00.0/information", "")

    capacity = read_capacity({}, root=tmp_path, run=never)

    assert capacity.gpus == 1


def test_there_is_no_job_outside_slurm() -> None:
    assert read_job({"PATH": "/bin"}) is None


def test_a_restarted_array_task_is_read_whole(tmp_path: Path) -> None:
    job = read_job(
        {
            "SLURM_CLUSTER_NAME": "alps",
            "SLURM_JOB_ID": "15",
            "SLURM_ARRAY_JOB_ID": "12",
            "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_RESTART_COUNT": "1",
            "SLURMD_NODENAME": "n2",
            "JOBPOOL_JOB": "15 12_0 1",
        },
        root=a_node_with_job(tmp_path, "15"),
        run=never,
    )

    assert job is not None
    assert (job.label, job.cluster, job.restarts, job.node) == ("12_0", "alps", 1, "n2")


OUTER = {**ARRAY_TASK, "SLURM_RESTART_COUNT": "1", "JOBPOOL_JOB": "15 12_3 1"}


def test_a_job_in_a_job_has_its_own_number(tmp_path: Path) -> None:
    squeue = Squeue("20  20  RUNNING 0 1:00:00 1 cpu=1,mem=1G\n")

    job = read_job(
        {"SLURM_JOB_ID": "20", **OUTER}, root=a_node_with_job(tmp_path, "20"), run=squeue
    )

    assert job == Job(label="20")


def test_a_job_that_slurm_does_not_tell_of_goes_by_its_number(tmp_path: Path) -> None:
    inner = {"SLURM_JOB_ID": "20", **ARRAY_TASK}

    job = read_job(inner, root=a_node_with_job(tmp_path, "20"), run=no_answer)

    assert job == Job(label="20")


@pytest.mark.parametrize("answer", ["", "12  12  COMPLETED 0 0:00 1 cpu=1,mem=1G\n"])
def test_variables_that_outlived_their_job_are_no_job(tmp_path: Path, answer: str) -> None:
    left = {**IN_SLURM, "SLURM_MEM_PER_NODE": "100", "SLURM_CPUS_PER_TASK": "1"}

    capacity = read_capacity(left, root=a_machine(tmp_path), run=Squeue(answer), usable_cores=8)

    assert (capacity.cores, capacity.memory_mb, capacity.end) == (8, 16000, None)


def test_a_running_job_whose_processes_cannot_be_seen_is_a_job(tmp_path: Path) -> None:
    squeue = Squeue("12  12  RUNNING 0 1:00 1 cpu=1,mem=1G\n")

    assert read_job(IN_SLURM, root=a_machine(tmp_path), run=squeue) == Job(label="12")


def test_variables_of_another_job_than_that_of_the_cgroup_do_not_count(tmp_path: Path) -> None:
    squeue = Squeue("12  12  RUNNING 0 1:00 1 cpu=2,mem=1G\n")
    other = {"SLURM_JOB_ID": "9", "SLURM_CPUS_PER_TASK": "8", "SLURM_MEM_PER_NODE": "9000"}

    capacity = read_capacity(other, root=a_v1_job(tmp_path), run=squeue, usable_cores=64)
    job = read_job(other, root=tmp_path, run=squeue)

    assert (capacity.cores, capacity.memory_mb) == (2, 200)
    assert job == Job(label="12")


def test_memory_left_by_a_job_around_this_one_is_asked_for(tmp_path: Path) -> None:
    squeue = Squeue("12  12  RUNNING 0 1:00 1 cpu=2,mem=512M\n")
    both = {**IN_SLURM, "SLURM_MEM_PER_NODE": "4096", "SLURM_MEM_PER_CPU": "256"}

    capacity = read_capacity(both, root=a_node_with_job(tmp_path), run=squeue)

    assert capacity.memory_mb == 512


@pytest.mark.parametrize(
    ("given", "cores", "memory_mb"),
    [
        # srun -n4 in a job of 8 cores and 8 GB: a quarter each
        ({"SLURM_GTIDS": "0,1,2,3", "SLURM_CPUS_ON_NODE": "8"}, 2, 2048),
        ({"SLURM_GTIDS": "2,3", "SLURM_CPUS_ON_NODE": "4"}, 2, 2048),
        # srun -n1 -c2 --exact beside others like it
        ({"SLURM_GTIDS": "0", "SLURM_CPUS_ON_NODE": "2"}, 2, 2048),
        # the cores per task of the job around the step
        ({"SLURM_CPUS_ON_NODE": "1", "SLURM_CPUS_PER_TASK": "8"}, 1, 1024),
    ],
)
def test_the_processes_of_a_job_step_share_the_job(
    tmp_path: Path, given: dict[str, str], cores: int, memory_mb: int
) -> None:
    job = {**IN_SLURM, "SLURM_MEM_PER_NODE": "8192", "SLURM_JOB_CPUS_PER_NODE": "8(x2)"}

    capacity = read_capacity(
        {**job, **given}, root=a_node_with_job(tmp_path, step="0"), run=never, usable_cores=64
    )

    assert (capacity.cores, capacity.memory_mb) == (cores, memory_mb)


def test_cores_that_a_job_has_but_did_not_ask_for_are_spare(tmp_path: Path) -> None:
    exclusive = {**IN_SLURM, "SLURM_CPUS_PER_TASK": "1", "SLURM_CPUS_ON_NODE": "16"}

    capacity = read_capacity(exclusive, root=a_node_with_job(tmp_path), run=never, usable_cores=64)

    assert (capacity.cores, capacity.spare_cores) == (1, 15)


def test_kills_are_counted_up_to_the_job_under_v1(tmp_path: Path) -> None:
    a_v1_job(tmp_path)
    top = f"sys/fs/cgroup/memory/{V1_JOB}"
    write(tmp_path, f"{top}/step_batch/task_0/memory.oom_control", "under_oom 0\noom_kill 2")
    write(tmp_path, f"{top}/memory.oom_control", "under_oom 0\noom_kill 1")
    write(tmp_path, "sys/fs/cgroup/memory/slurm/memory.oom_control", "under_oom 0\noom_kill 50")

    assert oom_kills(tmp_path) == 3


def test_kills_are_those_of_the_whole_job_under_v2(tmp_path: Path) -> None:
    a_v2_job(tmp_path)
    job = f"sys/fs/cgroup/{V2_JOB}"
    write(tmp_path, f"{job}/step_batch/user/task_0/memory.events", "oom 1\noom_kill 1")
    write(tmp_path, f"{job}/memory.events", "oom 3\noom_kill 3")

    assert oom_kills(tmp_path) == 3


def test_kills_are_those_of_the_own_cgroup_outside_slurm(tmp_path: Path) -> None:
    a_machine(tmp_path, "0::/user.slice/mine", V2_MOUNT)
    write(tmp_path, "sys/fs/cgroup/user.slice/mine/memory.events", "oom_kill 1")
    write(tmp_path, "sys/fs/cgroup/user.slice/memory.events", "oom_kill 9")

    assert oom_kills(tmp_path) == 1


def test_kills_are_unknown_where_nothing_counts_them(tmp_path: Path) -> None:
    assert oom_kills(a_machine(tmp_path)) is None


@pytest.mark.parametrize(
    ("cgroup", "kills"),
    [
        (f"0::/{V2_JOB}/step_batch/user/task_0", 2),
        (f"0::/{V2_JOB}/step_0/user/task_0", None),  # other steps are not of this process
        ("0::/user.slice/mine", None),
    ],
)
def test_kills_in_the_steps_that_a_batch_script_starts_are_told_apart(
    tmp_path: Path, cgroup: str, kills: int | None
) -> None:
    a_machine(tmp_path, cgroup, V2_MOUNT)
    for level, count in ((V2_JOB, 3), (f"{V2_JOB}/step_batch", 1)):
        write(tmp_path, f"sys/fs/cgroup/{level}/memory.events", f"oom_kill {count}")

    assert step_kills(tmp_path) == kills
