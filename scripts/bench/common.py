"""What the peers share: the data, the ranking metrics, and one JSON line for each measurement."""
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CUTOFF = 10


@dataclass
class Data:
    """Pairs (user, item) of each part, as arrays of shape [n, 2]; ids are dense from 0."""

    name: str
    folder: Path
    num_users: int
    num_items: int
    parts: dict


def load(folder, name):
    """Reads what data.py wrote to `folder`/`name`."""
    parts = {}
    for part in ("train", "valid", "test"):
        path = folder / name / f"{name}.{part}.inter"
        if path.exists():
            with path.open("rb") as file:
                file.readline()
                parts[part] = np.fromfile(file, dtype=np.int64, sep=" ").reshape(-1, 2)
    if "train" not in parts:
        raise SystemExit(f"there is no {name}.train.inter in {folder / name}; write it with data.py")
    first = np.min([pairs.min(axis=0) for pairs in parts.values()], axis=0)
    parts = {part: pairs - first for part, pairs in parts.items()}
    num_users, num_items = np.max([pairs.max(axis=0) for pairs in parts.values()], axis=0) + 1
    return Data(name, folder, int(num_users), int(num_items), parts)


def matrix(data, *parts):
    """Users x items, 1 where there is an interaction."""
    from scipy.sparse import csr_matrix

    pairs = np.concatenate([data.parts[part] for part in parts])
    ones = np.ones(len(pairs), dtype=np.float32)
    return csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(data.num_users, data.num_items))


def quality(data, user_factors, item_factors, part="valid"):
    """NDCG@10 of the scores user_factors @ item_factors.T, by this program's protocol.

    All items are ranked except those that the user has in train (and, for test, in validation). Binary gains, the
    ideal over min(k, |T|), users without held-out items left out.
    """
    held = matrix(data, part)
    seen = matrix(data, "train", "valid") if part == "test" else matrix(data, "train")
    users = np.flatnonzero(np.diff(held.indptr))
    discounts = 1 / np.log2(np.arange(CUTOFF) + 2)
    total = 0.0
    for start in range(0, len(users), 512):
        block = users[start : start + 512]
        scores = user_factors[block] @ item_factors.T
        known = seen[block].tocoo()
        scores[known.row, known.col] = -np.inf
        top = np.argpartition(-scores, CUTOFF, axis=1)[:, :CUTOFF]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        hits = np.asarray(held[np.repeat(block, CUTOFF), top.ravel()]).reshape(-1, CUTOFF) > 0
        relevant = np.minimum(np.diff(held.indptr)[block], CUTOFF)
        total += ((hits @ discounts) / np.cumsum(discounts)[relevant - 1]).sum()
    return {f"ndcg@{CUTOFF}": round(float(total / len(users)), 5)}


def emit(peer, measure, args, **fields):
    """Prints one measurement as a line of JSON."""
    line = {"peer": peer, "measure": measure, "data": args.label, "threads": args.threads, "dim": args.dim}
    line.update(fields)
    if line.get("seconds") and line.get("items"):
        line["rate"] = round(line["items"] / line["seconds"], 1)
    line["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(line), flush=True)


def fields_of_training(curve, items):
    """Of the epochs in `curve`, {epoch, seconds, ...} each: the median and the curve over time."""
    elapsed = np.cumsum([point["seconds"] for point in curve])
    points = [{**point, "elapsed": round(float(at), 4)} for point, at in zip(curve, elapsed, strict=True)]
    found = [point for point in points if f"ndcg@{CUTOFF}" in point]
    best = max(found, key=lambda point: point[f"ndcg@{CUTOFF}"], default=None)
    return {
        "seconds": round(float(np.median([point["seconds"] for point in curve])), 5),
        "items": items,
        "unit": "positives in the median epoch",
        "quality": best and {f"ndcg@{CUTOFF}": best[f"ndcg@{CUTOFF}"], "part": "valid", "epoch": best["epoch"]},
        "curve": points,
    }


class Clock:
    """Seconds of what runs inside `with`."""

    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.start
