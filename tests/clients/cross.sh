# shellcheck shell=bash
# What one client pushes every other one pulls, under the digest that the registry gave
# it and with the same files. Sourced after all the clients.

CROSS_CLIENTS=(docker podman skopeo buildah containerd oras crane regctl)

cross_prepare() {
    local client
    for client in "${CROSS_CLIENTS[@]}"; do
        "${client}_prepare"
    done
}

cross_finish() {
    local client
    for client in "${CROSS_CLIENTS[@]}"; do
        "${client}_finish"
    done
}

cross_tests() {
    local pusher puller digest pulled=$WORK/cross
    mkdir -p "$pulled"
    for pusher in "${CROSS_CLIENTS[@]}"; do
        step "pushed by $pusher"
        "${pusher}_push" "$IMAGES/layers" v1 "cross/$pusher:v1"
        assert_stored_whole "cross/$pusher" v1
        digest=$(registry_digest "cross/$pusher" v1)
        for puller in "${CROSS_CLIENTS[@]}"; do
            step "pushed by $pusher, pulled by $puller"
            rm -rf "${pulled:?}/files"
            "${puller}_pull" "cross/$pusher:v1" "$pulled/digest" "$pulled/files"
            assert_equal "digest from $pusher to $puller" "$digest" "$(<"$pulled/digest")"
            assert_same_tree "files from $pusher to $puller" "$IMAGES/rootfs/app" "$pulled/files/app"
        done
    done
}
