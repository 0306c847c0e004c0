#!/bin/sh
# Installs what building, testing and demonstrating Sidestep needs on Debian or Ubuntu, and only
# what is missing. Says what and why, asks nothing, may be run again at any time.
# Run as root, or as a user who may use sudo. `setup.sh --check` only reports (exit 1 if missing);
# `setup.sh --bench` adds what measuring the engine needs.
set -eu

also=${1:-}
RUST_MIN_MINOR=88 # Cargo.toml: rust-version = "1.88"

# package | what shows that it is there (a command, or a file if it has a slash) | why
needed() {
    cat <<'LIST'
gcc|cc|links Rust programs and builds the bundled libbpf
libc6-dev|/usr/include/stdlib.h|C library headers for libbpf
make|make|runs the build of libbpf and the README's targets
pkg-config|pkg-config|libbpf's build finds libelf and zlib with it
clang|clang|compiles the XDP program under bpf/
libelf-dev|/usr/include/libelf.h|libbpf reads the compiled XDP program with it
zlib1g-dev|/usr/include/zlib.h|libelf's compressed sections
linux-libc-dev|/usr/include/linux/bpf.h|kernel headers for the XDP program
iproute2|ip|the lab's namespaces and veth pairs
ethtool|ethtool|turns offloads off on the lab's client side
wrk|wrk|the load of the demo and of the end-to-end tests
curl|curl|fetches and posts files in the end-to-end tests
LIST
    [ "$also" = --bench ] || return 0
    cat <<'LIST'
valgrind|valgrind|counts the instructions that `make gate` compares
xz-utils|xz|unpacks the sources of lwIP, a peer of `make bench-engine`
LIST
}

fail() {
    echo "setup: error: $*" >&2
    exit 2
}

# Root's tools live in sbin, which a user's PATH often lacks.
PATH=$PATH:/usr/sbin:/sbin

present() {
    case $1 in
    */*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing() {
    needed | while IFS='|' read -r package proof why; do
        present "$proof" || echo "$package|$why"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

check_cargo() {
    # Under sudo the caller's own ~/.cargo/bin is often dropped from PATH: look there as well.
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)
    PATH=$PATH:$HOME/.cargo/bin:$home/.cargo/bin
    how="install it with rustup (https://rustup.rs), then run this again"
    present cargo || fail "cargo is missing: $how"
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    major=$(echo "$version" | cut -d. -f1)
    minor=$(echo "$version" | cut -d. -f2)
    case $major$minor in
    '' | *[!0-9]*) fail "'cargo --version' does not work here: $how" ;;
    esac
    if [ "$major" -eq 1 ] && [ "$minor" -lt "$RUST_MIN_MINOR" ]; then
        fail "cargo $version is too old, 1.$RUST_MIN_MINOR or newer is needed: 'rustup update'," \
            "or $how"
    fi
}

install() {
    packages=$(echo "$1" | cut -d'|' -f1 | tr '\n' ' ')
    command -v apt-get >/dev/null 2>&1 || fail "this is not Debian or Ubuntu (no apt-get):" \
        "install what these packages hold with the system's own package manager: $packages"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        fail "not root and no sudo: run as root 'apt-get install --no-install-recommends $packages'"
    fi
    echo "setup: installing what is missing:"
    echo "$1" | while IFS='|' read -r package why; do
        printf 'setup:   %-15s %s\n' "$package" "$why"
    done
    export DEBIAN_FRONTEND=noninteractive
    # A broken third-party source fails the update and still leaves the packages installable.
    as_root apt-get -q -o DPkg::Lock::Timeout=120 update </dev/null ||
        echo "setup: 'apt-get update' failed (its message is above); trying to go on" >&2
    # The names are split on purpose.
    # shellcheck disable=SC2086
    as_root apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends \
        $packages </dev/null ||
        fail "apt-get could not install (its message is above): $packages;" \
            "check the network and the package sources"
    rest=$(missing | cut -d'|' -f1 | tr '\n' ' ')
    [ -z "$rest" ] || fail "installed, but still not found on this machine: $rest"
}

want=$(missing)
if [ "${1:-}" = --check ]; then
    check_cargo
    [ -z "$want" ] && exit 0
    echo "setup: missing: $(echo "$want" | cut -d'|' -f1 | tr '\n' ' ')" >&2
    exit 1
fi
[ -z "$want" ] || install "$want"
check_cargo
echo "setup: all there"
