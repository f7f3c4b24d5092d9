#!/usr/bin/env bash
# The real clients against a fresh Octoserve: images made on the spot are pushed, pulled
# and compared.
#
#   bash tests/clients/all.sh [client ...]     all of them, and then each with each ("cross")
#
# Needs root, and what tests/install.sh installs. Logs go to target/tests/clients, or to
# $OCTOSERVE_TEST_LOGS/clients. OCTOSERVE_TEST_REGISTRY=host:port tests a registry that runs
# already, which should be empty and allow deletion.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
logs=${OCTOSERVE_TEST_LOGS:-$repository/target/tests}/clients
clients=("$@")
if ((${#clients[@]} == 0)); then
    clients=(docker podman buildah skopeo containerd oras crane regctl helm cross)
fi
# A client that hangs must not hang the run.
limit=15m

# shellcheck source=../server.sh
source "$here/../server.sh"
# shellcheck source=images.sh
source "$here/images.sh"
# shellcheck source=process.sh
source "$here/process.sh"

PATH=$(bash "$here/../install.sh" path):$PATH
export PATH
for tool in docker dockerd podman buildah skopeo umoci containerd ctr oras crane regctl helm jq curl; do
    command -v "$tool" >/dev/null || {
        echo "$tool is missing: run bash tests/install.sh" >&2
        exit 1
    }
done
if [[ $(id -u) != 0 ]]; then
    echo "the clients need root: they start dockerd and containerd, and unpack images" >&2
    exit 1
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-clients.XXXXXX")
child=""
finish() {
    local status=$?
    if [[ -n $child ]]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    server_stop || status=1
    remove_directory "$root"
    exit "$status"
}
trap finish EXIT

mkdir -p "$logs"
export IMAGES=$root/images REGISTRY
images_make "$IMAGES"
server_start "$root/server"

passed=0
failed=()
for client in "${clients[@]}"; do
    started=$SECONDS
    mkdir "$root/$client"
    WORK=$root/$client timeout --kill-after=60 "$limit" bash "$here/one.sh" "$client" >"$logs/$client.log" 2>&1 &
    child=$!
    status=0
    wait "$child" || status=$?
    child=""
    if ((status == 0)); then
        passed=$((passed + 1))
        printf 'ok      %-11s %4d s  %s\n' "$client" "$((SECONDS - started))" "$(tail -n 1 "$logs/$client.log")"
    else
        failed+=("$client")
        printf 'FAILED  %-11s %4d s  status %d, log %s, which ends:\n' "$client" "$((SECONDS - started))" "$status" "$logs/$client.log"
        tail -n 30 "$logs/$client.log" | sed 's/^/    /'
    fi
done
if [[ -n $SERVER_LOG ]]; then
    cp "$SERVER_LOG" "$logs/server.log"
fi
printf '%d clients passed, %d failed\n' "$passed" "${#failed[@]}"
((${#failed[@]} == 0))
