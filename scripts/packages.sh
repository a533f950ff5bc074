#!/bin/sh
# Make sure that commands are there, by Debian's packages of the same name: packages.sh strace wrk
# Installs as root or with sudo; otherwise names what is missing and fails.
set -eu
missing=""
for name in "$@"; do
    command -v "$name" >/dev/null 2>&1 || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$missing; install them with your system's package manager" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    become=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    become="sudo"
else
    echo "missing:$missing; run as root: apt-get install -y$missing" >&2
    exit 1
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
$become apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
$become apt-get install -y -qq --no-install-recommends $missing >/dev/null
