#!/usr/bin/env bash
# Smoke runs of the real binary on the shipped data: trains on every device,
# evaluates, recommends, kills a training and resumes it.
#
#     bash scripts/smoke.sh             # builds the release binary first
#     RECSYS=path/to/recsys bash scripts/smoke.sh
#
# Ends with `smoke: N passed, N failed`.
set -u
cd "$(dirname "$0")/.." || exit 1
exec </dev/null

if [ -z "${RECSYS:-}" ]; then
    cargo build --release --locked --bin recsys || exit 1
    RECSYS="${CARGO_TARGET_DIR:-target}/release/recsys"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Graphics libraries complain when nobody set this.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}"
config=configs/quickstart.toml
passed=0
failed=0

# ok NAME COMMAND...: one check.
ok() {
    local name="$1"
    shift
    if "$@"; then
        echo "ok      $name"
        passed=$((passed + 1))
    else
        echo "FAILED  $name"
        failed=$((failed + 1))
    fi
}

# recsys SECONDS ARGUMENTS...: with a time limit; says what failed.
recsys() {
    local limit="$1"
    shift
    timeout --kill-after=10 "$limit" "$RECSYS" --quiet "$@" ||
        { echo "exit code $?: recsys $*" >&2; return 1; }
}

# metrics FILE [BASELINE]: `name value` lines of the test metrics in a JSON
# report, of the model or of a baseline.
metrics() {
    tr -d ' \n' <"$1" | awk -v baseline="${2:-}" '{
        from = baseline ? "\"label\":\"" baseline "\"" : "\"metrics\":{"
        text = substr($0, index($0, from) + length(from))
        text = substr(text, index(text, "\"test\":{") + 8)
        text = substr(text, 1, index(text, "}") - 1)
        gsub(/"/, "", text); gsub(/:/, " ", text); gsub(/,/, "\n", text)
        print text
    }'
}

# value FILE METRIC [BASELINE]
value() {
    metrics "$1" "${3:-}" | awk -v metric="$2" '$1 == metric {print $2}'
}

# agree FILE FILE TOLERANCE: the same metrics, no further apart than that.
agree() {
    paste -d ' ' <(metrics "$1") <(metrics "$2") | awk -v tolerance="$3" '
        NF != 4 || $1 != $3 {bad = 1; print "not comparable: " $0}
        {d = $2 - $4; if (d < 0) d = -d; if (d > most) most = d}
        END {
            print "largest difference " most + 0 " over " NR " metrics, allowed " tolerance
            exit !(NR > 0 && !bad && most <= tolerance)
        }'
}

above() {
    echo "$1 against $2"
    awk -v a="$1" -v b="$2" 'BEGIN {exit !(a != "" && b != "" && a > b)}'
}

lines() {
    [ "$(wc -l <"$1")" -eq "$2" ] || { echo "$1 has $(wc -l <"$1") lines, not $2"; return 1; }
}

# losses RUN: the mean training loss of each epoch, in the report's shape.
losses() {
    echo "{\"metrics\":{\"test\":{$(grep -oE '"loss":[^,]*' "$1/metrics.jsonl" | paste -sd ,)}}}"
}

# A training for what needs no quality: three epochs.
small=(--config "$config" --set training.epochs=3 --set training.patience=0 --format json)

main_job() {
    local out="$work/cpu"
    train_quickstart() { recsys 600 train --config "$config" --device cpu --output "$out" --format json >"$work/train.json"; }
    evaluate() { recsys 120 eval --run "$out" --format json >"$work/eval.json"; }
    recommend_user() { recsys 60 recommend --run "$out" --user N14228 --k 5 --format csv >"$work/user.csv" && lines "$work/user.csv" 6; }
    recommend_history() { recsys 60 recommend --run "$out" --history IAH,MIA,BOS --k 5 --format csv >"$work/history.csv" && lines "$work/history.csv" 6; }
    ok "train the quickstart on the CPU" train_quickstart
    ok "it beats popularity (NDCG@10)" above "$(value "$work/train.json" ndcg@10)" "$(value "$work/train.json" ndcg@10 popularity)"
    ok "eval reports what train reported" evaluate
    ok "to the last digit" cmp <(metrics "$work/train.json") <(metrics "$work/eval.json")
    ok "recommend for a known user" recommend_user
    ok "recommend for a history" recommend_history
}

devices() {
    local device
    small_on() { recsys "$2" train "${small[@]}" --device "$1" --output "$work/small-$1" >"$work/small-$1.json"; }
    ok "train a small run on cpu" small_on cpu 300
    ok "train a small run on ndarray" small_on ndarray 300
    ok "its metrics agree with cpu's" agree "$work/small-cpu.json" "$work/small-ndarray.json" 0.01
    ok "its losses agree with cpu's" agree <(losses "$work/small-cpu") <(losses "$work/small-ndarray") 0.0001
    if ! "$RECSYS" devices 2>/dev/null | grep -qiE 'vulkan|metal|dx12|gl'; then
        echo "skipped wgpu: no adapter here, not even a software one"
        return
    fi
    # The first step compiles and tunes its kernels, which takes a while.
    ok "train a small run on wgpu" small_on wgpu 900
    ok "its metrics agree with cpu's" agree "$work/small-cpu.json" "$work/small-wgpu.json" 0.01
    ok "its losses agree with cpu's" agree <(losses "$work/small-cpu") <(losses "$work/small-wgpu") 0.001
    on_wgpu() { recsys 600 eval --run "$work/small-wgpu" --device wgpu --format json >"$work/eval-wgpu.json"; }
    ok "evaluate on wgpu" on_wgpu
    ok "as train did" agree "$work/small-wgpu.json" "$work/eval-wgpu.json" 0.000001
    recommend_wgpu() { recsys 600 recommend --run "$work/small-wgpu" --device wgpu --user N14228 --k 5 --format csv >"$work/wgpu.csv" && lines "$work/wgpu.csv" 6; }
    ok "recommend on wgpu" recommend_wgpu
    sed '/^\[model\]/,/^$/d' "$config" >"$work/sequence.toml"
    local sequence=(--config "$work/sequence.toml" --format json --set model.name=sasrec
        --set model.embedding_dim=16 --set model.max_length=16 --set training.epochs=2 --set training.patience=0)
    sequence_on() { recsys 900 train "${sequence[@]}" --device "$1" --output "$work/sequence-$1" >"$work/sequence-$1.json"; }
    ok "train a model of sequences on cpu" sequence_on cpu
    ok "and on wgpu" sequence_on wgpu
    ok "their losses agree" agree <(losses "$work/sequence-cpu") <(losses "$work/sequence-wgpu") 0.001
}

# Kills a training at a random moment and resumes it: nothing may differ from
# the run that was left alone.
killed() {
    local long=(--config "$config" --device cpu --set training.epochs=200 --set training.patience=0
        --set training.batch_size=128 --set training.checkpoint_seconds=0 --format json) start pid code
    start="$(date +%s%3N)"
    whole() { recsys 600 train "${long[@]}" --output "$work/whole" >"$work/whole.json"; }
    ok "train without interruption" whole
    # Anywhere in the first nine tenths of what the whole run took.
    local milliseconds=$((RANDOM * 9 * ($(date +%s%3N) - start) / 327680))
    "$RECSYS" --quiet train "${long[@]}" --output "$work/killed" >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v ms="$milliseconds" 'BEGIN {print ms / 1000}')"
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$?
    echo "killed after $milliseconds ms (exit code $code)"
    again() { recsys 600 train --resume "$work/killed" --format json >"$work/again.json"; }
    if [ -s "$work/killed/metrics.jsonl" ]; then
        ok "resume after SIGKILL in mid-training" again
    else
        # Killed before the end of the first epoch: nothing to resume.
        again_from_start() { rm -rf "$work/killed"; recsys 600 train "${long[@]}" --output "$work/killed" >"$work/again.json"; }
        ok "start again after an early SIGKILL" again_from_start
    fi
    ok "the resumed run equals the whole one" cmp <(metrics "$work/whole.json") <(metrics "$work/again.json")
}

main_job
devices
killed
echo "smoke: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
