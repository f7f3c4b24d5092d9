#!/usr/bin/env bash
# A rolling update behind a proxy, in the order that Kubernetes gives it by the chart: no
# request fails, and none is cut off.
#
#   bash tests/rolling.sh
#
# nginx is the proxy. One server after the other takes over one data directory: the next is
# ready before the last is told to stop, the proxy hears of it a second late, and SIGTERM
# comes after the chart's preStop, here two seconds. Clients do not retry. Needs what
# tests/install.sh installs, and the release binary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/.." && pwd)
binary=${OCTOSERVE_BINARY:-${CARGO_TARGET_DIR:-$repository/target}/release/octoserve}
# How long the proxy goes on with a server that is leaving, and how long that one goes on
# serving, in seconds.
lag=1
pre_stop=2

# shellcheck source=server.sh
source "$here/server.sh"
# shellcheck source=clients/assert.sh
source "$here/clients/assert.sh"
# shellcheck source=clients/process.sh
source "$here/clients/process.sh"

for tool in nginx curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run bash tests/install.sh"
done
[[ -x $binary ]] || fail "no binary at $binary: run bash tests/run.sh release"

WORK=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-rolling.XXXXXX")
proxy="" server="" next="" clients=()
finish() {
    local status=$?
    touch "$WORK/stop"
    for pid in "${clients[@]}" "$server" "$next" "$proxy"; do
        stop_process "$pid"
    done
    remove_directory "$WORK"
    exit "$status"
}
trap finish EXIT

# start_server <number>: sets next, when it is ready. Its port is in $WORK/<number>.port.
start_server() {
    local port log=$WORK/$1.log
    port=$(server_free_port)
    printf '%s\n' "$port" >"$WORK/$1.port"
    (
        cd "$WORK"
        exec env OCTOSERVE_SERVER_ADDRESS=127.0.0.1 OCTOSERVE_SERVER_PORT="$port" \
            OCTOSERVE_STORAGE_PATH="$WORK/data" OCTOSERVE_LOG_LEVEL=info OCTOSERVE_LOG_FORMAT=text "$binary" serve
    ) >"$log" 2>&1 &
    next=$!
    for _ in {1..100}; do
        if curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz"; then
            return
        fi
        sleep 0.1
    done
    cat "$log" >&2
    fail "server $1 is not ready"
}

# proxy_to <number ...>: what a controller of Ingresses does when the endpoints change.
proxy_to() {
    local number servers=""
    for number in "$@"; do
        servers+="server 127.0.0.1:$(cat "$WORK/$number.port") max_fails=0; "
    done
    cat >"$WORK/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 2;
pid $WORK/nginx.pid;
error_log $WORK/nginx.log warn;
events {}
http {
    access_log off;
    client_body_temp_path $WORK/body;
    proxy_temp_path $WORK/proxy;
    fastcgi_temp_path $WORK/fastcgi;
    uwsgi_temp_path $WORK/uwsgi;
    scgi_temp_path $WORK/scgi;
    upstream octoserve {
        $servers
        keepalive 16;
    }
    server {
        listen $REGISTRY;
        client_max_body_size 0;
        location / {
            proxy_pass http://octoserve;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            # No second try hides a failure.
            proxy_next_upstream off;
        }
    }
}
NGINX
    if [[ -n $proxy ]]; then
        kill -HUP "$proxy"
        return
    fi
    nginx -c "$WORK/nginx.conf" -e "$WORK/nginx.log" &
    proxy=$!
    for _ in {1..100}; do
        ! curl --silent --fail --output /dev/null "http://$REGISTRY/readyz" || return 0
        sleep 0.1
    done
    cat "$WORK/nginx.log" >&2
    fail "nginx does not answer"
}

# request <curl's arguments ...>: one line in failures.txt if it fails.
request() {
    local answer status=0
    answer=$(curl --silent --show-error --fail --max-time 60 "$@" 2>&1 >/dev/null) || status=$?
    printf '.' >>"$WORK/requests.txt"
    ((status == 0)) || printf '%s: %s\n' "$answer" "$*" >>"$WORK/failures.txt"
}

# Pushes and pulls, over and over.
client() {
    local name=client/$1 round=0 digest
    while [[ ! -e $WORK/stop ]]; do
        round=$((round + 1))
        printf '%s %s' "$1" "$round" >"$WORK/$1.blob"
        digest=sha256:$(sha256sum "$WORK/$1.blob" | cut --delimiter=' ' --fields=1)
        request --request POST --data-binary "@$WORK/$1.blob" --header 'Content-Type: application/octet-stream' \
            "http://$REGISTRY/v2/$name/blobs/uploads/?digest=$digest"
        request "http://$REGISTRY/v2/$name/blobs/$digest"
        request "http://$REGISTRY/v2/layers/blobs/$layer"
    done
}

# One push after the other that takes three seconds each.
slow_client() {
    local round=0 digest
    while [[ ! -e $WORK/stop ]]; do
        round=$((round + 1))
        {
            printf '%s' "$round"
            cat "$WORK/layer"
        } >"$WORK/slow.blob"
        digest=sha256:$(sha256sum "$WORK/slow.blob" | cut --delimiter=' ' --fields=1)
        request --request POST --limit-rate 3M --data-binary "@$WORK/slow.blob" --header 'Content-Type: application/octet-stream' \
            --header 'Expect:' "http://$REGISTRY/v2/slow/blobs/uploads/?digest=$digest"
    done
}

# roll <from> <to> <preStop in seconds>
roll() {
    local stopping=$server status=0
    start_server "$2"
    server=$next
    next=""
    proxy_to "$1" "$2"
    # The first is told to stop.
    if (($3 > lag)); then
        sleep "$lag"
        proxy_to "$2"
        sleep "$(($3 - lag))"
        kill -TERM "$stopping"
    else
        sleep "$3"
        kill -TERM "$stopping"
        sleep "$((lag - $3))"
        proxy_to "$2"
    fi
    wait "$stopping" || status=$?
    assert_equal "status of server $1" 0 "$status"
}

# The requests that have failed, one a line.
failures() {
    cat "$WORK/failures.txt"
}

REGISTRY=127.0.0.1:$(server_free_port)
start_server 0
server=$next
next=""
proxy_to 0
touch "$WORK/failures.txt" "$WORK/requests.txt"
head --bytes 9M /dev/urandom >"$WORK/layer"
layer=sha256:$(sha256sum "$WORK/layer" | cut --delimiter=' ' --fields=1)
request --request POST --data-binary "@$WORK/layer" --header 'Content-Type: application/octet-stream' \
    "http://$REGISTRY/v2/layers/blobs/uploads/?digest=$layer"
assert_equal "failures before there is a roll" "" "$(failures)"
for name in one two three; do
    client "$name" &
    clients+=($!)
done
slow_client &
clients+=($!)

step "three rolls lose no request"
for number in 0 1 2; do
    roll "$number" "$((number + 1))" "$pre_stop"
done
assert_equal "requests that have failed" "" "$(failures)"
for number in 0 1 2; do
    if grep "cut off" "$WORK/$number.log"; then
        fail "server $number has cut requests off"
    fi
    passed
done
requests=$(stat --format=%s "$WORK/requests.txt")
((requests > 100)) || fail "only $requests requests were made"

step "a roll without preStop does lose some, so this would be seen"
roll 3 4 0
[[ -n $(failures) ]] || fail "no request has failed"
passed

printf '%d requests\n%d checks hold\n' "$requests" "$CHECKS"
