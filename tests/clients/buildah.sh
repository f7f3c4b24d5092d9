# shellcheck shell=bash
# buildah, with storage of its own. Sourced.

buildah_prepare() {
    BUILDAH_HOME=$WORK/buildah
    mkdir -p "$BUILDAH_HOME"/{home,runtime}
}

buildah_finish() {
    :
}

buildah_run() {
    HOME=$BUILDAH_HOME/home XDG_RUNTIME_DIR=$BUILDAH_HOME/runtime BUILDAH_ISOLATION=chroot \
        buildah --root "$BUILDAH_HOME/root" --runroot "$BUILDAH_HOME/run" --storage-driver vfs "$@"
}

# buildah_pull_layout <layout> <tag>: prints the image's id. The name that buildah makes of the
# path must be lower case, so the path is a relative one.
buildah_pull_layout() {
    (cd "$1/.." && buildah_run pull --quiet "oci:${1##*/}:$2")
}

# buildah_push <layout> <tag> <repository:tag>
buildah_push() {
    local id
    id=$(buildah_pull_layout "$1" "$2")
    buildah_run push --quiet --tls-verify=false --format oci "$id" "docker://$REGISTRY/$3"
    buildah_run rmi "$id"
}

# buildah_pull <repository:tag> <digest file> <directory>
buildah_pull() {
    buildah_run pull --quiet --tls-verify=false "$REGISTRY/$1"
    buildah_run inspect --type image --format '{{.FromImageDigest}}' "$REGISTRY/$1" >"$2"
    buildah_unpack "$REGISTRY/$1" "$3"
    buildah_run rmi "$REGISTRY/$1"
}

buildah_unpack() {
    local container
    container=$(buildah_run from --pull-never "$1")
    mkdir -p "$2"
    cp --archive "$(buildah_run mount "$container")/app" "$2"
    buildah_run rm "$container"
}

buildah_tests() {
    local image=$REGISTRY/buildah/layers container digest

    step "layer by layer, each committed and pushed: the registry has the lower ones already"
    container=$(buildah_run from scratch)
    buildah_run copy --quiet "$container" "$IMAGES/context/1" /
    buildah_run commit --quiet --format oci "$container" "$image:one"
    buildah_run push --quiet --tls-verify=false "$image:one" "docker://$image:one"
    buildah_run rm "$container"
    container=$(buildah_run from --pull-never "$image:one")
    buildah_run copy --quiet "$container" "$IMAGES/context/2" /
    buildah_run copy --quiet "$container" "$IMAGES/context/3" /
    buildah_run config --cmd /app/run --label made=stepwise --annotation org.example.note=annotated "$container"
    buildah_run commit --quiet --format oci "$container" "$image:two"
    buildah_run push --quiet --tls-verify=false --digestfile "$BUILDAH_HOME/digest" "$image:two" "docker://$image:two"
    buildah_run rm "$container"
    digest=$(registry_digest buildah/layers two)
    assert_equal "digest of the push" "$digest" "$(<"$BUILDAH_HOME/digest")"
    assert_equal "media type" application/vnd.oci.image.manifest.v1+json "$(registry_media_type buildah/layers two)"
    assert_equal "layers" 2 "$(registry_manifest buildah/layers two | jq '.layers | length')"
    assert_equal "annotation" annotated \
        "$(registry_manifest buildah/layers two | jq --raw-output '.annotations["org.example.note"]')"
    assert_stored_whole buildah/layers one
    assert_stored_whole buildah/layers two

    step "pull in a fresh storage"
    buildah_run rmi --all --force
    buildah_pull buildah/layers:two "$BUILDAH_HOME/digest" "$BUILDAH_HOME/layers"
    assert_equal "digest of the pull" "$digest" "$(<"$BUILDAH_HOME/digest")"
    assert_same_tree "buildah pull" "$IMAGES/rootfs/app" "$BUILDAH_HOME/layers/app"

    step "docker's format"
    buildah_run build --quiet --format docker --layers --tag "$image:docker" "$IMAGES/context"
    buildah_run push --quiet --tls-verify=false --format v2s2 "$image:docker" "docker://$image:docker"
    assert_equal "media type" application/vnd.docker.distribution.manifest.v2+json "$(registry_media_type buildah/layers docker)"
    assert_stored_whole buildah/layers docker
    buildah_run rmi --all --force
    buildah_pull buildah/layers:docker "$BUILDAH_HOME/digest" "$BUILDAH_HOME/docker"
    assert_same_tree "docker's format" "$IMAGES/rootfs/app" "$BUILDAH_HOME/docker/app"

    step "a layer of 300 MiB"
    images_make_large "$BUILDAH_HOME/large"
    buildah_run build --quiet --tag "$REGISTRY/buildah/large:v1" "$BUILDAH_HOME/large/context"
    buildah_run push --quiet --tls-verify=false "$REGISTRY/buildah/large:v1" "docker://$REGISTRY/buildah/large:v1"
    assert_stored_whole buildah/large v1
    buildah_run rmi --all --force
    buildah_pull buildah/large:v1 "$BUILDAH_HOME/digest" "$BUILDAH_HOME/large/pulled"
    assert_equal "digest of the pull" "$(registry_digest buildah/large v1)" "$(<"$BUILDAH_HOME/digest")"
    assert_same_tree "the large layer" "$BUILDAH_HOME/large/rootfs/app" "$BUILDAH_HOME/large/pulled/app"
    rm -r "$BUILDAH_HOME/large"

    step "a list in docker's format and an index"
    buildah_run manifest create list
    buildah_run manifest add --all list "oci:$IMAGES/index:v1"
    buildah_run manifest push --quiet --all --tls-verify=false --format oci list "docker://$REGISTRY/buildah/index:v1"
    assert_equal "media type" application/vnd.oci.image.index.v1+json "$(registry_media_type buildah/index v1)"
    assert_stored_whole buildah/index v1
    buildah_run manifest push --quiet --all --tls-verify=false --format v2s2 list "docker://$REGISTRY/buildah/list:v1"
    assert_equal "media type" application/vnd.docker.distribution.manifest.list.v2+json "$(registry_media_type buildah/list v1)"
    assert_stored_whole buildah/list v1
    buildah_run pull --quiet --tls-verify=false --arch arm64 "$REGISTRY/buildah/list:v1"
    buildah_unpack "$REGISTRY/buildah/list:v1" "$BUILDAH_HOME/arm64"
    assert_same_tree "the arm64 image" "$IMAGES/rootfs-arm64/app" "$BUILDAH_HOME/arm64/app"

    step "what is not there"
    assert_fails "pull of an unknown tag" buildah_run pull --tls-verify=false "$image:unknown"
}
