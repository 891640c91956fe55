#!/usr/bin/env bash
set -euo pipefail
# Proves that README's two commands work on a machine that has nothing: makes a bare Debian 12 file system with
# debootstrap, turns it into a container image, and runs them there on a clean clone of this repository.

cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: deploy/bare-machine-test.sh [OPTION]...

Needs docker, debootstrap and git, and root (debootstrap makes device files).
  --as root|user     who runs the commands: root (default), or a user who may use sudo
  --run COMMAND      instead of both deploy/quickstart.sh and tests/run.sh; may be repeated
  --working-tree     take the files as they are here, not the last commit
  --network NAME     docker network (default: host, so that the container resolves names as this machine does)
  --mirror URL       Debian mirror (default: the one this machine's apt uses)
  --keep-image       leave the image bascule-bare:bookworm behind; a later run takes it as it is
TEXT
}

say() { printf '== %s\n' "$*"; }
fail() { printf 'bare-machine-test.sh: %s\n' "$*" >&2; exit 1; }

who=root
commands=()
working_tree=no
network=host
mirror=""
keep_image=no
while [ $# -gt 0 ]; do
  case "$1" in
    --as) who=${2:?--as needs root or user}; shift ;;
    --run) commands+=("${2:?--run needs a command}"); shift ;;
    --working-tree) working_tree=yes ;;
    --network) network=${2:?--network needs a name}; shift ;;
    --mirror) mirror=${2:?--mirror needs a URL}; shift ;;
    --keep-image) keep_image=yes ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
  shift
done
case "$who" in root|user) ;; *) fail "--as takes root or user, not $who" ;; esac
[ ${#commands[@]} -gt 0 ] || commands=(deploy/quickstart.sh tests/run.sh)

for program in docker debootstrap git; do
  command -v "$program" >/dev/null 2>&1 || fail "$program is missing: apt-get install docker.io debootstrap git"
done
docker info >/dev/null 2>&1 || fail "docker does not answer: is its daemon running, and may you use it?"
[ "$(id -u)" = 0 ] || fail "debootstrap needs root"

image=bascule-bare:bookworm
container=""
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bascule-bare.XXXXXX")
finish() {
  local status=$?
  trap - EXIT
  if [ -n "$container" ]; then docker rm -f "$container" >/dev/null 2>&1 || true; fi
  if [ "$keep_image" = no ]; then docker rmi "$image" >/dev/null 2>&1 || true; fi
  rm -rf --one-file-system "$scratch"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- the image: the base system and nothing else ---

if [ -z "$mirror" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 ~ /^(bookworm|stable)$/ && $3 == "main" {print $1; exit}' || true)
  mirror=${mirror:-http://deb.debian.org/debian}
fi
if docker image inspect "$image" >/dev/null 2>&1; then
  say "taking the image $image of an earlier run"
else
  say "making a bare Debian 12 from $mirror"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/rootfs" "$mirror" \
    >"$scratch/debootstrap.log" 2>&1 || {
    tail -n 20 "$scratch/debootstrap.log" >&2
    fail "debootstrap failed (above)"
  }
  rm -f "$scratch/rootfs/var/cache/apt/archives/"*.deb
  tar -C "$scratch/rootfs" -c . | docker import - "$image" >/dev/null
  rm -rf --one-file-system "$scratch/rootfs"
fi

# --- the sources: as somebody would clone them ---

if [ "$working_tree" = yes ]; then
  say "copying the working tree"
  git init -q "$scratch/bascule"
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar -c --null -T - | tar -C "$scratch/bascule" -x
else
  say "cloning the last commit"
  git clone -q --no-local . "$scratch/bascule"
fi

# --- what this machine needs to reach the network goes along at run time, and only then ---

apt-config dump Acquire 2>/dev/null | grep -iE '::(proxy|https?::proxy)|Check-(Date|Valid)' >"$scratch/apt.conf" || true
environment=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!name:-}" ]; then environment+=(-e "$name=${!name}"); fi
done

cat >"$scratch/inside.sh" <<'INSIDE'
set -euo pipefail
who=$1
shift
if [ "$who" = user ]; then
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends sudo >/dev/null
  useradd --create-home --shell /bin/bash tester
  printf 'tester ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/tester
  chown -R tester: /srv/bascule
else
  chown -R root: /srv/bascule
fi
cd /srv/bascule
for command in "$@"; do
  printf '\n== in the container, as %s: %s\n' "$who" "$command"
  before=$SECONDS
  if [ "$who" = user ]; then
    sudo -u tester -H --preserve-env=http_proxy,https_proxy,no_proxy bash -c "cd /srv/bascule && $command"
  else
    bash -c "$command"
  fi
  printf '== in the container: %s took %d s\n' "$command" "$((SECONDS - before))"
done
INSIDE

container=$(docker create --network "$network" --init "${environment[@]}" "$image" \
  bash /srv/inside.sh "$who" "${commands[@]}")
docker cp "$scratch/bascule" "$container:/srv/bascule"
docker cp "$scratch/inside.sh" "$container:/srv/inside.sh"
docker cp "$scratch/apt.conf" "$container:/etc/apt/apt.conf.d/99machine"

say "running in a container of it: ${commands[*]}"
status=0
docker start -a "$container" || status=$?
[ "$status" = 0 ] || fail "failed in the container, as $who, with status $status"
say "worked on a bare Debian 12, as $who: ${commands[*]}"
