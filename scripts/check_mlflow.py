"""Reads a run from an MLflow file store as MLflow does, and checks it against
the run directory: one value an epoch, also after a resume.

    python3 -m venv venv && venv/bin/pip install mlflow-skinny
    venv/bin/python scripts/check_mlflow.py RUN STORE

`cargo test` does so with the Python of RECSYS_MLFLOW_PYTHON, else with that of
~/.cache/recsys/mlflow-venv.
"""

import json
import os
import sys
import tomllib
from pathlib import Path

# MLflow 3.17 reads file stores only when told to.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow import MlflowClient  # noqa: E402

from run_curves import curves  # noqa: E402


def flat(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def main():
    run, store = Path(sys.argv[1]), Path(sys.argv[2])
    client = MlflowClient(tracking_uri=store.resolve().as_uri())
    config = tomllib.loads((run / "config.toml").read_text())
    name = config["tracking"].get("experiment", "recsys")
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id])
    runs = [r for r in runs if Path(r.data.tags["recsys.run"]).name == run.name]
    assert len(runs) == 1, runs
    (read,) = runs
    assert read.info.status == "FINISHED" and read.info.end_time > read.info.start_time, read.info

    wanted, report, epochs = curves(run)
    wanted = {key.replace("@", "_at_"): points for key, points in wanted.items()}
    assert sorted(read.data.metrics) == sorted(wanted), (sorted(read.data.metrics), sorted(wanted))
    for key, points in wanted.items():
        history = client.get_metric_history(read.info.run_id, key)
        assert [m.step for m in history] == [step for step, _ in points], (key, history, points)
        # metrics.jsonl is read and written again, which may cost the last bit.
        for metric, (_, value) in zip(history, points):
            assert abs(metric.value - value) <= 1e-12 * max(1.0, abs(value)), (key, metric, value)

    params = {key: value for key, value in flat(config)}
    assert sorted(read.data.params) == sorted(params), (read.data.params, params)
    for key in ("model.name", "seed"):
        assert read.data.params[key] == str(params[key]), key
    if "verdict" in report:
        assert read.data.tags["mlflow.note.content"] == report["verdict"]["sentence"]
    artifacts = sorted(f.path for f in client.list_artifacts(read.info.run_id))
    assert artifacts == ["config.toml", "report.html", "report.json"], artifacts
    copy = client.download_artifacts(read.info.run_id, "report.json")
    assert json.load(open(copy)) == report
    print(f"{run}: {len(wanted)} curves of {epochs} epochs agree in experiment {name}")


if __name__ == "__main__":
    main()
