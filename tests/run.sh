#!/usr/bin/env bash
# Runs the tests: installs what is missing, starts what must run, and ends with a line
# that counts the stages.
#
#   bash tests/run.sh              everything; needs root, for the packages and the clients
#   bash tests/run.sh quick        what needs only Rust
#   bash tests/run.sh <stage> ...  just these, in this order
#
# A stage that fails does not stop the others, only those that need it. Each stage's output
# goes to target/tests/<stage>.log, or below $OCTOSERVE_TEST_LOGS.
#
# To add a stage, write stage_<name> (with _ for -) and put the name in the lists below.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OCTOSERVE_TEST_LOGS=${OCTOSERVE_TEST_LOGS:-$PWD/target/tests}
logs=$OCTOSERVE_TEST_LOGS
mkdir -p "$logs"

quick=(fmt clippy doc rings test)
full=(packages shell fmt clippy doc rings test release killed disk-full tools cluster conformance s3 replicas clients image rolling chart fuzz-build fuzz)
declare -A needs=(
    [shell]=packages
    [release]=packages
    [tools]=packages
    [killed]=release
    [disk-full]="packages release"
    [conformance]="packages tools release"
    [s3]="packages tools"
    [replicas]="packages tools release"
    [clients]="packages tools release"
    [fuzz-build]=packages
    [fuzz]=fuzz-build
    [image]="packages release"
    [rolling]="packages release"
    [chart]="packages tools cluster release"
)
# These are built while the stages before them run, at a lower priority.
behind=(tools release cluster fuzz-build)

stage_packages() { within 15m bash tests/install.sh packages; }
stage_shell() { within 2m shellcheck tests/*.sh tests/clients/*.sh tests/fuzz/*.sh tests/chart/*.sh .ci/run; }
stage_fmt() {
    within 2m cargo fmt --all --check
    within 2m cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
}
stage_clippy() { within 15m cargo clippy --locked --all-targets -- --deny warnings; }
stage_doc() { RUSTDOCFLAGS="--deny warnings" within 10m cargo doc --locked --no-deps; }
# The inner rings compile without the crates of the outer ones, so they cannot name them.
# That none of them names a ring outside it is tested by tests/rings.
stage_rings() { within 10m cargo check --locked --no-default-features --lib; }
stage_test() { within 20m cargo test --locked; }
# Linked statically as in the image, so that what is tested is what is shipped. Flags for
# the target alone need --target, which has a directory of its own.
stage_release() {
    local host target=${CARGO_TARGET_DIR:-target}
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    RUSTFLAGS="-C target-feature=+crt-static" within 20m cargo build --locked --release --target "$host"
    install -D "$target/$host/release/octoserve" "$target/release/octoserve"
}
# What the tests do with the debug binary, with the one that is shipped.
stage_killed() {
    OCTOSERVE_BINARY=$(realpath "${CARGO_TARGET_DIR:-target}")/release/octoserve \
        within 10m cargo test --locked --test crash servers
}
stage_disk_full() { within 5m bash tests/disk_full.sh; }
stage_tools() { within 30m bash tests/install.sh tools; }
stage_conformance() { within 10m bash tests/conformance.sh; }
stage_s3() { within 20m bash tests/s3.sh; }
stage_replicas() { within 10m bash tests/replicas.sh; }
stage_clients() { within 25m bash tests/clients/all.sh; }
stage_fuzz_build() { within 20m bash tests/fuzz.sh build; }
stage_fuzz() { within 20m bash tests/fuzz.sh; }
stage_cluster() { within 30m bash tests/install.sh cluster; }
stage_image() { within 10m bash tests/image.sh; }
stage_rolling() { within 5m bash tests/rolling.sh; }
stage_chart() { within 10m bash tests/chart.sh; }

# A stage that hangs fails; what it has started goes with it.
within() {
    timeout --kill-after=60 "$@"
}

declare -A result=() background=() began=()
current=""

# start_stage <name> [<niceness>]: in the background, with its output in its log. Its process
# id is $!.
start_stage() {
    began[$1]=$SECONDS
    (
        [[ -z ${2:-} ]] || renice --priority "$2" --pid "$BASHPID" >/dev/null
        "stage_${1//-/_}"
    ) >"$logs/$1.log" 2>&1 </dev/null &
}

# Starts those of $behind that wait for nothing any more.
start_behind() {
    local name need
    for name in "${behind[@]}"; do
        if [[ -n ${began[$name]:-} ]]; then
            continue
        fi
        for need in ${needs[$name]:-}; do
            if [[ ${result[$need]:-} != passed ]]; then
                continue 2
            fi
        done
        start_stage "$name" 10
        background[$name]=$!
    done
}

run_stage() {
    local name=$1 status=0 need
    for need in ${needs[$name]:-}; do
        if [[ ${result[$need]:-} == failed ]]; then
            result[$name]=failed
            printf 'FAILED  %-12s not run: %s failed\n' "$name" "$need"
            return
        fi
    done
    if [[ -n ${background[$name]:-} ]]; then
        current=${background[$name]}
        unset "background[$name]"
    else
        start_stage "$name"
        current=$!
    fi
    wait "$current" || status=$?
    current=""
    if ((status == 0)); then
        result[$name]=passed
        printf 'ok      %-12s %4d s\n' "$name" "$((SECONDS - began[$name]))"
    else
        result[$name]=failed
        printf 'FAILED  %-12s %4d s  status %d, log %s, which ends:\n' \
            "$name" "$((SECONDS - began[$name]))" "$status" "$logs/$name.log"
        tail -n 40 "$logs/$name.log" | sed 's/^/    /'
    fi
}

finish() {
    local status=$? pid
    for pid in $current "${background[@]}"; do
        pkill -TERM -P "$pid" 2>/dev/null || true
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

case ${1:-full} in
quick) stages=("${quick[@]}") ;;
full) stages=("${full[@]}") ;;
*) stages=("$@") ;;
esac
for name in "${stages[@]}"; do
    if ! declare -F "stage_${name//-/_}" >/dev/null; then
        echo "no stage is called $name; there are: ${full[*]}" >&2
        exit 2
    fi
done
command -v cargo >/dev/null || {
    echo "cargo is missing: install Rust (https://rustup.rs); rust-toolchain.toml names the version" >&2
    exit 1
}

for name in "${stages[@]}"; do
    if [[ ${1:-full} == full ]]; then
        start_behind
    fi
    run_stage "$name"
done

failed=0
for name in "${stages[@]}"; do
    if [[ ${result[$name]} == failed ]]; then
        failed=$((failed + 1))
    fi
done
printf '%d s in all\n' "$SECONDS"
printf '%d passed, %d failed\n' "$((${#stages[@]} - failed))" "$failed"
((failed == 0))
