#!/bin/sh
# Make an authority and a certificate for development: dev-certificates.sh FOLDER NAME...
# Writes ca.pem, server.pem and server.key (mode 0600); what is there is never overwritten. Trust
# ca.pem where you call from: curl --cacert FOLDER/ca.pem. The authority's own key is not kept.
set -eu

folder=${1:?usage: dev-certificates.sh FOLDER NAME...}
shift
[ $# -gt 0 ] || set -- localhost
for file in ca.pem server.pem server.key; do
    if [ -e "$folder/$file" ]; then
        echo "dev-certificates.sh: $folder/$file is there already; nothing was written" >&2
        exit 1
    fi
done

names=
for name in "$@"; do
    case $name in
        *[!A-Za-z0-9.:*-]*) echo "dev-certificates.sh: '$name' is no name" >&2 && exit 1 ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    case $name in *:*) kind=IP ;; esac
    names=$names${names:+,}$kind:$name
done

umask 077
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
openssl req -x509 -new -sha256 -key "$work/ca.key" -days 365 -subj '/CN=Tollgate development' \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -addext 'basicConstraints=critical,CA:true,pathlen:0' -out "$work/ca.pem"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/server.key"
openssl req -new -sha256 -key "$work/server.key" -subj "/CN=$1" -out "$work/server.csr"
cat >"$work/extensions" <<END
basicConstraints=critical,CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$names
END
openssl x509 -req -sha256 -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" \
    -set_serial "0x00$(openssl rand -hex 16)" -days 89 -extfile "$work/extensions" -out "$work/server.pem" 2>/dev/null
mv "$work/server.key" "$work/server.pem" "$work/ca.pem" "$folder/"
chmod 644 "$folder/ca.pem" "$folder/server.pem"
echo "$folder/server.pem is for $* until $(openssl x509 -in "$folder/server.pem" -noout -enddate | cut -d= -f2)"
