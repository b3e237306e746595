#!/usr/bin/env bash
# How time and memory grow with the data: draws synthetic interactions, trains
# one epoch on them and judges the result, for each size in turn, and prints
# one table of seconds and bytes for each interaction.
#
#     bash scripts/bench/growth.sh                       # 1 M, 10 M and 100 M
#     bash scripts/bench/growth.sh 1000000 10000000
#     RECSYS=path/to/recsys WORK=/big/disk bash scripts/bench/growth.sh
#
# Every hundred interactions bring a user; the catalog has 10,000 items at
# every size, so that evaluation, too, grows with the interactions alone. The
# time of a stage goes from one line that the program says to another, and its
# peak is the process's largest resident set until then (Linux only). `ingest`
# is hash, read, clean, encode, cache and split; `keep` writes the run
# directory; `evaluate` ranks all items for every user with held-out items,
# for the model and for popularity.
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${RECSYS:-}" ]; then
    cargo build --release --locked --bin recsys
    RECSYS="${CARGO_TARGET_DIR:-target}/release/recsys"
fi
RECSYS="$(realpath "$RECSYS")"
work="$(mktemp -d -p "${WORK:-${TMPDIR:-/tmp}}")"
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ $# -eq 0 ]; then
    set -- 1000000 10000000 100000000
fi

peak_kib() {
    awk '/VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null || true
}

# stages PID BEGUN: reads what the program says, and prints `stage seconds
# peak-KiB` at the end of each stage.
stages() {
    local line stage now peak=0 last="$2" seen
    mark() {
        now=$(date +%s.%N)
        seen=$(peak_kib "$1")
        peak=${seen:-$peak}
        echo "$2 $(echo "$now - $last" | bc) $peak"
        last=$now
    }
    while IFS= read -r line; do
        case "$line" in
            "split "*) mark "$1" ingest ;;
            "run "*) mark "$1" keep ;;
            "epoch 1/1"*"interactions/s"*) [ "$line" != "${line%step*}" ] || mark "$1" epoch ;;
        esac
        echo "$line" >&2
    done
    mark "$1" evaluate
}

for interactions in "$@"; do
    echo "== $interactions interactions" >&2
    begun=$(date +%s.%N)
    "$RECSYS" data synth data --users $((interactions / 100)) --items 10000 \
        --interactions "$interactions" --no-features --ceiling-users 0 >&2
    echo "$interactions synth $(echo "$(date +%s.%N) - $begun" | bc) 0" >> table
    mkfifo said
    begun=$(date +%s.%N)
    "$RECSYS" train --config data/config.toml --device cpu --output run \
        --set 'evaluation.baselines=["popularity"]' \
        --set training.epochs=1 --set training.validate_every=0 \
        --set training.batch_size=8192 --set 'evaluation.metrics=["ndcg"]' \
        --set 'evaluation.cutoffs=[10]' \
        2> said > report &
    pid=$!
    stages "$pid" "$begun" < said | sed "s/^/$interactions /" >> table
    wait "$pid"
    # The program's own last word: the stages cannot see beyond their lines.
    peak=$(grep -o '"peak_memory_bytes": *[0-9]*' run/run.json | grep -o '[0-9]*$')
    echo "$interactions whole 0 $((peak / 1024))" >> table
    grep '^ndcg' report >&2
    rm -rf data run runs report said
done

awk '
    BEGIN {
        print "interactions  stage      seconds  us/interaction  peak MiB  bytes/interaction"
    }
    {
        total[$1] += $2 == "synth" ? 0 : $3
        seconds = $2 == "whole" ? total[$1] : $3
        bytes = $4 ? sprintf("%8.0f  %17.1f", $4 / 1024, $4 * 1024 / $1) : ""
        printf "%12d  %-8s  %8.1f  %14.3f  %s\n", $1, $2, seconds, seconds * 1e6 / $1, bytes
    }' table
