# shellcheck shell=bash
# containerd of its own (own root, state and socket), driven by ctr. Sourced.

containerd_prepare() {
    CONTAINERD_HOME=$WORK/containerd
    CONTAINERD_SOCKET=$CONTAINERD_HOME/containerd.sock
    mkdir -p "$CONTAINERD_HOME"
    # No CRI: it wants a network configuration, and ctr does without.
    cat >"$CONTAINERD_HOME/config.toml" <<TOML
version = 2
root = "$CONTAINERD_HOME/root"
state = "$CONTAINERD_HOME/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$CONTAINERD_HOME/opt"
TOML
    containerd --config "$CONTAINERD_HOME/config.toml" >"$CONTAINERD_HOME/containerd.log" 2>&1 &
    CONTAINERD_PID=$!
    for _ in {1..300}; do
        if containerd_run version >/dev/null 2>&1; then
            return
        fi
        kill -0 "$CONTAINERD_PID" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 30 "$CONTAINERD_HOME/containerd.log" >&2
    fail "containerd did not start"
}

containerd_finish() {
    stop_process "${CONTAINERD_PID:-}"
    CONTAINERD_PID=""
}

containerd_run() {
    ctr --address "$CONTAINERD_SOCKET" --namespace tests "$@"
}

containerd_digest() {
    containerd_run images list "name==$1" | awk -v name="$1" '$1 == name { print $3 }'
}

# containerd_import <layout> <tag> <name>
containerd_import() {
    tar --create --directory "$1" --exclude=scratch* . |
        containerd_run images import --all-platforms --no-unpack --index-name "$CONTAINERD_HOME" --digests --base-name import - |
        tail -n 1
    containerd_run images tag --force "import@$(layout_digest "$1" "$2")" "$3"
}

# containerd_push <layout> <tag> <repository:tag>
containerd_push() {
    containerd_import "$1" "$2" "$REGISTRY/$3"
    containerd_run images push --plain-http "$REGISTRY/$3" >/dev/null
    containerd_forget
}

# containerd_pull <repository:tag> <digest file> <directory>
containerd_pull() {
    containerd_run images pull --plain-http --snapshotter native "$REGISTRY/$1" >"$CONTAINERD_HOME/pull.log"
    containerd_digest "$REGISTRY/$1" >"$2"
    containerd_unpack "$REGISTRY/$1" linux/amd64 "$3"
    containerd_forget
}

# Removes every image and its content, so that the next pull has to fetch.
containerd_forget() {
    local name
    while IFS= read -r name; do
        containerd_run images remove --sync "$name" >/dev/null
    done < <(containerd_run images list --quiet)
    assert_equal "content left in containerd" "" "$(containerd_run content list --quiet)"
}

containerd_unpack() {
    local mount
    # A mount is a snapshot that goes by its path: one that lingers must not be
    # taken for the next one.
    mount=$(mktemp --directory "$CONTAINERD_HOME/mount.XXXXXX")
    mkdir -p "$3"
    containerd_run images mount --snapshotter native --platform "$2" "$1" "$mount" >/dev/null
    cp --archive "$mount/app" "$3"
    containerd_run images unmount --rm --snapshotter native "$mount" >/dev/null
}

containerd_tests() {
    local digest config

    step "an OCI image there and back"
    digest=$(layout_digest "$IMAGES/layers" v1)
    containerd_push "$IMAGES/layers" v1 containerd/layers:v1
    assert_equal "digest" "$digest" "$(registry_digest containerd/layers v1)"
    assert_stored_whole containerd/layers v1
    containerd_run images pull --plain-http --snapshotter native "$REGISTRY/containerd/layers:v1" >/dev/null
    assert_equal "digest of the pull" "$digest" "$(containerd_digest "$REGISTRY/containerd/layers:v1")"
    containerd_unpack "$REGISTRY/containerd/layers:v1" linux/amd64 "$CONTAINERD_HOME/layers"
    assert_same_tree "unpacked" "$IMAGES/rootfs/app" "$CONTAINERD_HOME/layers/app"
    containerd_run images export "$CONTAINERD_HOME/export.tar" "$REGISTRY/containerd/layers:v1"
    mkdir "$CONTAINERD_HOME/export"
    tar --extract --file "$CONTAINERD_HOME/export.tar" --directory "$CONTAINERD_HOME/export"
    assert_layout_holds "export" "$IMAGES/layers" "$CONTAINERD_HOME/export"

    step "push again under another tag and to another repository"
    containerd_run images tag "$REGISTRY/containerd/layers:v1" "$REGISTRY/containerd/layers:v2"
    containerd_run images push --plain-http "$REGISTRY/containerd/layers:v2" >/dev/null
    containerd_run images tag "$REGISTRY/containerd/layers:v1" "$REGISTRY/containerd/other:v1"
    containerd_run images push --plain-http "$REGISTRY/containerd/other:v1" >/dev/null
    assert_equal "tags" "v1 v2" "$(registry_tags containerd/layers)"
    assert_stored_whole containerd/other v1
    containerd_forget

    step "by digest"
    containerd_run images pull --plain-http --snapshotter native "$REGISTRY/containerd/layers@$digest" >/dev/null
    assert_equal "digest" "$digest" "$(containerd_digest "$REGISTRY/containerd/layers@$digest")"
    containerd_forget

    step "an index with all its platforms, and one of them"
    digest=$(layout_digest "$IMAGES/index" v1)
    containerd_push "$IMAGES/index" v1 containerd/index:v1
    assert_equal "digest" "$digest" "$(registry_digest containerd/index v1)"
    assert_stored_whole containerd/index v1
    containerd_run images pull --plain-http --snapshotter native --all-platforms "$REGISTRY/containerd/index:v1" >/dev/null
    assert_equal "digest of the pull" "$digest" "$(containerd_digest "$REGISTRY/containerd/index:v1")"
    for config in linux/amd64:rootfs linux/arm64:rootfs-arm64; do
        containerd_unpack "$REGISTRY/containerd/index:v1" "${config%:*}" "$CONTAINERD_HOME/${config#*:}"
        assert_same_tree "${config%:*}" "$IMAGES/${config#*:}/app" "$CONTAINERD_HOME/${config#*:}/app"
    done
    containerd_forget

    step "docker's formats"
    skopeo copy --quiet --insecure-policy --dest-tls-verify=false --all --format v2s2 \
        "oci:$IMAGES/index:v1" "docker://$REGISTRY/containerd/docker:v1"
    digest=$(registry_digest containerd/docker v1)
    containerd_run images pull --plain-http --snapshotter native --all-platforms "$REGISTRY/containerd/docker:v1" >/dev/null
    assert_equal "digest of the pull" "$digest" "$(containerd_digest "$REGISTRY/containerd/docker:v1")"
    containerd_run images tag "$REGISTRY/containerd/docker:v1" "$REGISTRY/containerd/docker-again:v1"
    containerd_run images push --plain-http "$REGISTRY/containerd/docker-again:v1" >/dev/null
    assert_equal "digest of the push" "$digest" "$(registry_digest containerd/docker-again v1)"
    assert_stored_whole containerd/docker-again v1
    containerd_forget

    step "a layer of 300 MiB"
    images_make_large "$CONTAINERD_HOME/large"
    digest=$(layout_digest "$CONTAINERD_HOME/large/layout" v1)
    containerd_push "$CONTAINERD_HOME/large/layout" v1 containerd/large:v1
    assert_equal "digest" "$digest" "$(registry_digest containerd/large v1)"
    assert_stored_whole containerd/large v1
    containerd_pull containerd/large:v1 "$CONTAINERD_HOME/digest" "$CONTAINERD_HOME/large/pulled"
    assert_equal "digest of the pull" "$digest" "$(<"$CONTAINERD_HOME/digest")"
    assert_same_tree "the large layer" "$CONTAINERD_HOME/large/rootfs/app" "$CONTAINERD_HOME/large/pulled/app"
    rm -r "$CONTAINERD_HOME/large"

    step "fetch objects, and what is not there"
    digest=$(layout_digest "$IMAGES/layers" v1)
    containerd_run content fetch --plain-http "$REGISTRY/containerd/layers:v1" >/dev/null
    containerd_run content get "$digest" >"$CONTAINERD_HOME/manifest"
    assert_same_file "content get" "$IMAGES/layers/blobs/sha256/${digest#sha256:}" "$CONTAINERD_HOME/manifest"
    assert_fails "pull of an unknown tag" containerd_run images pull --plain-http "$REGISTRY/containerd/layers:unknown"
    assert_fails "pull of an unknown repository" containerd_run images pull --plain-http "$REGISTRY/containerd/unknown:v1"
}
