#!/usr/bin/env bash
# Installs the browser in which the test suite opens reports: Chromium and its driver.
#
#   exit 0   both are there (now or already)
#   exit 3   they cannot be had here; one line says why, and the tests that need them are skipped
#
# Nothing is started and nothing is configured: tests/browser/chromium.py does that, in temporary
# folders.
set -uo pipefail

programs=(chromium chromedriver)
packages=(chromium chromium-driver fonts-liberation)

cannot() {
    printf 'no browser for the tests: %s\n' "$1" >&2
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
# Lock::Timeout: another test run on this machine may be installing at the same moment
apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq)
printf 'installing %s\n' "${packages[*]}" >&2
if ! { "${apt[@]}" update >"$log" 2>&1 && "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >>"$log" 2>&1; }; then
    tail -n 20 "$log" >&2
    cannot "apt-get failed; its last lines are above"
fi
absent=$(missing)
[ -z "$absent" ] || cannot "apt-get succeeded, but these are still missing: $absent"
