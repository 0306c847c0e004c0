#!/bin/sh
# Unpacks lwIP's sources, as its authors released them, into target/lwip: from Debian's or Ubuntu's
# source package, where this system's packages come from. Installs nothing, changes no setting of
# the system, and needs no root.
set -eu

cd "$(dirname "$0")/../.."
to=$PWD/target/lwip
apt=$to/apt
trap 'rm -rf "$apt"' EXIT

fail() {
    echo "lwip: error: $*; bench-engine goes on without it" >&2
    exit 1
}

for tool in apt-get tar xz; do
    command -v "$tool" >/dev/null 2>&1 ||
        fail "no $tool here (deploy/setup.sh --bench installs xz)"
done
rm -rf "$apt"
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"

# The system's own package sources, asked for sources instead of packages, in both formats.
for list in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/parts/${list##*/}"
done
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$list" ] || sed -n 's/^deb\(-src\)\{0,1\}[[:space:]]/deb-src /p' "$list" |
        sort -u >"$apt/parts/${list##*/}.list"
done

own() {
    apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User="$(id -un)" "$@"
}
# A broken third-party source fails the update and still leaves lwIP to be had.
own update >&2 || echo "lwip: 'apt-get update' failed (its message is above); trying to go on" >&2
(cd "$apt" && own --download-only source lwip >&2) ||
    fail "apt-get has no source package 'lwip' (its message is above)"
rm -rf "$to/src"
# Their time is now, so that cargo sees that they are new.
tar -xJmf "$apt"/lwip_*.orig.tar.xz --strip-components=1 -C "$to" || {
    rm -rf "$to/src"
    fail "the sources do not unpack"
}
[ -e "$to/src/core/tcp.c" ] || fail "the source package has no src/core/tcp.c"
