#!/usr/bin/env bash
# What a follower that is far behind costs those who publish meanwhile; see README.md in this folder.
set -euo pipefail
# shellcheck source=tests/bench/servers.sh
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

usage() {
  cat <<'TEXT'
usage: catch-up.sh [options]

Three basculed, a stream of three replicas. One follower is stopped, --bytes are published, and it starts again. A
steady load on the same partition is measured before, for as long as the follower is out of the in-sync replicas, and
after; the p99 of its acks is printed for each ten seconds, and the median and the worst of catching up as ratios to
the median before.

  --bytes N          what the follower lacks (default 10GiB)
  --size N           bytes of a message of those (default 16384)
  --rate N           messages of 128 B per second of the steady load (default 5,000)
  --windows N        measurements of ten seconds before and after (default 5)
  --time-limit N     seconds that catching up may take (default 600)
  --work-dir DIR     where data directories go (default /var/tmp); three times --bytes are needed
  --keep             keep the data directories and the logs

NATS_SERVER, BASCULE_BIN, BASCULE_BENCH_BIN and BASCULED_ARGS as for compare.sh. Exit code: 0 measured, 1 something
failed (the servers' last lines are shown), 2 wrong usage or a missing program.
TEXT
}

bytes=$((10 * 1024 * 1024 * 1024))
size=16384
rate=5000
windows=5
time_limit=600
work_parent=
keep=

while (($# > 0)); do
  case $1 in
    --bytes | --size | --rate | --windows | --time-limit | --work-dir) (($# > 1)) || die "$1 needs a value" 2 ;;&
    --bytes | --size | --rate | --windows | --time-limit)
      value=$2
      if [[ $1 == --bytes && $value == *GiB ]]; then value=$((${value%GiB} * 1024 * 1024 * 1024)); fi
      [[ $value =~ ^[1-9][0-9]{0,11}$ ]] || die "$1 $2: a positive number is expected" 2
      case $1 in
        --bytes) bytes=$value ;;
        --size) size=$value ;;
        --rate) rate=$value ;;
        --windows) windows=$value ;;
        --time-limit) time_limit=$value ;;
      esac
      shift
      ;;
    --work-dir) work_parent=$2; shift ;;
    --keep) keep=yes ;;
    --help | -h) usage; exit 0 ;;
    *) die "unknown option $1 (--help shows the options)" 2 ;;
  esac
  shift
done

# info FIELD: what `stream info` says of the stream's only partition: a word, or the members of a list.
info() {
  "$bin/bascule" --server "$grpc" --json stream info bench-load | tr -d ' \n' |
    grep -oE "\"$1\":(\"[^\"]*\"|\[[^]]*\]|[0-9]+)" | head -n 1 | cut -d: -f2- | tr -d '"[]' | tr , ' '
}

held=0
# publish NAME COUNT [bench_load options...]: to the stream, which is made if it is not there.
publish() {
  local name=$1 count=$2
  shift 2
  "$load/bench_load" publish --side ours --nats "$nats_url" --grpc "$grpc" --pids "$bus_pids" --replicas 3 \
    --messages "$count" --held "$held" --warmup 0 --time-limit 3600 "$@" >"$work/$name.out" || die "$name failed"
  held=$((held + count))
}

# steady: ten seconds of the steady load; sets p50 and p99, in ms.
steady() {
  publish steady $((rate * 10)) --size 128 --rate "$rate" --window 100000
  p50=$(awk -F'\t' '$1 == "paced_ack_p50" { printf "%.2f", $2 }' "$work/steady.out")
  p99=$(awk -F'\t' '$1 == "paced_ack_p99" { printf "%.2f", $2 }' "$work/steady.out")
}
row() { printf '%-12s %8s %10s %10s %14s\n' "$@"; }
# median NUMBERS...: of an even number of them the greater of the two in the middle.
median() { printf '%s\n' "$@" | sort -n | sed -n "$(($# / 2 + 1))p"; }
size_of() { du -sk "$1" | awk '{ printf "%.2f GiB", $1 / 1048576 }'; }

find_programs bench_load
need_basculed
make_work "$work_parent"
# shellcheck disable=SC2086  # splitting at spaces is the contract of BASCULED_ARGS
start_our_cluster 1 ${BASCULED_ARGS:-}
publish first 1000 --size 128
leader=$(info leader)
behind=$(((${leader#b} + 1) % 3))
grpc=127.0.0.1:${our_ports[${leader#b}]}
say "$leader leads; b$behind stops, and $bytes bytes are published"
stop_pid "${our_pids[behind]}" || die "b$behind did not stop when asked"
publish bulk $((bytes / size)) --size "$size"
row when seconds p50_ms p99_ms "b$behind holds"
began=$SECONDS
before=()
for ((round = 0; round < windows; ++round)); do
  steady
  row before "$((SECONDS - began))" "$p50" "$p99" "$(size_of "$data_dir/b$behind")"
  before+=("$p99")
done
catching_up=()
run_our_broker "$behind"
began=$SECONDS
while [[ " $(info isr) " != *" b$behind "* ]]; do
  ((SECONDS - began <= time_limit)) || die "b$behind has not caught up within $time_limit s"
  steady
  row catching_up "$((SECONDS - began))" "$p50" "$p99" "$(size_of "$data_dir/b$behind")"
  catching_up+=("$p99")
done
took=$((SECONDS - began))
for ((round = 0; round < windows; ++round)); do
  steady
  row after "$((SECONDS - began))" "$p50" "$p99" "$(size_of "$data_dir/b$behind")"
done
awk -v before="$(median "${before[@]}")" -v median="$(median "${catching_up[@]}")" \
  -v worst="$(printf '%s\n' "${catching_up[@]}" | sort -n | tail -n 1)" \
  -v took="$took" -v mib="$((bytes / 1048576))" 'BEGIN {
  printf "caught up with %d MiB within %d s; p99 while catching up / median before: median %.2f, worst %.2f\n",
    mib, took, median / before, worst / before }'
stop_servers || die "the brokers did not stop when asked"
