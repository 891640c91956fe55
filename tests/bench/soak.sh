#!/usr/bin/env bash
# One long load on one side, with fresh servers; see README.md in this folder.
set -euo pipefail
# shellcheck source=tests/bench/servers.sh
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

usage() {
  cat <<'TEXT'
usage: soak.sh MODE [--side ours|peer] [--work-dir DIR] [--keep] [options of the mode]

  load             records --bytes (default 1GiB) and fails if memory is not flat; --verify reads all back
  slow-subscriber  the same while one subscriber reads --rate messages a second (default 1000) from the beginning;
                   --drain lets it read the rest when the load has ended
  many-streams     creates --streams (default 1000), publishes --messages to each (default 100), verifies each

All modes: --size BYTES (default 1024), --window N (default 1000), --time-limit SECONDS (default 3600),
--durability fsync|os. load and slow-subscriber: --max-growth BYTES (default 64MiB, 0 = do not judge),
--retention-bytes N (default 0 = keep all). Bytes may be written as 64KiB, 10GiB.

NATS_SERVER, BASCULE_BIN, BASCULE_BENCH_BIN and BASCULED_ARGS as for compare.sh. Facts come as one JSON object on
stdout. Exit code: 0 all held, 1 something failed (the servers' last lines are shown), 2 wrong usage.
TEXT
}

mode=${1:-}
case $mode in
  load | slow-subscriber | many-streams) shift ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

side=ours
work_parent=
keep=
rest=()
while (($# > 0)); do
  case $1 in
    --side | --work-dir)
      (($# > 1)) || die "$1 needs a value" 2
      if [[ $1 == --side ]]; then side=$2; else work_parent=$2; fi
      shift
      ;;
    --keep) keep=yes ;;
    --help | -h) usage; exit 0 ;;
    *) rest+=("$1") ;;
  esac
  shift
done
[[ $side == ours || $side == peer ]] || die "--side $side: ours or peer is expected" 2

find_programs bench_load bench_soak
make_work "$work_parent"
if [[ $side == ours ]]; then
  need_basculed
  # shellcheck disable=SC2086  # splitting at spaces is the contract of BASCULED_ARGS
  start_ours ${BASCULED_ARGS:-}
else
  start_peer
fi
status=0
"$load/bench_soak" "$mode" --side "$side" --nats "$nats_url" ${grpc:+--grpc "$grpc"} --pids "$pids" \
  ${rest[@]+"${rest[@]}"} || status=$?
((status != 2)) || exit 2
((status == 0)) || die "$mode failed" "$status"
