"""`jobpool plan` beside `jobpool submit --keep-full`, with stand-ins for SLURM's programs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobpool.errors import Fault
from jobpool.scheduler.base import job_prefix
from jobpool.task import Cause, Feedback
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import WORKER, claim, end_claim

PASSES = """
passes:
  first: {cores: 1, memory_gb: 1, walltime: 1h, max_running: 4}
  second: {cores: 4, memory_gb: 8, walltime: 2h}
"""
# `sbatch` puts its jobs into the file that `squeue` shows
STAND_INS = {
    "scontrol": "echo 'MaxArraySize            = 1001'",
    "sinfo": "echo 'short*|up|3:00:00|16|70000'; echo 'long|up|30:00:00|16|700000'",
    "squeue": "cat queue",
    "sbatch": """\
echo "$*" >> lines
for word; do
    case $word in --job-name=*) name=${word#*=};; --array=*) last=${word#*=0-};; esac
done
sleep 0.2
for i in $(seq 0 "${last%%%*}"); do echo "77_$i|77|PENDING|Priority|$name" >> queue; done
echo 77""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Stand-ins in a folder, a pool of two passes, and the program called with both."""

    folder: Path
    pool: Path
    jobpool: Jobpool

    def run(self, *words: object) -> "subprocess.CompletedProcess[str]":
        return self.jobpool(*words, **self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}

    @property
    def lines(self) -> list[str]:
        """What sbatch was given."""
        file = self.folder / "lines"
        return file.read_text().splitlines() if file.exists() else []

    def queue(self, *names: str) -> None:
        prefix = job_prefix(self.pool, "test")
        text = "".join(f"5_{i}|5|RUNNING|None|{prefix}{name}\n" for i, name in enumerate(names))
        (self.folder / "queue").write_text(text)

    def replace_program(self, name: str, body: str) -> None:
        file = self.folder / name
        file.write_text(f"#!/bin/sh\ncd {self.folder}\n{body}\n")
        file.chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path, jobpool: Jobpool) -> Cluster:
    pool = a_pool(tmp_path, n_tasks=10)
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)
    (tmp_path / "slurm").mkdir()
    made = Cluster(folder=tmp_path / "slurm", pool=pool, jobpool=jobpool)
    made.queue()
    for name, body in STAND_INS.items():
        made.replace_program(name, body)
    return made


def test_a_new_pool_is_planned_for_its_first_pass(cluster: Cluster) -> None:
    shown = cluster.run("plan", cluster.pool)

    assert shown.returncode == 0, shown.stderr
    assert "10 tasks wait" in shown.stdout
    assert "first      1  1 GB    1h       10  ?                  0         10        4" in (
        shown.stdout
    )
    assert "fewer than 5 attempts have ended yet" in shown.stdout
    assert f"jobpool plan {cluster.pool} --submit" in shown.stdout
    assert cluster.lines == []


def test_a_plan_rests_on_what_was_learned(cluster: Cluster) -> None:
    for position in range(8):
        end_claim(cluster.pool, position, seconds=600.0)

    shown = cluster.run("plan", cluster.pool)

    assert "2 tasks wait" in shown.stdout
    assert "8 done" in shown.stdout
    assert "core-hours: about 0." in shown.stdout
    assert "based on 8 completed attempts" in shown.stdout


def test_a_plan_in_json_has_the_numbers(cluster: Cluster) -> None:
    end_claim(cluster.pool, 3, Cause.MEMORY, Feedback(memory_mb=1024))
    cluster.queue("first", "first")

    shown = cluster.run("plan", cluster.pool, "--json")

    found = json.loads(shown.stdout)
    assert (found["waiting"], found["queued"], found["limits_known"]) == (10, 2, True)
    assert [(one["size"], one["tasks"], one["queued"]) for one in found["sizes"]] == [
        *(("first", 9, 2), ("second", 1, 0))
    ]


def test_what_exceeds_the_cluster_is_named_with_the_next_step(cluster: Cluster) -> None:
    end_claim(cluster.pool, 3, Cause.MEMORY, Feedback(memory_mb=65_000))

    shown = cluster.run("plan", cluster.pool)

    assert "1 task exceeds what the cluster has" in shown.stdout
    assert "a node of partition short has 16 cores, 68.4 GB" in shown.stdout
    assert "partition long has room" in shown.stdout


def test_the_task_of_a_dead_worker_is_planned_for(cluster: Cluster) -> None:
    claim(cluster.pool, 3)
    os.utime(cluster.pool / "workers" / "00" / f"{WORKER:012x}.json", (1.0, 1.0))

    shown = cluster.run("plan", cluster.pool, "--json")

    found = json.loads(shown.stdout)
    assert (found["waiting"], found["running"], found["lost"]) == (9, 1, 1)
    assert sum(one["tasks"] for one in found["sizes"]) == 10


def test_what_is_left_out_is_named_with_the_reason(cluster: Cluster) -> None:
    file = cluster.pool / "experiment.yaml"
    text = file.read_text().replace("max_running: 4", 'only: ["number<6"]')
    file.write_text(text.replace("walltime: 2h", 'walltime: 5h, only: ["number<6"]'))

    shown = cluster.run("plan", cluster.pool)

    assert "pass second is left out: partition short allows 3 h" in shown.stdout
    assert "left out, as no pass selects them: 4 tasks" in shown.stdout


def test_without_slurm_a_plan_says_that_limits_are_unknown(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path)

    shown = jobpool("plan", pool, PATH="/nowhere")

    assert shown.returncode == 0
    assert "limits of the cluster and jobs in its queue are unknown: squeue cannot be" in (
        shown.stdout
    )


def test_a_plan_without_waiting_tasks_says_nothing_of_the_cluster(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, n_tasks=1)
    end_claim(pool, 0)

    shown = jobpool("plan", pool, PATH="/nowhere")

    assert shown.stdout == f"test: 0 tasks wait in {pool}; 1 done\n"


def test_a_plan_is_submitted(cluster: Cluster) -> None:
    end_claim(cluster.pool, 3, Cause.MEMORY, Feedback(memory_mb=1024))

    shown = cluster.run("plan", cluster.pool, "--submit")

    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.count("submitted job 77") == 2
    first, second = cluster.lines
    assert "-first --array=0-8%4 --cpus-per-task=1 --mem=1024M --time=0-01:00:00" in first
    assert "-second --array=0-0 --cpus-per-task=4 --mem=8192M --time=0-02:00:00" in second


def test_the_queue_is_filled_up_to_what_is_asked(cluster: Cluster) -> None:
    cluster.queue("first", "second")

    shown = cluster.run("submit", cluster.pool, "--keep-full", "--jobs", 3)

    assert shown.returncode == 0, shown.stderr
    assert ["--array=0-0%4" in line for line in cluster.lines] == [True]


def test_a_full_queue_is_left_alone_in_one_line(cluster: Cluster) -> None:
    cluster.queue("first", "first", "first")

    shown = cluster.run("submit", cluster.pool, "--keep-full", "--jobs", 3)

    assert (shown.returncode, shown.stdout) == (0, "")
    assert shown.stderr == f"{cluster.pool}: enough with 3 jobs in the queue\n"


def test_a_pool_with_nothing_left_asks_slurm_nothing(cluster: Cluster) -> None:
    for position in range(10):
        end_claim(cluster.pool, position)
    cluster.replace_program("squeue", "exit 1")

    shown = cluster.run("submit", cluster.pool, "--keep-full")

    assert (shown.returncode, shown.stdout) == (0, "")
    assert shown.stderr == f"{cluster.pool}: nothing is left to do\n"


def test_the_same_command_again_submits_nothing_more(cluster: Cluster) -> None:
    cluster.run("submit", cluster.pool, "--keep-full")

    again = cluster.run("submit", cluster.pool, "--keep-full")

    assert again.returncode == 0
    assert "nothing to submit: 4 jobs in the queue, 10 tasks waiting" in again.stderr
    assert len(cluster.lines) == 1


def test_two_at_the_same_time_submit_once(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "jobpool", "submit", str(cluster.pool), "--keep-full"]
    both = [
        subprocess.Popen(
            command,
            env={**os.environ, **cluster.environment},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]

    codes = [one.wait(timeout=60) for one in both]

    assert codes == [0, 0]
    assert len(cluster.lines) == 1


def test_without_an_answer_of_squeue_nothing_is_submitted(cluster: Cluster) -> None:
    cluster.replace_program("squeue", "echo slurm_load_jobs error >&2; exit 1")

    refused = cluster.run("submit", cluster.pool, "--keep-full")

    assert refused.returncode == Fault.SCHEDULER
    assert "slurm_load_jobs error" in refused.stderr
    assert cluster.lines == []


def test_a_dry_run_of_keep_full_needs_no_slurm(cluster: Cluster) -> None:
    shown = cluster.jobpool("submit", cluster.pool, "--keep-full", "--dry-run", PATH="/nowhere")

    assert shown.returncode == 0
    assert "--array=0-3%4" in shown.stdout
    assert "jobs in the queue are not counted" in shown.stderr


def change_passes(cluster: Cluster, old: str, new: str) -> None:
    file = cluster.pool / "experiment.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def limit_jobs(cluster: Cluster, most: int) -> None:
    """Let sbatch refuse what would be more than so many jobs in the queue."""
    body = f"""\
for word; do case $word in --array=*) last=${{word#*=0-}};; esac; done
if [ $(( $(wc -l < queue) + ${{last%%%*}} + 1 )) -gt {most} ]; then
    echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
    echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2
    exit 1
fi
"""
    cluster.replace_program("sbatch", body + STAND_INS["sbatch"])


@pytest.mark.parametrize(
    ("sinfo", "partition", "why"),
    [
        ("echo 'short*|up|3:00:00|16|70000'", "shrot", "no partition 'shrot'"),
        ("echo 'short*|drain|3:00:00|16|70000'", "short", "partition short is drained"),
        ("echo 'short*|down|3:00:00|16|70000'", "short", "partition short is down"),
        ("echo 'short*|inact|3:00:00|16|70000'", "short", "partition short is inactive"),
    ],
)
def test_no_size_is_invented_in_place_of_a_pass_that_cannot_run(
    cluster: Cluster, sinfo: str, partition: str, why: str
) -> None:
    cluster.replace_program("sinfo", sinfo)
    change_passes(cluster, "{cores: ", f"{{partition: {partition}, cores: ")

    sent = cluster.run("submit", cluster.pool, "--keep-full")
    shown = cluster.run("plan", cluster.pool)

    assert cluster.lines == []
    assert sent.returncode == Fault.SCHEDULER
    assert f"pass first waits, 10 tasks for it: {why}" in sent.stderr
    assert f"pass first waits, 10 tasks for it: {why}" in shown.stdout


def test_the_other_passes_go_on_beside_one_that_cannot_run(cluster: Cluster) -> None:
    change_passes(cluster, "max_running: 4", 'partition: nowhere, only: ["number<6"]')
    change_passes(cluster, "walltime: 2h", 'walltime: 2h, only: ["number>=6"]')

    sent = cluster.run("submit", cluster.pool, "--keep-full")

    assert sent.returncode == Fault.SCHEDULER
    assert "pass first waits, 6 tasks for it: no partition 'nowhere'" in sent.stderr
    assert "submitted: 77" in sent.stderr
    (line,) = cluster.lines
    assert "-second --array=0-3" in line


def test_a_partition_named_by_any_form_of_an_option_is_looked_up(cluster: Cluster) -> None:
    change_passes(cluster, "max_running: 4", 'sbatch: ["-p", "nowhere"]')

    shown = cluster.run("plan", cluster.pool)

    assert "pass first is left out: no partition 'nowhere'" in shown.stdout


def test_the_room_that_a_limit_leaves_is_used(cluster: Cluster) -> None:
    change_passes(cluster, ", max_running: 4", "")
    cluster.queue("other", "other", "other")
    limit_jobs(cluster, 10)

    sent = cluster.run("submit", cluster.pool, "--pass", "first", "--jobs", 10)

    assert sent.returncode == Fault.SCHEDULER
    assert "first: 3 jobs of 10 not submitted" in sent.stderr
    assert "AssocMaxSubmitJobLimit" in sent.stderr
    assert len((cluster.folder / "queue").read_text().splitlines()) == 10


def test_no_more_jobs_run_at_one_time_where_a_limit_divides_them(cluster: Cluster) -> None:
    limit_jobs(cluster, 7)

    cluster.run("submit", cluster.pool, "--pass", "first", "--jobs", 10)

    throttles = [int(line.partition("%")[2].partition(" ")[0]) for line in cluster.lines]
    assert sum(throttles) <= 4


def test_a_full_queue_of_the_site_is_an_error_that_names_the_limit(cluster: Cluster) -> None:
    limit_jobs(cluster, 0)

    sent = cluster.run("submit", cluster.pool, "--keep-full")

    assert sent.returncode == Fault.SCHEDULER
    assert "first: 4 jobs of 4 not submitted" in sent.stderr


def test_a_size_that_is_refused_does_not_stop_the_others(cluster: Cluster) -> None:
    end_claim(cluster.pool, 3, Cause.MEMORY, Feedback(memory_mb=1024))
    change_passes(cluster, "max_running: 4", "account: nobody")
    refuse = (
        'case "$*" in *--account=nobody*) echo "sbatch: error: Invalid account" >&2; exit 1; esac\n'
    )
    cluster.replace_program("sbatch", refuse + STAND_INS["sbatch"])

    sent = cluster.run("plan", cluster.pool, "--submit")

    assert sent.returncode == Fault.SCHEDULER
    assert "first: " in sent.stderr
    assert "Invalid account" in sent.stderr
    (line,) = cluster.lines
    assert "-second" in line


def test_held_jobs_are_named_beside_those_that_are_sent(cluster: Cluster) -> None:
    prefix = job_prefix(cluster.pool, "test")
    held = "".join(f"5_{i}|5|PENDING|JobHeldUser|{prefix}first\n" for i in range(4))
    (cluster.folder / "queue").write_text(held)

    sent = cluster.run("submit", cluster.pool, "--keep-full", "--jobs", 4)

    assert sent.returncode == 0
    assert (
        "4 jobs stuck, held by the user (JobHeldUser): 5_0, 5_1, 5_2, ... (4 in all)" in sent.stderr
    )
    assert ["--array=0-3%4" in line for line in cluster.lines] == [True]


@pytest.mark.parametrize("n_held", [8, 30])
def test_held_jobs_never_become_more_than_are_asked_for(cluster: Cluster, n_held: int) -> None:
    prefix = job_prefix(cluster.pool, "test")
    held = "".join(f"5_{i}|5|PENDING|JobHeldAdmin|{prefix}first\n" for i in range(n_held))
    (cluster.folder / "queue").write_text(held)

    cluster.run("submit", cluster.pool, "--keep-full", "--jobs", 4)

    assert cluster.lines == []


def test_jobs_that_are_stuck_by_their_size_get_no_further_ones(cluster: Cluster) -> None:
    prefix = job_prefix(cluster.pool, "test")
    (cluster.folder / "queue").write_text(f"5|5|PENDING|PartitionTimeLimit|{prefix}first\n")

    sent = cluster.run("submit", cluster.pool, "--keep-full")

    assert sent.returncode == Fault.SCHEDULER
    why = "1 job stuck, the partition allows less time (PartitionTimeLimit): 5"
    assert f"pass first waits, none is sent: {why}" in sent.stderr
    assert cluster.lines == []


def test_after_failed_starts_nothing_is_sent_until_a_person_says_so(cluster: Cluster) -> None:
    name = f"{job_prefix(cluster.pool, 'test')}first"
    for job in range(3):
        told = f"jobpool-start 1\njob={job}\nname={name}\nsaid=no Python on this node\n\n"
        (cluster.pool / "starts" / f"{job}.failed").write_text(told)

    by_cron = cluster.run("submit", cluster.pool, "--keep-full")
    by_hand = cluster.run("submit", cluster.pool, "--pass", "first")
    sent_before = cluster.lines
    cluster.run("release", cluster.pool, "--starts")
    again = cluster.run("submit", cluster.pool, "--keep-full")

    assert (by_cron.returncode, by_hand.returncode) == (Fault.SCHEDULER, Fault.INPUT)
    assert "3 jobs could not start" in by_cron.stderr
    assert "no Python on this node" in by_hand.stderr
    assert sent_before == []
    assert again.returncode == 0
    assert len(cluster.lines) == 1


def test_what_a_job_could_not_run_is_not_submitted(cluster: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path / "other", call="gone_lab:f")
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)

    sent = cluster.run("submit", pool, "--keep-full")

    assert sent.returncode == Fault.INPUT
    assert "No module named 'gone_lab'" in sent.stderr
    assert cluster.lines == []


def test_the_program_that_the_jobs_run_is_tried_as_they_run_it(cluster: Cluster) -> None:
    program = cluster.folder / "other"
    cluster.replace_program("other", 'echo "$* $SBATCH_SIGNAL." > tried; echo no numpy >&2; exit 1')

    variables = {**cluster.environment, "JOBPOOL": str(program), "SBATCH_SIGNAL": "B:TERM@75"}
    sent = cluster.jobpool("submit", cluster.pool, "--pass", "first", **variables)

    tried = (cluster.folder / "tried").read_text()
    assert tried == f"work {cluster.pool} --max-tasks 0 .\n"
    assert "the jobs would have: no numpy; nothing was submitted" in sent.stderr
    assert cluster.lines == []


@pytest.mark.parametrize("name", ["nowhere", "older"])
def test_a_program_that_cannot_be_tried_here_is_submitted(cluster: Cluster, name: str) -> None:
    program = cluster.folder / name
    cluster.replace_program("older", "exit 2")

    variables = {**cluster.environment, "JOBPOOL": str(program)}
    sent = cluster.jobpool("submit", cluster.pool, "--pass", "first", **variables)

    assert sent.returncode == 0
    assert "they were not tried before" in sent.stderr
    assert len(cluster.lines) == 1


def test_a_node_where_jobs_cannot_start_gets_no_more_of_them(cluster: Cluster) -> None:
    name, starts = f"{job_prefix(cluster.pool, 'test')}first", cluster.pool / "starts"
    for job in range(3):
        told = f"jobpool-start 1\njob={job}\nname={name}\nnode=n7\nsaid=no Python\n\n"
        (starts / f"{job}.failed").write_text(told)
    (starts / f"{name}@n8.good").touch()

    sent = cluster.run("submit", cluster.pool, "--keep-full")

    assert sent.returncode == 0
    assert "without node n7: 3 jobs could not start" in sent.stderr
    assert ["--exclude=n7" in line for line in cluster.lines] == [True]


def test_an_invented_size_waits_like_a_pass_where_it_cannot_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    pool = a_pool(tmp_path / "without passes")
    cluster.replace_program("sinfo", "echo 'short*|down|3:00:00|16|70000'")

    sent = cluster.run("submit", pool, "--keep-full")

    assert cluster.lines == []
    assert "pass usual waits, 10 tasks for it: partition short is down" in sent.stderr
