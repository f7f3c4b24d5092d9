# shellcheck shell=bash
# docker, against a dockerd of its own: own data, own socket, no bridge and no iptables
# rules, so it neither finds nor disturbs one that runs already. Sourced.

docker_prepare() {
    DOCKER_HOME=$WORK/docker
    DOCKER_SOCKET=$DOCKER_HOME/docker.sock
    mkdir -p "$DOCKER_HOME/home"
    dockerd --data-root "$DOCKER_HOME/data" --exec-root "$DOCKER_HOME/exec" --host "unix://$DOCKER_SOCKET" \
        --pidfile "$DOCKER_HOME/docker.pid" --bridge=none --iptables=false --ip6tables=false \
        --ip-masq=false --ip-forward=false >"$DOCKER_HOME/dockerd.log" 2>&1 &
    DOCKER_PID=$!
    for _ in {1..300}; do
        if docker_run version >/dev/null 2>&1; then
            return
        fi
        kill -0 "$DOCKER_PID" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 30 "$DOCKER_HOME/dockerd.log" >&2
    fail "dockerd did not start"
}

docker_finish() {
    stop_process "${DOCKER_PID:-}"
    DOCKER_PID=""
}

# The classic builder: Debian's docker.io has no buildx.
docker_run() {
    HOME=$DOCKER_HOME/home DOCKER_BUILDKIT=0 DOCKER_CLI_HINTS=false \
        docker --host "unix://$DOCKER_SOCKET" "$@"
}

# docker_push <layout> <tag> <repository:tag>: docker load reads docker's own archive, so
# skopeo makes one of the layout first.
docker_push() {
    local archive=$DOCKER_HOME/load.tar
    rm -f "$archive"
    skopeo copy --quiet --insecure-policy "oci:$1:$2" "docker-archive:$archive:$REGISTRY/$3"
    docker_run load --quiet --input "$archive"
    rm "$archive"
    docker_run push --quiet "$REGISTRY/$3"
    docker_run rmi "$REGISTRY/$3"
}

# docker_pull <repository:tag> <digest file> <directory>: writes the digest it says it
# pulled and unpacks the image's /app.
docker_pull() {
    docker_run pull --quiet "$REGISTRY/$1"
    docker_run image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$REGISTRY/$1" |
        sed --quiet "s|^$REGISTRY/${1%:*}@||p" >"$2"
    docker_unpack "$REGISTRY/$1" "$3"
    docker_run rmi --force "$REGISTRY/$1"
}

docker_unpack() {
    local container
    container=$(docker_run create "$1")
    mkdir -p "$2"
    docker_run export "$container" | tar --extract --directory "$2" app
    docker_run rm "$container" >/dev/null
}

docker_tests() {
    local image=$REGISTRY/docker/layers output digest id

    step "build, push, pull by tag and by digest"
    docker_run build --quiet --tag "$image:v1" "$IMAGES/context"
    id=$(docker_run image inspect --format '{{.Id}}' "$image:v1")
    output=$(docker_run push "$image:v1")
    digest=$(registry_digest docker/layers v1)
    assert_contains "docker push" "$output" "$digest"
    assert_equal "media type" application/vnd.docker.distribution.manifest.v2+json "$(registry_media_type docker/layers v1)"
    assert_stored_whole docker/layers v1
    docker_run rmi "$image:v1"
    output=$(docker_run pull "$image:v1")
    assert_contains "docker pull by tag" "$output" "$digest"
    assert_equal "image id after the round trip" "$id" "$(docker_run image inspect --format '{{.Id}}' "$image:v1")"
    docker_unpack "$image:v1" "$DOCKER_HOME/layers"
    assert_same_tree "docker pull" "$IMAGES/rootfs/app" "$DOCKER_HOME/layers/app"
    docker_run rmi "$image:v1"
    docker_run pull "$image@$digest"
    assert_equal "image id by digest" "$id" "$(docker_run image inspect --format '{{.Id}}' "$image@$digest")"

    step "push again: nothing is sent; another repository: mounted"
    docker_run tag "$image@$digest" "$image:v2"
    output=$(docker_run push "$image:v2")
    assert_contains "second push" "$output" "Layer already exists"
    assert_equal "digest of the second tag" "$digest" "$(registry_digest docker/layers v2)"
    docker_run tag "$image@$digest" "$REGISTRY/docker/mounted:v1"
    output=$(docker_run push "$REGISTRY/docker/mounted:v1")
    assert_contains "push to another repository" "$output" "Mounted from docker/layers"
    assert_equal "digest in the other repository" "$digest" "$(registry_digest docker/mounted v1)"
    assert_stored_whole docker/mounted v1

    step "all tags at once"
    docker_run tag "$image:v2" "$REGISTRY/docker/all:a"
    docker_run tag "$image:v2" "$REGISTRY/docker/all:b"
    docker_run push --all-tags "$REGISTRY/docker/all"
    assert_equal "tags" "a b" "$(registry_tags docker/all)"
    docker_run rmi "$REGISTRY/docker/all:a" "$REGISTRY/docker/all:b"
    docker_run pull --all-tags "$REGISTRY/docker/all"
    assert_equal "image id of a pulled tag" "$id" "$(docker_run image inspect --format '{{.Id}}' "$REGISTRY/docker/all:b")"

    step "a layer of 300 MiB"
    images_make_large "$DOCKER_HOME/large"
    docker_run build --quiet --tag "$REGISTRY/docker/large:v1" "$DOCKER_HOME/large/context"
    output=$(docker_run push "$REGISTRY/docker/large:v1")
    digest=$(registry_digest docker/large v1)
    assert_contains "docker push" "$output" "$digest"
    assert_stored_whole docker/large v1
    docker_run rmi "$REGISTRY/docker/large:v1"
    docker_run pull "$REGISTRY/docker/large@$digest"
    docker_unpack "$REGISTRY/docker/large@$digest" "$DOCKER_HOME/large/pulled"
    assert_same_tree "the large layer" "$DOCKER_HOME/large/rootfs/app" "$DOCKER_HOME/large/pulled/app"
    docker_run rmi --force "$REGISTRY/docker/large@$digest"
    rm -r "$DOCKER_HOME/large"

    step "a manifest list"
    skopeo copy --quiet --insecure-policy --dest-tls-verify=false --format v2s2 --override-arch amd64 \
        "oci:$IMAGES/index:v1" "docker://$REGISTRY/docker/list:amd64"
    skopeo copy --quiet --insecure-policy --dest-tls-verify=false --format v2s2 --override-arch arm64 \
        "oci:$IMAGES/index:v1" "docker://$REGISTRY/docker/list:arm64"
    docker_run manifest create --insecure "$REGISTRY/docker/list:v1" \
        "$REGISTRY/docker/list:amd64" "$REGISTRY/docker/list:arm64"
    digest=$(docker_run manifest push "$REGISTRY/docker/list:v1")
    assert_equal "digest of the list" "$(registry_digest docker/list v1)" "$digest"
    assert_equal "media type" application/vnd.docker.distribution.manifest.list.v2+json "$(registry_media_type docker/list v1)"
    assert_equal "architectures" "amd64 arm64" \
        "$(registry_manifest docker/list v1 | jq --raw-output '[.manifests[].platform.architecture] | sort | join(" ")')"
    assert_stored_whole docker/list v1
    docker_run pull --platform linux/arm64 "$REGISTRY/docker/list:v1"
    docker_unpack "$REGISTRY/docker/list:v1" "$DOCKER_HOME/arm64"
    assert_same_tree "the arm64 image" "$IMAGES/rootfs-arm64/app" "$DOCKER_HOME/arm64/app"

    step "OCI image and index, which docker pulls but does not make"
    skopeo copy --quiet --insecure-policy --dest-tls-verify=false --all "oci:$IMAGES/index:v1" "docker://$REGISTRY/docker/oci:v1"
    docker_run pull "$REGISTRY/docker/oci:v1"
    docker_unpack "$REGISTRY/docker/oci:v1" "$DOCKER_HOME/oci"
    assert_same_tree "the OCI image" "$IMAGES/rootfs/app" "$DOCKER_HOME/oci/app"

    step "what is not there"
    assert_fails "pull of an unknown tag" docker_run pull "$image:unknown"
    assert_fails "pull of an unknown repository" docker_run pull "$REGISTRY/docker/unknown:v1"
}
