#!/usr/bin/env python3
"""Trains the committed configs and writes one table of all models and data sets: quality, time and memory.

    python3 scripts/table.py                          # trains what is missing in runs/table, prints the table
    python3 scripts/table.py --only gowalla,ml-1m/ease --seeds 2020
    python3 scripts/table.py --print --write README.md    # trains nothing; puts the table between its marks

Needs Python 3.11 and the data (`recsys data fetch NAME`); a config whose data are not there is left out and named. A
run that is complete is not trained again, one that was killed is resumed, so the script can be stopped at any time.
Where neither the split nor the training is random one seed is enough; otherwise there are as many as --seeds names.

What was measured is kept in scripts/measured.jsonl, a line for each config and seed, so that the table does not lose
what was trained elsewhere; a run of the same config and seed takes the place of its line. A line with several seeds
holds their mean and deviation; it goes when one of its seeds is trained again. A line goes, too, when its config has
changed in more than comments.
"""
import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "scripts" / "measured.jsonl"
MARKS = ("<!-- table -->", "<!-- end of table -->")
# Splits that no seed moves.
FIXED_SPLITS = ("given", "leave_one_out", "global_time")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    parser.add_argument("--recsys", type=Path, default=target / "release" / "recsys", help="the binary")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "table", help="where the runs are kept")
    parser.add_argument("--only", default="", help="data sets or configs, e.g. gowalla,ml-1m/ease")
    parser.add_argument("--seeds", default="2020,1,2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--print", action="store_true", help="only the table of the runs that there are")
    parser.add_argument("--write", type=Path, help=f"a file whose part between `{MARKS[0]}` and `{MARKS[1]}` it becomes")
    return parser.parse_args()


def configs(only):
    """Name (`ml-1m/ease`) and content of each config, in order."""
    wanted = [name for name in only.split(",") if name]
    for path in sorted(ROOT.glob("configs/*/*.toml")):
        name = f"{path.parent.name}/{path.stem}"
        if not wanted or name in wanted or path.parent.name in wanted:
            yield name, path, tomllib.loads(path.read_text())


def seeds_of(config, seeds):
    """All of them where chance plays a part in the split or in the training."""
    chance = config["split"]["kind"] not in FIXED_SPLITS or "training" in config
    return seeds if chance else seeds[:1]


def missing_data(config):
    """A file that the config names and that is not there."""
    data = config["data"]
    named = [data.get(key) for key in ("path", "train", "validation", "test", "negatives")]
    files = [file for value in named if value for file in (value if isinstance(value, list) else [value])]
    return next((file for file in files if not any(ROOT.glob(file))), None)


def train(args, path, seed, out):
    """Trains one run, or goes on with one that was stopped. Says whether it is complete."""
    if state(out) == "complete":
        return True
    command = [str(args.recsys.resolve()), "train"]
    if state(out):
        command += ["--resume", str(out)]
    else:
        command += ["--config", str(path), "--device", args.device, "--output", str(out)]
        command += ["--set", f"seed={seed}", "--set", "evaluation.baselines=[]"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode:
        print(f"  failed: {ran.stderr.strip()[-300:]}", file=sys.stderr)
    return ran.returncode == 0


def state(out):
    try:
        return json.loads((out / "run.json").read_text())["state"]
    except FileNotFoundError:
        return None


def headline(config):
    """The two metrics that the config puts first, with its first cutoff where they take one."""
    names = config["evaluation"]["metrics"][:2]
    cutoff = (config["evaluation"].get("cutoffs") or [10])[0]
    plain = ("rmse", "mae", "auc", "log_loss", "click_auc", "cold_click_auc", "cold_log_loss")
    return [name if name in plain or "@" in name else f"{name}@{cutoff}" for name in names]


def hash_of(config):
    """Of what the config says, without its comments."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


def measured(name, config, seed, report):
    """The line that is kept of a run."""
    cost = report["provenance"]
    metrics = headline(config)
    return {
        "config": name,
        "hash": hash_of(config),
        "seeds": [int(seed)],
        "mean": {metric: round(report["metrics"]["test"][metric], 6) for metric in metrics},
        "cpu_seconds": round(cost["cpu_seconds"], 1),
        "peak_memory_bytes": cost["peak_memory_bytes"],
    }


def replace(kept, new):
    """The new line in place of those that hold its seed."""
    seed, name = new["seeds"][0], new["config"]
    return [line for line in kept if line["config"] != name or seed not in line["seeds"]] + [new]


def load():
    lines = MEASURED.read_text().splitlines() if MEASURED.exists() else []
    return [json.loads(line) for line in lines]


def save(kept):
    kept = sorted(kept, key=lambda line: (line["config"], line["seeds"]))
    partial = MEASURED.with_name(MEASURED.name + ".part")
    partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
    partial.rename(MEASURED)


def mean_of(lines, value):
    """Over the seeds."""
    return sum(len(line["seeds"]) * value(line) for line in lines) / seeds_in(lines)


def deviation_of(lines, metric):
    """Over the seeds; a line of several knows their own."""
    center = mean_of(lines, lambda line: line["mean"][metric])
    squares = 0.0
    for line in lines:
        count = len(line["seeds"])
        squares += count * (line["mean"][metric] - center) ** 2
        squares += (count - 1) * line.get("deviation", {}).get(metric, 0.0) ** 2
    return math.sqrt(squares / (seeds_in(lines) - 1))


def seeds_in(lines):
    return sum(len(line["seeds"]) for line in lines)


def row(name, metrics, lines):
    """Mean and deviation over the seeds, and the mean of what a run cost."""
    cells = [f"`{name}`"]
    for metric in metrics:
        text = figure(mean_of(lines, lambda line: line["mean"][metric]))
        if seeds_in(lines) > 1:
            text += f" ± {figure(deviation_of(lines, metric))}"
        cells.append(text)
    memory = mean_of(lines, lambda line: line["peak_memory_bytes"]) / 2**20
    time = seconds(mean_of(lines, lambda line: line["cpu_seconds"]))
    cells += [str(seeds_in(lines)), time, f"{memory:,.0f} MiB"]
    return "| " + " | ".join(cells) + " |"


def figure(value):
    return f"{value:.4f}".removeprefix("0") if 0 <= value < 1 else f"{value:.4f}"


def seconds(value):
    return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def table(found):
    """Markdown, one part for each data set, split and pair of metrics."""
    groups = {}
    for name, config, lines in found:
        key = (name.split("/")[0], config["split"]["kind"], *headline(config))
        groups.setdefault(key, []).append(row(name, headline(config), lines))
    parts = []
    for (data, split, *metrics), rows in groups.items():
        head = ["config", *metrics, "seeds", "core time", "peak memory"]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows]
        parts.append(f"**{data}**, split `{split}`\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def write(path, text):
    content = path.read_text()
    if not all(mark in content for mark in MARKS):
        raise SystemExit(f"table.py: {path} has no lines `{MARKS[0]}` and `{MARKS[1]}`")
    before, rest = content.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    partial = path.with_name(path.name + ".part")
    partial.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")
    partial.rename(path)


def main():
    args = parse()
    seeds = args.seeds.split(",")
    kept, found, failed = load(), [], []
    for name, path, config in configs(args.only):
        for seed in seeds_of(config, seeds):
            out = args.runs / name / seed
            if not args.print and state(out) != "complete":
                if file := missing_data(config):
                    print(f"{name}: left out, there is no {file}", file=sys.stderr)
                    break
                print(f"{name}, seed {seed}", file=sys.stderr)
                if not train(args, path, seed, out):
                    failed.append(f"{name} {seed}")
            if state(out) == "complete":
                report = json.loads((out / "report.json").read_text())
                kept = replace(kept, measured(name, config, seed, report))
                save(kept)
        stale = [line for line in kept if line["config"] == name and line["hash"] != hash_of(config)]
        if stale:
            print(f"{name}: has changed since it was measured, its lines go", file=sys.stderr)
            kept = [line for line in kept if line not in stale]
        if lines := [line for line in kept if line["config"] == name]:
            found.append((name, config, lines))
    save(kept)
    text = table(found)
    if args.write:
        write(args.write, text)
    else:
        print(text)
    if failed:
        raise SystemExit("table.py: failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
