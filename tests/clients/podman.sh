# shellcheck shell=bash
# podman, with storage of its own. The vfs driver and cgroupfs work everywhere, also
# inside a container. Sourced.

podman_prepare() {
    PODMAN_HOME=$WORK/podman
    mkdir -p "$PODMAN_HOME"/{home,runtime,tmp}
}

podman_finish() {
    :
}

podman_run() {
    HOME=$PODMAN_HOME/home XDG_RUNTIME_DIR=$PODMAN_HOME/runtime \
        podman --root "$PODMAN_HOME/root" --runroot "$PODMAN_HOME/run" --tmpdir "$PODMAN_HOME/tmp" \
        --storage-driver vfs --cgroup-manager cgroupfs --events-backend file "$@"
}

# podman_pull_layout <layout> <tag>: prints the image's id. The name that podman makes of the
# path must be lower case, so the path is a relative one.
podman_pull_layout() {
    (cd "$1/.." && podman_run pull --quiet "oci:${1##*/}:$2")
}

# podman_push <layout> <tag> <repository:tag>
podman_push() {
    local id
    id=$(podman_pull_layout "$1" "$2")
    podman_run push --quiet --tls-verify=false --format oci "$id" "docker://$REGISTRY/$3"
    podman_run rmi "$id"
}

# podman_pull <repository:tag> <digest file> <directory>
podman_pull() {
    podman_run pull --quiet --tls-verify=false "$REGISTRY/$1"
    podman_run image inspect --format '{{.Digest}}' "$REGISTRY/$1" >"$2"
    podman_unpack "$REGISTRY/$1" "$3"
    podman_run rmi "$REGISTRY/$1"
}

podman_unpack() {
    mkdir -p "$2"
    cp --archive "$(podman_run image mount "$1")/app" "$2"
    podman_run image unmount "$1"
}

podman_tests() {
    local image=$REGISTRY/podman/layers digest id format expected

    for format in oci docker; do
        step "build, push, pull by tag and by digest: $format"
        podman_run build --quiet --format "$format" --isolation chroot --layers --tag "$image:$format" "$IMAGES/context"
        id=$(podman_run image inspect --format '{{.Id}}' "$image:$format")
        podman_run push --quiet --tls-verify=false --digestfile "$PODMAN_HOME/digest" "$image:$format"
        digest=$(registry_digest podman/layers "$format")
        assert_equal "digest of the push" "$digest" "$(<"$PODMAN_HOME/digest")"
        expected=application/vnd.oci.image.manifest.v1+json
        [[ $format == oci ]] || expected=application/vnd.docker.distribution.manifest.v2+json
        assert_equal "media type" "$expected" "$(registry_media_type podman/layers "$format")"
        assert_stored_whole podman/layers "$format"
        podman_run rmi "$image:$format"
        podman_run pull --quiet --tls-verify=false "$image:$format"
        assert_equal "image id after the round trip" "$id" "$(podman_run image inspect --format '{{.Id}}' "$image:$format")"
        assert_equal "digest of the pull" "$digest" "$(podman_run image inspect --format '{{.Digest}}' "$image:$format")"
        podman_unpack "$image:$format" "$PODMAN_HOME/$format"
        assert_same_tree "podman pull" "$IMAGES/rootfs/app" "$PODMAN_HOME/$format/app"
        podman_run rmi --force "$image:$format"
        podman_run pull --quiet --tls-verify=false "$image@$digest"
        assert_equal "image id by digest" "$id" "$(podman_run image inspect --format '{{.Id}}' "$image@$digest")"
    done

    step "to another repository"
    podman_run push --quiet --tls-verify=false "$image@$digest" "docker://$REGISTRY/podman/other:v1"
    assert_stored_whole podman/other v1

    step "zstd layers, of files that no registry has as gzip yet"
    mkdir -p "$PODMAN_HOME/source/app"
    head --bytes=123457 /dev/urandom >"$PODMAN_HOME/source/app/random"
    image_context "$PODMAN_HOME/context" "$PODMAN_HOME/source"
    podman_run build --quiet --isolation chroot --tag "$REGISTRY/podman/zstd:v1" "$PODMAN_HOME/context"
    podman_run push --quiet --tls-verify=false --format oci --compression-format zstd "$REGISTRY/podman/zstd:v1"
    assert_contains "layer type" "$(registry_manifest podman/zstd v1)" application/vnd.oci.image.layer.v1.tar+zstd
    assert_stored_whole podman/zstd v1
    podman_run rmi "$REGISTRY/podman/zstd:v1"
    podman_run pull --quiet --tls-verify=false "$REGISTRY/podman/zstd:v1"
    podman_unpack "$REGISTRY/podman/zstd:v1" "$PODMAN_HOME/zstd"
    assert_same_tree "zstd layers" "$PODMAN_HOME/source/app" "$PODMAN_HOME/zstd/app"

    step "a layer of 300 MiB"
    images_make_large "$PODMAN_HOME/large"
    podman_run build --quiet --isolation chroot --tag "$REGISTRY/podman/large:v1" "$PODMAN_HOME/large/context"
    podman_run push --quiet --tls-verify=false --digestfile "$PODMAN_HOME/digest" "$REGISTRY/podman/large:v1"
    assert_equal "digest of the push" "$(registry_digest podman/large v1)" "$(<"$PODMAN_HOME/digest")"
    assert_stored_whole podman/large v1
    podman_run rmi "$REGISTRY/podman/large:v1"
    podman_run pull --quiet --tls-verify=false "$REGISTRY/podman/large:v1"
    podman_unpack "$REGISTRY/podman/large:v1" "$PODMAN_HOME/large/pulled"
    assert_same_tree "the large layer" "$PODMAN_HOME/large/rootfs/app" "$PODMAN_HOME/large/pulled/app"
    podman_run rmi "$REGISTRY/podman/large:v1"
    rm -r "$PODMAN_HOME/large"

    step "an index"
    podman_run manifest create list
    podman_run manifest add --all list "oci:$IMAGES/index:v1"
    podman_run manifest push --all --tls-verify=false --format oci --digestfile "$PODMAN_HOME/digest" list "docker://$REGISTRY/podman/index:v1"
    digest=$(registry_digest podman/index v1)
    assert_equal "digest of the index" "$digest" "$(<"$PODMAN_HOME/digest")"
    assert_equal "media type" application/vnd.oci.image.index.v1+json "$(registry_media_type podman/index v1)"
    assert_equal "architectures" "amd64 arm64" \
        "$(registry_manifest podman/index v1 | jq --raw-output '[.manifests[].platform.architecture] | sort | join(" ")')"
    assert_stored_whole podman/index v1
    podman_run pull --quiet --tls-verify=false --arch arm64 "$REGISTRY/podman/index:v1"
    podman_unpack "$REGISTRY/podman/index:v1" "$PODMAN_HOME/arm64"
    assert_same_tree "the arm64 image" "$IMAGES/rootfs-arm64/app" "$PODMAN_HOME/arm64/app"

    step "search by tags, and what is not there"
    assert_contains "podman search --list-tags" \
        "$(podman_run search --tls-verify=false --list-tags "$image" --format '{{.Tag}}' | paste --serial)" "oci"
    assert_fails "pull of an unknown tag" podman_run pull --tls-verify=false "$image:unknown"
    assert_fails "pull of an unknown repository" podman_run pull --tls-verify=false "$REGISTRY/podman/unknown:v1"
}
