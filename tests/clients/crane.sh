# shellcheck shell=bash
# crane, and with it every client built on go-containerregistry. Sourced.

crane_prepare() {
    CRANE_HOME=$WORK/crane
    mkdir -p "$CRANE_HOME/home"
}

crane_finish() {
    :
}

crane_run() {
    HOME=$CRANE_HOME/home crane --insecure "$@"
}

# crane_layout <layout> <tag> <directory>: crane takes a layout with exactly one entry,
# and an image or an index as that entry's type says.
crane_layout() {
    rm -rf "$3"
    cp --archive "$1" "$3"
    jq --arg digest "$(layout_digest "$1" "$2")" '.manifests |= map(select(.digest == $digest))' "$1/index.json" >"$3/index.json"
}

# crane_push <layout> <tag> <repository:tag>
crane_push() {
    crane_layout "$1" "$2" "$CRANE_HOME/pushed"
    crane_run push "$CRANE_HOME/pushed" "$REGISTRY/$3"
}

# crane_pull <repository:tag> <digest file> <directory>
crane_pull() {
    crane_run digest "$REGISTRY/$1" >"$2"
    mkdir -p "$3"
    crane_run export --platform linux/amd64 "$REGISTRY/$1" - | tar --extract --directory "$3" app
}

crane_tests() {
    local image=$REGISTRY/crane/layers digest layer mutated

    step "an OCI image there and back"
    digest=$(layout_digest "$IMAGES/layers" v1)
    assert_contains "push" "$(crane_push "$IMAGES/layers" v1 crane/layers:v1)" "$digest"
    assert_equal "crane digest" "$digest" "$(crane_run digest "$image:v1")"
    assert_stored_whole crane/layers v1
    # It takes every layer for gzip; one of this image's is not compressed.
    crane_run validate --fast --remote "$image:v1"
    crane_run manifest "$image@$digest" >"$CRANE_HOME/manifest.json"
    assert_same_file "crane manifest" "$IMAGES/layers/blobs/sha256/${digest#sha256:}" "$CRANE_HOME/manifest.json"
    assert_equal "crane config" /app/run "$(crane_run config "$image:v1" | jq --raw-output '.config.Cmd[0]')"
    crane_run pull --format oci "$image:v1" "$CRANE_HOME/layout"
    assert_layout_holds "crane pull" "$IMAGES/layers" "$CRANE_HOME/layout"
    crane_pull crane/layers:v1 "$CRANE_HOME/digest" "$CRANE_HOME/exported"
    assert_same_tree "crane export" "$IMAGES/rootfs/app" "$CRANE_HOME/exported/app"
    layer=$(jq --raw-output '.layers[0].digest' "$CRANE_HOME/manifest.json")
    crane_run blob "$image@$layer" >"$CRANE_HOME/blob"
    assert_same_file "crane blob" "$IMAGES/layers/blobs/sha256/${layer#sha256:}" "$CRANE_HOME/blob"

    step "an index: copied to another repository, filtered, appended to"
    digest=$(layout_digest "$IMAGES/index" v1)
    skopeo copy --quiet --insecure-policy --dest-tls-verify=false --all --preserve-digests \
        "oci:$IMAGES/index:v1" "docker://$REGISTRY/crane/index:v1"
    crane_run validate --remote "$REGISTRY/crane/index:v1"
    crane_run copy "$REGISTRY/crane/index:v1" "$REGISTRY/crane/deep/er/copy:v2"
    assert_equal "digest of the copy" "$digest" "$(registry_digest crane/deep/er/copy v2)"
    assert_stored_whole crane/deep/er/copy v2
    crane_run pull --format oci "$REGISTRY/crane/index:v1" "$CRANE_HOME/index"
    assert_layout_holds "crane pull of an index" "$IMAGES/index" "$CRANE_HOME/index"
    crane_run index filter --platform linux/arm64 "$REGISTRY/crane/index:v1" --tag "$REGISTRY/crane/index:arm64"
    assert_equal "filtered" arm64 \
        "$(registry_manifest crane/index arm64 | jq --raw-output '.manifests[].platform.architecture')"
    crane_run index append "$REGISTRY/crane/index:arm64" --manifest "$image:v1" --tag "$REGISTRY/crane/index:appended"
    assert_equal "appended" 2 "$(registry_manifest crane/index appended | jq '.manifests | length')"
    assert_stored_whole crane/index appended

    step "append and mutate"
    image_tar "$IMAGES/rootfs" >"$CRANE_HOME/layer.tar"
    crane_run append --oci-empty-base --new_layer "$CRANE_HOME/layer.tar" --new_tag "$REGISTRY/crane/appended:oci"
    assert_equal "media type" application/vnd.oci.image.manifest.v1+json "$(registry_media_type crane/appended oci)"
    crane_run append --new_layer "$CRANE_HOME/layer.tar" --new_tag "$REGISTRY/crane/appended:docker"
    assert_equal "media type" application/vnd.docker.distribution.manifest.v2+json "$(registry_media_type crane/appended docker)"
    for mutated in oci docker; do
        crane_run validate --remote "$REGISTRY/crane/appended:$mutated"
        crane_pull "crane/appended:$mutated" "$CRANE_HOME/digest" "$CRANE_HOME/$mutated"
        assert_same_tree "appended, $mutated" "$IMAGES/rootfs/app" "$CRANE_HOME/$mutated/app"
    done
    crane_run mutate --label org.example.mutated=yes --entrypoint /app/other --tag "$image:mutated" "$image:v1"
    assert_equal "label" yes "$(crane_run config "$image:mutated" | jq --raw-output '.config.Labels["org.example.mutated"]')"
    crane_run validate --fast --remote "$image:mutated"

    step "tags and repositories"
    crane_run tag "$image:v1" latest
    crane_run tag "$image:v1" v1.0-rc_1
    assert_equal "crane ls" "latest mutated v1 v1.0-rc_1" "$(crane_run ls "$image" | LC_ALL=C sort | paste --serial --delimiters=' ')"
    assert_contains "crane catalog" "$(crane_run catalog "$REGISTRY" | paste --serial --delimiters=' ')" crane/deep/er/copy
    crane_run copy --all-tags "$image" "$REGISTRY/crane/all"
    assert_equal "all tags copied" "$(registry_tags crane/layers)" "$(registry_tags crane/all)"

    step "a layer of 300 MiB"
    images_make_large "$CRANE_HOME/large"
    crane_push "$CRANE_HOME/large/layout" v1 crane/large:v1
    crane_run pull --format oci "$REGISTRY/crane/large:v1" "$CRANE_HOME/large/pulled"
    assert_layout_holds "the large layer" "$CRANE_HOME/large/layout" "$CRANE_HOME/large/pulled"
    rm -r "$CRANE_HOME/large" "$CRANE_HOME/pushed"

    step "delete"
    digest=$(crane_run digest "$image:mutated")
    crane_run delete "$image@$digest"
    assert_equal "the deleted manifest" 404 "$(registry_status HEAD "crane/layers/manifests/$digest")"
    assert_equal "its tag" 404 "$(registry_status HEAD crane/layers/manifests/mutated)"
    assert_equal "the same manifest elsewhere" 200 "$(registry_status HEAD "crane/all/manifests/$digest")"
    crane_run validate --fast --remote "$image:v1"
    assert_fails "digest of an unknown tag" crane_run digest "$image:unknown"
}
