#!/bin/sh
# Make sure that commands are there, from Debian's packages: packages.sh strace wrk
# Installs as root or with sudo; otherwise names what is missing and fails. No service is started:
# the tests start their own, on loopback.
set -eu

package_of() {
    case $1 in
        postgres) echo postgresql ;;
        testssl) echo testssl.sh ;;
        *) echo "$1" ;;
    esac
}

is_there() {
    command -v "$1" >/dev/null 2>&1 || ls /usr/sbin/"$1" /usr/lib/postgresql/*/bin/"$1" >/dev/null 2>&1
}

missing=""
for name in "$@"; do
    is_there "$name" || missing="$missing $(package_of "$name")"
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
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian starts a service as it installs it, some of them on every address.
    trap '$become rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $become tee "$policy" >/dev/null
    $become chmod 755 "$policy"
fi
$become apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
$become env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
