#!/usr/bin/env bash
set -euo pipefail
# Installs the Debian 12 packages that Bascule needs. Safe to run again: what is there is left alone, and when nothing
# is missing neither root rights nor the network are used.

# Each line: package, then what it is for.
runtime_packages="
libgrpc++1.51               the client API: gRPC
libprotobuf32               the client API: messages
libnats3.4                  the bus: the NATS client library
nats-server                 --embedded-nats, and the tests' NATS
libboost-filesystem1.74.0   files and directories
libspdlog1.10               log lines
libyaml-cpp0.7              the configuration file
libisal2                    CRC-32C at memory speed
libssl3                     NKey signatures, TLS
ca-certificates             TLS to NATS servers with public certificates
"
build_packages="
g++                         the C++ compiler
cmake                       the build's description
ninja-build                 the build's engine
pkg-config                  finds nats.c and ISA-L
ccache                      makes a second build a matter of seconds
mold                        links in a tenth of the time
git                         the sources' history (the tests list the tree with it)
protobuf-compiler           the API's messages
protobuf-compiler-grpc      the API's services
libprotobuf-dev             the client API: messages
libgrpc++-dev               the client API: gRPC, with abseil, OpenSSL, c-ares, RE2 and zlib
libssl-dev                  NKey signatures, TLS
libnats-dev                 the bus: the NATS client library
libboost-filesystem-dev     files and directories
libspdlog-dev               log lines
libyaml-cpp-dev             the configuration file
libcli11-dev                the programs' options
nlohmann-json3-dev          the command line's --json
libisal-dev                 CRC-32C at memory speed
nats-server                 --embedded-nats, and the tests' NATS
"
test_packages="
doctest-dev                 the test framework
openssl                     certificates for the TLS tests
iproute2                    networks that the cluster tests cut, and what their sockets carried
clang                       thread-safety analysis
clang-format                the format check
clang-tidy                  the lint preset
"

say() { printf '== %s\n' "$*"; }
fail() { printf 'install-deps.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  cat <<'TEXT'
Usage: deploy/install-deps.sh [--runtime] [--build] [--test] [--list]

Installs Debian 12 packages; --build and --test when no group is named.
  --runtime  what a built basculed needs
  --build    what building it needs
  --test     what tests/run.sh needs beside the build
  --list     print the packages and what each is for, and install nothing
TEXT
}

groups=""
list_only=no
while [ $# -gt 0 ]; do
  case "$1" in
    --runtime) groups="$groups runtime" ;;
    --build) groups="$groups build" ;;
    --test) groups="$groups test" ;;
    --list) list_only=yes ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
[ -n "$groups" ] || groups=" build test"

table=""
for group in $groups; do
  lines="${group}_packages"
  table="$table${!lines}"
done
if [ "$list_only" = yes ]; then
  printf '%s' "$table" | sed '/^$/d' | sort -u
  exit 0
fi
mapfile -t wanted < <(printf '%s' "$table" | awk 'NF {print $1}' | sort -u)

if ! command -v dpkg-query >/dev/null 2>&1; then
  fail "this machine has no dpkg: Bascule is built on Debian 12 (bookworm); use a container of it elsewhere"
fi

# One question for all packages; those that dpkg has never heard of are missing from the answer.
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
  awk '$1 == "installed" {print $2}' || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  say "all ${#wanted[@]} packages for$groups are installed"
  exit 0
fi

release=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-unknown}") || release=unknown
if [ "$release" != "debian 12" ]; then
  fail "this is $release, and the package names are those of Debian 12 (bookworm); missing here: ${missing[*]}"
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null 2>&1 ||
    fail "installing needs root rights and there is no sudo; as root run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi

say "installing ${#missing[@]} of ${#wanted[@]} packages for$groups:"
for package in "${missing[@]}"; do
  printf '%s' "$table" | awk -v p="$package" '$1 == p && !seen++ {print "     " $0}'
done

apt_options=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" "$@"
}
say "refreshing the package lists"
apt update -q ||
  fail "apt-get update failed (see above): check the network, the proxy settings and /etc/apt/sources.list"
say "downloading and installing"
apt install -q -y --no-install-recommends "${missing[@]}" ||
  fail "apt-get install failed (see above): repair with 'apt-get -f install', then run this script again"
say "all ${#wanted[@]} packages for$groups are installed"
