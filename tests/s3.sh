#!/usr/bin/env bash
# Runs the tests that need a bucket, against two S3 servers of different makes.
#
#   bash tests/s3.sh [versitygw | minio] ...
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR
source tests/server.sh
# shellcheck source-path=SCRIPTDIR
source tests/bucket.sh

work=$(mktemp -d "${TMPDIR:-/tmp}/octoserve-s3.XXXXXX")
finish() {
    bucket_stop
    rm -rf "$work"
}
trap finish EXIT

if (($# == 0)); then
    set -- versitygw minio
fi
for server in "$@"; do
    echo "== $server"
    bucket_start "$server" "$work/$server"
    cargo test --locked --test contract s3:: -- --ignored
    bucket_stop
done
