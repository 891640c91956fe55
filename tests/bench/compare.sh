#!/usr/bin/env bash
# The same load on Bascule and on JetStream, side by side; see README.md in this folder for what each row means.
set -euo pipefail
# shellcheck source=tests/bench/servers.sh
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

usage() {
  cat <<'TEXT'
usage: compare.sh [options]

Runs the same load on Bascule (acks after fsync) and on JetStream (its default: acks before any sync), rounds
interleaved, and prints rates, latencies, server CPU, disk and memory with their ratio, ours / peer.

  --messages N       messages per size (default: 1 GiB worth of them, at most 1,000,000)
  --one-messages N   messages published one at a time (default 5,000)
  --rounds N         rounds per size (default 3)
  --sizes LIST       payload bytes, comma-separated (default 128,1024,16384)
  --window N         unacked messages while publishing (default 1,000)
  --only WHAT        publish or replay (default: both)
  --side WHAT        ours or peer: only that side, without ratios
  --brokers N        1 (default) or 3: three basculed against three nats-servers with JetStream, streams of three
                     replicas; publishing only
  --nats-servers N   under three of ours: 1 (default) or 3, a NATS cluster
  --rate N           messages per second of the paced phase with three brokers (default 5,000)
  --synced-peer      JetStream with sync_interval: always (nats-server 2.10 or newer)
  --durability WHAT  of our stream: fsync (default) or os (page cache, what JetStream's default promises)
  --raw              replay without decoding or checking messages
  --profile          ours only: perf record of basculed in the first round, files and the hottest lines printed
  --time-limit N     seconds that any one phase may take (default 300)
  --work-dir DIR     where data directories go (default /var/tmp)
  --keep             keep the last data directory and the logs
  --json             one JSON object per row instead of the table

NATS_SERVER=PATH     nats-server of both sides (default: the one in PATH)
BASCULE_BIN=DIR      where basculed is (default build/release/bin); BASCULE_BENCH_BIN=DIR: where the load programs are
BASCULED_ARGS=...    further arguments for basculed, split at spaces
PERF_ARGS=...        arguments for perf record (default: -e cpu-clock -F 499, which virtual machines have too)

Exit code: 0 measured, 1 something failed (the servers' last lines are shown), 2 wrong usage or a missing program.
TEXT
}

messages=
one_messages=5000
rounds=3
sizes=128,1024,16384
window=1000
only=
sides=(ours peer)
synced=
brokers=1
bus_servers=1
rate=5000
durability=fsync
raw=()
time_limit=300
profile=
work_parent=
keep=
json=()

bad_usage() {
  say "$1 (--help shows the options)"
  exit 2
}

number() { [[ $2 =~ ^[1-9][0-9]{0,11}$ ]] || bad_usage "$1 $2: a positive number is expected"; }

while (($# > 0)); do
  case $1 in
    --messages | --one-messages | --rounds | --sizes | --window | --only | --side | --durability | --work-dir | \
      --time-limit | --brokers | --nats-servers | --rate)
      (($# > 1)) || bad_usage "$1 needs a value"
      ;;&
    --messages) number "$1" "$2"; messages=$2; shift ;;
    --one-messages) number "$1" "$2"; one_messages=$2; shift ;;
    --rounds) number "$1" "$2"; rounds=$2; shift ;;
    --window) number "$1" "$2"; window=$2; shift ;;
    --rate) number "$1" "$2"; rate=$2; shift ;;
    --brokers | --nats-servers)
      [[ $2 == 1 || $2 == 3 ]] || bad_usage "$1 $2: 1 or 3 is expected"
      if [[ $1 == --brokers ]]; then brokers=$2; else bus_servers=$2; fi
      shift
      ;;
    --time-limit) number "$1" "$2"; time_limit=$2; shift ;;
    --sizes)
      [[ $2 =~ ^[0-9]+(,[0-9]+)*$ ]] || bad_usage "--sizes $2: bytes, comma-separated, are expected"
      sizes=$2
      shift
      ;;
    --only)
      [[ $2 == publish || $2 == replay ]] || bad_usage "--only $2: publish or replay is expected"
      only=$2
      shift
      ;;
    --side)
      [[ $2 == ours || $2 == peer ]] || bad_usage "--side $2: ours or peer is expected"
      sides=("$2")
      shift
      ;;
    --durability)
      [[ $2 == fsync || $2 == os ]] || bad_usage "--durability $2: fsync or os is expected"
      durability=$2
      shift
      ;;
    --work-dir) work_parent=$2; shift ;;
    --synced-peer) synced=synced ;;
    --raw) raw=(--raw) ;;
    --profile) profile=yes; sides=(ours) ;;
    --keep) keep=yes ;;
    --json) json=(--json) ;;
    --help | -h) usage; exit 0 ;;
    *) bad_usage "unknown option $1" ;;
  esac
  shift
done

if [[ $brokers == 3 ]]; then
  [[ -z $only || $only == publish ]] || bad_usage "--brokers 3 publishes only"
  only=publish
elif [[ $bus_servers == 3 ]]; then
  bad_usage "--nats-servers 3 goes with --brokers 3"
fi

# 1 GiB of payload, within [1,000, 1,000,000] messages.
messages_of() {
  local n=${messages:-$((1073741824 / $1))}
  if [[ -z $messages ]]; then
    ((n <= 1000000)) || n=1000000
    ((n >= 1000)) || n=1000
  fi
  printf '%s\n' "$n"
}

# phase SIDE ROUND SIZE MODE [bench_load options...]: runs one phase; its result lines go to $results, or nowhere when
# SIDE is "-" (a phase that only prepares the next).
phase() {
  local side=$1 round=$2 size=$3 mode=$4 out=$work/phase.out perf_pid=
  shift 4
  if [[ -n $profile && $round == 1 && ($mode == publish || $mode == replay) ]]; then
    local file=$profile_dir/$mode-$size.perf
    # shellcheck disable=SC2086  # several arguments are meant
    perf record ${PERF_ARGS:--e cpu-clock -F 499} -q -p "$bascule_pid" -o "$file" >"$work/perf.log" 2>&1 &
    perf_pid=$!
    started+=("$perf_pid")
  fi
  "$load/bench_load" "$mode" --side "$running" --nats "$nats_url" ${grpc:+--grpc "$grpc"} --pids "$pids" \
    --replicas "$brokers" --size "$size" --time-limit "$time_limit" "$@" >"$out" ||
    die "round $round, $size B, $running: $mode failed"
  if [[ -n $perf_pid ]]; then
    kill -INT "$perf_pid" 2>/dev/null || die "perf did not run: $(cat "$work/perf.log")"
    wait "$perf_pid" 2>/dev/null || true
    unset 'started[-1]'
    profiles+=("$file")
  fi
  [[ $side == - ]] || sed "s/^/$side\t$round\t$size\t/" "$out" >>"$results"
}

start_side() {
  # shellcheck disable=SC2206,SC2086  # splitting at spaces is the contract of BASCULED_ARGS
  case $running$brokers in
    ours1) start_ours ${BASCULED_ARGS:-} ;;
    ours3) start_our_cluster "$bus_servers" ${BASCULED_ARGS:-} ;;
    peer1) start_peer $synced ;;
    peer3) start_peer_cluster $synced ;;
  esac
}

# fact MODE [bench_load options...]: a number about the running side that no load belongs to.
fact() {
  local mode=$1 out=$work/fact.out
  shift
  "$load/bench_load" "$mode" "$@" >"$out" || die "round $round, $size B, $running: $mode failed"
  sed "s/^/$running\t$round\t$size\t/" "$out" >>"$results"
}

stop_side() { stop_servers || die "round $round, $size B: $running did not stop when asked"; }

# One side, one size, one round: start, load, measure, stop; then again with fresh servers for one message at a time.
run_side() {
  running=$1
  local round=$2 size=$3 count warmup=5000 report=$1 fixed
  count=$(messages_of "$size")
  ((warmup <= count)) || warmup=$count
  [[ $only != replay ]] || report=-
  # What the side keeps whatever is published is told apart from what each message takes.
  start_side
  phase - "$round" "$size" one --messages 1 --durability "$durability"
  stop_side
  fact disk-fixed --data-dir "$data_dir"
  fixed=$(cut -f2 "$work/fact.out")
  drop_data
  start_side
  phase "$report" "$round" "$size" publish --messages "$count" --warmup "$warmup" --window "$window" \
    --durability "$durability"
  if [[ $only != publish ]]; then
    phase "$running" "$round" "$size" replay --messages $((count + warmup)) ${raw[@]+"${raw[@]}"}
  fi
  fact usage --pids "$pids"
  stop_side
  fact disk --data-dir "$data_dir" --messages $((count + warmup)) --fixed "${fixed%.*}"
  drop_data
  if [[ $brokers == 3 ]]; then
    start_side
    phase "$running" "$round" "$size" publish --messages $((rate * 10)) --warmup "$warmup" --rate "$rate" \
      --window 100000 --durability "$durability"
    stop_side
    drop_data
  fi
  if [[ $only != replay ]]; then
    start_side
    phase "$running" "$round" "$size" one --messages "$one_messages" --durability "$durability"
    stop_side
    drop_data
  fi
}

find_programs bench_load bench_report
[[ " ${sides[*]} " != *" ours "* ]] || need_basculed
[[ -z $profile ]] || command -v perf >/dev/null || die "--profile needs perf (Debian: linux-perf)" 2
if [[ -n $synced && $("$nats_server" --version 2>&1) =~ v2\.[0-9]\. ]]; then
  die "--synced-peer needs nats-server 2.10 or newer: name one by NATS_SERVER" 2
fi
make_work "$work_parent"
results=$work/results
profiles=()
if [[ -n $profile ]]; then
  profile_dir=$(mktemp -d "${TMPDIR:-/tmp}/bascule-perf.XXXXXX")
fi

say "nats-server: $("$nats_server" --version 2>&1 | head -n 1); $(nproc) cores; data under $work"
for ((round = 1; round <= rounds; round++)); do
  for size in ${sizes//,/ }; do
    for side in "${sides[@]}"; do
      say "round $round of $rounds, $size B, $(messages_of "$size") messages: $side"
      run_side "$side" "$round" "$size"
    done
  done
done

"$load/bench_report" ${json[@]+"${json[@]}"} <"$results"
for file in ${profiles[@]+"${profiles[@]}"}; do
  printf '\n%s\n' "$file" >&2
  perf report --stdio --no-children --percent-limit 1 -i "$file" 2>/dev/null |
    grep -v '^#' | grep . | head -n 25 >&2 || true
done
