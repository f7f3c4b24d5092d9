# shellcheck shell=bash
# Starts and stops an S3 server with an empty bucket for a test. Sourced, after server.sh.
# Sets and exports what the tests need of it:
#
#   bucket_start <server> <directory>   versitygw or minio, with fresh data in the directory
#   bucket_stop
#
# OCTOSERVE_TEST_S3_ENDPOINT, _BUCKET, _ACCESS_KEY and _SECRET_KEY. Both servers enforce
# If-None-Match and If-Match on PutObject, and everything stays on 127.0.0.1.

BUCKET_PID=""
BUCKET_LOG=""

bucket_start() {
    local server=$1 directory=$2 port arguments
    mkdir -p "$directory/data"
    port=$(server_free_port)
    BUCKET_LOG=$directory/$server.log
    export OCTOSERVE_TEST_S3_ENDPOINT=http://127.0.0.1:$port
    export OCTOSERVE_TEST_S3_BUCKET=octoserve
    export OCTOSERVE_TEST_S3_ACCESS_KEY=octoserve-test
    export OCTOSERVE_TEST_S3_SECRET_KEY=octoserve-test-secret
    case $server in
    versitygw) arguments=(--port "127.0.0.1:$port" --keep-alive --quiet posix "$directory/data") ;;
    minio) arguments=(server --address "127.0.0.1:$port" --console-address 127.0.0.1:0 "$directory/data") ;;
    *)
        echo "no S3 server is called $server" >&2
        return 2
        ;;
    esac
    PATH=$(bash "$(dirname "${BASH_SOURCE[0]}")/install.sh" path):$PATH \
        ROOT_ACCESS_KEY=$OCTOSERVE_TEST_S3_ACCESS_KEY \
        ROOT_SECRET_KEY=$OCTOSERVE_TEST_S3_SECRET_KEY \
        MINIO_ROOT_USER=$OCTOSERVE_TEST_S3_ACCESS_KEY \
        MINIO_ROOT_PASSWORD=$OCTOSERVE_TEST_S3_SECRET_KEY \
        MINIO_BROWSER=off MINIO_UPDATE=off \
        "$server" "${arguments[@]}" >"$BUCKET_LOG" 2>&1 &
    BUCKET_PID=$!
    for _ in {1..150}; do
        if bucket_create; then
            return
        fi
        if ! kill -0 "$BUCKET_PID" 2>/dev/null; then
            break
        fi
        sleep 0.2
    done
    echo "$server did not make a bucket on 127.0.0.1:$port; its log:" >&2
    cat "$BUCKET_LOG" >&2
    bucket_stop
    return 1
}

# Makes the bucket, as far as the server answers.
bucket_create() {
    local nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    curl --silent --fail --output /dev/null --request PUT \
        --aws-sigv4 aws:amz:us-east-1:s3 \
        --user "$OCTOSERVE_TEST_S3_ACCESS_KEY:$OCTOSERVE_TEST_S3_SECRET_KEY" \
        --header "x-amz-content-sha256: $nothing" \
        "$OCTOSERVE_TEST_S3_ENDPOINT/$OCTOSERVE_TEST_S3_BUCKET"
}

bucket_stop() {
    if [[ -n $BUCKET_PID ]]; then
        kill -TERM "$BUCKET_PID" 2>/dev/null || true
        wait "$BUCKET_PID" 2>/dev/null || true
        BUCKET_PID=""
    fi
}
