# shellcheck shell=bash
# Plain requests to the registry under test, by curl: what it holds, whatever a client
# says it pushed. Sourced after assert.sh; REGISTRY is host:port.

MANIFEST_TYPES="application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

# registry_status <method> <path under /v2/>
registry_status() {
    local head=()
    [[ $1 != HEAD ]] || head=(--head)
    curl --silent --output /dev/null --write-out '%{http_code}' --request "$1" "${head[@]}" \
        --header "Accept: $MANIFEST_TYPES" "http://$REGISTRY/v2/$2"
}

# registry_header <header> <path under /v2/>: of a HEAD request.
registry_header() {
    curl --silent --fail --head --header "Accept: $MANIFEST_TYPES" "http://$REGISTRY/v2/$2" |
        tr -d '\r' | awk -v name="$1" 'BEGIN { FS = ": " } tolower($1) == tolower(name) { print $2 }'
}

# registry_digest <repository> <tag or digest>
registry_digest() {
    registry_header Docker-Content-Digest "$1/manifests/$2"
}

# registry_media_type <repository> <tag or digest>
registry_media_type() {
    registry_header Content-Type "$1/manifests/$2"
}

# registry_manifest <repository> <tag or digest>: the manifest's bytes.
registry_manifest() {
    curl --silent --show-error --fail --header "Accept: $MANIFEST_TYPES" "http://$REGISTRY/v2/$1/manifests/$2"
}

# registry_blob <repository> <digest>: the blob's bytes.
registry_blob() {
    curl --silent --show-error --fail --location "http://$REGISTRY/v2/$1/blobs/$2"
}

# registry_tags <repository>: all of them in one line, sorted.
registry_tags() {
    curl --silent --show-error --fail "http://$REGISTRY/v2/$1/tags/list" | jq --raw-output '.tags // [] | sort | join(" ")'
}

# registry_repositories: one a line.
registry_repositories() {
    curl --silent --show-error --fail "http://$REGISTRY/v2/_catalog?n=1000" | jq --raw-output '.repositories[]'
}

# registry_referrers <repository> <digest>: digest and artifact type, one referrer a line.
registry_referrers() {
    curl --silent --show-error --fail "http://$REGISTRY/v2/$1/referrers/$2" |
        jq --raw-output '.manifests[] | "\(.digest) \(.artifactType)"'
}

# assert_stored_whole <repository> <tag or digest>: the manifest, all that it refers to
# and all that those refer to can be read, and hash to their digests. Layers that are
# not to be distributed have urls and are left out.
assert_stored_whole() {
    local repository=$1 reference=$2 manifest digest actual child blob
    manifest=$(mktemp "$WORK/manifest.XXXXXX")
    registry_manifest "$repository" "$reference" >"$manifest" || fail "no manifest $repository $reference"
    digest=$(registry_digest "$repository" "$reference")
    assert_digest "Docker-Content-Digest of $repository $reference" "$digest"
    actual=$("${digest%%:*}sum" "$manifest")
    assert_equal "the bytes of manifest $repository $reference" "${digest#*:}" "${actual%% *}"
    while IFS= read -r child; do
        assert_stored_whole "$repository" "$child"
    done < <(jq --raw-output '.manifests[]?.digest' "$manifest")
    while IFS= read -r blob; do
        actual=$(registry_blob "$repository" "$blob" | "${blob%%:*}sum")
        assert_equal "the bytes of blob $blob in $repository" "${blob#*:}" "${actual%% *}"
    done < <(jq --raw-output '(.config // empty), .layers[]? | select(has("urls") | not) | .digest' "$manifest" | sort --unique)
    rm -f "$manifest"
}
