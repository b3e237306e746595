"""What a run directory says its curves are, for the scripts that check what
other tools read of it."""

import json


def curves(run):
    """Of each curve its points, epoch and value: one an epoch, and the test
    figures at the best one. Also the report, and the number of epochs; models
    without epochs have none."""
    history = run / "metrics.jsonl"
    lines = [json.loads(line) for line in open(history)] if history.exists() else []
    wanted = {}
    for line in lines:
        values = {f"train/{k}": line[k] for k in ("loss", "learning_rate", "interactions_per_second")}
        values |= {f"validation/{k}": v for k, v in line.get("validation", {}).items()}
        for name, value in values.items():
            wanted.setdefault(name, []).append((line["epoch"], value))
    report = json.load(open(run / "report.json"))
    best = report.get("training", {}).get("best_epoch", 0)
    for name, value in report["metrics"].get("test", {}).items():
        wanted[f"test/{name}"] = [(best, value)]
    return wanted, report, len(lines)
