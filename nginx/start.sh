#!/bin/sh
# The entry point of a container: render the configuration, then become nginx.
# A reload (`nginx -s reload -c ...`, or SIGHUP) reads it and the certificates again.
set -eu

export NGINX_FOLDER="${NGINX_FOLDER:-/tmp/nginx}"
"$(dirname "$0")/render.sh" "$NGINX_FOLDER/conf"
exec "${NGINX_BINARY:-nginx}" -c "$NGINX_FOLDER/conf/nginx.conf" -e stderr -g 'daemon off;'
