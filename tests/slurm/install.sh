#!/usr/bin/env bash
# Installs what the test suite's own SLURM is made of: slurmctld, slurmd, slurmdbd, munge, MariaDB.
#
#   exit 0   everything is there (now or already)
#   exit 3   it cannot be had here; one line says why, and the tests that need it are skipped
#
# Nothing is started and nothing is configured: tests/slurm/cluster.py does that, in a temporary folder.
set -uo pipefail

programs=(slurmctld slurmd slurmdbd sbatch squeue sacct sacctmgr scontrol sinfo munged mariadbd mariadb-install-db mariadb)
packages=(slurm-wlm slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge mariadb-server mariadb-client)

export PATH="$PATH:/usr/sbin:/sbin" # daemons live there, and a user's PATH often leaves it out

cannot() {
    printf 'no SLURM for the tests: %s\n' "$1" >&2
    exit 3
}

missing() {
    local program
    for program in "${programs[@]}"; do
        [ -x "$(command -v "$program")" ] || printf '%s ' "$program"
    done
}

absent=$(missing)
[ -n "$absent" ] || exit 0
[ "$(id -u)" -eq 0 ] || cannot "missing ${absent}and only root can install them; run this script as root once"
command -v apt-get >/dev/null || cannot "missing ${absent}and this is no Debian: there is no apt-get"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Lock::Timeout: another test run on this machine may be installing at the same moment.
# policy-rc.d is not touched: the packages' services do not start without systemd, and where there is
# systemd an idle slurmd without a configuration file refuses to start by itself.
apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq)
printf 'installing %s\n' "${packages[*]}" >&2
{ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    cannot "apt-get failed; its last lines are above"
}
absent=$(missing)
[ -z "$absent" ] || cannot "apt-get succeeded, but these are still missing: $absent"
