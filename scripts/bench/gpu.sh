#!/usr/bin/env bash
# Measures this program on a GPU beside PyTorch, unattended and within eight
# minutes: MF-BPR with 64 dimensions on ml-1m, Gowalla and a larger synthetic
# data set, NeuMF on ml-1m, and the card's copy bandwidth. PyTorch runs eagerly,
# as CUDA graphs and under torch.compile. Every round runs all entrants of a
# contest one after the other and begins with another one, so that what else
# the machine does, and how warm it is, meets all of them.
#
#     tar xf recsys-bench.tar.gz && bash recsys-bench/gpu.sh [options]
#
# pack.sh makes that archive; nothing else is needed but a driver. Without
# Python, NumPy or PyTorch it says so and measures this program alone.
#
#     --device D     this program's device: wgpu (default), wgpu:N, cpu, ...
#     --torch D      PyTorch's: cuda (default unless --device cpu) or cpu
#     --seconds N    for all together (default 450)
#     --rounds N     how often all take their turn, as far as time allows
#                    (default 2); the table has medians
#     --epochs N     at most, of each training (default 100)
#     --scale PART   share of the synthetic data (default 1: 20 M interactions)
#     --set K=V      a key of this program's configs; repeatable
#     --output DIR   results.jsonl, machine.txt, log.txt (default ./results)
set -u

root="$(cd "$(dirname "$0")" && pwd)"
device=wgpu torch_device="" budget=450 rounds=2 epochs=100 scale=1 output=results sets=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || { echo "gpu.sh: $1 needs a value" >&2; exit 2; }
    case "$1" in
    --device) device="$2" ;;
    --torch) torch_device="$2" ;;
    --seconds) budget="$2" ;;
    --rounds) rounds="$2" ;;
    --epochs) epochs="$2" ;;
    --scale) scale="$2" ;;
    --set) sets+=(--set "$2") ;;
    --output) output="$2" ;;
    *) echo "gpu.sh: there is no option $1" >&2; exit 2 ;;
    esac
    shift 2
done
if [ -z "$torch_device" ]; then
    case "$device" in cpu | ndarray) torch_device=cpu ;; *) torch_device=cuda ;; esac
fi

recsys="${RECSYS:-$root/recsys}"
data="${BENCH_DATA:-$root/data}"
python="${PYTHON:-python3}"
mkdir -p "$output" || exit 1
output="$(cd "$output" && pwd)"
results="$output/results.jsonl" log="$output/log.txt"
: >"$results"
: >"$log"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}"
threads="$(nproc)"
failed=0

say() { echo "[$SECONDS s] $*" | tee -a "$log"; }
left() { echo $((budget - SECONDS)); }

# share MOST: seconds for the next training of this program, at most MOST: all
# that are to come get about the same, in half of the time that is left.
share() {
    local seconds=$(($(left) / (2 * (to_come > 0 ? to_come : 1))))
    [ "$seconds" -ge 12 ] || seconds=12
    [ "$seconds" -le "$1" ] || seconds="$1"
    echo "$seconds"
}

# enough SECONDS NAME: whether so much time is left; says so if not.
enough() {
    [ "$(left)" -ge "$1" ] && return 0
    say "SKIPPED $2: $(left) s are left"
    return 1
}

# The loader and the driver's manifest, where a container brings the driver
# alone.
find_vulkan() {
    if ! ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' && [ -e "$root/lib/libvulkan.so.1" ]; then
        say "no Vulkan loader here: the archive's own is used"
        export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    fi
    compgen -G '/usr/share/vulkan/icd.d/*nvidia*' >/dev/null && return
    compgen -G '/etc/vulkan/icd.d/*nvidia*' >/dev/null && return
    [ -z "${VK_DRIVER_FILES:-}" ] || return
    local manifest=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    if [ ! -e "$manifest" ]; then
        local driver
        driver="$(ldconfig -p 2>/dev/null | awk '/libGLX_nvidia\.so\.0/ { print $NF; exit }')"
        [ -n "$driver" ] || return
        manifest="$work/nvidia_icd.json"
        printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
            "$driver" >"$manifest"
    fi
    say "Vulkan driver: $manifest"
    export VK_DRIVER_FILES="$manifest"
}

describe_machine() {
    {
        date -u
        uname -srm
        grep -m1 'model name' /proc/cpuinfo
        echo "$threads cores"
        if command -v nvidia-smi >/dev/null; then
            nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.memory --format=csv
        else
            echo "no nvidia-smi"
        fi
        timeout 60 "$recsys" devices 2>&1
        timeout 60 "$python" -c 'import torch; print("torch", torch.__version__, torch.cuda.is_available())' 2>&1 | tail -1
    } | tee "$output/machine.txt"
}

# What of Python there is: sets has_numpy and has_torch.
find_python() {
    has_numpy=false has_torch=false
    if ! command -v "$python" >/dev/null; then
        say "NO PYTHON here: PyTorch is not measured, nor the synthetic data"
        return
    fi
    timeout 60 "$python" -c 'import numpy' 2>>"$log" && has_numpy=true
    if timeout 120 "$python" -c "import sys, torch; sys.exit('$torch_device' != 'cpu' and not torch.cuda.is_available())" 2>>"$log"; then
        has_torch=true
    else
        say "NO PYTORCH here for device $torch_device: this program is measured alone"
    fi
    $has_numpy || say "NO NUMPY here: the synthetic data set is left out"
}

# ours MODEL DATA BATCH LIMIT: trains until LIMIT seconds have passed, and adds
# a line with the median epoch; the first one compiles kernels.
ours() {
    local model="$1" name="$2" batch="$3" limit="$4" run part code
    enough 25 "recsys $model $name $batch" || return
    [ "$limit" -lt "$(left)" ] || limit="$(left)"
    run="$work/$model-$name-$batch"
    local files=()
    for part in train:train validation:valid test:test; do
        [ -e "$data/$name/$name.${part#*:}.inter" ] &&
            files+=(--set "data.${part%:*}=\"$data/$name/$name.${part#*:}.inter\"")
    done
    local every=$((epochs / 4))
    [ "$model" = bpr ] && [ "$name" = ml-1m ] || every=0
    # Interrupted, it finishes the step and ends; killed if that takes long.
    (cd "$work" && timeout --signal=INT --kill-after=15 "$limit" "$recsys" train \
        --config "$root/$model.toml" --device "$device" --output "$run" "${files[@]}" \
        --set "training.epochs=$epochs" --set "training.batch_size=$batch" \
        --set "training.validate_every=$every" ${sets[@]+"${sets[@]}"}) >>"$log" 2>&1
    code=$?
    if ! [ -s "$run/metrics.jsonl" ]; then
        say "FAILED recsys $model $name $batch: no epoch finished, exit code $code (see $log)"
        failed=$((failed + 1))
        return
    fi
    line_of_run "$model" "$name" "$batch" "$run/metrics.jsonl" | of_round | tee -a "$results"
    rm -rf "$run"
}

# of_round: lines of JSON with the number of the round.
of_round() { sed -u "s/}\$/, \"round\": $round}/"; }

# line_of_run MODEL DATA BATCH FILE: a line of JSON as the peers give it. The
# bytes are those of the embedding rows of each positive and its negative, read
# and written once with Adam's two moments, as if no two in a batch shared a
# row; where many do (small catalogs, large batches), fewer are moved.
line_of_run() {
    local rows=3
    [ "$1" = neumf ] && rows=8
    grep -o '"epoch":[0-9]*\|"seconds":[0-9.e+-]*\|"interactions_per_second":[0-9.e+-]*\|"ndcg@10":[0-9.e+-]*' "$4" |
        awk -F: -v model="$1" -v name="$2" -v batch="$3" -v device="$device" -v threads="$threads" -v rows="$rows" '
            /epoch/ { n++ }
            /"seconds/ { seconds[n] = $2 + 0 }
            /per_second/ { rate[n] = $2 + 0 }
            /ndcg/ { if ($2 + 0 > best) { best = $2 + 0; at = n } }
            END {
                first = n > 1 ? 2 : 1
                for (i = first; i <= n; i++) sorted[i] = rate[i]
                for (i = first + 1; i <= n; i++)
                    for (j = i; j > first && sorted[j] < sorted[j - 1]; j--) {
                        swap = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = swap
                    }
                median = sorted[int((first + n + 1) / 2)]
                printf "{\"peer\": \"recsys\", \"measure\": \"%s\", \"data\": \"%s, batch %d\", ", model, name, batch
                printf "\"threads\": %d, \"dim\": 64, \"device\": \"%s\", \"epochs\": %d, ", threads, device, n
                printf "\"first_epoch_seconds\": %.4f, \"rate\": %.1f, ", seconds[1], median
                printf "\"unit\": \"positives in the median epoch\", \"bytes_per_second\": %.4g", median * rows * 6 * 64 * 4
                if (at) printf ", \"quality\": {\"ndcg@10\": %.5f, \"part\": \"valid\", \"epoch\": %d}", best, at
                print "}"
            }'
}

# peer LIMIT ARGUMENT...: a measurement of peers.py.
peer() {
    local limit="$1"
    shift
    $has_torch || return 0
    enough 20 "$*" || return 0
    [ "$limit" -lt "$(left)" ] || limit="$(left)"
    timeout --kill-after=10 "$limit" "$python" "$root/peers.py" "$@" --device "$torch_device" --threads "$threads" \
        --data "$data" --seconds 1.5 2>>"$log" | of_round | tee -a "$results"
    local code="${PIPESTATUS[0]}"
    [ "$code" -eq 0 ] && return
    say "FAILED $*: exit code $code (see $log)"
    failed=$((failed + 1))
}

# enter ENTRANT MODEL DATA BATCH: a training of this program, or PyTorch's steps.
enter() {
    local entrant="$1" model="$2" name="$3" batch="$4" modes=eager optimizers=adam,adam-fused most=45
    case "$entrant" in
    recsys)
        # Matrix products are tuned on the first use of their shapes.
        [ "$model" = neumf ] && most=90
        ours "$model" "$name" "$batch" "$(share "$most")"
        to_come=$((to_come - 1))
        return
        ;;
    torch) [ "$torch_device" = cpu ] || modes=eager,graph ;;
    compiled) modes=compile optimizers=adam-fused ;;
    esac
    # Compiling for the CPU and for large tables takes its time.
    peer 90 "torch-$model" --name "$name" --batch-size "$batch" --label "$name, batch $batch" \
        --optimizers "$optimizers" --modes "$modes"
}

# What competes on which model, data and batch size.
contests=(
    "bpr ml-1m 8192 recsys torch"
    "bpr gowalla 8192 recsys torch"
    "bpr gowalla 65536 recsys torch compiled"
    "bpr synth 65536 recsys torch compiled"
    "neumf ml-1m 4096 recsys torch compiled"
    "neumf ml-1m 32768 recsys torch"
    "bpr ml-1m 65536 recsys torch"
)

# compete: all contests, whose entrants take turns at being first.
compete() {
    local contest model name batch names entrants place
    for contest in "${contests[@]}"; do
        read -r model name batch names <<<"$contest"
        [ -d "$data/$name" ] || continue
        read -ra entrants <<<"$names"
        for place in "${!entrants[@]}"; do
            enter "${entrants[(place + round - 1) % ${#entrants[@]}]}" "$model" "$name" "$batch"
        done
    done
}

scaled() { awk -v all="$1" -v part="$scale" 'BEGIN { printf "%d", all * part }'; }

make_synth() {
    $has_numpy || return 0
    enough 120 "synthetic data" || return 0
    if timeout 60 "$python" "$root/data.py" synth "$work/synth" --users "$(scaled 1000000)" \
        --items "$(scaled 1000000)" --interactions "$(scaled 20000000)" >>"$log" 2>&1; then
        # One folder for all data sets.
        cp -r "$data" "$work/data" && mv "$work/synth/synth" "$work/data/synth" && data="$work/data"
    else
        say "FAILED: the synthetic data could not be written (see $log)"
        failed=$((failed + 1))
    fi
}

if ! [ -x "$recsys" ]; then
    echo "gpu.sh: there is no program $recsys; unpack the archive of pack.sh, or set RECSYS" >&2
    exit 1
fi
if ! [ -e "$data/ml-1m/ml-1m.train.inter" ]; then
    echo "gpu.sh: there is no data in $data; unpack the archive of pack.sh, or set BENCH_DATA to what data.py wrote" >&2
    exit 1
fi
find_vulkan
describe_machine
find_python
make_synth
to_come=0
for contest in "${contests[@]}"; do
    read -r _ name _ <<<"$contest"
    [ -d "$data/$name" ] && to_come=$((to_come + rounds))
done
for ((round = 1; round <= rounds; round++)); do
    peer 30 torch-copy
    compete
done

say "done: $(wc -l <"$results") measurements in $results, $failed failed"
if command -v "$python" >/dev/null; then
    "$python" "$root/run.py" --table "$results" | tee "$output/table.md"
fi
[ "$failed" -eq 0 ]
