#!/usr/bin/env bash
# Installs what the tests need beyond Rust and Go, as far as it is missing.
#
#   bash tests/install.sh            packages, then tools and cluster
#   bash tests/install.sh packages   Debian packages; needs root
#   bash tests/install.sh tools      Go programs, built into the cache
#   bash tests/install.sh cluster    a Kubernetes API server and what it is to know, likewise
#   bash tests/install.sh path       prints the directories of those programs, as for PATH
#   bash tests/install.sh definitions   prints the directory of Kubernetes' custom resource
#                                    definitions, a YAML file each
#
# The cache is $OCTOSERVE_TEST_CACHE, or octoserve-tests below $XDG_CACHE_HOME or ~/.cache.
# Every program lies in a directory named for its version, so a new pin is a new build.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${OCTOSERVE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/octoserve-tests}

packages=(
    # clients
    docker.io podman buildah skopeo umoci containerd
    # what podman, buildah and docker want but only recommend
    crun uidmap fuse-overlayfs iptables
    # peers of the benchmark
    nginx docker-registry
    # for the image: compose, the base of its build stage, its name server
    docker-compose busybox-static dnsmasq-base
    # what a Kubernetes API server stores in
    etcd-server
    # what the scripts call
    ca-certificates curl jq openssl procps shellcheck
    # file systems of their own, to be filled
    e2fsprogs mount
    # libFuzzer, which the fuzz targets are linked with, is C++
    g++
)

# Name, package and version. The conformance suite serves the specification's versions
# 1.1 and dev; it has no tags of its own, so this is the main branch at a commit.
tools=(
    "oras oras.land/oras/cmd/oras v1.3.6"
    "crane github.com/google/go-containerregistry/cmd/crane v0.22.1"
    "regctl github.com/regclient/regclient/cmd/regctl v0.11.7"
    "helm helm.sh/helm/v3/cmd/helm v3.22.0"
    "helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs v1.14.2"
    "conformance github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111"
    # S3 servers that write on a condition. MinIO's releases have no versions of Go's kind,
    # so this is its last commit.
    "versitygw github.com/versity/versitygw/cmd/versitygw v1.8.0"
    "minio github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c"
)

# A Kubernetes API server and custom resource definitions: tests/chart/go.mod pins them.
cluster=$repository/tests/chart

# The suite's former shape, a test of Go's: tests/conformance/go.mod pins it.
legacy=$repository/tests/conformance

legacy_version() {
    awk '$1 == "github.com/opencontainers/distribution-spec/conformance" { print $2 }' "$legacy/go.mod"
}

cluster_version() {
    awk '$1 == "k8s.io/kubernetes" { print $2 }' "$cluster/go.mod"
}

# The versions of all that the definitions are made from and by.
definitions_version() {
    awk '$1 ~ /(gateway-api|apis\/monitoring|controller-tools)$/ && $2 ~ /^v/ { version = version "-" $2 } END { print substr(version, 2) }' \
        "$cluster/go.mod"
}

tool_directory() {
    printf '%s/%s-%s\n' "$cache" "$1" "$2"
}

install_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d made=""
    for package in "${packages[@]}"; do
        if [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    echo "installing ${missing[*]}"
    if [[ $(id -u) != 0 ]]; then
        echo "installing packages needs root: run as root, or install these yourself" >&2
        return 1
    fi
    # Some of these start a daemon once installed, on ports 80 and 5000 even. Not here.
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=$policy
    fi
    local status=0
    apt_get update || echo "apt-get update failed; trying with the lists at hand" >&2
    apt_get install --yes --no-install-recommends "${missing[@]}" || status=$?
    if [[ -n $made ]]; then
        rm "$made"
    fi
    return "$status"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Tries three times: a fresh machine fetches some hundred modules.
with_retries() {
    local attempt
    for attempt in 1 2 3; do
        if "$@"; then
            return
        fi
        echo "attempt $attempt of $1 $2 failed" >&2
        sleep "$((attempt * 5))"
    done
    return 1
}

require_go() {
    command -v go >/dev/null || {
        echo "go is missing: install Go 1.26 or newer (https://go.dev/dl)" >&2
        return 1
    }
    mkdir -p "$cache"
}

install_tools() {
    local tool name package version directory
    require_go
    # One installer at a time: two would tear down each other's builds.
    exec {lock}>"$cache/lock"
    flock "$lock"
    for tool in "${tools[@]}"; do
        read -r name package version <<<"$tool"
        directory=$(tool_directory "$name" "$version")
        if [[ -x $directory/$name ]]; then
            continue
        fi
        echo "building $name $version"
        # Built beside and renamed, so that a broken build leaves nothing that looks whole.
        rm -rf "$directory.new"
        mkdir "$directory.new"
        GOBIN=$directory.new with_retries go install -trimpath "$package@$version"
        rm -rf "$directory"
        mv "$directory.new" "$directory"
    done
    version=$(legacy_version)
    directory=$(tool_directory conformance-legacy "$version")
    if [[ ! -x $directory/conformance-legacy ]]; then
        echo "building conformance-legacy $version"
        rm -rf "$directory.new"
        mkdir "$directory.new"
        (
            cd "$legacy"
            with_retries go test -c -o "$directory.new/conformance-legacy" \
                github.com/opencontainers/distribution-spec/conformance
        )
        rm -rf "$directory"
        mv "$directory.new" "$directory"
    fi
}

install_cluster() {
    local directory
    require_go
    exec {lock}>"$cache/lock-cluster"
    flock "$lock"
    directory=$(tool_directory kube-apiserver "$(cluster_version)")
    if [[ ! -x $directory/kube-apiserver ]]; then
        echo "building kube-apiserver $(cluster_version)"
        rm -rf "$directory.new"
        mkdir "$directory.new"
        (
            cd "$cluster"
            # Helm asks it for its version.
            with_retries go build -trimpath \
                -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$(cluster_version)" -o "$directory.new/kube-apiserver" \
                k8s.io/kubernetes/cmd/kube-apiserver
        )
        rm -rf "$directory"
        mv "$directory.new" "$directory"
    fi
    directory=$(tool_directory definitions "$(definitions_version)")
    if [[ ! -d $directory ]]; then
        echo "making the definitions of custom resources"
        rm -rf "$directory.new"
        mkdir "$directory.new"
        (
            cd "$cluster"
            with_retries go mod download sigs.k8s.io/gateway-api
            cp "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml" \
                "$directory.new"
            # The operator's own are in no module; its types are, with all that makes them.
            with_retries go tool controller-gen crd \
                paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 \
                "output:crd:dir=$directory.new/all"
            mv "$directory.new/all/monitoring.coreos.com_servicemonitors.yaml" "$directory.new"
            rm -r "$directory.new/all"
        )
        chmod -R u+w "$directory.new"
        rm -rf "$directory"
        mv "$directory.new" "$directory"
    fi
}

print_path() {
    local tool name package version path
    path=$(tool_directory conformance-legacy "$(legacy_version)")
    path+=:$(tool_directory kube-apiserver "$(cluster_version)")
    for tool in "${tools[@]}"; do
        read -r name package version <<<"$tool"
        path+=:$(tool_directory "$name" "$version")
    done
    printf '%s\n' "$path"
}

case ${1:-all} in
all)
    install_packages
    install_tools
    install_cluster
    ;;
packages) install_packages ;;
tools) install_tools ;;
cluster) install_cluster ;;
path) print_path ;;
definitions) tool_directory definitions "$(definitions_version)" ;;
*)
    echo "usage: bash tests/install.sh [packages | tools | cluster | path | definitions]" >&2
    exit 2
    ;;
esac
