# shellcheck shell=bash
# Makes the images that the clients push: OCI layouts written by hand with tar, gzip and
# jq, and build contexts with the same files. Nothing comes from the network. Sourced.
#
#   images_make <directory>          all of the below, except the large one
#     layers/     OCI layout, tag v1: four layers; one of them deletes a file, one is not compressed
#     index/      OCI layout, tag v1: an index of two images, linux/amd64 and linux/arm64
#     rootfs/     what /app of layers:v1 holds once its layers are applied
#     rootfs-arm64/   the same of the arm64 image of index:v1
#     context/    a Dockerfile FROM scratch whose image has the same /app as layers:v1
#   images_make_large <directory>    300 MiB of new random bytes, which do not compress
#     layout/     OCI layout, tag v1, with that one layer
#     rootfs/     what /app holds: the file "large"
#     context/    a Dockerfile FROM scratch with the same /app

LARGE_BYTES=$((300 * 1024 * 1024))

# The same files give the same bytes, whenever and by whomever it is called.
image_tar() {
    tar --create --directory "$1" --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --format=gnu .
}

file_digest() {
    sha256sum "$1" | cut --delimiter=' ' --fields=1
}

layout_begin() {
    mkdir -p "$1/blobs/sha256"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' >"$1/index.json"
}

# layout_add <layout> <media type> <file>: moves the file in; prints its descriptor.
layout_add() {
    local hex size
    hex=$(file_digest "$3")
    size=$(stat --format=%s "$3")
    mv "$3" "$1/blobs/sha256/$hex"
    jq --null-input --compact-output --arg type "$2" --arg digest "sha256:$hex" --argjson size "$size" \
        '{mediaType: $type, digest: $digest, size: $size}'
}

# layout_add_image <layout> <architecture> <gzip or plain>:<layer directory> ...: prints
# the manifest's descriptor.
layout_add_image() {
    local layout=$1 architecture=$2 layer layers='[]' diff_ids='[]' config descriptor
    shift 2
    local scratch=$layout/scratch
    for layer in "$@"; do
        image_tar "${layer#*:}" >"$scratch.tar"
        diff_ids=$(jq --compact-output --arg id "sha256:$(file_digest "$scratch.tar")" '. + [$id]' <<<"$diff_ids")
        if [[ ${layer%%:*} == gzip ]]; then
            gzip --no-name --force "$scratch.tar"
            descriptor=$(layout_add "$layout" application/vnd.oci.image.layer.v1.tar+gzip "$scratch.tar.gz")
        else
            descriptor=$(layout_add "$layout" application/vnd.oci.image.layer.v1.tar "$scratch.tar")
        fi
        layers=$(jq --compact-output --argjson layer "$descriptor" '. + [$layer]' <<<"$layers")
    done
    jq --null-input --arg architecture "$architecture" --argjson ids "$diff_ids" \
        '{created: "2023-11-14T22:13:20Z", architecture: $architecture, os: "linux",
          config: {Cmd: ["/app/run"], Labels: {"org.example.made": "by hand"}},
          rootfs: {type: "layers", diff_ids: $ids},
          history: [$ids[] | {created: "2023-11-14T22:13:20Z", created_by: "tar"}]}' >"$scratch.json"
    config=$(layout_add "$layout" application/vnd.oci.image.config.v1+json "$scratch.json")
    jq --null-input --argjson config "$config" --argjson layers "$layers" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
          config: $config, layers: $layers, annotations: {"org.example.note": "made on the spot"}}' >"$scratch.json"
    layout_add "$layout" application/vnd.oci.image.manifest.v1+json "$scratch.json" |
        jq --compact-output --arg architecture "$architecture" '.platform = {architecture: $architecture, os: "linux"}'
}

# layout_add_index <layout> <manifest descriptor> ...: prints the index's descriptor.
layout_add_index() {
    local layout=$1
    shift
    printf '%s\n' "$@" | jq --slurp \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >"$layout/scratch.json"
    layout_add "$layout" application/vnd.oci.image.index.v1+json "$layout/scratch.json"
}

# layout_tag <layout> <tag> <descriptor>
layout_tag() {
    jq --arg tag "$2" --argjson descriptor "$3" \
        '.manifests += [$descriptor + {annotations: {"org.opencontainers.image.ref.name": $tag}}]' \
        "$1/index.json" >"$1/index.json.new"
    mv "$1/index.json.new" "$1/index.json"
}

# layout_digest <layout> <tag>: the digest of what the tag names.
layout_digest() {
    jq --raw-output --arg tag "$2" \
        '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag) | .digest' "$1/index.json"
}

# layout_unpack <layout> <tag> <directory>: applies the image's layers one after another.
layout_unpack() {
    local layout=$1 directory=$3 digest blob entry
    digest=$(layout_digest "$layout" "$2")
    mkdir -p "$directory"
    while IFS= read -r digest; do
        blob=$layout/blobs/${digest/:/\/}
        while IFS= read -r entry; do
            case ${entry##*/} in
            .wh..wh..opq) rm -rf "${directory:?}/${entry%/*}" ;;
            .wh.*) rm -rf "${directory:?}/${entry%/*}/${entry##*/.wh.}" ;;
            esac
        done < <(tar --list --file "$blob")
        tar --extract --file "$blob" --directory "$directory" --exclude='.wh.*'
    done < <(jq --raw-output '.layers[].digest' "$layout/blobs/${digest/:/\/}")
}

# image_context <build context> <directory for /app> ...: one COPY, so one layer, each.
image_context() {
    local context=$1 number=0 directory
    shift
    mkdir -p "$context"
    {
        echo 'FROM scratch'
        echo 'LABEL org.example.made="by a build"'
        for directory in "$@"; do
            number=$((number + 1))
            mkdir -p "$context/$number"
            cp --archive "$directory/." "$context/$number"
            echo "COPY $number /"
        done
        echo 'CMD ["/app/run"]'
    } >"$context/Dockerfile"
}

images_make() {
    local directory=$1 source=$1/source descriptor other
    mkdir -p "$source"/{base,text,change,deletion,arm64}/app
    # Numbers and names of all kinds: empty, odd sized, nested, linked.
    head --bytes=1048573 /dev/urandom >"$source/base/app/random"
    : >"$source/base/app/empty"
    printf 'replaced later\n' >"$source/base/app/replaced"
    printf 'deleted later\n' >"$source/base/app/deleted"
    mkdir -p "$source/text/app/nested/deeper"
    seq 1 20000 >"$source/text/app/nested/deeper/numbers"
    ln -s nested/deeper/numbers "$source/text/app/link"
    printf '#!/bin/sh\nexit 0\n' >"$source/text/app/run"
    chmod 755 "$source/text/app/run"
    printf 'the replacement\n' >"$source/change/app/replaced"
    : >"$source/deletion/app/.wh.deleted"

    mkdir -p "$directory/rootfs/app"
    cp --archive "$source/base/app/." "$source/text/app/." "$source/change/app/." "$directory/rootfs/app"
    rm "$directory/rootfs/app/deleted"

    layout_begin "$directory/layers"
    descriptor=$(layout_add_image "$directory/layers" amd64 \
        "gzip:$source/base" "plain:$source/text" "gzip:$source/change" "gzip:$source/deletion")
    layout_tag "$directory/layers" v1 "$descriptor"

    head --bytes=70001 /dev/urandom >"$source/arm64/app/random"
    mkdir -p "$directory/rootfs-arm64/app"
    cp --archive "$source/text/app/." "$source/arm64/app/." "$directory/rootfs-arm64/app"
    layout_begin "$directory/index"
    descriptor=$(layout_add_image "$directory/index" amd64 \
        "gzip:$source/base" "gzip:$source/text" "gzip:$source/change" "gzip:$source/deletion")
    other=$(layout_add_image "$directory/index" arm64 "gzip:$source/text" "gzip:$source/arm64")
    layout_tag "$directory/index" v1 "$(layout_add_index "$directory/index" "$descriptor" "$other")"

    # A build has no white-out to copy: its context leaves the deleted file out.
    cp --archive "$source/base" "$source/base-without"
    rm "$source/base-without/app/deleted"
    image_context "$directory/context" "$source/base-without" "$source/text" "$source/change"
}

images_make_large() {
    local directory=$1 descriptor
    mkdir -p "$directory/rootfs/app"
    head --bytes="$LARGE_BYTES" /dev/urandom >"$directory/rootfs/app/large"
    layout_begin "$directory/layout"
    descriptor=$(layout_add_image "$directory/layout" amd64 "plain:$directory/rootfs")
    layout_tag "$directory/layout" v1 "$descriptor"
    mkdir -p "$directory/context/1/app"
    ln "$directory/rootfs/app/large" "$directory/context/1/app/large"
    printf 'FROM scratch\nCOPY 1 /\nCMD ["/app/run"]\n' >"$directory/context/Dockerfile"
}
