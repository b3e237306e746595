#!/usr/bin/env python3
"""EASE beside NumPy and LAPACK on the same training part: seconds from the interactions to the weights, and NDCG@10.

    ~/.cache/recsys/bench-venv/bin/python scripts/bench/ease.py --data OUT [--name ml-1m] [--threads 2] [--rounds 3]

OUT is what data.py wrote. Each round runs this program and then the peers: `numpy`, the usual `numpy.linalg.inv`, and
`lapack`, SciPy's potrf and potri, which use that the matrix is positive definite. All work in float32. Everybody's time
begins with the sparse matrix of users and items in memory and ends with the weights; this program says it on its own.
"""
import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
import ours

HERE = Path(__file__).resolve().parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parents[1] / "target")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--name", default="ml-1m")
    parser.add_argument("--recsys", type=Path, default=target / "release" / "recsys")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--regularization", type=float, default=500.0)
    parser.add_argument("--peer", choices=("numpy", "lapack"), help="measure this peer in this process")
    return parser.parse_args()


def weights(train, regularization, peer):
    """B of Steck 2019 from users x items."""
    gram = (train.T @ train).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    if peer == "numpy":
        inverse = np.linalg.inv(gram)
    else:
        from scipy.linalg.lapack import spotrf, spotri

        factor, failed = spotrf(gram, lower=1, overwrite_a=1)
        assert failed == 0, "a matrix that is not positive definite"
        inverse, failed = spotri(factor, lower=1, overwrite_c=1)
        assert failed == 0, "a factor without an inverse"
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
    found = inverse / -np.diag(inverse)
    np.fill_diagonal(found, 0)
    return found


def peer(args):
    data = common.load(args.data, args.name)
    train = common.matrix(data, "train")
    with common.Clock() as clock:
        found = weights(train, args.regularization, args.peer)
    # User factors are the histories, item factors the columns of the weights.
    quality = common.quality(data, train.toarray(), found.T)
    print(json.dumps({"seconds": clock.seconds, **quality}))


def recsys(args, work):
    parts = {"train": "train", "validation": "valid", "test": "test"}
    folder = args.data.resolve() / args.name
    files = {key: folder / f"{args.name}.{part}.inter" for key, part in parts.items()}
    run_dir = Path(tempfile.mkdtemp(dir=work)) / "run"
    command = [args.recsys.resolve(), "train", "--config", HERE / "ease.toml", "--device", "cpu", "--output", run_dir]
    for setting in [
        *(f"data.{key}={json.dumps(str(path))}" for key, path in files.items()),
        f"model.regularization={args.regularization}",
    ]:
        command += ["--set", setting]
    ran = ours.run(list(map(str, command)), args.threads, cwd=work, errors=True)
    seconds = float(re.search(r"solved [\d,]+ items in ([\d.]+) s", ran.output)[1])
    report = json.loads((run_dir / "report.json").read_text())
    return {"seconds": seconds, "ndcg@10": round(report["metrics"]["validation"]["ndcg@10"], 5)}


def main():
    args = parse()
    if args.peer:
        peer(args)
        return
    lines = {"recsys": [], "numpy": [], "lapack": []}
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as work:
        for turn in range(args.rounds):
            for entrant, found in lines.items():
                print(f"round {turn + 1}: {entrant}", file=sys.stderr)
                if entrant == "recsys":
                    found.append(recsys(args, work))
                else:
                    command = [sys.executable, __file__, *sys.argv[1:], "--peer", entrant]
                    found.append(json.loads(ours.run(command, args.threads).output))
    own = statistics.median(line["seconds"] for line in lines["recsys"])
    for entrant, found in lines.items():
        seconds = statistics.median(line["seconds"] for line in found)
        ratio = seconds / own
        print(json.dumps({"entrant": entrant, **found[-1], "seconds": round(seconds, 4), "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
