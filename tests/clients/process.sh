# shellcheck shell=bash
# Ends what a test has started. Sourced.

# stop_process <pid, or nothing>: SIGTERM, and SIGKILL after twenty seconds. Only for
# children of this shell.
stop_process() {
    local pid=$1
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    for _ in {1..200}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# remove_directory <directory>: also when something is mounted below it.
remove_directory() {
    local mounted
    while IFS= read -r mounted; do
        umount --lazy "$mounted" 2>/dev/null || true
    done < <(awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort --reverse)
    rm -rf "$1"
}
