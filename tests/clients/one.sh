#!/usr/bin/env bash
# Runs one client's tests: started by all.sh, which sets REGISTRY (host:port), IMAGES
# (made by images.sh) and WORK (an empty directory that is removed at the end).
set -euo pipefail

client=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${REGISTRY:?is set by all.sh}" "${IMAGES:?is set by all.sh}" "${WORK:?is set by all.sh}"

# Everything that a client keeps goes below WORK, temporary files too.
export TMPDIR=$WORK/tmp
mkdir -p "$TMPDIR"
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME DOCKER_HOST DOCKER_CONFIG REGISTRY_AUTH_FILE

# shellcheck source-path=SCRIPTDIR
for part in assert registry images process docker podman buildah skopeo containerd oras crane regctl helm cross; do
    # shellcheck source=/dev/null
    source "$here/$part.sh"
done

finish() {
    local status=$?
    "${client}_finish" || status=1
    remove_directory "$WORK" || status=1
    exit "$status"
}
trap finish EXIT

"${client}_prepare"
"${client}_tests"
printf '%s checks\n' "$CHECKS"
