#!/usr/bin/env bash
# What becomes of pushes, and of what is stored, when the disk is full, read-only, or
# not ours to read: the real binary on small file systems of its own. Needs root; what it
# mounts is seen by nobody else and goes with it.
#
#   bash tests/disk_full.sh
#
# OCTOSERVE_BINARY names another binary than target/release/octoserve.
set -euo pipefail

if [[ -z ${OCTOSERVE_TEST_MOUNTS:-} ]]; then
    exec env OCTOSERVE_TEST_MOUNTS=private unshare --mount --propagation private bash "$0" "$@"
fi

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/server.sh
source "$tests/server.sh"
# shellcheck source=tests/clients/assert.sh
source "$tests/clients/assert.sh"
unset OCTOSERVE_TEST_REGISTRY

work=$(mktemp -d)
chmod 755 "$work"
LOOP=""
clean_up() {
    local status=$?
    [[ -z $SERVER_PID ]] || kill -KILL "$SERVER_PID" 2>/dev/null || true
    umount --lazy "$work"/*/disk 2>/dev/null || true
    [[ -z $LOOP ]] || losetup --detach "$LOOP" || true
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT

# ask <method> <path> [curl's arguments]: sets STATUS and ANSWER.
ask() {
    local method=$1 path=$2
    shift 2
    STATUS=$(curl --silent --show-error --max-time 30 --request "$method" \
        --output "$work/answer" --write-out '%{http_code}' "$@" "http://$REGISTRY$path") || true
    ANSWER=$(head --bytes 2000 "$work/answer" | tr -d '\0')
}

digest_of() { printf 'sha256:%s' "$(sha256sum "$1" | cut -d ' ' -f 1)"; }

push_blob() { # <file>
    ask POST "/v2/full/blobs/uploads/?digest=$(digest_of "$1")" \
        --header 'content-type: application/octet-stream' --data-binary "@$1"
}

push_manifest() { # <file> <tag>
    ask PUT "/v2/full/manifests/$2" --data-binary "@$1" \
        --header 'content-type: application/vnd.oci.image.manifest.v1+json'
}

# An image of one blob, which is its config.
manifest_of() { # <blob> <file>
    printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[]}' \
        application/vnd.oci.image.manifest.v1+json application/octet-stream \
        "$(digest_of "$1")" "$(stat --format %s "$1")" >"$2"
}

# The last answer is a refusal that a client understands, and tells nothing of insides.
assert_refused() { # <what> <statuses>
    [[ $2 == *$STATUS* ]] || fail "$1: expected $2, got $STATUS: $ANSWER"
    assert_contains "$1" "$ANSWER" '{"errors":[{"code":'
    [[ $ANSWER != *"$work"* ]] || fail "$1: the refusal tells a path: $ANSWER"
    passed
}

# What was pushed first is there, to the byte.
assert_unharmed() { # <what>
    ask GET "/v2/full/blobs/$(digest_of "$work/stored")"
    assert_equal "$1: the stored blob" "200 $(digest_of "$work/stored")" \
        "$STATUS $(digest_of "$work/answer")"
    ask GET /v2/full/manifests/stored
    assert_equal "$1: the stored manifest" "200 $(digest_of "$work/manifest")" \
        "$STATUS $(digest_of "$work/answer")"
}

free_bytes() { df --output=avail --block-size=1 "$1" | tail -n 1 | tr -d ' '; }

fill() { # <directory>
    # In steps that get smaller, until nothing more fits.
    local block
    for block in 1M 64k 4k 1k; do
        dd if=/dev/zero of="$1/filler-$block" bs="$block" status=none 2>/dev/null || true
    done
    sync --file-system "$1"
}

head --bytes 1000000 /dev/urandom >"$work/stored"
head --bytes 3000 /dev/urandom >"$work/small"
head --bytes 60000000 /dev/urandom >"$work/large"
manifest_of "$work/stored" "$work/manifest"
# Another manifest of the same blob.
sed 's/"layers":\[\]/"layers":[],"annotations":{"is":"another"}/' "$work/manifest" >"$work/another"

full_disk() { # <name> <directory of the disk>
    local name=$1 disk=$2 before location
    mkdir "$disk/data"
    server_start "$work/$name" OCTOSERVE_STORAGE_PATH="$disk/data"
    step "$name: something is stored"
    push_blob "$work/stored"
    assert_equal "a push with room" 201 "$STATUS"
    push_manifest "$work/manifest" stored
    assert_equal "a manifest with room" 201 "$STATUS"

    step "$name: a blob that does not fit"
    before=$(free_bytes "$disk")
    push_blob "$work/large"
    assert_refused "a blob that does not fit" "507"
    ask POST /v2/full/blobs/uploads/ --dump-header "$work/headers"
    location=$(sed -n 's/^[Ll]ocation: \([^\r]*\)\r*$/\1/p' "$work/headers")
    ask PATCH "$location" --header 'content-type: application/octet-stream' \
        --data-binary "@$work/large"
    assert_refused "a chunk that does not fit" "507"
    sync --file-system "$disk"
    (($(free_bytes "$disk") > before - 300000)) ||
        fail "$name: $before bytes were free, and now only $(free_bytes "$disk")"
    passed
    assert_unharmed "after a blob that did not fit"
    ask PATCH "$location" --header 'content-type: application/octet-stream' \
        --data-binary "@$work/small"
    assert_equal "the upload goes on with what fits" 202 "$STATUS"
    ask PUT "$location?digest=$(digest_of "$work/small")"
    assert_equal "and is finished" 201 "$STATUS"

    step "$name: nothing fits"
    fill "$disk"
    head --bytes 200000 /dev/urandom >"$work/medium"
    push_blob "$work/medium"
    assert_refused "a blob on a full disk" "507"
    push_manifest "$work/another" another
    assert_refused "a manifest on a full disk" "507"
    push_manifest "$work/another" stored
    assert_refused "a tag that would move on a full disk" "507"
    assert_unharmed "on a full disk"
    ask GET /v2/full/manifests/another
    assert_equal "what was refused is not there" 404 "$STATUS"
    ask GET /readyz
    assert_equal "it goes on serving" 200 "$STATUS"

    step "$name: there is room again"
    rm "$disk"/filler-*
    push_blob "$work/medium"
    assert_equal "a blob with room again" 201 "$STATUS"
    push_manifest "$work/another" stored
    assert_equal "a tag that moves with room again" 201 "$STATUS"
    push_manifest "$work/manifest" stored
    assert_equal "and back" 201 "$STATUS"
    assert_unharmed "with room again"
    assert_equal "nothing is left in staging" "" "$(ls "$disk/data/staging")"

    step "$name: read-only"
    mount --bind "$disk/data" "$disk/data"
    mount --options remount,bind,ro "$disk/data"
    head --bytes 1000 /dev/urandom >"$work/medium"
    push_blob "$work/medium"
    assert_refused "a blob on a read-only disk" "500 503"
    push_manifest "$work/another" stored
    assert_refused "a manifest on a read-only disk" "500 503"
    ask DELETE /v2/full/manifests/stored
    assert_refused "a delete on a read-only disk" "500 503"
    assert_unharmed "on a read-only disk"
    umount "$disk/data"
    push_blob "$work/medium"
    assert_equal "a blob on a disk that is writable again" 201 "$STATUS"
    server_stop
}

mkdir -p "$work/tmpfs/disk" "$work/ext4/disk"
mount -t tmpfs -o size=24m tmpfs "$work/tmpfs/disk"
full_disk tmpfs "$work/tmpfs/disk"
if LOOP=$(losetup --find 2>/dev/null) && truncate --size 32M "$work/image" &&
    mkfs.ext4 -q -m 0 "$work/image" && losetup "$LOOP" "$work/image"; then
    mount "$LOOP" "$work/ext4/disk"
    full_disk ext4 "$work/ext4/disk"
    umount "$work/ext4/disk"
    losetup --detach "$LOOP"
else
    step "ext4: not run, there is no loop device"
fi
LOOP=""

# As somebody who is not root, whom permissions hold.
step "permissions"
binary=${OCTOSERVE_BINARY:-${CARGO_TARGET_DIR:-$tests/../target}/release/octoserve}
cp "$binary" "$work/octoserve"
cat >"$work/as-nobody" <<'SCRIPT'
#!/bin/sh
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$(dirname "$0")/octoserve" "$@"
SCRIPT
chmod 755 "$work/as-nobody" "$work/octoserve"
mkdir -p "$work/nobody/data"
chown 65534:65534 "$work/nobody/data"
OCTOSERVE_BINARY=$work/as-nobody server_start "$work/nobody"
push_blob "$work/stored"
push_manifest "$work/manifest" stored
assert_unharmed "as somebody else"
tag=$work/nobody/data/manifests/full/_tags/stored
chmod 000 "$tag"
ask GET /v2/full/manifests/stored
assert_refused "a tag that cannot be read" "500 503"
chmod 644 "$tag"
chmod 555 "$work/nobody/data/staging"
push_manifest "$work/another" stored
assert_refused "a manifest where nothing can be written" "500 503"
assert_unharmed "where nothing can be written"
chmod 755 "$work/nobody/data/staging"
push_manifest "$work/another" another
assert_equal "a manifest where it can be written again" 201 "$STATUS"
server_stop
chmod 555 "$work/nobody/data" "$work/nobody/data/locks"
rm -rf "$work/nobody/data/staging"
if OCTOSERVE_BINARY=$work/as-nobody server_start "$work/nobody" 2>"$work/refusal"; then
    fail "it serves a directory that it cannot write"
fi
assert_contains "why it does not start" "$(cat "$work/refusal")" "staging"

printf '%d checks held\n' "$CHECKS"
