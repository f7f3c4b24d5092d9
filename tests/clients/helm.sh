# shellcheck shell=bash
# helm: charts. Sourced.

helm_prepare() {
    HELM_HOME=$WORK/helm
    mkdir -p "$HELM_HOME"/{home,pulled,range,digest,newest,replaced,none}
}

helm_finish() {
    :
}

helm_run() {
    HOME=$HELM_HOME/home HELM_CACHE_HOME=$HELM_HOME/cache HELM_CONFIG_HOME=$HELM_HOME/config \
        HELM_DATA_HOME=$HELM_HOME/data helm "$@"
}

helm_tests() {
    local repository=oci://$REGISTRY/helm/charts output digest version

    step "create, package and push in several versions"
    (cd "$HELM_HOME" && helm_run create sample)
    for version in 0.1.0 0.2.0 1.0.0 1.1.0+build.7; do
        helm_run package "$HELM_HOME/sample" --version "$version" --destination "$HELM_HOME"
        output=$(helm_run push --plain-http "$HELM_HOME/sample-$version.tgz" "$repository" 2>&1)
        digest=$(registry_digest helm/charts/sample "${version/+/_}")
        assert_digest "chart $version" "$digest"
        assert_contains "helm push $version" "$output" "$digest"
        assert_stored_whole helm/charts/sample "${version/+/_}"
    done
    assert_equal "tags" "0.1.0 0.2.0 1.0.0 1.1.0_build.7" "$(registry_tags helm/charts/sample)"
    assert_equal "config type" application/vnd.cncf.helm.config.v1+json \
        "$(registry_manifest helm/charts/sample 1.0.0 | jq --raw-output .config.mediaType)"

    step "pull: by version, by range, by digest, the newest"
    helm_run pull --plain-http "$repository/sample" --version 0.2.0 --destination "$HELM_HOME/pulled"
    assert_same_file "by version" "$HELM_HOME/sample-0.2.0.tgz" "$HELM_HOME/pulled/sample-0.2.0.tgz"
    helm_run pull --plain-http "$repository/sample" --version '^0.1' --destination "$HELM_HOME/range"
    assert_same_file "by range" "$HELM_HOME/sample-0.1.0.tgz" "$HELM_HOME/range/sample-0.1.0.tgz"
    digest=$(registry_digest helm/charts/sample 1.0.0)
    helm_run pull --plain-http "$repository/sample@$digest" --destination "$HELM_HOME/digest"
    assert_same_file "by digest" "$HELM_HOME/sample-1.0.0.tgz" "$HELM_HOME/digest/"sample*.tgz
    helm_run pull --plain-http "$repository/sample" --destination "$HELM_HOME/newest"
    assert_same_file "the newest" "$HELM_HOME/sample-1.1.0+build.7.tgz" "$HELM_HOME/newest/sample-1.1.0+build.7.tgz"

    step "use it where it is"
    assert_contains "show chart" "$(helm_run show chart --plain-http "$repository/sample" --version 1.0.0)" "version: 1.0.0"
    assert_equal "template" \
        "$(helm_run template release "$HELM_HOME/sample-1.0.0.tgz")" \
        "$(helm_run template release --plain-http "$repository/sample" --version 1.0.0)"

    step "as a dependency"
    (cd "$HELM_HOME" && helm_run create parent)
    printf 'dependencies:\n  - name: sample\n    version: 1.0.0\n    repository: %s\n' "$repository" >>"$HELM_HOME/parent/Chart.yaml"
    helm_run dependency update --plain-http "$HELM_HOME/parent"
    assert_same_file "dependency" "$HELM_HOME/sample-1.0.0.tgz" "$HELM_HOME/parent/charts/sample-1.0.0.tgz"

    step "the same version again with other content, and what is not there"
    echo 'replicas: 3' >"$HELM_HOME/sample/values-more.yaml"
    helm_run package "$HELM_HOME/sample" --version 1.0.0 --destination "$HELM_HOME/again"
    helm_run push --plain-http "$HELM_HOME/again/sample-1.0.0.tgz" "$repository"
    helm_run pull --plain-http "$repository/sample" --version 1.0.0 --destination "$HELM_HOME/replaced"
    assert_same_file "the tag moved" "$HELM_HOME/again/sample-1.0.0.tgz" "$HELM_HOME/replaced/sample-1.0.0.tgz"
    assert_fails "an unknown version" helm_run pull --plain-http "$repository/sample" --version 9.9.9 --destination "$HELM_HOME/none"
}
