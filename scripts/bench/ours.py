"""This program's side of the benchmarks: trains and ranks with the binary and reads what its run directory says."""
import contextlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIGS = {contest: HERE / f"{contest}.toml" for contest in ("bpr", "als", "neumf", "lightgcn", "sasrec")}
CONFIGS["als-128"] = CONFIGS["als"]


@dataclass
class Ran:
    """A command that ended well. `others` is how many cores the rest of the machine kept busy meanwhile."""

    output: str
    seconds: float
    peak_memory_bytes: int
    others: float


class Failed(Exception):
    """A command that did not end well; the message holds the end of what it said."""


def run(command, threads, cwd=None, limit=3600, extra=None, errors=False):
    """Runs a command on `threads` cores.

    Thread counts are set in every way that the libraries involved know, and the process is bound to as many cores.
    A kernel that the environment forces on OpenBLAS is left out: it would slow the peers. `errors` adds what it says on
    standard error to the output.
    """
    env = {key: value for key, value in os.environ.items() if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for name in ("OMP", "RAYON", "MKL", "OPENBLAS"):
        env[f"{name}_NUM_THREADS"] = str(threads)
    env["POLARS_MAX_THREADS"] = str(threads)
    env.update({"PYTHONWARNINGS": "ignore", **(extra or {})})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start, busy = time.perf_counter(), busy_seconds()
        with cores(threads):
            child = subprocess.Popen(command, stdout=out, stderr=err, env=env, cwd=cwd)
        timer = threading.Timer(limit, child.kill)
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        others = (busy_seconds() - busy - usage.ru_utime - usage.ru_stime) / seconds
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if child.returncode != 0:
        last = (texts[1] or texts[0]).strip()[-500:]
        raise Failed(f"exit code {child.returncode} after {seconds:.0f} s: {last}")
    return Ran("".join(texts) if errors else texts[0], seconds, usage.ru_maxrss * 1024, round(max(others, 0.0), 3))


def busy_seconds():
    """Of all cores since the start of the machine; 0 where the system does not tell."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _wait, irq, soft, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def cores(count):
    """Binds this process, and what it starts meanwhile, to that many cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def train(binary, model, data, name, threads, epochs, work, sets=(), device="cpu", limit=3600):
    """Trains; returns the line of the training and the run directory.

    Rate and seconds are those of `metrics.jsonl`, whose epochs leave out validation, of the median epoch. The first
    epoch compiles kernels on a GPU; where there are others it is not counted.
    """
    out = Path(tempfile.mkdtemp(prefix=f"{model}-{name}-", dir=work)) / "run"
    parts = {"train": "train", "validation": "valid", "test": "test"}
    paths = {key: Path(data) / name / f"{name}.{part}.inter" for key, part in parts.items()}
    settings = [f"data.{key}={json.dumps(str(path))}" for key, path in paths.items() if path.exists()]
    settings += [f"training.epochs={epochs}", *sets]
    command = [binary, "train", "--config", str(CONFIGS[model]), "--device", device, "--output", str(out)]
    for setting in settings:
        command += ["--set", setting]
    ran = run(command, threads, cwd=work, limit=limit)
    epochs_of_run = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    counted = epochs_of_run[1:] if device != "cpu" and len(epochs_of_run) > 1 else epochs_of_run
    median = statistics.median_low([epoch["seconds"] for epoch in counted])
    items = next(e["seconds"] * e["interactions_per_second"] for e in counted if e["seconds"] == median)
    report = json.loads((out / "report.json").read_text())
    line = line_of(model, name, threads, report)
    line.update(
        seconds=median,
        items=round(items),
        rate=round(items / median, 1),
        unit="positives in the median epoch",
        device=report["provenance"]["device"],
        adapter=report["provenance"].get("adapter"),
        settings=[*sets, f"epochs={epochs}"],
        wall_seconds=round(ran.seconds, 3),
        peak_memory_bytes=ran.peak_memory_bytes,
        others=ran.others,
        **curve_of(epochs_of_run, report),
    )
    return line, out


def line_of(measure, name, threads, report):
    version = report["provenance"]["version"] + " " + (report["provenance"].get("git_hash") or "")
    dim = report["model"]["params"]["embedding_dim"]
    return {
        "peer": "recsys",
        "measure": measure,
        "data": name,
        "threads": threads,
        "dim": dim,
        "version": version.strip(),
    }


def curve_of(epochs, report):
    """Validation over training time as the peers give it, and the best of it."""
    elapsed, curve = 0.0, []
    for epoch in epochs:
        elapsed += epoch["seconds"]
        point = {"epoch": epoch["epoch"], "seconds": epoch["seconds"], "elapsed": round(elapsed, 4)}
        point.update({key: value for key, value in epoch.get("validation", {}).items() if key == "ndcg@10"})
        curve.append(point)
    found = [point for point in curve if "ndcg@10" in point]
    quality = None
    if found:
        best = max(found, key=lambda point: point["ndcg@10"])
        quality = {"ndcg@10": best["ndcg@10"], "part": "valid", "epoch": best["epoch"]}
    elif "test" in report["metrics"]:
        quality = {"ndcg@10": report["metrics"]["test"].get("ndcg@10"), "part": "test", "epoch": len(epochs)}
    return {"quality": quality, "curve": curve}


def rank(binary, measure, name, threads, run_dir, work, repeat=3, device="cpu"):
    """Top-20 lists for all users, seen items masked, to a file.

    The time is what `recommend --all` says of the ranking: scores, mask, selection and lists of ids, without starting
    the process, reading the run and writing the file, as the peers' time is that of a call in a warm process.
    """
    report = json.loads((run_dir / "report.json").read_text())
    command = [binary, "recommend", "--run", str(run_dir), "--device", device, "--k", "20", "--all"]
    command += ["--format", "parquet", "--output", str(Path(work) / "lists.parquet")]
    every = [run(command, threads, cwd=work, errors=True) for _ in range(repeat)]
    seconds = statistics.median(float(re.search(r"users in ([0-9.]+) s", ran.output)[1]) for ran in every)
    users = report["data"]["users"]
    return {
        **line_of(measure, name, threads, report),
        "seconds": round(seconds, 5),
        "items": users,
        "rate": round(users / seconds, 1),
        "unit": "users with a top-20 list",
        "device": report["provenance"]["device"],
        "wall_seconds": round(statistics.median(ran.seconds for ran in every), 5),
        "peak_memory_bytes": max(ran.peak_memory_bytes for ran in every),
        "others": max(ran.others for ran in every),
    }
