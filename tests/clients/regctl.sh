# shellcheck shell=bash
# regctl: chunked uploads, sha512, artifacts and tag deletion. Sourced.

regctl_prepare() {
    REGCTL_HOME=$WORK/regctl
    mkdir -p "$REGCTL_HOME/home"
    regctl_run registry set --tls disabled --skip-check "$REGISTRY"
}

regctl_finish() {
    :
}

regctl_run() {
    HOME=$REGCTL_HOME/home regctl "$@"
}

# regctl_push <layout> <tag> <repository:tag>
regctl_push() {
    regctl_run image copy "ocidir://$1:$2" "$REGISTRY/$3"
}

# regctl_pull <repository:tag> <digest file> <directory>
regctl_pull() {
    rm -rf "$REGCTL_HOME/pulled"
    regctl_run image digest "$REGISTRY/$1" >"$2"
    regctl_run image copy "$REGISTRY/$1" "ocidir://$REGCTL_HOME/pulled:v1"
    layout_unpack "$REGCTL_HOME/pulled" v1 "$3"
}

regctl_tests() {
    local image=$REGISTRY/regctl/layers digest other blob

    step "an OCI image and an index there and back"
    for other in layers index; do
        digest=$(layout_digest "$IMAGES/$other" v1)
        regctl_push "$IMAGES/$other" v1 "regctl/$other:v1"
        assert_equal "digest of $other" "$digest" "$(registry_digest "regctl/$other" v1)"
        assert_equal "image digest" "$digest" "$(regctl_run image digest "$REGISTRY/regctl/$other:v1")"
        assert_stored_whole "regctl/$other" v1
        regctl_run image copy "$REGISTRY/regctl/$other@$digest" "ocidir://$REGCTL_HOME/$other:v1"
        assert_layout_holds "image copy" "$IMAGES/$other" "$REGCTL_HOME/$other"
    done
    regctl_run image copy "$REGISTRY/regctl/index:v1" "$REGISTRY/regctl/copied:v2"
    assert_equal "digest of the copy" "$digest" "$(registry_digest regctl/copied v2)"
    assert_stored_whole regctl/copied v2
    regctl_run manifest get --format raw-body "$image:v1" >"$REGCTL_HOME/manifest.json"
    digest=$(layout_digest "$IMAGES/layers" v1)
    assert_same_file "manifest get" "$IMAGES/layers/blobs/sha256/${digest#sha256:}" "$REGCTL_HOME/manifest.json"
    assert_contains "manifest head" "$(regctl_run manifest head --format raw-headers "$image:v1")" "$digest"

    step "an index made of what is there"
    regctl_run index create --ref "$REGISTRY/regctl/index:v1" --platform linux/arm64 "$REGISTRY/regctl/index:made"
    regctl_run index add --ref "$image:v1" --desc-platform linux/amd64 "$REGISTRY/regctl/index:made"
    assert_equal "architectures" "amd64 arm64" \
        "$(registry_manifest regctl/index made | jq --raw-output '[.manifests[].platform.architecture] | sort | join(" ")')"
    assert_stored_whole regctl/index made
    regctl_run index create --media-type application/vnd.docker.distribution.manifest.list.v2+json \
        --ref "$REGISTRY/regctl/index:v1" --platform linux/arm64 "$REGISTRY/regctl/index:list"
    assert_equal "media type" application/vnd.docker.distribution.manifest.list.v2+json "$(registry_media_type regctl/index list)"

    step "docker's format and sha512"
    regctl_run image mod --to-docker --create docker "$image:v1"
    assert_equal "media type" application/vnd.docker.distribution.manifest.v2+json "$(registry_media_type regctl/layers docker)"
    assert_stored_whole regctl/layers docker
    regctl_sha512

    step "blobs"
    head --bytes=200003 /dev/urandom >"$REGCTL_HOME/blob"
    blob=$(regctl_run blob put "$REGISTRY/regctl/blobs" <"$REGCTL_HOME/blob")
    assert_equal "digest of the blob" "sha256:$(file_digest "$REGCTL_HOME/blob")" "$blob"
    regctl_run blob get "$REGISTRY/regctl/blobs" "$blob" >"$REGCTL_HOME/got"
    assert_same_file "blob get" "$REGCTL_HOME/blob" "$REGCTL_HOME/got"
    assert_contains "blob head" "$(regctl_run blob head --format raw-headers "$REGISTRY/regctl/blobs" "$blob")" 200003
    regctl_run blob copy "$REGISTRY/regctl/blobs" "$REGISTRY/regctl/blobs-too" "$blob"
    regctl_run blob delete "$REGISTRY/regctl/blobs" "$blob"
    assert_equal "the deleted blob" 404 "$(registry_status HEAD "regctl/blobs/blobs/$blob")"
    assert_equal "its copy" 200 "$(registry_status HEAD "regctl/blobs-too/blobs/$blob")"

    step "artifacts with a subject"
    regctl_artifacts

    step "300 MiB, in chunks of 20 MiB and in one piece"
    regctl_large "$((20 * 1024 * 1024))" "$((20 * 1024 * 1024))"
    regctl_large "$((20 * 1024 * 1024))" -1

    step "tags: list by pages, delete one, leave its manifest and the others"
    for other in a b c d e; do
        regctl_run image copy "$image:v1" "$image:page-$other"
    done
    assert_equal "tags" "docker page-a page-b page-c page-d page-e v1" "$(regctl_run tag ls "$image" | paste --serial --delimiters=' ')"
    assert_equal "a page" "page-b page-c" \
        "$(regctl_run tag ls --last page-a --limit 2 "$image" | paste --serial --delimiters=' ')"
    regctl_run tag delete "$image:page-b"
    assert_equal "the deleted tag" 404 "$(registry_status HEAD regctl/layers/manifests/page-b)"
    assert_equal "its manifest" 200 "$(registry_status HEAD "regctl/layers/manifests/$digest")"
    assert_equal "tags left" "docker page-a page-c page-d page-e v1" "$(registry_tags regctl/layers)"
    regctl_run manifest delete "$image@$digest"
    assert_equal "tags left by the manifest's deletion" docker "$(registry_tags regctl/layers)"
    assert_contains "repo ls" "$(regctl_run repo ls "$REGISTRY" | paste --serial --delimiters=' ')" regctl/index
}

# An image all of whose digests are sha512.
regctl_sha512() {
    local digest
    regctl_run image mod --digest-algo sha512 --create "ocidir://$REGCTL_HOME/sha512:v1" "ocidir://$IMAGES/layers:v1"
    digest=$(regctl_run image digest "ocidir://$REGCTL_HOME/sha512:v1")
    assert_contains "digest" "$digest" sha512:
    regctl_run image copy "ocidir://$REGCTL_HOME/sha512:v1" "$REGISTRY/regctl/sha512@$digest"
    assert_stored_whole regctl/sha512 "$digest"
    regctl_run image copy "$REGISTRY/regctl/sha512@$digest" "ocidir://$REGCTL_HOME/sha512-pulled:v1"
    assert_layout_holds "sha512" "$REGCTL_HOME/sha512" "$REGCTL_HOME/sha512-pulled"
}

regctl_artifacts() {
    local subject=$REGISTRY/regctl/index:v1 digest first
    digest=$(registry_digest regctl/index v1)
    printf 'one\n' >"$REGCTL_HOME/one"
    printf 'two\n' >"$REGCTL_HOME/two"
    regctl_run artifact put --artifact-type application/vnd.example.one --annotation org.example.number=1 \
        --subject "$subject" <"$REGCTL_HOME/one"
    regctl_run artifact put --artifact-type application/vnd.example.two --subject "$subject" <"$REGCTL_HOME/two"
    regctl_run artifact put --artifact-type application/vnd.example.tagged "$REGISTRY/regctl/index:artifact" <"$REGCTL_HOME/two"
    assert_equal "referrers" 2 "$(regctl_run artifact list --format '{{len .Descriptors}}' "$subject")"
    first=$(regctl_run artifact list --filter-artifact-type application/vnd.example.one \
        --format '{{range .Descriptors}}{{.Digest}} {{index .Annotations "org.example.number"}}{{end}}' "$subject")
    assert_equal "annotation of the first" 1 "${first#* }"
    assert_contains "the registry's own answer" "$(registry_referrers regctl/index "$digest")" \
        "${first% *} application/vnd.example.one"
    regctl_run artifact get --subject "$subject" --filter-artifact-type application/vnd.example.two >"$REGCTL_HOME/got"
    assert_same_file "artifact get" "$REGCTL_HOME/two" "$REGCTL_HOME/got"
    regctl_run artifact get "$REGISTRY/regctl/index:artifact" >"$REGCTL_HOME/got"
    assert_same_file "tagged artifact" "$REGCTL_HOME/two" "$REGCTL_HOME/got"
    regctl_run image copy --referrers --digest-tags "$subject" "$REGISTRY/regctl/with-referrers:v1"
    assert_equal "referrers of the copy" "$(registry_referrers regctl/index "$digest" | sort)" \
        "$(registry_referrers regctl/with-referrers "$digest" | sort)"
    assert_stored_whole regctl/with-referrers "${first% *}"
    regctl_run manifest delete --referrers "$REGISTRY/regctl/index@${first% *}"
    assert_equal "referrers after a deletion" 1 "$(regctl_run artifact list --format '{{len .Descriptors}}' "$subject")"
}

# regctl_large <bytes in a chunk> <bytes from which on to send chunks, -1 for never>
regctl_large() {
    regctl_run registry set --skip-check --blob-chunk "$1" --blob-max "$2" "$REGISTRY"
    images_make_large "$REGCTL_HOME/large"
    regctl_push "$REGCTL_HOME/large/layout" v1 regctl/large:v1
    regctl_run image copy "$REGISTRY/regctl/large:v1" "ocidir://$REGCTL_HOME/large/pulled:v1"
    assert_layout_holds "the large layer" "$REGCTL_HOME/large/layout" "$REGCTL_HOME/large/pulled"
    rm -r "$REGCTL_HOME/large"
}
