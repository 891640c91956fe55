#!/usr/bin/env bash
set -euo pipefail
# Installs what is missing, builds, and runs every test and check in numbered steps. The last line is always
# "N passed, N failed": the sum over all ctest runs, a format or clang check and a failed build counting as one each.
# The exit status is 0 only when nothing failed.

cd "$(dirname "$0")/.."
all_steps=(deps format dev interop threads asan tsan)
quick_steps=(deps format dev)

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [--quick] [--step NAME]... [--jobs N]

  --quick      deps, format and dev only: no second compiler, no sanitizers
  --step NAME  only this step; may be repeated:
    deps     installs the Debian packages that are missing (deploy/install-deps.sh)
    format   clang-format finds nothing to change
    dev      builds all with assertions and runs every test
    interop  our Raft core in groups with etcd's, and its faults noticed there (tests/interop/raft; needs Go)
    threads  clang reads the product's sources: its warnings, with the checks of locking annotations, which must find
             the mistakes of tests/threads
    asan     unit, simulation and fuzz tests under AddressSanitizer and UndefinedBehaviorSanitizer
    tsan     unit tests under ThreadSanitizer, without those of the API (tests/CMakeLists.txt says why)
  --jobs N     compile and test N at a time (default: one per processor)
TEXT
}

passed=0
failed=0
failures=()
failed_asserts=()
started=$SECONDS
log_dir=build/test-logs

# The sanitizers' steps build what they run and no more: the load programs' tests carry the label unit and stay out.
asan_targets=(unit_tests sim_tests raft_sim_tests isr_sim_tests)
for source in tests/fuzz/*_fuzz.cc; do
  asan_targets+=("$(basename "$source" .cc)")
done

say() { printf '%s\n' "$*"; }
clock_of() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

jobs=$(nproc)
steps=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) steps=("${quick_steps[@]}") ;;
    --step) steps+=("${2:?--step needs a name}"); shift ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; printf 'tests/run.sh: unknown option %s\n' "$1" >&2; exit 2 ;;
  esac
  shift
done
[ ${#steps[@]} -gt 0 ] || steps=("${all_steps[@]}")
for step in "${steps[@]}"; do
  case " ${all_steps[*]} " in
    *" $step "*) ;;
    *) usage >&2; printf 'tests/run.sh: no step is called %s\n' "$step" >&2; exit 2 ;;
  esac
done
[[ "$jobs" =~ ^[1-9][0-9]*$ ]] || { printf 'tests/run.sh: --jobs takes a number, not %s\n' "$jobs" >&2; exit 2; }

# One thing that can only succeed or fail.
count() {  # count NAME STATUS
  if [ "$2" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$1")
  fi
}

finish() {
  local status=$?
  trap - EXIT
  [ ${#ahead[@]} = 0 ] || kill "${ahead[@]}" 2>/dev/null || true
  if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
    count "tests/run.sh itself (status $status)" 1
  fi
  say ""
  [ ${#failed_asserts[@]} = 0 ] || printf '%s\n' "${failed_asserts[@]}"
  for failure in "${failures[@]}"; do say "FAILED: $failure"; done
  say "total time $(clock_of $((SECONDS - started)))"
  say "$passed passed, $failed failed"
  [ "$failed" = 0 ] || exit 1
  exit 0
}
trap finish EXIT

# Configures a preset and builds the named targets (all without a name). A failure is counted here.
build() {  # build PRESET [TARGET]...
  local preset=$1
  shift
  if ! cmake --preset "$preset" >"$log_dir/$preset-configure.log" 2>&1; then
    tail -n 40 "$log_dir/$preset-configure.log"
    count "$preset: configure (whole log in $log_dir/$preset-configure.log)" 1
    return 1
  fi
  if ! NINJA_STATUS="[$preset %f/%t %es] " ninja -C "build/$preset" -j "$jobs" "$@"; then
    count "$preset: build" 1
    return 1
  fi
}

# A later step's build, begun while tests wait for brokers, with what they leave of the processors. The step itself
# builds again, which then finds most or all done; what fails here fails there, and is counted and shown there.
ahead=()
build_ahead() {  # build_ahead PRESET [TARGET]...
  case " ${steps[*]} " in *" $1 "*) ;; *) return 0 ;; esac
  [ "$jobs" -gt 1 ] || return 0
  local preset=$1 before=""
  [ ${#ahead[@]} = 0 ] || before=${ahead[-1]}
  shift
  (
    [ -z "$before" ] || while kill -0 "$before" 2>/dev/null; do sleep 1; done
    cmake --preset "$preset" && exec nice -n 19 ninja -C "build/$preset" -j "$jobs" "$@"
  ) >"$log_dir/$preset-ahead.log" 2>&1 &
  ahead+=($!)
}
await_ahead() {
  [ ${#ahead[@]} = 0 ] || wait "${ahead[@]}" || true
  ahead=()
}

# The failed assertions of a doctest program, each with its case and what it says of itself: its whole output is too
# long to end with.
say_failures() {  # say_failures LOG
  awk '/TEST CASE:/ { test = $0; shown = 0 }
       /(ERROR: (CHECK|REQUIRE|FAIL|test case)|assertion failed|terminate called)/ {
         if (!shown) print test
         shown = 1
         print "  " substr($0, 1, 300)
         more = 6
         if (++lines == 40) exit
         next
       }
       /^ *$/ { more = 0 }
       more > 0 { print "    " substr($0, 1, 300); --more }' "$1"
}

# Runs ctest and adds its summary to the sum.
run_ctest() {  # run_ctest PRESET [CTEST OPTION]...
  local preset=$1 log="$log_dir/$1-ctest.log" summary total bad
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel "$jobs" "$@" 2>&1 |
    tee "$log" || true
  summary=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+' "$log" || true)
  if [ -z "$summary" ]; then
    count "$preset: ctest ended without a summary (see $log)" 1
    return
  fi
  read -r bad total < <(sed -E 's/.*passed, ([0-9]+) tests? failed out of ([0-9]+).*/\1 \2/' <<<"$summary")
  passed=$((passed + total - bad))
  failed=$((failed + bad))
  [ "$bad" = 0 ] || failed_asserts+=("$(say_failures "$log")")
  while read -r name; do
    failures+=("$preset: $name (output above and in $log)")
  done < <(sed -nE '/^The following tests FAILED/,$ s/^[[:space:]]*[0-9]+ - ([^ ]+).*/\1/p' "$log")
}

step_deps() {
  local status=0
  deploy/install-deps.sh || status=$?
  if [ "$status" != 0 ]; then
    count "deps: deploy/install-deps.sh" 1
    exit 1
  fi
}

step_format() {
  local status=0
  git ls-files --cached --others --exclude-standard -z -- '*.h' '*.cc' '*.c' |
    xargs -0 -r clang-format --dry-run -Werror || status=$?
  count "format: run clang-format -i on the files above" "$status"
}

step_dev() {
  build dev || return 0
  build_ahead asan "${asan_targets[@]}"
  build_ahead tsan unit_tests
  run_ctest dev
  await_ahead
}

# Go 1.24 or later is enough: no other toolchain is fetched.
step_interop() {
  local status=0 library=build/dev/lib/libraft_interop.so version
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || version=none
  if [[ ! "$version" =~ ^go1\.([0-9]+) ]] || [ "${BASH_REMATCH[1]}" -lt 24 ]; then
    say "interop: skipped, it needs Go 1.24 or later and found: $version"
    return 0
  fi
  mkdir -p "$log_dir"
  if ! (cd tests/interop/raft && GOTOOLCHAIN=local go mod download) 2>"$log_dir/interop.download"; then
    say "interop: skipped, etcd's core cannot be fetched: $(tail -n 1 "$log_dir/interop.download")"
    return 0
  fi
  build dev raft_interop raft_interop_mutants || return 0
  library=$PWD/$library
  (
    cd tests/interop/raft
    export GOTOOLCHAIN=local
    [ -z "$(gofmt -l .)" ] || { gofmt -l .; say "interop: run gofmt -w on the files above"; exit 1; }
    go vet . && go test -lib "$library" -timeout 10m -count 1 .
  ) || status=$?
  count "interop: groups mixed with etcd's core" "$status"
  status=0
  (cd tests/interop/raft &&
    GOTOOLCHAIN=local go run . -lib "$library" -mutants "${library%/*}/raft_mutants") || status=$?
  count "interop: faults of our core in such groups" "$status"
}

# The build's own command lines, each source by itself, with clang in the compiler's place and nothing written. It
# needs no more than the generated headers, and reads those of other libraries once.
step_threads() {
  local status=0 commands="$log_dir/threads.commands" proof common=$PWD/build/threads/third_party.pch
  local clang="clang++ -fsyntax-only -include-pch $common -pthread"
  clang+=' -Wthread-safety -Wthread-safety-beta -Werror -Wno-unknown-warning-option'
  build threads bascule_public_proto bascule_meta_proto bascule_group_proto bascule_peer_proto || return 0
  ninja -C build/threads -t commands |
    grep -E ' -c [^ ]*/(core|nats_bridge|replication|cmd)/[^ ]*\.cc$' |
    grep -v ' -c [^ ]*/build/threads/' |
    sed -E "s/^.*ccache //; s#^[^ ]+ #$clang #; s/ -MD -MT [^ ]+ -MF [^ ]+ -o [^ ]+ / /" >"$commands" || true
  if [ ! -s "$commands" ]; then
    count "threads: no compile command found in build/threads" 1
    return
  fi
  if ! clang++ -x c++-header -std=c++20 -pthread -O1 -D_GLIBCXX_ASSERTIONS \
    tests/threads/third_party.h -o "$common"; then
    count "threads: clang cannot read tests/threads/third_party.h" 1
    return
  fi
  # The flags prove that they find something: known mistakes, read in the place of a source of core/env.
  proof=$(grep -m 1 '/core/env/log_writer\.cc$' "$commands" |
    sed -E "s# -c [^ ]+\$# -Xclang -verify -c $PWD/tests/threads/unlocked.cc#") || true
  (cd build/threads && bash -c "${proof:-false}") || status=1
  count "threads: clang does not find the mistakes of tests/threads/unlocked.cc" "$status"
  status=0
  say "clang++ reads $(wc -l <"$commands") sources"
  tr '\n' '\0' <"$commands" | (cd build/threads && xargs -0 -P "$jobs" -I{} bash -c '{}') || status=1
  count "threads: clang's complaints are above" "$status"
}

step_asan() {
  build asan "${asan_targets[@]}" || return 0
  # The simulation has seen all its seeds in dev; here fewer will do.
  BASCULE_TEST_RAFT_RUNS=1000 BASCULE_TEST_ISR_SEEDS=3000 BASCULE_TEST_SEEDS=10 \
    run_ctest asan -L '^(unit|sim|fuzz)$' -E '^bench_tests$'
}

step_tsan() {
  build tsan unit_tests || return 0
  BASCULE_TEST_SEEDS=5 run_ctest tsan -L '^unit$' -E '^bench_tests$'
}

mkdir -p "$log_dir"
number=0
for step in "${steps[@]}"; do
  number=$((number + 1))
  before=$SECONDS
  say ""
  say "== step $number of ${#steps[@]}: $step"
  "step_$step"
  say "== step $number of ${#steps[@]}: $step took $(clock_of $((SECONDS - before)))"
done
