"""The batch scripts in ``sbatch/``, made from one template: all share one prologue.

Users read, copy and edit them, so each is whole by itself, and is committed as it is made here; a
test compares. After a change::

    python -m jobpool.scheduler.slurm.scripts sbatch
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobpool.scheduler.base import MARGIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    about: str  # the first comment
    resources: tuple[str, str, str] | None = None  # cores, memory, time; None: from sbatch's line
    warned: str = "the worker returns its task and leaves"
    restarted: str = "a worker can be restarted at any time"
    alone: str = "jobpool run POOL"  # what to type without SLURM
    last: str = """\
# exec: the worker takes this shell's place, and so it gets SLURM's signals
exec "$JOBPOOL" work "$@"
"""


_OPTIONS = """\
#
# Options of sbatch stand before the script and win over the lines below; what stands after POOL
# goes to `jobpool work`. A worker pulls tasks until none is left for it or its time is nearly up.
"""
_SCRIPTS: Mapping[str, _Script] = {
    "first_pass": _Script(
        about="""\
# First pass: many small workers for whatever fits into them.
#
#   sbatch sbatch/first_pass.sbatch POOL
#   for i in $(seq 20); do sbatch sbatch/first_pass.sbatch POOL --only pipeline=elastic; done
#   sbatch --array=0-199%50 sbatch/first_pass.sbatch POOL        # 200 workers, 50 at a time
#   sbatch --partition=short --time=1:00:00 sbatch/first_pass.sbatch POOL --skip target=age
"""
        + _OPTIONS,
        resources=("1", "4G", "0-03:00:00"),
    ),
    "second_pass": _Script(
        about="""\
# Second pass: few large workers for the tasks that the first pass could not hold.
#
#   sbatch sbatch/second_pass.sbatch POOL
#   sbatch --array=0-9 sbatch/second_pass.sbatch POOL
#
# No filter is needed: what failed for lack of memory or time comes first, then the rest.
# `jobpool plan POOL` says how many such jobs are wanted, and whether larger ones are.
"""
        + _OPTIONS,
        resources=("16", "64G", "1-06:00:00"),
    ),
    "by_fold": _Script(
        about="""\
# By fold: workers that take only tasks of one outer fold (`by_fold` in the experiment file).
#
#   sbatch --array=0-49%20 sbatch/by_fold.sbatch POOL
#   sbatch sbatch/by_fold.sbatch POOL --only fold=0,1
"""
        + _OPTIONS,
        resources=("4", "16G", "0-12:00:00"),
        last="""\
# exec: the worker takes this shell's place, and so it gets SLURM's signals.
# fold=all: a task that does all folds at once
exec "$JOBPOOL" work "$@" --skip fold=all
""",
    ),
    "worker": _Script(
        about="""\
# A worker as `jobpool submit` submits it, with its resources on sbatch's command line.
# To submit by hand take first_pass.sbatch, second_pass.sbatch or by_fold.sbatch.
""",
    ),
    "cache_fill": _Script(
        about="""\
# Fills the ROI cache of a pool; any number of jobs share the work, also with workers that run.
# `jobpool cache fill POOL --submit --jobs 20` submits it; by hand:
#
#   sbatch --array=0-19 sbatch/cache_fill.sbatch POOL
#
# Options of sbatch stand before the script and win over the lines below.
""",
        resources=("1", "4G", "0-03:00:00"),
        warned="it releases its work and leaves",
        restarted="what was computed is kept",
        alone="jobpool cache fill POOL",
        last="""\
# exec: the program takes this shell's place, and so it gets SLURM's signals
exec "$JOBPOOL" cache fill "$@"
""",
    ),
}
_RESOURCES = """\
#SBATCH --job-name={name}
{cores:<35}# cores
{memory:<35}# memory of the whole job
{time:<35}# days-hours:minutes:seconds
##SBATCH --partition=short         # remove one # and write a partition of your cluster (see sinfo)
##SBATCH --account=myproject       # remove one # where your cluster wants an account
"""
_PROLOGUE = r"""
pool=${1-}
trap '' USR1 USR2 # until the worker handles it: the warning may come while the job starts
: "${SLURM_JOB_ID:?this is a script for sbatch: sbatch $0 POOL; without SLURM: @ALONE@}"
if [ ! -e "$pool/pool.json" ]; then
    echo "no pool at '$pool', seen from $PWD on $HOSTNAME; usage: sbatch SCRIPT POOL [options]" >&2
    exit 1
fi

# The job's name. An array and restarts may be those of a job that submitted this one, for jobs hand
# on their variables: they count if SLURM has named the log after the array, or says so.
job=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0}
begun=$(readlink "/proc/$$/fd/1")
array=${SLURM_ARRAY_JOB_ID-}_${SLURM_ARRAY_TASK_ID-}
if [[ $restarts == 0 && $begun == *-"$array.log" && ${begun%/*} -ef $pool/logs ]]; then
    job=$array
elif [[ $restarts != 0 || $array != _ ]]; then
    while read -r number named started _; do
        [[ $number == "$SLURM_JOB_ID" ]] || continue
        job=$named restarts=$started
        [[ $job == *_* ]] || unset "${!SLURM_ARRAY_@}" # tasks may go by it, too
    done < <(
        unset "${!SQUEUE_@}" SLURM_CLUSTERS # a user's own filters
        timeout 20 squeue --noheader --all --array --states=all --jobs "$SLURM_JOB_ID" \
            --Format JobID:20,JobArrayID:64,RestartCnt:12
    )
fi
export JOBPOOL_JOB="$SLURM_JOB_ID $job $restarts" # for the worker, which asks no more
run=$job
[[ $restarts == 0 ]] || run+=-restart$restarts

# The log becomes POOL/logs/<job id / 1000>/<name>-<job>.log, so that no folder gets over 1,000.
name=${SLURM_JOB_NAME//\//_}
log=$pool/logs/$((SLURM_JOB_ID / 1000))/$name-$run.log
for place in "$pool/logs" "$pool/logs/$name-$array.log" "${log%/*}" "$log" "$pool/starts"; do
    if [ -L "$place" ]; then
        echo "$place is a symbolic link, and none is followed inside a pool; remove it" >&2
        exit 1
    fi
done

# Until its worker is ready, a file in POOL/starts names this job; a start that fails says why in
# one, for `jobpool status`, also where jobpool does not run. -C: only new files are written.
start=$pool/starts/$run
tell() {
    printf '%s\n' "jobpool-start 1" "job=$job" "name=${name:0:100}" "node=${SLURMD_NODENAME-}" \
        "log=${log#"$pool/"}" "said=$1" "" "${@:2}"
}
fail() {
    said=$(tail -c 2000 -- "$log")
    echo "$1" >&2
    (set -C && tell "$1" "$said" >"$start.failed") && rm -f -- "$start.starting"
    exit 1
}
sent=$pool/starts/${job%%_*}.sent
[ -d "$pool/starts" ] || mkdir -p -- "$pool/starts"
[ ! -e "$sent" ] || rm -f -- "$sent" # so much is known to work
(set -C && tell "" >"$start.starting") || true
export JOBPOOL_START=$start.starting

mkdir -p "${log%/*}"
[ ! -f "$begun" ] || mv -n -- "$begun" "$log" # moved: what SLURM writes later lands in it, too
exec >>"$log" 2>&1

# The Python environment is the one sbatch was called from; JOBPOOL=/path/bin/jobpool sets another.
JOBPOOL=${JOBPOOL:-jobpool}
if ! version=$("$JOBPOOL" --version); then
    fail "'$JOBPOOL' does not run on $HOSTNAME: activate jobpool's environment before sbatch, \
or export JOBPOOL=/path/bin/jobpool; every node must see it under that path"
fi
echo "$(date '+%F %T') job $job on $HOSTNAME: $version, $(command -v "$JOBPOOL")"

"""


def script_text(name: str) -> str:
    """Return one of the scripts.

    Examples
    --------
    >>> script_text("worker").splitlines()[0]
    '#!/usr/bin/env bash'
    """
    one = _SCRIPTS[name]
    resources = ""
    if one.resources is not None:
        cores, memory, time = one.resources
        resources = _RESOURCES.format(
            name=name,
            cores=f"#SBATCH --cpus-per-task={cores}",
            memory=f"#SBATCH --mem={memory}",
            time=f"#SBATCH --time={time}",
        )
    margin_s = f"{MARGIN_S:.0f}"
    common = (
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        f"{f'#SBATCH --signal=B:USR1@{margin_s}':<35}# {margin_s} s before the end {one.warned}",
        f"{'#SBATCH --requeue':<35}# start again after a node failure: {one.restarted}",
        "#SBATCH --open-mode=append",
        f"{'#SBATCH --output=jobpool-%j.log':<35}# until the script moves it into the pool",
    )
    options = resources + "".join(f"{line}\n" for line in common)
    prologue = _PROLOGUE.replace("@ALONE@", one.alone)
    return f"#!/usr/bin/env bash\n{one.about}#\n{options}{prologue}{one.last}"


def main(folder: str) -> None:
    """Write all scripts."""
    for name in _SCRIPTS:
        Path(folder, f"{name}.sbatch").write_text(script_text(name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
