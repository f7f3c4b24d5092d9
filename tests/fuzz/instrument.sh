#!/usr/bin/env bash
# Stands before rustc when the fuzz targets are built, and has coverage counters
# put into the packages whose decisions are fuzzed. In all others they would cost
# minutes of building and guide nothing. The flags are stable ones, and those
# that libFuzzer guides itself by.
set -euo pipefail

flags=()
case ${CARGO_PKG_NAME:-} in
octoserve | octoserve-fuzz | bytesize | config | http-range-header | humantime | percent-encoding | serde_json)
    if [[ " $* " != *' --crate-name build_script_build '* ]]; then
        flags=(
            -Cpasses=sancov-module
            -Cllvm-args=-sanitizer-coverage-level=4
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
            -Cllvm-args=-sanitizer-coverage-pc-table
            -Cllvm-args=-sanitizer-coverage-trace-compares
        )
    fi
    ;;
esac
exec "$@" "${flags[@]}"
