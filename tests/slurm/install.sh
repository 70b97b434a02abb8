#!/usr/bin/env bash
# Installs what the test suite's own SLURM is made of: slurmctld, slurmd, slurmdbd, munge, MariaDB;
# and GlusterFS, its shared file system.
#
#   exit 0   everything that SLURM needs is there (now or already)
#   exit 3   it cannot be had here; one line says why, and the tests that need it are skipped
#
# Without GlusterFS a line says so, and the tests that need it are skipped, too.
# Nothing is started and nothing is configured: tests/slurm/cluster.py and tests/shared/gluster.py do
# that, in temporary folders.
set -uo pipefail

programs=(slurmctld slurmd slurmdbd sbatch squeue sacct sacctmgr scontrol sinfo munged mariadbd mariadb-install-db mariadb)
packages=(slurm-wlm slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge mariadb-server mariadb-client)
shared_programs=(glusterfs glusterfsd)
shared_packages=(glusterfs-server glusterfs-client)

export PATH="$PATH:/usr/sbin:/sbin" # daemons live there, and a user's PATH often leaves it out

cannot() {
    printf 'no SLURM for the tests: %s\n' "$1" >&2
    exit 3
}

missing() {
    local program
    for program in "$@"; do
        [ -x "$(command -v "$program")" ] || printf '%s ' "$program"
    done
}

absent=$(missing "${programs[@]}")
absent_shared=$(missing "${shared_programs[@]}")
[ -n "$absent$absent_shared" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    [ -z "$absent_shared" ] || printf 'no shared file system for the tests: missing %s\n' "$absent_shared" >&2
    [ -n "$absent" ] || exit 0
fi
[ "$(id -u)" -eq 0 ] || cannot "missing ${absent}and only root can install them; run this script as root once"
command -v apt-get >/dev/null || cannot "missing ${absent}and this is no Debian: there is no apt-get"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Lock::Timeout: another test run on this machine may be installing at the same moment.
# policy-rc.d is not touched: the packages' services do not start without systemd, and where there is
# systemd an idle slurmd without a configuration file refuses to start by itself.
apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq)
get_packages() {
    printf 'installing %s\n' "$*" >&2
    "${apt[@]}" update >"$log" 2>&1 && "${apt[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 && return
    tail -n 20 "$log" >&2
    return 1
}

if [ -n "$absent_shared" ]; then
    get_packages "${shared_packages[@]}" || printf 'no shared file system for the tests: apt-get failed\n' >&2
fi
[ -n "$absent" ] || exit 0
get_packages "${packages[@]}" || cannot "apt-get failed; its last lines are above"
absent=$(missing "${programs[@]}")
[ -z "$absent" ] || cannot "apt-get succeeded, but these are still missing: $absent"
