# shellcheck shell=bash
# Starts and stops an Octoserve for a test: fresh data, a free port, its own log.
# Sourced. Sets REGISTRY (host:port), SERVER_PID and SERVER_LOG.
#
#   server_start <directory> [NAME=value ...]   the values are the server's environment
#   server_stop                                 SIGTERM; fails unless it exits with 0 in time
#
# SERVER_PORT names the port to listen on, where a server that was killed comes back.
# OCTOSERVE_BINARY names another binary than target/release/octoserve;
# OCTOSERVE_TEST_REGISTRY=host:port names a registry that runs already, and then
# nothing is started or stopped.

SERVER_PID=""
SERVER_LOG=""
REGISTRY=""

# A port on which nothing listens. Another process may take it before the server
# does; server_start then fails and says so.
server_free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
    echo "no free port between 20000 and 32000" >&2
    return 1
}

server_start() {
    local directory=$1
    shift
    if [[ -n ${OCTOSERVE_TEST_REGISTRY:-} ]]; then
        REGISTRY=$OCTOSERVE_TEST_REGISTRY
        return
    fi
    local repository binary port
    repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    binary=${OCTOSERVE_BINARY:-${CARGO_TARGET_DIR:-$repository/target}/release/octoserve}
    if [[ ! -x $binary ]]; then
        echo "no server at $binary: run cargo build --release, or set OCTOSERVE_BINARY" >&2
        return 1
    fi
    mkdir -p "$directory"
    port=${SERVER_PORT:-$(server_free_port)}
    REGISTRY=127.0.0.1:$port
    SERVER_LOG=$directory/server.log
    # From a directory without a config.json, so that only this environment counts.
    (
        cd "$directory" || exit
        exec env \
            OCTOSERVE_SERVER_ADDRESS=127.0.0.1 \
            OCTOSERVE_SERVER_PORT="$port" \
            OCTOSERVE_STORAGE_TYPE=filesystem \
            OCTOSERVE_STORAGE_PATH="$directory/data" \
            OCTOSERVE_LOG_LEVEL=info \
            OCTOSERVE_LOG_FORMAT=text \
            "$@" \
            "$binary" serve
    ) >"$SERVER_LOG" 2>&1 &
    SERVER_PID=$!
    for _ in {1..100}; do
        if curl --silent --fail --output /dev/null "http://$REGISTRY/readyz"; then
            return
        fi
        if ! kill -0 "$SERVER_PID" 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    echo "the server on $REGISTRY did not become ready; its log:" >&2
    cat "$SERVER_LOG" >&2
    kill -KILL "$SERVER_PID" 2>/dev/null || true
    SERVER_PID=""
    return 1
}

server_stop() {
    if [[ -z $SERVER_PID ]]; then
        return
    fi
    local pid=$SERVER_PID status=0
    SERVER_PID=""
    kill -TERM "$pid" 2>/dev/null || true
    for _ in {1..300}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$pid" 2>/dev/null; then
        kill -KILL "$pid"
        echo "the server did not stop within 30 s of SIGTERM" >&2
        status=1
    fi
    wait "$pid" || status=$?
    if ((status != 0)); then
        echo "the server ended with status $status; the end of its log:" >&2
        tail -n 20 "$SERVER_LOG" >&2
    fi
    return "$status"
}
