# Sourced by compare.sh and soak.sh: finds the programs, starts and stops one side at a time on loopback ports of its
# own with fresh directories, and leaves nothing behind. Stops only what it started, by process id.
#
# Sets: load (directory of the load programs), work (fresh directory), nats_url, grpc (host:port), data_dir, pids
# (comma-separated, all server processes of the running side), bascule_pid.

set -euo pipefail

program=${0##*/}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
nats_server=${NATS_SERVER:-nats-server}
work=
started=()
logs=()

say() { printf '%s: %s\n' "$program" "$*" >&2; }

# Ends the script with a reason and what the servers last said.
die() {
  say "$1"
  local log
  for log in ${logs[@]+"${logs[@]}"}; do
    [[ -s $log ]] || continue
    printf -- '--- last lines of %s\n' "${log##*/}" >&2
    tail -n 20 "$log" >&2
  done
  exit "${2:-1}"
}

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  stop_servers || true
  if [[ -n $work ]]; then
    if [[ -n ${keep:-} ]]; then say "kept $work"; else rm -rf "$work"; fi
  fi
  exit "$status"
}

# Where programs are: BASCULE_BIN or build/release/bin; the load programs beside basculed or in BASCULE_BENCH_BIN.
find_programs() {
  bin=${BASCULE_BIN:-$root/build/release/bin}
  load=${BASCULE_BENCH_BIN:-$bin}
  local hint="build them with:
  cmake --preset release -DBASCULE_TESTS=ON && cmake --build --preset release --target bench basculed
or set BASCULE_BIN (basculed) and BASCULE_BENCH_BIN (load programs)"
  local name
  for name in "$@"; do
    [[ -x $load/$name ]] || die "no load program $load/$name; $hint" 2
  done
  command -v "$nats_server" >/dev/null ||
    die "no nats-server \"$nats_server\": install it (deploy/install-deps.sh) or set NATS_SERVER" 2
}

need_basculed() {
  [[ -x $bin/basculed ]] || die "no broker $bin/basculed; build it with:
  cmake --preset release && cmake --build --preset release --target basculed
or set BASCULE_BIN to the directory that holds it" 2
}

# Both sides use the same file system; one without a disk behind it would make every sync free.
make_work() {
  local parent=${1:-/var/tmp}
  work=$(mktemp -d "$parent/bascule-bench.XXXXXX") || die "cannot write to $parent (--work-dir)" 2
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  [[ $(stat -f -c %T "$work") != tmpfs ]] ||
    die "$work is in memory, where syncing costs nothing: choose --work-dir on a disk" 2
}

# start_nats NAME [args...]: a nats-server on a port of its own choice; sets nats_url and nats_pid.
start_nats() {
  local name=$1 ports=$work/ports.$1 log=$work/$1.log
  shift
  rm -rf "$ports"
  mkdir "$ports"
  logs+=("$log")
  "$nats_server" -a 127.0.0.1 -p -1 --ports_file_dir "$ports" "$@" >"$log" 2>&1 &
  nats_pid=$!
  started+=("$nats_pid")
  nats_url=
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    kill -0 "$nats_pid" 2>/dev/null || die "$name ($nats_server) did not start"
    nats_url=$(cat "$ports"/*.ports 2>/dev/null | grep -oE 'nats://[0-9.]+:[0-9]+' | head -n 1 || true)
    [[ -z $nats_url ]] || return 0
    sleep 0.05
  done
  die "$name did not name its port within 10 s"
}

# start_ours [broker args...]: a plain nats-server (no JetStream) and basculed on it.
start_ours() {
  logs=()
  data_dir=$work/data
  rm -rf "$data_dir"
  mkdir "$data_dir"
  start_nats bus
  local port
  port=$("$load/bench_load" free-port)
  grpc=127.0.0.1:$port
  logs+=("$work/basculed.log")
  "$bin/basculed" --data-dir "$data_dir" --listen "$grpc" --nats-servers "$nats_url" "$@" \
    >"$work/basculed.log" 2>&1 &
  bascule_pid=$!
  started+=("$bascule_pid")
  pids=$bascule_pid,$nats_pid
  local tries
  for ((tries = 0; tries < 30; tries++)); do
    kill -0 "$bascule_pid" 2>/dev/null || die "basculed did not start"
    if "$load/bench_load" ready --side ours --nats "$nats_url" --grpc "$grpc" --time-limit 1 \
      2>"$work/ready.log"; then
      return 0
    fi
  done
  die "basculed is not ready after 30 s: $(cat "$work/ready.log")"
}

# start_peer [synced]: a nats-server with JetStream.
start_peer() {
  logs=()
  data_dir=$work/data
  rm -rf "$data_dir"
  mkdir "$data_dir"
  bascule_pid=
  grpc=
  local config=$work/peer.conf interval=
  [[ ${1:-} != synced ]] || interval='sync_interval: always'
  printf 'jetstream {\n  store_dir: "%s"\n  max_file_store: 200GiB\n  %s\n}\n' "$data_dir" "$interval" \
    >"$config"
  start_nats jetstream -c "$config"
  pids=$nats_pid
}

# start_bus_cluster KIND [synced]: three nats-servers that form a cluster, plain or with JetStream (KIND bus or
# jetstream); sets nats_urls (an array), nats_url (of the first) and nats_pids.
start_bus_cluster() {
  local kind=$1 interval= i routes= ports=()
  [[ ${2:-} != synced ]] || interval='sync_interval: always'
  for i in 1 2 3; do ports+=("$("$load/bench_load" free-port)"); done
  for i in 0 1 2; do routes+="${routes:+, }\"nats://127.0.0.1:${ports[i]}\""; done
  nats_urls=()
  nats_pids=
  for i in 1 2 3; do
    local config=$work/$kind$i.conf
    printf 'server_name: n%s\ncluster {\n  name: bench\n  listen: "127.0.0.1:%s"\n  routes: [ %s ]\n}\n' \
      "$i" "${ports[i - 1]}" "$routes" >"$config"
    if [[ $kind == jetstream ]]; then
      printf 'jetstream {\n  store_dir: "%s"\n  max_file_store: 200GiB\n  %s\n}\n' "$data_dir/n$i" "$interval" \
        >>"$config"
    fi
    start_nats "$kind$i" -c "$config"
    nats_urls+=("$nats_url")
    nats_pids+=${nats_pids:+,}$nats_pid
  done
  nats_url=${nats_urls[0]}
}

# start_our_cluster SERVERS [broker args...]: one or three plain nats-servers and three basculed on them, whose process
# ids are our_pids.
start_our_cluster() {
  local servers=$1 i
  shift
  our_args=("$@")
  logs=()
  data_dir=$work/data
  rm -rf "$data_dir"
  mkdir "$data_dir"
  if [[ $servers == 3 ]]; then
    start_bus_cluster bus
    our_urls=("${nats_urls[@]}")
    bus_pids=$nats_pids
  else
    start_nats bus
    our_urls=("$nats_url" "$nats_url" "$nats_url")
    bus_pids=$nats_pid
  fi
  our_peers=()
  our_ports=()
  our_pids=()
  for i in 0 1 2; do
    our_peers+=("127.0.0.1:$("$load/bench_load" free-port)")
    our_ports+=("$("$load/bench_load" free-port)")
  done
  for i in 0 1 2; do
    logs+=("$work/basculed$i.log")
    mkdir "$data_dir/b$i"
    run_our_broker "$i"
  done
  grpc=127.0.0.1:${our_ports[0]}
  "$load/bench_load" ready --side ours --nats "$nats_url" --grpc "$grpc" --time-limit 30 2>"$work/ready.log" ||
    die "basculed is not ready after 30 s: $(cat "$work/ready.log")"
}

# run_our_broker NUMBER: that broker of the cluster, from 0, on what its directory holds; sets bascule_pid.
run_our_broker() {
  local i=$1 join
  join=$(IFS=,; printf '%s' "${our_peers[*]}")
  "$bin/basculed" --data-dir "$data_dir/b$i" --id "b$i" --listen "127.0.0.1:${our_ports[i]}" \
    --nats-servers "${our_urls[i]}" --set cluster.listen="${our_peers[i]}" --set cluster.insecure=true \
    --set clustering.raft.bootstrap.peers=b0,b1,b2 --set cluster.join="$join" ${our_args[@]+"${our_args[@]}"} \
    >>"$work/basculed$i.log" 2>&1 &
  bascule_pid=$!
  our_pids[i]=$bascule_pid
  started+=("$bascule_pid")
  pids=$bus_pids,$(IFS=,; printf '%s' "${our_pids[*]}")
}

# start_peer_cluster [synced]: three nats-servers with JetStream.
start_peer_cluster() {
  logs=()
  data_dir=$work/data
  rm -rf "$data_dir"
  mkdir "$data_dir"
  bascule_pid=
  grpc=
  start_bus_cluster jetstream "${1:-}"
  pids=$nats_pids
}

# stop_pid PID: asks, waits 20 s, insists; fails when it had to.
stop_pid() {
  local pid=$1 tries killed=0
  kill -TERM "$pid" 2>/dev/null || true
  for ((tries = 0; tries < 400; tries++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  if kill -0 "$pid" 2>/dev/null; then
    say "process $pid did not stop within 20 s of SIGTERM: killed"
    kill -KILL "$pid" 2>/dev/null || true
    killed=1
  fi
  wait "$pid" 2>/dev/null || true
  return "$killed"
}

# Stops what runs, newest first; its data stays.
stop_servers() {
  local i status=0
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    stop_pid "${started[i]}" || status=1
  done
  started=()
  return "$status"
}

# Deletes the data, so that no write-back of one side falls into the other's time.
drop_data() {
  [[ -n $work && -z ${keep:-} ]] || return 0
  rm -rf "$work/data"
  sync -f "$work"
}
