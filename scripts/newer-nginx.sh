#!/bin/sh
# Unpack the nginx of a later Debian, with its libraries: newer-nginx.sh FOLDER [SUITE]
# Prints the command that runs it. For tests on Debian 12 of nginx 1.26 with OpenSSL 3.5 and HTTP/3
# (trixie), and of what came later (forky). Nothing is installed, and apt checks the signatures.
set -eu

folder=${1:?usage: newer-nginx.sh FOLDER [SUITE]}
suite=${2:-trixie}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
command=$folder/nginx
if [ -x "$command" ]; then
    echo "$command"
    exit 0
fi

mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/debs"
touch "$folder/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
# The archive that this machine has its own packages from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "newer-nginx.sh: apt knows no archive; apt-get update first" >&2; exit 1; }
echo "deb [signed-by=$keys] $mirror $suite main" >"$folder/sources.list"
cat >"$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
APT::Sandbox::User "$(id -un)";
END
export APT_CONFIG="$folder/apt.conf"
apt-get update -qq >&2
cd "$folder/debs"
apt-get download -qq nginx libc6 libssl3t64 libcrypt1 libpcre2-8-0 zlib1g libzstd1 >&2
for package in *.deb; do
    dpkg-deb --extract "$package" "$folder/root"
done

libraries=$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu
cat >"$command" <<END
#!/bin/sh
exec "$folder/root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries" "$folder/root/usr/sbin/nginx" "\$@"
END
chmod +x "$command"
"$command" -V >&2
echo "$command"
