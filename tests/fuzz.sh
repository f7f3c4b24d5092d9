#!/usr/bin/env bash
# Fuzzes every parser, and whole runs of the registry, guided by coverage.
#
#   bash tests/fuzz.sh                          about a minute in all
#   bash tests/fuzz.sh SECONDS [TARGET...]      so many seconds for each target
#   bash tests/fuzz.sh replay TARGET FILE       one input, with a backtrace
#   bash tests/fuzz.sh build                    only builds the targets
#
# Targets are the files of tests/fuzz/targets. The seeds of each are in
# tests/fuzz/seeds, what has crashed one before is in tests/fuzz/regressions, and
# what a run discovers stays in target/fuzz/corpus for the next one.
set -euo pipefail

readonly seconds_in_all=50
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root crate=$root/tests/fuzz
target_dir=${CARGO_TARGET_DIR:-$root/target}/fuzz
readonly target_dir
export CARGO_TARGET_DIR=$target_dir
# Both would replace the flags that make the counters.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

fail() {
    printf 'fuzz: %s\n' "$*" >&2
    exit 1
}

known_targets() {
    local file
    for file in "$crate"/targets/*.rs; do
        basename "$file" .rs
    done
}

require_target() {
    [[ -f $crate/targets/$1.rs ]] || fail "there is no target $1; there are: $(known_targets | xargs)"
}

build() {
    command -v c++ >/dev/null || fail 'libFuzzer is built from C++: install a C++ compiler (Debian: g++)'
    (cd "$crate" && cargo build --quiet --release "$@") || fail 'the fuzz targets do not build'
    binaries=$target_dir/release
}

# The seeds of a target, a file each.
unpack_seeds() {
    local target=$1 directory=$2 number=0 line
    mkdir -p "$directory"
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        printf '%b' "$line" >"$directory/seed-$number"
    done <"$crate/seeds/$target"
    [[ $number -gt 0 ]] || fail "tests/fuzz/seeds/$target has no seeds"
}

# Called in a process of its own for each target, some at a time.
fuzz() {
    local target=$1 seconds=$2
    local corpus=$target_dir/corpus/$target log=$scratch/$target.log
    local crashes=$target_dir/crashes/$target/
    mkdir -p "$corpus" "$crashes" "$scratch/seeds"
    unpack_seeds "$target" "$scratch/seeds/$target"
    local -a inputs=("$corpus" "$scratch/seeds/$target") options=()
    if [[ -d $crate/regressions/$target ]]; then
        inputs+=("$crate/regressions/$target")
    fi
    if [[ -f $crate/dictionaries/$target ]]; then
        options+=("-dict=$crate/dictionaries/$target")
    fi
    local status=0
    "$binaries/$target" "${inputs[@]}" "${options[@]}" \
        -max_total_time="$seconds" -max_len=2048 -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$crashes" -print_final_stats=1 >"$log" 2>&1 || status=$?

    if [[ $status -ne 0 ]]; then
        grep -v '^#' "$log" | tail -n 60 | sed "s/^/$target: /"
        local input
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        printf '%s: FAILED; replay it with\n    bash tests/fuzz.sh replay %s %s\n' \
            "$target" "$target" "${input:-(no input was written)}"
        return 1
    fi
    # A build without counters would try inputs blindly, and pass.
    local covered inputs_tried
    covered=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    inputs_tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if ! grep -q 'inline 8-bit counters' "$log" || [[ ${covered:-0} -lt 10 ]]; then
        printf '%s: FAILED: it was built without coverage counters\n' "$target"
        return 1
    fi
    printf '%-24s %9d inputs, %5d edges covered\n' "$target" "$inputs_tried" "$covered"
}

run() {
    local seconds=$1
    shift
    local -a targets=("$@")
    local jobs
    jobs=$(nproc)
    if [[ $seconds == default ]]; then
        seconds=$((seconds_in_all * jobs / ${#targets[@]}))
        [[ $seconds -gt 0 ]] || seconds=1
    fi
    printf 'fuzz: %d targets, %d s each, %d at a time\n' "${#targets[@]}" "$seconds" "$jobs"
    scratch=$(mktemp -d "${memory:-${TMPDIR:-/tmp}}/octoserve-fuzz.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    mkdir "$scratch/tmp"
    export TMPDIR=$scratch/tmp scratch binaries target_dir crate
    export -f fuzz unpack_seeds fail
    printf '%s\n' "${targets[@]}" |
        xargs -P "$jobs" -I '{}' bash -euo pipefail -c 'fuzz "$@"' fuzz '{}' "$seconds" ||
        fail 'a target failed: see above'
}

# Data directories of the operation targets live where nothing waits for a disk.
memory=
if [[ -d /dev/shm && -w /dev/shm ]]; then
    memory=/dev/shm
fi

if [[ ${1:-} == replay ]]; then
    [[ $# -eq 3 ]] || fail 'usage: bash tests/fuzz.sh replay TARGET FILE'
    require_target "$2"
    [[ -f $3 ]] || fail "there is no file $3"
    build --bin "$2"
    RUST_BACKTRACE=1 "$binaries/$2" "$3"
    exit
fi

if [[ ${1:-} == build ]]; then
    [[ $# -eq 1 ]] || fail 'usage: bash tests/fuzz.sh build'
    build
    exit
fi

seconds=${1:-default}
[[ $seconds == default || $seconds =~ ^[1-9][0-9]*$ ]] || fail "not a number of seconds: $seconds"
shift || true
if [[ $# -gt 0 ]]; then
    for target in "$@"; do
        require_target "$target"
    done
    build
    run "$seconds" "$@"
else
    build
    mapfile -t targets < <(known_targets)
    run "$seconds" "${targets[@]}"
fi
