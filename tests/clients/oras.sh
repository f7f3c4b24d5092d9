# shellcheck shell=bash
# oras: artifacts, what refers to them, and copies of both. Sourced.

oras_prepare() {
    ORAS_HOME=$WORK/oras
    mkdir -p "$ORAS_HOME/home" "$ORAS_HOME/files"
    printf 'the first file\n' >"$ORAS_HOME/files/first.txt"
    head --bytes=300001 /dev/urandom >"$ORAS_HOME/files/second.bin"
    printf '{"packages":[]}\n' >"$ORAS_HOME/files/sbom.json"
    printf 'signed\n' >"$ORAS_HOME/files/signature"
}

oras_finish() {
    :
}

oras_run() {
    HOME=$ORAS_HOME/home oras "$@"
}

# oras_push <layout> <tag> <repository:tag>
oras_push() {
    oras_run cp --no-tty --from-oci-layout --to-plain-http "$1:$2" "$REGISTRY/$3"
}

# oras_pull <repository:tag> <digest file> <directory>
oras_pull() {
    rm -rf "$ORAS_HOME/pulled"
    oras_run resolve --plain-http "$REGISTRY/$1" >"$2"
    oras_run cp --no-tty --from-plain-http --to-oci-layout "$REGISTRY/$1" "$ORAS_HOME/pulled:v1"
    layout_unpack "$ORAS_HOME/pulled" v1 "$3"
}

# oras_attach <reference> <artifact type> <file>: prints the digest of the new manifest.
oras_attach() {
    (cd "$ORAS_HOME/files" && oras_run attach --plain-http --no-tty --format json --artifact-type "$2" \
        --annotation org.example.file="$3" "$1" "$3") | jq --raw-output .digest
}

# oras_referrers <reference> <flags...>: the digests, sorted, in one line.
oras_referrers() {
    oras_run discover --plain-http --distribution-spec v1.1-referrers-api --depth 1 --format json "${@:2}" "$1" |
        jq --raw-output '(.referrers // .manifests) | map(.digest) | sort | join(" ")'
}

oras_tests() {
    local artifact=$REGISTRY/oras/artifact digest sbom signature nested

    step "push and pull an artifact of two files"
    (cd "$ORAS_HOME/files" && oras_run push --plain-http --no-tty --artifact-type application/vnd.example.kit \
        --annotation org.example.note=kit --export-manifest ../manifest.json \
        "$artifact:v1" first.txt:text/plain second.bin)
    digest=sha256:$(file_digest "$ORAS_HOME/manifest.json")
    assert_equal "digest" "$digest" "$(registry_digest oras/artifact v1)"
    assert_equal "resolve" "$digest" "$(oras_run resolve --plain-http "$artifact:v1")"
    assert_stored_whole oras/artifact v1
    oras_run pull --plain-http --no-tty --output "$ORAS_HOME/by-tag" "$artifact:v1"
    assert_same_file "first file" "$ORAS_HOME/files/first.txt" "$ORAS_HOME/by-tag/first.txt"
    assert_same_file "second file" "$ORAS_HOME/files/second.bin" "$ORAS_HOME/by-tag/second.bin"
    oras_run pull --plain-http --no-tty --output "$ORAS_HOME/by-digest" "$artifact@$digest"
    assert_same_tree "pull by digest" "$ORAS_HOME/by-tag" "$ORAS_HOME/by-digest"
    oras_run manifest fetch --plain-http "$artifact:v1" >"$ORAS_HOME/fetched.json"
    assert_same_file "manifest fetch" "$ORAS_HOME/manifest.json" "$ORAS_HOME/fetched.json"

    step "attach and discover"
    sbom=$(oras_attach "$artifact:v1" application/vnd.example.sbom sbom.json)
    signature=$(oras_attach "$artifact@$digest" application/vnd.example.signature signature)
    nested=$(oras_attach "$artifact@$sbom" application/vnd.example.signature signature)
    assert_equal "referrers" "$(printf '%s\n' "$sbom" "$signature" | sort | paste --serial --delimiters=' ')" \
        "$(oras_referrers "$artifact:v1")"
    assert_equal "referrers of one type" "$sbom" \
        "$(oras_referrers "$artifact:v1" --artifact-type application/vnd.example.sbom)"
    assert_equal "referrers of a type that nothing has" "" \
        "$(oras_referrers "$artifact:v1" --artifact-type application/vnd.example.none)"
    assert_equal "referrers of a referrer" "$nested" "$(oras_referrers "$artifact@$sbom")"
    assert_equal "no referrers tag was needed" v1 "$(registry_tags oras/artifact)"
    assert_contains "the registry's own answer" "$(registry_referrers oras/artifact "$digest")" \
        "$sbom application/vnd.example.sbom"

    step "copy with referrers, to a repository and to a layout"
    oras_run cp --no-tty --recursive --from-plain-http --to-plain-http "$artifact:v1" "$REGISTRY/oras/copied:v2"
    assert_equal "digest of the copy" "$digest" "$(registry_digest oras/copied v2)"
    assert_equal "referrers of the copy" "$(oras_referrers "$artifact:v1")" "$(oras_referrers "$REGISTRY/oras/copied:v2")"
    assert_equal "referrers of the copied referrer" "$nested" "$(oras_referrers "$REGISTRY/oras/copied@$sbom")"
    assert_stored_whole oras/copied v2
    assert_stored_whole oras/copied "$nested"
    oras_run cp --no-tty --recursive --from-plain-http --to-oci-layout "$artifact:v1" "$ORAS_HOME/layout:v1"
    for nested in "$digest" "$sbom" "$signature"; do
        registry_manifest oras/artifact "$nested" >"$ORAS_HOME/one.json"
        assert_same_file "in the layout" "$ORAS_HOME/one.json" "$ORAS_HOME/layout/blobs/sha256/${nested#sha256:}"
    done

    step "backup and restore"
    oras_run backup --no-tty --plain-http --include-referrers --output "$ORAS_HOME/backup.tar" "$artifact:v1"
    oras_run restore --no-tty --plain-http --input "$ORAS_HOME/backup.tar" "$REGISTRY/oras/restored:v1"
    assert_equal "digest of the restored" "$digest" "$(registry_digest oras/restored v1)"
    assert_equal "referrers of the restored" "$(oras_referrers "$artifact:v1")" "$(oras_referrers "$REGISTRY/oras/restored:v1")"

    step "an OCI image and an index"
    oras_push "$IMAGES/layers" v1 oras/layers:v1
    assert_equal "digest" "$(layout_digest "$IMAGES/layers" v1)" "$(registry_digest oras/layers v1)"
    oras_push "$IMAGES/index" v1 oras/index:v1
    assert_equal "digest" "$(layout_digest "$IMAGES/index" v1)" "$(registry_digest oras/index v1)"
    assert_stored_whole oras/index v1
    oras_run cp --no-tty --from-plain-http --to-oci-layout "$REGISTRY/oras/index:v1" "$ORAS_HOME/index:v1"
    assert_layout_holds "oras cp" "$IMAGES/index" "$ORAS_HOME/index"
    oras_run manifest index create --plain-http "$REGISTRY/oras/layers:index" v1
    assert_equal "media type" application/vnd.oci.image.index.v1+json "$(registry_media_type oras/layers index)"

    step "tags and repositories"
    oras_run tag --plain-http "$artifact:v1" v1.1 v1.2 latest
    assert_equal "repo tags" "latest v1 v1.1 v1.2" \
        "$(oras_run repo tags --plain-http "$artifact" | paste --serial --delimiters=' ')"
    assert_equal "repo tags after v1" "v1.1 v1.2" \
        "$(oras_run repo tags --plain-http --last v1 "$artifact" | paste --serial --delimiters=' ')"
    assert_contains "repo ls" "$(oras_run repo ls --plain-http "$REGISTRY" | paste --serial --delimiters=' ')" oras/artifact

    step "a blob, pushed, fetched in whole, deleted"
    digest=sha256:$(file_digest "$ORAS_HOME/files/second.bin")
    oras_run blob push --plain-http --no-tty "$REGISTRY/oras/blobs@$digest" "$ORAS_HOME/files/second.bin"
    oras_run blob fetch --plain-http --no-tty --output "$ORAS_HOME/blob" "$REGISTRY/oras/blobs@$digest"
    assert_same_file "blob" "$ORAS_HOME/files/second.bin" "$ORAS_HOME/blob"
    oras_run blob delete --plain-http --force "$REGISTRY/oras/blobs@$digest"
    assert_equal "the deleted blob" 404 "$(registry_status HEAD "oras/blobs/blobs/$digest")"
    assert_equal "the same blob elsewhere" 200 "$(registry_status HEAD "oras/artifact/blobs/$digest")"

    step "300 MiB in one file"
    head --bytes="$LARGE_BYTES" /dev/urandom >"$ORAS_HOME/files/large"
    (cd "$ORAS_HOME/files" && oras_run push --plain-http --no-tty "$REGISTRY/oras/large:v1" large)
    oras_run pull --plain-http --no-tty --output "$ORAS_HOME/large" "$REGISTRY/oras/large:v1"
    assert_same_file "the large file" "$ORAS_HOME/files/large" "$ORAS_HOME/large/large"
    rm -r "$ORAS_HOME/files/large" "$ORAS_HOME/large"

    step "delete a referrer, then the artifact"
    oras_run manifest delete --plain-http --force "$artifact@$signature"
    assert_equal "referrers left" "$sbom" "$(oras_referrers "$artifact:v1")"
    oras_run manifest delete --plain-http --force "$artifact:v1"
    assert_equal "all its tags are gone" "" "$(registry_tags oras/artifact)"
    assert_equal "the copy stays" 200 "$(registry_status HEAD oras/copied/manifests/v2)"
    assert_fails "pull of the deleted" oras_run pull --plain-http --no-tty --output "$ORAS_HOME/none" "$artifact:v1"
}
