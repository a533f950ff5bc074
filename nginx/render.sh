#!/bin/sh
# Write the configuration for the nginx at hand into a folder: render.sh FOLDER
# The variables, all but two of them with defaults, are in README.md. What differs between nginx
# 1.22 and later versions, and between versions of OpenSSL, is decided here by `nginx -V`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: render.sh FOLDER}

fail() {
    echo "render.sh: $1" >&2
    exit 1
}

is_at_least() { # is_at_least 1.25.1 1.22.0
    awk -v has="$1" -v needs="$2" 'BEGIN {
        split(has, h, "."); split(needs, n, ".")
        for (i = 1; i <= 3; i++) if (h[i] + 0 != n[i] + 0) exit !(h[i] + 0 > n[i] + 0)
    }'
}

binary=${NGINX_BINARY:-$(command -v nginx || echo /usr/sbin/nginx)}
about=$("$binary" -V 2>&1) || fail "cannot run $binary"
version=$(printf '%s\n' "$about" | sed -n 's|^nginx version: [^/]*/\([0-9.]*\).*|\1|p')
# Which OpenSSL runs, where that is another than the one it was built with.
openssl=$(printf '%s\n' "$about" | sed -n 's|^built with OpenSSL \([0-9.]*\).*|\1|p')
running=$(printf '%s\n' "$about" | sed -n 's|.*running with OpenSSL \([0-9.]*\).*|\1|p')
openssl=${running:-${openssl:-0}}
[ -n "$version" ] || fail "$binary does not say its version"
is_at_least "$version" 1.22.0 || fail "nginx $version is too old; 1.22 or later is needed"

export NGINX_SERVER_NAMES="${NGINX_SERVER_NAMES:?the names that clients use}"
export NGINX_CERTIFICATE="${NGINX_CERTIFICATE:-/etc/tollgate/tls/server.pem}"
export NGINX_CERTIFICATE_KEY="${NGINX_CERTIFICATE_KEY:-/etc/tollgate/tls/server.key}"
export NGINX_REJECT_UNNAMED="${NGINX_REJECT_UNNAMED:-on}"
export NGINX_ACME_ROOT="${NGINX_ACME_ROOT:-/var/www/acme}"
export NGINX_HSTS_SECONDS="${NGINX_HSTS_SECONDS:-63072000}"
export NGINX_ADDRESS_RATE="${NGINX_ADDRESS_RATE:-1000}"
export NGINX_ADDRESS_BURST="${NGINX_ADDRESS_BURST:-2000}"
export NGINX_ADDRESS_CONNECTIONS="${NGINX_ADDRESS_CONNECTIONS:-256}"
export NGINX_DOOR_RATE="${NGINX_DOOR_RATE:-20}"
export NGINX_DOOR_BURST="${NGINX_DOOR_BURST:-100}"
export NGINX_WORKERS="${NGINX_WORKERS:-auto}"
export NGINX_FOLDER="${NGINX_FOLDER:-/tmp/nginx}"
export NGINX_ACCESS_LOG="${NGINX_ACCESS_LOG:-/dev/stdout}"
export NGINX_ERROR_LOG="${NGINX_ERROR_LOG:-stderr}"
export TOLLGATE_MAX_BODY_BYTES="${TOLLGATE_MAX_BODY_BYTES:-67108864}"
export TOLLGATE_UNIX_SOCKET="${TOLLGATE_UNIX_SOCKET:-/run/tollgate/gateway.sock}"
workers=${TOLLGATE_WORKERS:-1}
profile=${NGINX_TLS_PROFILE:-intermediate}
networks=${NGINX_OPERATOR_NETWORKS:-127.0.0.0/8 ::1/128}
plain_port=${NGINX_HTTP_PORT:-80}
tls_port=${NGINX_HTTPS_PORT:-443}
public_port=${NGINX_PUBLIC_PORT:-443}
request_seconds=${TOLLGATE_REQUEST_TIMEOUT_SECONDS:-30}

if [ -n "${NGINX_ADDRESSES:-}" ]; then
    addresses=$NGINX_ADDRESSES
elif [ -e /proc/net/if_inet6 ]; then
    addresses='0.0.0.0 [::]'
else
    addresses=0.0.0.0
fi

# Threat: a value with a quote, a brace or a semicolon would be configuration of its own.
for name in NGINX_SERVER_NAMES NGINX_CERTIFICATE NGINX_CERTIFICATE_KEY NGINX_ACME_ROOT \
    NGINX_HSTS_SECONDS NGINX_ADDRESS_RATE NGINX_ADDRESS_BURST NGINX_ADDRESS_CONNECTIONS \
    NGINX_DOOR_RATE NGINX_DOOR_BURST NGINX_WORKERS NGINX_FOLDER NGINX_ACCESS_LOG NGINX_ERROR_LOG TOLLGATE_MAX_BODY_BYTES \
    TOLLGATE_UNIX_SOCKET NGINX_USER NGINX_OPERATOR_NETWORKS NGINX_ADDRESSES NGINX_HTTP_PORT \
    NGINX_HTTPS_PORT NGINX_PUBLIC_PORT TOLLGATE_REQUEST_TIMEOUT_SECONDS TOLLGATE_WORKERS; do
    value= && eval "value=\${$name:-}"
    stripped=$(printf '%s' "$value" | tr -d 'A-Za-z0-9 ./:_*=,@+[]-')
    [ -z "$stripped" ] || fail "$name has a character that nginx could misread"
done

# What the system lets a worker open, and half of it for clients: a proxied request takes two.
# shellcheck disable=SC3045 # dash and busybox have it
NGINX_OPEN_FILES=$(ulimit -Hn)
[ "$NGINX_OPEN_FILES" != unlimited ] && [ "$NGINX_OPEN_FILES" -le 65536 ] || NGINX_OPEN_FILES=65536
NGINX_CONNECTIONS=$((NGINX_OPEN_FILES / 2))
NGINX_USER_LINE=
[ -z "${NGINX_USER:-}" ] || NGINX_USER_LINE="user $NGINX_USER;"
NGINX_PUBLIC_PORT_SUFFIX=
[ "$public_port" = 443 ] || NGINX_PUBLIC_PORT_SUFFIX=":$public_port"
NGINX_UPSTREAM_SECONDS=$((${request_seconds%%.*} + 5))
NGINX_GRPC_BODY_BYTES=$((TOLLGATE_MAX_BODY_BYTES + 5))
NGINX_CURVES=X25519:prime256v1:secp384r1
! is_at_least "$openssl" 3.5.0 || NGINX_CURVES=X25519MLKEM768:$NGINX_CURVES
NGINX_ALT_SVC=
# shellcheck disable=SC2089,SC2090 # the quotes are for nginx
case $about in
    *--with-http_v3_module*) NGINX_ALT_SVC="h3=\":$public_port\"; ma=86400" ;;
esac
# A client that sends a request at the moment when a reload closes its idle connection gets no answer.
# 1.27.4 and later leave the connection open for this long; it must be longer than clients are quiet.
NGINX_KEEPALIVE_MIN=
! is_at_least "$version" 1.27.4 || NGINX_KEEPALIVE_MIN='keepalive_min_timeout 10s;'
export NGINX_KEEPALIVE_MIN NGINX_OPEN_FILES NGINX_CONNECTIONS NGINX_USER_LINE NGINX_PUBLIC_PORT_SUFFIX
# shellcheck disable=SC2090
export NGINX_UPSTREAM_SECONDS NGINX_GRPC_BODY_BYTES NGINX_CURVES NGINX_ALT_SVC

render() { # render TEMPLATE > FILE: a variable that is not set is an error, not an empty text
    awk '{
        text = $0; line = ""
        while (match(text, /\$\{[A-Z_]+\}/)) {
            name = substr(text, RSTART + 2, RLENGTH - 3)
            if (!(name in ENVIRON)) { print FILENAME ": " name " is not set" > "/dev/stderr"; exit 1 }
            line = line substr(text, 1, RSTART - 1) ENVIRON[name]
            text = substr(text, RSTART + RLENGTH)
        }
        print line text
    }' "$1"
}

listen() { # listen KIND SUFFIX: a `listen` line for each address, and what HTTP/2 and HTTP/3 need
    kind=$1 suffix=$2
    set -f # [::] is no pattern
    for address in $addresses; do
        case $kind in
            plain) echo "listen $address:$plain_port$suffix;" ;;
            tls) echo "listen $address:$tls_port ssl$http2_parameter$suffix;" ;;
            quic) echo "listen $address:$tls_port quic${suffix:+$suffix reuseport};" ;;
        esac
    done
    set +f
}

listen_tls() {
    listen tls "$1"
    [ -n "$http2_parameter" ] || echo 'http2 on;'
    [ -z "$NGINX_ALT_SVC" ] || listen quic "$1"
}

http2_parameter=' http2'
! is_at_least "$version" 1.25.1 || http2_parameter=

case $NGINX_REJECT_UNNAMED in
    on | off) ;;
    *) fail "NGINX_REJECT_UNNAMED is '$NGINX_REJECT_UNNAMED'; it can be on or off" ;;
esac
case $profile in
    intermediate | modern) ;;
    *) fail "NGINX_TLS_PROFILE is '$profile'; it can be intermediate or modern" ;;
esac

mkdir -p "$folder" "$NGINX_FOLDER"
for template in "$here"/templates/*.template; do
    name=$(basename "$template" .template)
    case $name in
        tls-*) continue ;;
    esac
    render "$template" >"$folder/$name"
done
render "$here/templates/tls-$profile.conf.template" >"$folder/tls-profile.conf"
listen plain ' default_server' >"$folder/listen-plain-default.conf"
listen plain '' >"$folder/listen-plain.conf"
listen_tls ' default_server' >"$folder/listen-tls-default.conf"
listen_tls '' >"$folder/listen-tls.conf"

# gateway.sock has gateway-grpc-0.sock and so on beside it, one for each worker.
name=${TOLLGATE_UNIX_SOCKET##*/}
suffix=
case $name in
    ?*.*) suffix=.${name##*.} name=${name%.*} ;;
esac
stem=${TOLLGATE_UNIX_SOCKET%/*}/$name-grpc-
number=0
: >"$folder/grpc-servers.conf"
while [ "$number" -lt "$workers" ]; do
    echo "server unix:$stem$number$suffix max_fails=0;" >>"$folder/grpc-servers.conf"
    number=$((number + 1))
done

set -f
{
    # shellcheck disable=SC2016 # a variable of nginx
    echo 'geo $is_operator {'
    if [ "$networks" = all ]; then
        echo '    default 1;'
    else
        echo '    default 0;'
        for network in $networks; do
            echo "    $network 1;"
        done
    fi
    echo '}'
} >"$folder/operators.conf"
