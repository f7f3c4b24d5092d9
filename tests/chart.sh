#!/usr/bin/env bash
# The Helm chart: linted, rendered over many values, compared with what was reviewed, and
# installed into a real Kubernetes API server.
#
#   bash tests/chart.sh            everything
#   bash tests/chart.sh update     writes the golden renders and the chart's README anew
#
# tests/chart/cases/<case>.yaml are values, tests/chart/golden/<case>.yaml what the chart
# makes of them. Needs what tests/install.sh installs, and the release binary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/.." && pwd)
chart=$repository/deploy/helm/octoserve
binary=${OCTOSERVE_BINARY:-${CARGO_TARGET_DIR:-$repository/target}/release/octoserve}
cases=$here/chart/cases
golden=$here/chart/golden
# What `helm template` pretends to talk to; helm that go built would say 1.20.
kubernetes=1.37.2

# shellcheck source=server.sh
source "$here/server.sh"
# shellcheck source=clients/assert.sh
source "$here/clients/assert.sh"
# shellcheck source=clients/process.sh
source "$here/clients/process.sh"
# shellcheck source=clients/registry.sh
source "$here/clients/registry.sh"
# shellcheck source=chart/cluster.sh
source "$here/chart/cluster.sh"

PATH=$(bash "$here/install.sh" path):$PATH
export PATH
WORK=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-chart.XXXXXX")
export HELM_CACHE_HOME=$WORK/helm/cache HELM_CONFIG_HOME=$WORK/helm/config HELM_DATA_HOME=$WORK/helm/data
unset KUBECONFIG
finish() {
    local status=$?
    cluster_stop
    server_stop || status=1
    remove_directory "$WORK"
    exit "$status"
}
trap finish EXIT

for tool in helm helm-docs jq curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run bash tests/install.sh"
done

# render <values file> [<helm template's options ...>]
render() {
    local values=$1
    shift
    helm template octoserve "$chart" --namespace registry --kube-version "$kubernetes" --values "$values" "$@"
}

# The chart's README as helm-docs makes it.
make_readme() {
    helm-docs --chart-search-root "$chart" --sort-values-order file --log-level warning --dry-run
}

if [[ ${1:-} == update ]]; then
    for values in "$cases"/*.yaml; do
        render "$values" >"$golden/$(basename "$values")"
    done
    make_readme >"$chart/README.md"
    exit
fi

for tool in etcd kube-apiserver openssl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run bash tests/install.sh"
done
[[ -x $binary ]] || fail "no binary at $binary: run bash tests/run.sh release"

# The config.json in a rendered ConfigMap.
config_of() {
    sed --quiet '/^  config.json: |$/,/^[^ ]/ s/^    //p' "$1"
}

# assert_config_accepted <what> <rendered ConfigMap>
assert_config_accepted() {
    config_of "$2" >"$WORK/config.json"
    # From a clean environment: only the file counts.
    env --ignore-environment "$binary" --config "$WORK/config.json" check-config >"$WORK/checked.json" 2>"$WORK/problems.txt" ||
        fail "$1: octoserve refuses its configuration: $(cat "$WORK/problems.txt")"
    passed
}

# assert_refused <what> <part of the message> <helm template's options ...>
assert_refused() {
    local what=$1 part=$2 output
    shift 2
    if output=$(render "$cases/defaults.yaml" "$@" 2>&1); then
        fail "$what was rendered"
    fi
    assert_contains "$what" "$output" "$part"
}

step "lint"
for values in "$cases"/*.yaml; do
    helm lint --strict --quiet --kube-version "$kubernetes" "$chart" --values "$values"
    passed
done

assert_equal "appVersion" "$(sed --quiet 's/^version = "\(.*\)"$/\1/p' "$repository/Cargo.toml" | head -n 1)" \
    "$(helm show chart "$chart" | sed --quiet 's/^appVersion: //p')"

step "golden renders"
for values in "$cases"/*.yaml; do
    name=$(basename "$values")
    render "$values" >"$WORK/$name"
    diff --unified "$golden/$name" "$WORK/$name" ||
        fail "$name renders otherwise than reviewed; if it is meant: bash tests/chart.sh update"
    passed
done

step "the README's table"
make_readme >"$WORK/README.md"
diff --unified "$chart/README.md" "$WORK/README.md" || fail "README.md is not of values.yaml: bash tests/chart.sh update"
passed

step "octoserve accepts every config.json that is made"
for values in "$cases"/*.yaml; do
    assert_config_accepted "$(basename "$values")" "$WORK/$(basename "$values")"
done
# Every combination of what changes config.json.
for store in storage.type=filesystem "storage.type=s3,storage.s3.bucket=images,storage.s3.region=eu"; do
    for tls in "" tls.existingSecret=tls; do
        for metrics in metrics.enabled=false metrics.enabled=true,metrics.port=9999; do
            for more in "" config.server.address=:: config.collect.grace=48h,shutdown.drainSeconds=5; do
                set="$store,$metrics${tls:+,$tls}${more:+,$more}"
                render "$cases/defaults.yaml" --set "$set" --show-only templates/configmap.yaml >"$WORK/configmap.yaml"
                assert_config_accepted "$set" "$WORK/configmap.yaml"
            done
        done
    done
done

step "values that cannot work are refused"
assert_refused "a misspelt value" "replicas" --set replicas=3
assert_refused "a misspelt value further in" "repo" --set image.repo=octoserve
assert_refused "a storage type that there is not" "storage" --set storage.type=nfs
assert_refused "a digest that is none" "digest" --set image.digest=sha256:12
assert_refused "metrics on the registry's port" "port" --set metrics.port=5000
assert_refused "a port that the chart sets" "service.port" --set config.server.port=80
assert_refused "a drain time beside shutdown.drainSeconds" "shutdown.drainSeconds" --set config.server.drain_timeout=5m
assert_refused "a store beside storage.type" "storage.type" --set config.storage.type=s3
assert_refused "a secret in a ConfigMap" "secretEnv" --set storage.s3.secret_access_key=secret
assert_refused "a metrics port beside metrics.port" "metrics.enabled" --set config.telemetry.metrics.port=9091
assert_refused "a HorizontalPodAutoscaler of one volume" "storage.type=s3" --set autoscaling.enabled=true
assert_refused "a ServiceMonitor without metrics" "metrics.enabled" --set serviceMonitor.enabled=true
assert_refused "an Ingress without a host" "ingress.hosts" --set ingress.enabled=true
assert_refused "a route to no Gateway" "httpRoute.parentRefs" --set httpRoute.enabled=true
assert_refused "an old Kubernetes" "1.29" --kube-version 1.29.0

step "the chart in the registry that it installs"
server_start "$WORK/server"
version=$(helm show chart "$chart" | awk '$1 == "version:" { print $2 }')
helm package "$chart" --destination "$WORK" >/dev/null
helm push --plain-http "$WORK/octoserve-$version.tgz" "oci://$REGISTRY/charts" 2>&1
assert_stored_whole charts/octoserve "$version"
mkdir "$WORK/pulled"
helm pull --plain-http "oci://$REGISTRY/charts/octoserve" --version "$version" --destination "$WORK/pulled" 2>&1
assert_same_file "the chart that was pulled" "$WORK/octoserve-$version.tgz" "$WORK/pulled/octoserve-$version.tgz"
assert_equal "files that are not for users" "" \
    "$(tar --list --file "$WORK/pulled/octoserve-$version.tgz" | grep -E 'gotmpl$' || true)"
# From here on, what was pulled is what is installed.
pulled=oci://$REGISTRY/charts/octoserve
server_version=$version

step "a Kubernetes API server"
definitions=$(bash "$here/install.sh" definitions)
cluster_start "$WORK/cluster" "$definitions"/*.yaml
jq --null-input '{metadata: {name: "registry", labels: {
    "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}}' >"$WORK/namespace.json"
cluster POST /api/v1/namespaces application/json "$WORK/namespace.json" >/dev/null
# What controllers do in a cluster.
jq --null-input '{metadata: {name: "default"}}' >"$WORK/account.json"
cluster POST /api/v1/namespaces/registry/serviceaccounts application/json "$WORK/account.json" >/dev/null
jq --null-input '{metadata: {name: "fast"}, provisioner: "example.org/fast", allowVolumeExpansion: true}' >"$WORK/class.json"
cluster POST /apis/storage.k8s.io/v1/storageclasses application/json "$WORK/class.json" >/dev/null

# helm_release install|upgrade <release> <values file> [<options ...>]
helm_release() {
    local verb=$1 release=$2 values=$3
    shift 3
    helm "$verb" "$release" "$pulled" --plain-http --version "$server_version" --namespace registry --values "$values" "$@" \
        >"$WORK/helm.out" 2>"$WORK/helm.err" || fail "helm $verb $release: $(cat "$WORK/helm.err")"
}

assert_no_warnings() {
    # Of these helm always speaks.
    assert_equal "warnings of $1" "" "$(grep -vE '^(Pulled|Digest): ' "$WORK/helm.err" || true)"
}

# workload <release>: its StatefulSet or Deployment.
workload() {
    local selector="labelSelector=app.kubernetes.io/instance%3D$1"
    {
        cluster GET "/apis/apps/v1/namespaces/registry/statefulsets?$selector"
        cluster GET "/apis/apps/v1/namespaces/registry/deployments?$selector"
    } | jq --slurp '[.[].items[]] | if length == 1 then .[0] else error("there are \(length)") end'
}

# admit_pod <file>: the answer to the pod that a controller would make of a workload.
admit_pod() {
    jq '.spec.template | .apiVersion = "v1" | .kind = "Pod" | .metadata.name = "pod"' "$1" >"$WORK/pod.json"
    cluster POST "/api/v1/namespaces/registry/pods?dryRun=All&fieldValidation=Strict" application/json "$WORK/pod.json"
}

step "every case is installed, and its pods are admitted under the restricted standard"
for values in "$cases"/*.yaml; do
    name=$(basename "$values" .yaml)
    helm_release install "$name" "$values"
    assert_no_warnings "$name"
    assert_contains "the notes of $name" "$(cat "$WORK/helm.out")" "docker push"
    workload "$name" >"$WORK/workload.json"
    admit_pod "$WORK/workload.json" >"$WORK/admitted.json" || fail "$name: the pod is refused: $(cat "$WORK/admitted.json")"
    passed
    # The pod has to outlive what it does before it ends.
    jq --exit-status '.spec
        | (.containers[0].lifecycle.preStop.sleep.seconds // 0) as $wait
        | .terminationGracePeriodSeconds > $wait' "$WORK/admitted.json" >/dev/null || fail "$name: killed while it waits"
    drain=$(config_of "$golden/$name.yaml" | jq --raw-output '.server.drain_timeout | rtrimstr("s")')
    jq --exit-status --argjson drain "$drain" '.spec
        | .terminationGracePeriodSeconds > (.containers[0].lifecycle.preStop.sleep.seconds // 0) + $drain' \
        "$WORK/admitted.json" >/dev/null || fail "$name: killed while it drains"
    passed
    helm get hooks "$name" --namespace registry >"$WORK/hooks.yaml"
    if grep --quiet '^kind: Pod' "$WORK/hooks.yaml"; then
        cluster POST "/api/v1/namespaces/registry/pods?dryRun=All&fieldValidation=Strict" application/yaml "$WORK/hooks.yaml" \
            >"$WORK/admitted.json" || fail "$name: the pod of helm test is refused: $(cat "$WORK/admitted.json")"
        passed
    fi
done

step "the standard is enforced: what is less strict is warned of, and its pods are refused"
helm_release install loose "$cases/defaults.yaml" --set securityContext.allowPrivilegeEscalation=true
assert_contains "warning" "$(cat "$WORK/helm.err")" "would violate PodSecurity"
workload loose >"$WORK/workload.json"
if admit_pod "$WORK/workload.json" >"$WORK/admitted.json" 2>/dev/null; then
    fail "a pod that may escalate its privileges was admitted"
fi
assert_contains "refusal" "$(cat "$WORK/admitted.json")" 'violates PodSecurity'

step "an upgrade rolls the pods if, and only if, something has changed"
generation() { workload "$1" | jq .metadata.generation; }
for name in defaults bucket-full; do
    before=$(generation "$name")
    helm_release upgrade "$name" "$cases/$name.yaml"
    assert_equal "$name: generation after an upgrade to the same" "$before" "$(generation "$name")"
    helm_release upgrade "$name" "$cases/$name.yaml" --set config.logging.level=debug
    ((before < $(generation "$name"))) || fail "$name: another configuration rolls nothing"
    passed
done
before=$(generation bucket-full)
helm_release upgrade bucket-full "$cases/bucket-full.yaml" --set config.logging.level=debug --set secretEnv.AWS_ACCESS_KEY_ID=other
((before < $(generation bucket-full))) || fail "another secret rolls nothing"
passed
helm rollback bucket-full 1 --namespace registry >/dev/null 2>&1
assert_equal "level after the rollback" null \
    "$(cluster GET /api/v1/namespaces/registry/configmaps/bucket-full-octoserve | jq '.data["config.json"] | fromjson | .logging.level')"

step "a volume grows by an upgrade, and outlives its release"
claim=/api/v1/namespaces/registry/persistentvolumeclaims/registry
# What a provisioner does.
printf '{"spec": {"volumeName": "volume"}}' >"$WORK/patch.json"
cluster PATCH "$claim" application/merge-patch+json "$WORK/patch.json" >/dev/null
printf '{"status": {"phase": "Bound", "capacity": {"storage": "200Gi"}, "accessModes": ["ReadWriteOncePod"]}}' >"$WORK/patch.json"
cluster PATCH "$claim/status" application/merge-patch+json "$WORK/patch.json" >/dev/null
helm_release upgrade volume "$cases/volume.yaml" --set storage.persistence.size=300Gi
assert_equal "size of the claim" 300Gi "$(cluster GET "$claim" | jq --raw-output .spec.resources.requests.storage)"
helm uninstall volume --namespace registry >/dev/null 2>&1
assert_equal "claim after the release" Bound "$(cluster GET "$claim" | jq --raw-output .status.phase)"
assert_equal "workloads after the release" 0 \
    "$(cluster GET "/apis/apps/v1/namespaces/registry/statefulsets?labelSelector=app.kubernetes.io/instance%3Dvolume" | jq '.items | length')"
helm_release install volume "$cases/volume.yaml" --set storage.persistence.size=300Gi
assert_equal "volume of the next release" volume "$(cluster GET "$claim" | jq --raw-output .spec.volumeName)"

printf '%d checks hold\n' "$CHECKS"
