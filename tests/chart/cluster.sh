# shellcheck shell=bash
# A Kubernetes API server on etcd, without controllers and nodes: objects are defaulted,
# validated, admitted and stored as in a cluster, and nothing runs. Sourced.
#
#   cluster_start <directory> <definitions ...>    the files define custom resources
#   cluster <method> <path> [<content type> <file>]   prints the answer, a JSON object
#   cluster_stop
#
# KUBECONFIG is for helm. All of it listens on loopback.

CLUSTER_ETCD=""
CLUSTER_API=""
CLUSTER_URL=""
CLUSTER_HOME=""

cluster_start() {
    CLUSTER_HOME=$1
    shift
    local etcd peers api definition name
    etcd=http://127.0.0.1:$(server_free_port)
    peers=http://127.0.0.1:$(server_free_port)
    api=$(server_free_port)
    CLUSTER_URL=https://127.0.0.1:$api
    mkdir -p "$CLUSTER_HOME"
    # Nobody needs this data after the test.
    etcd --unsafe-no-fsync --data-dir "$CLUSTER_HOME/etcd" --log-level warn \
        --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls "$peers" --initial-advertise-peer-urls "$peers" \
        --initial-cluster "default=$peers" >"$CLUSTER_HOME/etcd.log" 2>&1 &
    CLUSTER_ETCD=$!
    openssl genrsa -out "$CLUSTER_HOME/accounts.key" 2048 2>/dev/null
    printf 'secret,admin,admin,system:masters\n' >"$CLUSTER_HOME/tokens.csv"
    kube-apiserver --etcd-servers "$etcd" --bind-address 127.0.0.1 --secure-port "$api" \
        --cert-dir "$CLUSTER_HOME/certificates" --token-auth-file "$CLUSTER_HOME/tokens.csv" \
        --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16,fd00:96::/112 --endpoint-reconciler-type none \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$CLUSTER_HOME/accounts.key" \
        --service-account-signing-key-file "$CLUSTER_HOME/accounts.key" >"$CLUSTER_HOME/apiserver.log" 2>&1 &
    CLUSTER_API=$!
    for _ in {1..600}; do
        [[ $(curl --silent --insecure --header "Authorization: Bearer secret" "$CLUSTER_URL/readyz") != ok ]] || break
        if ! kill -0 "$CLUSTER_API" 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    if [[ $(curl --silent --insecure --header "Authorization: Bearer secret" "$CLUSTER_URL/readyz") != ok ]]; then
        tail -n 20 "$CLUSTER_HOME/etcd.log" "$CLUSTER_HOME/apiserver.log" >&2
        fail "the API server did not become ready"
    fi
    export KUBECONFIG=$CLUSTER_HOME/kubeconfig
    jq --null-input --arg server "$CLUSTER_URL" '{
        apiVersion: "v1", kind: "Config", "current-context": "test",
        clusters: [{name: "test", cluster: {server: $server, "insecure-skip-tls-verify": true}}],
        users: [{name: "admin", user: {token: "secret"}}],
        contexts: [{name: "test", context: {cluster: "test", user: "admin"}}]}' >"$KUBECONFIG"
    for definition in "$@"; do
        name=$(cluster POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions application/yaml "$definition" |
            jq --raw-output '.metadata.name')
        cluster_await "$name is established" "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/$name" \
            'any(.status.conditions[]?; .type == "Established" and .status == "True")'
    done
}

cluster_stop() {
    stop_process "$CLUSTER_API"
    stop_process "$CLUSTER_ETCD"
    CLUSTER_API=""
    CLUSTER_ETCD=""
}

cluster() {
    local body=()
    [[ -z ${3:-} ]] || body=(--header "Content-Type: $3" --data-binary "@$4")
    curl --silent --show-error --fail-with-body --insecure --header "Authorization: Bearer secret" \
        --request "$1" "${body[@]}" "$CLUSTER_URL$2"
}

# cluster_await <what> <path> <jq condition>
cluster_await() {
    for _ in {1..300}; do
        if cluster GET "$2" 2>/dev/null | jq --exit-status "$3" >/dev/null; then
            return
        fi
        sleep 0.1
    done
    fail "$1: not within 30 s"
}
