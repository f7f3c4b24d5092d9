# shellcheck shell=bash
# What the client tests claim. A claim that does not hold ends the script with a
# message; one that holds is counted in CHECKS. Sourced.

CHECKS=0

# A line that says what comes next.
step() {
    printf -- '--- %s\n' "$*"
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    local frame=0
    while caller "$frame" >&2; do
        frame=$((frame + 1))
    done
    exit 1
}

passed() {
    CHECKS=$((CHECKS + 1))
}

# assert_equal <what> <expected> <actual>
assert_equal() {
    [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
    passed
}

# assert_contains <what> <text> <part>
assert_contains() {
    [[ $2 == *"$3"* ]] || fail "$1: no '$3' in: $2"
    passed
}

# assert_digest <what> <text>
assert_digest() {
    [[ $2 =~ ^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$ ]] || fail "$1 is no digest: '$2'"
    passed
}

# assert_fails <what> <command...>: the command has to end with another status than 0.
assert_fails() {
    local what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        fail "$what: '$*' succeeded"
    fi
    passed
}

# assert_same_file <what> <expected file> <actual file>: byte for byte.
assert_same_file() {
    cmp --silent "$2" "$3" || fail "$1: $2 and $3 differ"
    passed
}

# assert_same_tree <what> <expected directory> <actual directory>: the same names,
# the same bytes, the same link targets.
assert_same_tree() {
    local expected actual
    expected=$(tree_listing "$2")
    actual=$(tree_listing "$3")
    [[ -n $expected ]] || fail "$1: $2 is empty"
    if [[ $expected != "$actual" ]]; then
        diff <(printf '%s\n' "$expected") <(printf '%s\n' "$actual") >&2 || true
        fail "$1: $2 and $3 differ"
    fi
    passed
}

tree_listing() {
    (
        cd "$1" || exit
        find . -type f -print0 | LC_ALL=C sort --zero-terminated | xargs --null --no-run-if-empty sha256sum
        find . -type l -printf '%p -> %l\n' | LC_ALL=C sort
    )
}

# assert_layout_holds <what> <expected OCI layout> <actual OCI layout>: every blob of
# the first is in the second, byte for byte.
assert_layout_holds() {
    local blob count=0
    while IFS= read -r -d '' blob; do
        cmp --silent "$2/blobs/$blob" "$3/blobs/$blob" || fail "$1: blob $blob is missing or differs"
        count=$((count + 1))
    done < <(cd "$2/blobs" && find . -type f -printf '%P\0')
    ((count > 0)) || fail "$1: $2 holds no blobs"
    passed
}
