#!/usr/bin/env bash
# Three replicas on one bucket behind a balancer that sends every request to another one:
# the conformance suite, uploads that hop replicas at each chunk, and images that are pushed
# and pulled while replicas are killed. In the end every replica serves what was acknowledged.
#
#   bash tests/replicas.sh [versitygw | minio]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=server.sh
source "$here/server.sh"
# shellcheck source=bucket.sh
source "$here/bucket.sh"
unset OCTOSERVE_TEST_REGISTRY
PATH=$(bash "$here/install.sh" path):$PATH
export PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-replicas.XXXXXX")
replicas=(1 2 3)
declare -A pid=() address=()
balancer=""

finish() {
    local status=$? each
    for each in "${pid[@]}"; do
        kill -KILL "$each" 2>/dev/null || true
    done
    # Killed outright, nginx would leave its worker behind.
    if [[ -n $balancer ]]; then
        kill -TERM "$balancer" 2>/dev/null || true
    fi
    bucket_stop
    if ((status != 0)); then
        tail -n 20 "$work"/*/server.log >&2 || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# start_replica <number>: at its port, if it had one. The cache is off: what another replica
# deletes is to be gone at once.
start_replica() {
    local directory=$work/$1
    SERVER_PORT=${address[$1]:+${address[$1]#*:}} server_start "$directory" \
        OCTOSERVE_STORAGE_TYPE=s3 \
        OCTOSERVE_STORAGE_S3_ENDPOINT="$OCTOSERVE_TEST_S3_ENDPOINT" \
        OCTOSERVE_STORAGE_S3_BUCKET="$OCTOSERVE_TEST_S3_BUCKET" \
        OCTOSERVE_STORAGE_S3_ACCESS_KEY_ID="$OCTOSERVE_TEST_S3_ACCESS_KEY" \
        OCTOSERVE_STORAGE_S3_SECRET_ACCESS_KEY="$OCTOSERVE_TEST_S3_SECRET_KEY" \
        OCTOSERVE_STORAGE_S3_ROOT=registry \
        OCTOSERVE_STORAGE_CACHE_MAX_AGE=0s
    address[$1]=$REGISTRY
    pid[$1]=$SERVER_PID
}

start_balancer() {
    local port
    port=$(server_free_port)
    {
        echo "daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;"
        echo "events { worker_connections 512; }"
        echo "http { access_log off; client_max_body_size 0; client_body_temp_path $work/body;"
        echo "proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;"
        echo "upstream replicas {"
        for number in "${replicas[@]}"; do
            echo "server ${address[$number]} max_fails=0;"
        done
        echo "} server { listen 127.0.0.1:$port; location / { proxy_pass http://replicas;"
        echo "proxy_http_version 1.1; proxy_set_header Host \$http_host;"
        echo "proxy_request_buffering off; proxy_buffering off; } } }"
    } >"$work/nginx.conf"
    nginx -c "$work/nginx.conf" -p "$work" &
    balancer=$!
    registry=127.0.0.1:$port
    for _ in {1..100}; do
        curl --silent --fail --output /dev/null "http://$registry/readyz" && return
        sleep 0.1
    done
    echo "the balancer does not answer" >&2
    return 1
}

# hop <replica> <method> <path> [curl argument ...]: asks one replica; fails unless it is 2xx.
hop() {
    local number=$1 method=$2 path=$3
    shift 3
    curl --silent --show-error --fail-with-body --request "$method" "$@" \
        "http://${address[$number]}$path"
}

# Ten chunks of one blob, each through the next replica, finished by yet another one.
chunks_hop_replicas() {
    local location offset=0 number=1 chunk digest size=1500000
    head --bytes $((10 * size)) /dev/urandom >"$work/blob"
    digest=sha256:$(sha256sum "$work/blob" | cut --delimiter=' ' --fields=1)
    location=$(hop 1 POST /v2/hop/blobs/uploads/ --dump-header - --output /dev/null |
        tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
    split --bytes=$size "$work/blob" "$work/chunk."
    for chunk in "$work"/chunk.*; do
        number=$((number % 3 + 1))
        hop "$number" PATCH "$location" --data-binary "@$chunk" \
            --header 'Content-Type: application/octet-stream' \
            --header "Content-Range: $offset-$((offset + size - 1))" >/dev/null
        offset=$((offset + size))
    done
    hop $((number % 3 + 1)) PUT "$location?digest=$digest" >/dev/null
    for number in "${replicas[@]}"; do
        hop "$number" GET "/v2/hop/blobs/$digest" | cmp - "$work/blob"
    done
    echo "an upload hopped replicas at each of its chunks"
}

# push_one <name>: pushes a small image through the balancer until it is acknowledged or
# the time is up; an acknowledged one is noted.
push_one() {
    local name=$1
    if crane append --insecure --new_layer "$work/layer.tar" --new_tag "$registry/killed:$name" \
        --oci-empty-base >/dev/null 2>&1; then
        echo "$name" >>"$work/acknowledged"
    fi
}

# Replicas are killed and started again while images are pushed.
kill_under_load() {
    local round number job
    mkdir "$work/layer"
    head --bytes 3000000 /dev/urandom >"$work/layer/file"
    tar --create --file "$work/layer.tar" --directory "$work/layer" file
    : >"$work/acknowledged"
    for round in {1..20}; do
        local jobs=()
        for job in 1 2 3 4; do
            push_one "r$round-$job" &
            jobs+=($!)
        done
        number=$((RANDOM % 3 + 1))
        sleep "0.$((RANDOM % 9))"
        kill -KILL "${pid[$number]}"
        wait "${pid[$number]}" 2>/dev/null || true
        start_replica "$number"
        wait "${jobs[@]}" || true
    done
    local count
    count=$(wc --lines <"$work/acknowledged")
    if ((count < 20)); then
        echo "only $count of 80 pushes were acknowledged" >&2
        return 1
    fi
    while read -r name; do
        for number in "${replicas[@]}"; do
            crane validate --insecure --remote "${address[$number]}/killed:$name" >/dev/null || {
                echo "killed:$name was acknowledged, and replica $number does not serve it" >&2
                return 1
            }
        done
    done <"$work/acknowledged"
    echo "20 replicas were killed; all $count acknowledged pushes of 80 pull whole from every replica"
}

bucket_start "${1:-versitygw}" "$work/bucket"
for number in "${replicas[@]}"; do
    start_replica "$number"
done
start_balancer
chunks_hop_replicas
OCTOSERVE_TEST_REGISTRY=$registry bash "$here/conformance.sh" 1.1 dev
kill_under_load
