# shellcheck shell=bash
# skopeo: copies between layouts, directories and registries, byte for byte. Sourced.

skopeo_prepare() {
    SKOPEO_HOME=$WORK/skopeo
    mkdir -p "$SKOPEO_HOME"/{home,runtime}
}

skopeo_finish() {
    :
}

skopeo_run() {
    HOME=$SKOPEO_HOME/home XDG_RUNTIME_DIR=$SKOPEO_HOME/runtime skopeo --insecure-policy "$@"
}

# skopeo_copy <arguments of skopeo copy>: between registries without TLS.
skopeo_copy() {
    skopeo_run copy --quiet --src-tls-verify=false --dest-tls-verify=false "$@"
}

# skopeo_push <layout> <tag> <repository:tag>
skopeo_push() {
    skopeo_copy --all --preserve-digests "oci:$1:$2" "docker://$REGISTRY/$3"
}

# skopeo_pull <repository:tag> <digest file> <directory>: umoci unpacks what it pulled.
skopeo_pull() {
    local layout=$SKOPEO_HOME/pulled
    rm -rf "$layout"
    skopeo_run inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/$1" >"$2"
    skopeo_copy "docker://$REGISTRY/$1" "oci:$layout:v1"
    umoci_unpack "$layout" "$3"
}

umoci_unpack() {
    rm -rf "$SKOPEO_HOME/bundle"
    umoci unpack --image "$1:v1" "$SKOPEO_HOME/bundle"
    mkdir -p "$2"
    mv "$SKOPEO_HOME/bundle/rootfs/app" "$2/app"
}

skopeo_tests() {
    local digest list

    step "an OCI image there and back"
    skopeo_push "$IMAGES/layers" v1 skopeo/layers:v1
    digest=$(layout_digest "$IMAGES/layers" v1)
    assert_equal "digest" "$digest" "$(registry_digest skopeo/layers v1)"
    assert_stored_whole skopeo/layers v1
    skopeo_copy --preserve-digests "docker://$REGISTRY/skopeo/layers@$digest" "oci:$SKOPEO_HOME/layers:v1"
    assert_layout_holds "skopeo copy" "$IMAGES/layers" "$SKOPEO_HOME/layers"
    umoci_unpack "$SKOPEO_HOME/layers" "$SKOPEO_HOME/unpacked"
    assert_same_tree "unpacked" "$IMAGES/rootfs/app" "$SKOPEO_HOME/unpacked/app"

    step "an index there and back"
    skopeo_push "$IMAGES/index" v1 skopeo/index:v1
    assert_equal "digest" "$(layout_digest "$IMAGES/index" v1)" "$(registry_digest skopeo/index v1)"
    assert_stored_whole skopeo/index v1
    skopeo_copy --all --preserve-digests "docker://$REGISTRY/skopeo/index:v1" "oci:$SKOPEO_HOME/index:v1"
    assert_layout_holds "skopeo copy --all" "$IMAGES/index" "$SKOPEO_HOME/index"
    skopeo_copy --override-arch arm64 "docker://$REGISTRY/skopeo/index:v1" "oci:$SKOPEO_HOME/arm64:v1"
    umoci_unpack "$SKOPEO_HOME/arm64" "$SKOPEO_HOME/unpacked-arm64"
    assert_same_tree "the arm64 image" "$IMAGES/rootfs-arm64/app" "$SKOPEO_HOME/unpacked-arm64/app"

    step "docker's formats"
    skopeo_copy --format v2s2 "oci:$IMAGES/layers:v1" "docker://$REGISTRY/skopeo/docker:v1"
    assert_equal "media type" application/vnd.docker.distribution.manifest.v2+json "$(registry_media_type skopeo/docker v1)"
    assert_stored_whole skopeo/docker v1
    skopeo_copy --all --format v2s2 "oci:$IMAGES/index:v1" "docker://$REGISTRY/skopeo/docker:list"
    assert_equal "media type" application/vnd.docker.distribution.manifest.list.v2+json "$(registry_media_type skopeo/docker list)"
    assert_stored_whole skopeo/docker list
    list=$(registry_digest skopeo/docker list)
    skopeo_copy --all "docker://$REGISTRY/skopeo/docker:list" "dir:$SKOPEO_HOME/list"
    assert_equal "the list's bytes" "${list#sha256:}" "$(file_digest "$SKOPEO_HOME/list/manifest.json")"
    assert_fails "docker's schema 1" \
        skopeo_copy --format v2s1 "oci:$IMAGES/layers:v1" "docker://$REGISTRY/skopeo/docker:schema1"

    step "from repository to repository"
    skopeo_copy --all --preserve-digests "docker://$REGISTRY/skopeo/index:v1" "docker://$REGISTRY/skopeo/copied/deep:v2"
    assert_equal "digest of the copy" "$(registry_digest skopeo/index v1)" "$(registry_digest skopeo/copied/deep v2)"
    assert_stored_whole skopeo/copied/deep v2

    step "inspect and list"
    skopeo_run inspect --tls-verify=false --raw "docker://$REGISTRY/skopeo/layers:v1" >"$SKOPEO_HOME/raw"
    assert_same_file "inspect --raw" "$IMAGES/layers/blobs/sha256/${digest#sha256:}" "$SKOPEO_HOME/raw"
    assert_equal "inspect" "$digest" \
        "$(skopeo_run inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/skopeo/layers:v1")"
    assert_equal "inspect --config" "/app/run" \
        "$(skopeo_run inspect --tls-verify=false --config "docker://$REGISTRY/skopeo/layers:v1" | jq --raw-output '.config.Cmd[0]')"
    skopeo_copy --preserve-digests "docker://$REGISTRY/skopeo/layers:v1" "docker://$REGISTRY/skopeo/layers:v2"
    assert_equal "list-tags" "v1 v2" \
        "$(skopeo_run list-tags --tls-verify=false "docker://$REGISTRY/skopeo/layers" | jq --raw-output '.Tags | sort | join(" ")')"

    step "a layer of 300 MiB"
    images_make_large "$SKOPEO_HOME/large"
    skopeo_push "$SKOPEO_HOME/large/layout" v1 skopeo/large:v1
    assert_stored_whole skopeo/large v1
    skopeo_copy --preserve-digests "docker://$REGISTRY/skopeo/large:v1" "oci:$SKOPEO_HOME/large/pulled:v1"
    assert_layout_holds "the large layer" "$SKOPEO_HOME/large/layout" "$SKOPEO_HOME/large/pulled"
    rm -r "$SKOPEO_HOME/large"

    step "sync a repository to a directory and to another name"
    skopeo_run sync --preserve-digests --src-tls-verify=false --src docker --dest dir "$REGISTRY/skopeo/layers" "$SKOPEO_HOME/synced"
    assert_equal "synced manifest" "${digest#sha256:}" "$(file_digest "$SKOPEO_HOME/synced/layers:v1/manifest.json")"
    skopeo_run sync --preserve-digests --dest-tls-verify=false --src dir --dest docker "$SKOPEO_HOME/synced" "$REGISTRY/skopeo/synced"
    assert_equal "digest after sync" "$digest" "$(registry_digest skopeo/synced/layers v1)"

    step "an image that umoci makes"
    umoci init --layout "$SKOPEO_HOME/umoci"
    umoci new --image "$SKOPEO_HOME/umoci:v1"
    umoci insert --image "$SKOPEO_HOME/umoci:v1" "$IMAGES/rootfs/app" /app
    umoci config --image "$SKOPEO_HOME/umoci:v1" --config.cmd /app/run --manifest.annotation org.example.note=umoci
    skopeo_push "$SKOPEO_HOME/umoci" v1 skopeo/umoci:v1
    assert_equal "digest" "$(layout_digest "$SKOPEO_HOME/umoci" v1)" "$(registry_digest skopeo/umoci v1)"
    skopeo_pull skopeo/umoci:v1 "$SKOPEO_HOME/digest" "$SKOPEO_HOME/unpacked-umoci"
    assert_same_tree "umoci's image" "$IMAGES/rootfs/app" "$SKOPEO_HOME/unpacked-umoci/app"

    step "delete: the manifest and with it both its tags"
    skopeo_run delete --tls-verify=false "docker://$REGISTRY/skopeo/layers:v1"
    assert_equal "the deleted tag" 404 "$(registry_status GET skopeo/layers/manifests/v1)"
    assert_equal "the other tag of the deleted manifest" 404 "$(registry_status GET skopeo/layers/manifests/v2)"
    assert_equal "the deleted manifest" 404 "$(registry_status GET "skopeo/layers/manifests/$digest")"
    assert_stored_whole skopeo/synced/layers v1
}
