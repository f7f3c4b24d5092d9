#!/usr/bin/env bash
# The container image: built without a network around the release binary, run as
# deploy/Dockerfile means it to be run, pushed to, pulled from and stopped.
#
#   bash tests/image.sh
#
# Needs root, what tests/install.sh installs, and a binary that is linked statically at
# target/release/octoserve or $OCTOSERVE_BINARY: bash tests/run.sh release makes it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/.." && pwd)
binary=${OCTOSERVE_BINARY:-${CARGO_TARGET_DIR:-$repository/target}/release/octoserve}
# What the image may be large, in bytes.
largest=$((20 * 1024 * 1024))

# shellcheck source=server.sh
source "$here/server.sh"
# shellcheck source=clients/assert.sh
source "$here/clients/assert.sh"
# shellcheck source=clients/process.sh
source "$here/clients/process.sh"
# shellcheck source=clients/registry.sh
source "$here/clients/registry.sh"
# shellcheck source=clients/images.sh
source "$here/clients/images.sh"
# shellcheck source=clients/docker.sh
source "$here/clients/docker.sh"
# shellcheck source=clients/containerd.sh
source "$here/clients/containerd.sh"

for tool in docker dockerd docker-compose containerd ctr skopeo busybox dnsmasq jq curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run bash tests/install.sh"
done
[[ $(id -u) == 0 ]] || fail "this needs root: it starts dockerd and containerd"
[[ -x $binary ]] || fail "no binary at $binary: run bash tests/run.sh release"

WORK=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-image.XXXXXX")
IMAGES=$WORK/images
REGISTRY=127.0.0.1:$(server_free_port)
names=""
finish() {
    local status=$?
    if ((status != 0)); then
        docker_run logs octoserve 2>&1 | tail -n 20 || true
    fi
    docker_run rm --force --volumes octoserve >/dev/null 2>&1 || true
    compose down --volumes >/dev/null 2>&1 || true
    stop_process "$names"
    containerd_finish
    docker_finish
    remove_directory "$WORK"
    exit "$status"
}
trap finish EXIT

# The build stage's base: a shell, and the machine's CA certificates.
make_builder() {
    local root=$WORK/builder
    mkdir -p "$root/bin" "$root/etc/ssl/certs" "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    "$root/bin/busybox" --install -s "$root/bin"
    # --install names the absolute path that it was called by.
    find "$root/bin" -type l -exec ln --symbolic --force busybox {} \;
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    tar --create --directory "$root" . | docker_run import --change 'ENV PATH=/bin' - octoserve-builder:local >/dev/null
}

# run_octoserve <docker run's options ...>
run_octoserve() {
    docker_run run --detach --name octoserve --read-only --cap-drop=ALL \
        --security-opt no-new-privileges --network host --health-interval 1s \
        --env OCTOSERVE_SERVER_ADDRESS=127.0.0.1 --env OCTOSERVE_SERVER_PORT="${REGISTRY##*:}" \
        "$@" octoserve:test >/dev/null
}

await_healthy() {
    local health=""
    for _ in {1..300}; do
        health=$(docker_run inspect --format '{{.State.Health.Status}}' octoserve)
        [[ $health != healthy ]] || break
        sleep 0.1
    done
    assert_equal "health" healthy "$health"
}

compose() {
    DOCKER_HOST=unix://$DOCKER_SOCKET OCTOSERVE_PORT=${REGISTRY##*:} \
        docker-compose --file "$repository/deploy/compose.yaml" --project-name octoserve-test "$@"
}

# Effective user, group and capabilities of the server's process.
process_rights() {
    awk '$1 == "Uid:" || $1 == "Gid:" { print $3 } $1 == "CapEff:" { print $2 }' \
        "/proc/$(docker_run inspect --format '{{.State.Pid}}' octoserve)/status" | paste --serial --delimiters=' '
}

# Stops the container and removes it.
stop_octoserve() {
    docker_run stop --time 40 octoserve >/dev/null
    assert_equal "status after docker stop" 0 "$(docker_run inspect --format '{{.State.ExitCode}}' octoserve)"
    docker_run logs octoserve >"$WORK/octoserve.log" 2>&1
    assert_equal "the log's last line" stopped "$(tail -n 1 "$WORK/octoserve.log" | jq --raw-output .message)"
    docker_run rm octoserve >/dev/null
}

images_make "$IMAGES"
docker_prepare

step "the context that is sent for a build from source"
make_builder
printf 'FROM octoserve-builder:local\nCOPY . /context\n' >"$WORK/Dockerfile"
docker_run build --network none --file "$WORK/Dockerfile" --tag octoserve-context:test "$repository"
docker_run run --rm --network none octoserve-context:test sh -c 'cd /context && find . -type f | sort' >"$WORK/context.txt"
(cd "$repository" && {
    printf '%s\n' ./Cargo.lock ./Cargo.toml ./deploy/config.json
    find ./src -type f
} | LC_ALL=C sort) >"$WORK/expected.txt"
LC_ALL=C sort --output "$WORK/context.txt" "$WORK/context.txt"
assert_same_file "what .dockerignore lets through" "$WORK/expected.txt" "$WORK/context.txt"

step "build without a network"
mkdir -p "$WORK/context/deploy"
cp "$binary" "$WORK/context/octoserve"
cp "$repository/deploy/config.json" "$WORK/context/deploy/config.json"
docker_run build --network none --file "$repository/deploy/Dockerfile" --tag octoserve:test \
    --build-arg BUILDER=octoserve-builder:local --build-arg BINARY=octoserve \
    --build-arg VERSION=0.0.0-test --build-arg REVISION=0123456 --build-arg CREATED=2026-01-01T00:00:00Z \
    "$WORK/context"

step "what is in it"
docker_run image inspect octoserve:test | jq '.[0]' >"$WORK/image.json"
image() { jq --raw-output "$1" "$WORK/image.json"; }
size=$(image .Size)
((size < largest)) || fail "the image has $size bytes, more than $largest"
passed
assert_equal "user" 65532:65532 "$(image .Config.User)"
assert_equal "health check" "CMD /usr/local/bin/octoserve healthcheck" "$(image '.Config.Healthcheck.Test | join(" ")')"
assert_equal "entry point" "/usr/local/bin/octoserve serve" "$(image '.Config.Entrypoint + .Config.Cmd | join(" ")')"
assert_equal "volumes" /var/lib/octoserve "$(image '.Config.Volumes | keys | join(" ")')"
assert_equal "version" 0.0.0-test "$(image '.Config.Labels["org.opencontainers.image.version"]')"
assert_equal "revision" 0123456 "$(image '.Config.Labels["org.opencontainers.image.revision"]')"
assert_equal "licence" Apache-2.0 "$(image '.Config.Labels["org.opencontainers.image.licenses"]')"
docker_run create --name octoserve octoserve:test >/dev/null
docker_run export octoserve | tar --list --verbose --numeric-owner >"$WORK/files.txt"
docker_run rm --volumes octoserve >/dev/null
# Docker adds mount points of its own, all of them empty.
assert_equal "files" "etc/octoserve/config.json etc/ssl/certs/ca-certificates.crt usr/local/bin/octoserve" \
    "$(awk '/^-/ && $3 > 0 { print $6 }' "$WORK/files.txt" | LC_ALL=C sort | paste --serial --delimiters=' ')"
assert_equal "owner of the data" 65532/65532 "$(awk '$6 == "var/lib/octoserve/" { print $2 }' "$WORK/files.txt")"

step "run on a fresh volume, everything else read-only"
docker_run volume create data >/dev/null
run_octoserve --user 65532 --volume data:/var/lib/octoserve
await_healthy
# Docker gives a user that no /etc/passwd knows the group 0.
assert_equal "user, group and capabilities" "65532 0 0000000000000000" "$(process_rights)"

step "push and pull"
docker_run build --quiet --network none --tag "$REGISTRY/team/app:v1" "$IMAGES/context" >/dev/null
docker_run push --quiet "$REGISTRY/team/app:v1"
assert_stored_whole team/app v1
docker_run rmi "$REGISTRY/team/app:v1" >/dev/null
docker_run pull --quiet "$REGISTRY/team/app:v1"
docker_unpack "$REGISTRY/team/app:v1" "$WORK/pulled"
assert_same_tree "docker pull" "$IMAGES/rootfs/app" "$WORK/pulled/app"
skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$REGISTRY/team/app:v1" "dir:$WORK/skopeo"

step "the image itself, into the registry that it is"
docker_run tag octoserve:test "$REGISTRY/octoserve:test"
docker_run push --quiet "$REGISTRY/octoserve:test"
assert_stored_whole octoserve test

step "a node pulls by the hosts.toml of docs/kubernetes.md"
hosts=$WORK/certs.d/registry.internal
mkdir -p "$hosts"
awk '/^```toml$/ { inside = 1; next } /^```$/ { inside = 0 } inside && /^# containerd/ { exit } inside' \
    "$repository/docs/kubernetes.md" | sed "s|192\.0\.2\.10:30500|$REGISTRY|" >"$hosts/hosts.toml"
assert_contains "the hosts.toml" "$(cat "$hosts/hosts.toml")" "[host.\"http://$REGISTRY\"]"
containerd_prepare
containerd_run images pull --hosts-dir "$WORK/certs.d" registry.internal/team/app:v1 >/dev/null
assert_equal "digest that containerd has" "$(registry_digest team/app v1)" "$(containerd_digest registry.internal/team/app:v1)"

step "docker stop lets a pull end, and what was pushed is there after a start"
head --bytes 16M /dev/urandom >"$WORK/blob"
digest=sha256:$(file_digest "$WORK/blob")
location=$(curl --silent --show-error --fail --request POST --dump-header - --output /dev/null \
    "http://$REGISTRY/v2/team/slow/blobs/uploads/?digest=$digest" --data-binary "@$WORK/blob" --header 'Content-Type: application/octet-stream' |
    tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
assert_contains "location of the blob" "$location" "$digest"
curl --silent --show-error --fail --limit-rate 4M --output "$WORK/slow" "http://$REGISTRY/v2/team/slow/blobs/$digest" &
pull=$!
for _ in {1..100}; do
    [[ ! -s $WORK/slow ]] || break
    sleep 0.1
done
stop_octoserve
wait "$pull" || fail "the pull that was under way at docker stop was cut off"
assert_same_file "the blob that was pulled meanwhile" "$WORK/blob" "$WORK/slow"
run_octoserve --user 65532 --volume data:/var/lib/octoserve
await_healthy
assert_stored_whole team/app v1
stop_octoserve

step "deploy/compose.yaml"
docker_run tag octoserve:test octoserve
# On a network of its own, and a port that is published.
compose up --detach 2>&1
container=$(compose ps --quiet octoserve)
for _ in {1..300}; do
    [[ $(docker_run inspect --format '{{.State.Health.Status}}' "$container") != healthy ]] || break
    sleep 0.1
done
assert_equal "health" healthy "$(docker_run inspect --format '{{.State.Health.Status}}' "$container")"
assert_equal "ready where it is published" 200 \
    "$(curl --silent --output /dev/null --write-out '%{http_code}' "http://$REGISTRY/readyz")"
skopeo copy --quiet --insecure-policy --dest-tls-verify=false "dir:$WORK/skopeo" "docker://$REGISTRY/team/app:v1"
assert_stored_whole team/app v1
compose stop 2>&1
assert_equal "status after stop" 0 "$(docker_run inspect --format '{{.State.ExitCode}}' "$container")"
compose down --volumes 2>&1

step "run without naming a volume, and by a name that only DNS knows"
# Docker gives a container on the host's network the name server that it is told, and
# resolvers know no port but 53.
dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
    --bind-interfaces --listen-address=127.53.0.53 --address=/registry.test/127.0.0.1 >"$WORK/dnsmasq.log" 2>&1 &
names=$!
run_octoserve --dns 127.53.0.53 --add-host hosts.test:127.0.0.1
await_healthy
assert_equal "user, group and capabilities" "65532 65532 0000000000000000" "$(process_rights)"
for name in hosts.test registry.test; do
    docker_run exec octoserve /usr/local/bin/octoserve healthcheck --url "http://$name:${REGISTRY##*:}/readyz"
    passed
done
assert_fails "a name that is nowhere" \
    docker_run exec octoserve /usr/local/bin/octoserve healthcheck --url "http://nowhere.test:${REGISTRY##*:}/readyz"
stop_octoserve

printf 'image of %d bytes\n%d checks hold\n' "$size" "$CHECKS"
