#!/usr/bin/env bash
set -euo pipefail
# Shows the main job on this machine, from nothing: installs what is missing, builds basculed and bascule, starts a
# broker with a nats-server inside, publishes plain NATS messages, kills the broker with SIGKILL in the middle, starts
# it again, goes on, and replays everything that was acknowledged.

cd "$(dirname "$0")/.."
per_half=1000        # acks to wait for before the kill, and again after it
limit_seconds=30     # for each wait

usage() {
  cat <<'TEXT'
Usage: deploy/quickstart.sh [--keep] [--prefix DIR]

Builds Bascule and shows that a kill loses nothing that was acknowledged.
  --keep        leave the data, the logs and the replayed messages behind and say where
  --prefix DIR  also install basculed and bascule into DIR/bin
TEXT
}

keep=no
prefix=""
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep=yes ;;
    --prefix) prefix=${2:?--prefix needs a folder}; shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; printf 'quickstart.sh: unknown option %s\n' "$1" >&2; exit 2 ;;
  esac
  shift
done

broker_pid=""
reader_pid=""
dir=""
say() { printf '== %s\n' "$*"; }
fail() {
  printf 'quickstart.sh: %s\n' "$*" >&2
  if [ -n "$dir" ] && [ -s "$dir/basculed.log" ]; then
    printf 'the last lines of the broker:\n' >&2
    tail -n 20 "$dir/basculed.log" >&2
  fi
  exit 1
}

stop_reader() {
  exec 3>&- 2>/dev/null || true
  if [ -n "$reader_pid" ]; then
    kill "$reader_pid" 2>/dev/null || true
    wait "$reader_pid" 2>/dev/null || true
  fi
  reader_pid=""
}

finish() {
  local status=$?
  trap - EXIT
  stop_reader
  if [ -n "$broker_pid" ]; then
    kill "$broker_pid" 2>/dev/null || true
    for _ in $(seq 200); do kill -0 "$broker_pid" 2>/dev/null && sleep 0.05 || break; done
    kill -KILL "$broker_pid" 2>/dev/null || true
  fi
  if [ -n "$dir" ] && [ "$keep" = yes ]; then
    say "kept: $dir"
  elif [ -n "$dir" ]; then
    rm -rf "$dir"
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM
trap '' PIPE

port_open() { (exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    if ! port_open "$port"; then
      printf '%s\n' "$port"
      return
    fi
  done
  fail "no free port found between 20000 and 32000"
}

# wait_until DESCRIPTION COMMAND...
wait_until() {
  local what=$1 deadline=$((SECONDS + limit_seconds))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within $limit_seconds s"
    sleep 0.05
  done
}

# --- install and build ---

say "installing what is missing"
deploy/install-deps.sh --build

say "building basculed and bascule (build/release)"
mkdir -p build
cmake --preset release >build/.quickstart-configure.log 2>&1 || {
  cat build/.quickstart-configure.log >&2
  fail "cmake could not configure the build (above)"
}
rm -f build/.quickstart-configure.log
NINJA_STATUS='[%f/%t %es] ' ninja -C build/release basculed bascule
bin=$PWD/build/release/bin
if [ -n "$prefix" ]; then
  install -D -m 755 "$bin/basculed" "$prefix/bin/basculed"
  install -D -m 755 "$bin/bascule" "$prefix/bin/bascule"
  say "installed into $prefix/bin"
fi

# --- the broker ---

dir=$(mktemp -d "$PWD/build/quickstart.XXXXXX")
grpc_port=$(free_port)
nats_port=$(free_port)
until [ "$nats_port" != "$grpc_port" ]; do nats_port=$(free_port); done
export BASCULE_SERVER=127.0.0.1:$grpc_port

start_broker() {
  "$bin/basculed" --embedded-nats --set "nats.embedded.port=$nats_port" --listen "127.0.0.1:$grpc_port" \
    --data-dir "$dir/data" >>"$dir/basculed.log" 2>&1 3>&- &
  broker_pid=$!
  disown "$broker_pid"  # so that the shell does not report its end
  wait_until "the broker answers" broker_answers
}
broker_answers() {
  kill -0 "$broker_pid" 2>/dev/null || fail "basculed ended at once"
  port_open "$nats_port" && "$bin/bascule" stream list
}

# --- a NATS client in bash: PUB with a reply subject; what comes back goes to a file ---

sent=0
connect_nats() {
  exec 3<>"/dev/tcp/127.0.0.1/$nats_port" || fail "cannot connect to NATS on port $nats_port"
  printf 'CONNECT {"verbose":false,"pedantic":false,"name":"quickstart"}\r\nSUB quickstart.ack.* 1\r\nPING\r\n' >&3
  cat <&3 >>"$dir/acks.raw" 2>/dev/null &
  reader_pid=$!
}
# Writes the next 50 messages at once. False when nobody takes them; some may have been taken all the same.
publish_some() {
  local burst="" value last=$((sent + 50))
  while [ "$sent" -lt "$last" ]; do
    sent=$((sent + 1))
    value="order $sent"
    burst+="PUB orders.new quickstart.ack.$sent ${#value}"$'\r\n'"$value"$'\r\n'
  done
  printf '%s' "$burst" 2>/dev/null >&3
}
acked_count() { grep -a -c '"seq"' "$dir/acks.raw" || true; }
more_acks_than() { [ "$(acked_count)" -ge "$1" ]; }

# Publishes one message after the other until so many are acknowledged.
publish_until() {
  local wanted=$1 deadline=$((SECONDS + limit_seconds))
  while ! more_acks_than "$wanted"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "only $(acked_count) of $wanted acks within $limit_seconds s"
    publish_some || fail "NATS hung up"
    sleep 0.002
  done
}

# "number offset" of each positive ack: a MSG line names the subject, the next one holds {"stream":...,"seq":N}.
list_acks() {
  tr -d '\r' <"$dir/acks.raw" | awk '
    $1 == "MSG" { n = split($2, part, "."); number = part[n]; next }
    number != "" && match($0, /"seq": *[0-9]+/) && !/"error"/ {
      seq = substr($0, RSTART, RLENGTH); sub(/[^0-9]*/, "", seq); print number, seq - 1 }
    { number = "" }'
}

# replay FILE SUBSCRIBE-OPTION...: "number offset" of each recorded message.
replay() {
  local file=$1
  shift
  "$bin/bascule" subscribe orders --json "$@" >"$dir/replay.json"
  awk '
    match($0, /"offset": *[0-9]+/) { offset = substr($0, RSTART, RLENGTH); sub(/[^0-9]*/, "", offset) }
    match($0, /"value": *"order [0-9]+"/) {
      number = substr($0, RSTART, RLENGTH); gsub(/[^0-9]/, "", number); print number, offset }' \
    "$dir/replay.json" >"$file"
}

# --- the show ---

say "starting a broker with a nats-server inside (gRPC on port $grpc_port, NATS on port $nats_port)"
start_broker
"$bin/bascule" stream create orders --subject 'orders.>' --reply-acks jetstream

say "publishing plain NATS messages to orders.new"
: >"$dir/acks.raw"
connect_nats
publish_until "$per_half"

say "killing the broker with SIGKILL in the middle of it"
killed=$broker_pid
{ sleep 0.1; kill -KILL "$killed"; } &
# The nats-server dies with its broker; what is not acknowledged by then does not count.
while publish_some; do :; done
broker_pid=""
broker_gone() { ! kill -0 "$killed"; }
wait_until "the broker is dead" broker_gone
nats_gone() { ! port_open "$nats_port"; }
wait_until "its nats-server is gone too" nats_gone
reader_gone() { ! kill -0 "$reader_pid"; }
wait_until "the last acks are read" reader_gone
stop_reader
list_acks >"$dir/acks.first"
before_kill=$(wc -l <"$dir/acks.first")
not_acked=$((sent - before_kill))

say "starting it again on the same data"
restart_time=$(date +@%s.%N)
start_broker
first_after=$((sent + 1))
connect_nats
publish_until $(($(acked_count) + per_half))
# Acks that are still on their way count too.
settled() { local n; n=$(acked_count); sleep 0.2; [ "$n" = "$(acked_count)" ]; }
wait_until "the last acks are read" settled
stop_reader
list_acks >"$dir/acks"

say "replaying through gRPC: from offset 0, from a middle offset, from a timestamp"
acked=$(wc -l <"$dir/acks")
middle=$(sed -n "$((acked / 2))p" "$dir/acks" | cut -d' ' -f2)
replay "$dir/all" --from 0
replay "$dir/middle" --from "$middle"
replay "$dir/time" --from "$restart_time"

# --- what it proved ---

# Every acked message at its offset, once; numbers in the order they were published. Offsets rise, but not always by
# one: where the broker was away it notes a gap record, which takes an offset and is not delivered.
verdict=$(awk '
  NR == FNR { if (FNR > 1 && $2 <= offset) bad("offset " $2 " after offset " offset)
              if ($1 <= last) bad("order " $1 " after order " last)
              last = $1; offset = $2; at[$1] = $2; next }
  !($1 in at) { bad("order " $1 ", acked at offset " $2 ", is lost") ; next }
  at[$1] != $2 { bad("order " $1 ", acked at offset " $2 ", is at " at[$1]) }
  function bad(what) { if (!errors++) print what }' "$dir/all" "$dir/acks")
[ -s "$dir/all" ] || verdict="nothing was replayed"
[ -z "$verdict" ] || fail "the replay from offset 0 is wrong: $verdict"
awk -v from="$middle" '$2 >= from' "$dir/all" | cmp -s - "$dir/middle" ||
  fail "the replay from offset $middle differs from the end of the one from offset 0"
awk -v from="$first_after" '$1 >= from' "$dir/all" | cmp -s - "$dir/time" ||
  fail "the replay from $restart_time does not begin with the first message after the restart"

cat <<TEXT

Proved on this machine:
  $sent plain NATS messages were published, $acked were acknowledged: $before_kill before SIGKILL hit the broker.
  It died with $not_acked messages on their way, which nobody was promised, and recovered at its next start.
  Replay from offset 0:    $(wc -l <"$dir/all") messages; each acked one is there, once, at its offset, in order.
  Replay from offset $middle: $(wc -l <"$dir/middle") messages, the same as the end of the first replay.
  Replay from the time of the restart: $(wc -l <"$dir/time") messages, exactly those published after it.
TEXT
