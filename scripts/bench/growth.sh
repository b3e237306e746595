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
# is hash, read, clean, encode, cache and split; `evaluate` ranks all items for
# every user with held-out items, for the model and for popularity, and computes
# the metrics; `report` is intervals, groups, map and pages; `keep` writes what
# the run directory holds beside the report: the split, the last checkpoint, the
# model and the scores of users. `learn` is ingest, epoch and evaluate together,
# `whole` everything. Up to 1 M interactions it is the round of five with the
# median peak, which there differs by a few MiB from run to run. Core seconds are
# those of all threads, which other work on the machine changes less. `net` is
# the peak less that of the same commands on 10,000 interactions, which hold
# what does not grow: the program, the catalog, a full batch and the report. What
# each further interaction takes, from one size to the next, stands below the
# table.
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
# The first of them says what does not grow.
set -- 10000 "$@"

peak_kib() {
    awk '/VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null || true
}

# Core seconds of a process, as long as nobody has waited for it.
core_seconds() {
    awk -v hertz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hertz }' "/proc/$1/stat" \
        2>/dev/null || true
}

# stages PID BEGUN: reads what the program says, and prints `stage seconds
# peak-KiB core-seconds` at the end of each stage.
stages() {
    local line now peak=0 last="$2" seen core before=0
    mark() {
        now=$(date +%s.%N)
        core=$(core_seconds "$1")
        core=${core:-$before}
        seen=$(peak_kib "$1")
        peak=${seen:-$peak}
        echo "$2 $(echo "$now - $last" | bc) $peak $(echo "$core - $before" | bc)"
        last=$now
        before=$core
    }
    while IFS= read -r line; do
        case "$line" in
            "split "*) mark "$1" ingest ;;
            "run "*) mark "$1" keep ;;
            "epoch 1/1"*"interactions/s"*) [ "$line" != "${line%step*}" ] || mark "$1" epoch ;;
            evaluating) mark "$1" keep ;;
            "looking closer") mark "$1" evaluate ;;
            "keeping the scores of users") mark "$1" report ;;
            "writing the report") mark "$1" keep ;;
        esac
        echo "$line" >&2
    done
    mark "$1" report
}

# once INTERACTIONS: draws, trains and judges, and writes the lines of `stages`
# to `lines`; the last one has the peak of all.
once() {
    local interactions="$1" begun pid peak
    begun=$(date +%s.%N)
    "$RECSYS" data synth data --users $((interactions / 100)) --items 10000 \
        --interactions "$interactions" --no-features --ceiling-users 0 >&2
    echo "$interactions synth $(echo "$(date +%s.%N) - $begun" | bc) 0 0" > lines
    mkfifo said
    begun=$(date +%s.%N)
    "$RECSYS" train --config data/config.toml --device cpu --output run \
        --set 'evaluation.baselines=["popularity"]' \
        --set training.epochs=1 --set training.validate_every=0 \
        --set training.batch_size=8192 --set 'evaluation.metrics=["ndcg"]' \
        --set 'evaluation.cutoffs=[10]' \
        2> said > report &
    pid=$!
    stages "$pid" "$begun" < said | sed "s/^/$interactions /" >> lines
    wait "$pid"
    # The program's own last word: the stages cannot see beyond their lines.
    peak=$(grep -o '"peak_memory_bytes": *[0-9]*' run/run.json | grep -o '[0-9]*$')
    echo "$interactions whole 0 $((peak / 1024)) 0" >> lines
    grep '^ndcg' report >&2
    rm -rf data run runs report said
}

for interactions in "$@"; do
    rounds=1
    if [ "$interactions" -le 1000000 ]; then
        rounds=5
    fi
    for round in $(seq $rounds); do
        echo "== $interactions interactions, round $round of $rounds" >&2
        once "$interactions"
        mv lines "$(tail -n 1 lines | awk '{ print $4 }').$round.lines"
    done
    median=$(ls -- *.lines | sort -n | sed -n "$(((rounds + 1) / 2))p")
    cat "$median" >> table
    rm -- *.lines
done

awk '
    NR == 1 { empty = $1 }
    $1 == empty { if ($4 > least) least = $4; next }
    {
        key = $1 " " $2
        if (!seen[key]++) order[++rows] = key
        seconds[key] += $3
        core[key] += $5
        if ($4 > peak[key]) peak[key] = $4
        if ($2 ~ /^(ingest|epoch|evaluate)$/) {
            seconds[$1 " learn"] += $3
            core[$1 " learn"] += $5
            if ($4 > peak[$1 " learn"]) peak[$1 " learn"] = $4
            if (!seen[$1 " learn"]++) order[++rows] = $1 " learn"
        }
        if ($2 != "synth" && $2 != "whole") {
            seconds[$1 " whole"] += $3
            core[$1 " whole"] += $5
        }
    }
    END {
        print "interactions  stage      seconds  us/interaction  core us/interaction  peak MiB  net bytes/interaction"
        for (i = 1; i <= rows; i++) {
            key = order[i]
            split(key, part, " ")
            net = peak[key] > least ? (peak[key] - least) * 1024 / part[1] : 0
            bytes = peak[key] ? sprintf("%8.0f  %21.1f", peak[key] / 1024, net) : ""
            each = 1e6 / part[1]
            printf "%12d  %-8s  %8.1f  %14.3f  %19.3f  %s\n", part[1], part[2], seconds[key], seconds[key] * each, core[key] * each, bytes
        }
        printf "10,000 interactions: %.0f MiB\n", least / 1024
        for (i = 1; i <= rows; i++) {
            split(order[i], part, " ")
            if (part[2] != "whole") continue
            if (before) {
                further = (peak[order[i]] - before_peak) * 1024 / (part[1] - before)
                printf "from %d to %d: %.1f bytes for each further interaction\n", before, part[1], further
            }
            before = part[1]
            before_peak = peak[order[i]]
        }
    }' table
