#!/usr/bin/env python3
"""Trains the committed configs and writes one table of all models and data sets: quality, time and memory.

    python3 scripts/table.py                          # trains what is missing in runs/table, prints the table
    python3 scripts/table.py --only gowalla,ml-1m/ease --seeds 2020
    python3 scripts/table.py --print --write README.md    # trains nothing; puts the table between its marks

Needs Python 3.11 and the data (`recsys data fetch NAME`); a config whose data are not there is left out and named. A
run that is complete is not trained again, one that was killed is resumed, so the script can be stopped at any time.
Where neither the split nor the training is random one seed is enough; otherwise there are as many as --seeds names.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
    plain = ("rmse", "mae", "auc", "log_loss")
    return [name if name in plain or "@" in name else f"{name}@{cutoff}" for name in names]


def row(name, metrics, reports):
    """Mean and deviation over the seeds, and the mean of what a run cost."""
    cells = [f"`{name}`"]
    for metric in metrics:
        values = [report["metrics"]["test"][metric] for report in reports]
        text = figure(statistics.mean(values))
        if len(values) > 1:
            text += f" ± {figure(statistics.stdev(values))}"
        cells.append(text)
    costs = [report["provenance"] for report in reports]
    memory = statistics.mean(cost["peak_memory_bytes"] for cost in costs) / 2**20
    cells += [str(len(reports)), seconds(statistics.mean(cost["cpu_seconds"] for cost in costs)), f"{memory:,.0f} MiB"]
    return "| " + " | ".join(cells) + " |"


def figure(value):
    return f"{value:.4f}".removeprefix("0") if 0 <= value < 1 else f"{value:.4f}"


def seconds(value):
    return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def table(found):
    """Markdown, one part for each data set, split and pair of metrics."""
    groups = {}
    for name, config, reports in found:
        key = (name.split("/")[0], config["split"]["kind"], *headline(config))
        groups.setdefault(key, []).append(row(name, headline(config), reports))
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
    found, failed = [], []
    for name, path, config in configs(args.only):
        reports = []
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
                reports.append(json.loads((out / "report.json").read_text()))
        if reports:
            found.append((name, config, reports))
    text = table(found)
    if args.write:
        write(args.write, text)
    else:
        print(text)
    if failed:
        raise SystemExit("table.py: failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
