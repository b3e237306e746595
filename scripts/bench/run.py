#!/usr/bin/env python3
"""Runs this program and its peers in turn on the same data and cores, and prints one table of ratios.

    bash scripts/bench/setup.sh
    python3 scripts/bench/data.py ml-1m FOLDER OUT        # with the venv's python, which has NumPy
    python3 scripts/bench/run.py --data OUT [--recsys target/release/recsys] [--threads 1,2] [--rounds 3]

Contests: `bpr` (matrix factorization, 64 dimensions), `als` and `als-128` (implicit ALS, 64 and 128 dimensions),
`neumf`, `lightgcn`, `sasrec`, and the ranking that follows the training of most. Every round
runs all entrants of a contest one after the other and begins with another one, so that what else the machine does
meets all of them. Each measurement is a line of JSON in --output; `--table FILE` prints the table of such a file again.
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import ours
import table

HERE = Path(__file__).resolve().parent

# SGD that steps after each example without waiting, as implicit's does.
HOGWILD = ['training.updates="hogwild"', 'training.optimizer="sgd"', "training.momentum=0"]

# What each entrant of a contest is run with, by contest and data. Those of this program take --set, the others options
# of peers.py.
CONTESTS = {
    ("bpr", "ml-1m"): {
        "recsys": {"epochs": 40, "sets": ["training.validate_every=2"]},
        "recsys-hogwild": {
            "epochs": 60,
            "sets": [
                *HOGWILD, "training.validate_every=2", "training.learning_rate=0.05", 'training.schedule="cosine"',
                "model.regularization=0.005",
            ],
        },
        "implicit-bpr": "--epochs 30 --validate-every 2",
        "recbole-bpr": "--epochs 20 --validate-every 2",
        "torch-bpr": "--seconds 5 --modes eager,compile",
    },
    ("bpr", "gowalla"): {
        "recsys": {"epochs": 40, "sets": ["training.validate_every=4", "model.regularization=0.004"]},
        "recsys-hogwild": {
            "epochs": 80,
            "sets": [*HOGWILD, "training.validate_every=4", "training.learning_rate=0.05", "model.regularization=0.002"],
        },
        "implicit-bpr": "--epochs 80 --validate-every 10 --learning-rate 0.02 --regularization 0.003",
        "torch-bpr": "--seconds 5 --modes eager,compile",
    },
    ("als", "ml-1m"): {
        "recsys": {"epochs": 12, "sets": []},
        "implicit-als": "--epochs 15 --regularization 0.01",
    },
    ("als", "gowalla"): {
        "recsys": {"epochs": 12, "sets": ["model.unobserved_weight=0.015", "model.regularization=0.004"]},
        "implicit-als": "--epochs 15 --regularization 0.01",
    },
    ("als-128", "ml-1m"): {
        "recsys": {"epochs": 12, "sets": ["model.embedding_dim=128"]},
        "implicit-als": "--epochs 15 --regularization 0.01 --dim 128",
    },
    ("als-128", "gowalla"): {
        "recsys": {
            "epochs": 12,
            "sets": ["model.embedding_dim=128", "model.unobserved_weight=0.015", "model.regularization=0.004"],
        },
        "implicit-als": "--epochs 15 --regularization 0.01 --dim 128",
    },
    ("neumf", "ml-1m"): {
        "recsys": {"epochs": 3, "sets": []},
        "recbole-neumf": "--epochs 3",
        "torch-neumf": "--seconds 5 --modes eager,compile",
    },
    ("lightgcn", "ml-1m"): {
        "recsys": {"epochs": 2, "sets": []},
        "recbole-lightgcn": "--epochs 2 --batch-size 2048 --learning-rate 0.002",
    },
    ("sasrec", "ml-1m-sequence"): {
        "recsys": {"epochs": 4, "sets": []},
        "torch-sasrec": "--epochs 4 --batch-size 8192",
    },
}


# Contests whose peers rank, too.
RANKED = ("bpr", "als", "als-128", "neumf", "lightgcn")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recsys"
    target = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parents[1] / "target")
    parser.add_argument("--data", type=Path, help="what data.py wrote")
    parser.add_argument("--recsys", type=Path, default=target / "release" / "recsys", help="the binary")
    parser.add_argument("--venv", type=Path, default=cache / "bench-venv", help="what setup.sh made")
    parser.add_argument("--threads", default="1,2", help="core counts, one after the other")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contests", default="bpr,als,als-128,neumf,lightgcn,sasrec")
    parser.add_argument("--names", default="ml-1m,ml-1m-sequence,gowalla", help="data sets")
    parser.add_argument("--entrants", default="", help="only these, e.g. recsys,implicit-bpr")
    parser.add_argument("--epochs", type=int, help="of every training, instead of what the contest says")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for this program's config")
    parser.add_argument("--output", type=Path, default=Path("bench.jsonl"), help="lines are added to it")
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    args = parser.parse_args()
    if not args.table:
        check(parser, args)
    return args


def check(parser, args):
    if args.data is None:
        parser.error("--data is needed: the folder that data.py wrote")
    args.data = args.data.resolve()
    args.recsys = args.recsys.resolve()
    wanted = args.entrants.split(",")
    for path, hint in ((args.recsys, "build it, or give --recsys"), (args.venv / "bin" / "python", "run setup.sh")):
        own = [entrant.startswith("recsys") for entrant in wanted]
        needed = any(own) if path == args.recsys else not all(own)
        if not path.exists() and (needed or not args.entrants):
            parser.error(f"there is no {path}: {hint}")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if max(map(int, args.threads.split(","))) > available:
        parser.error(f"--threads {args.threads}: there are {available} cores")


def enter(entrant, contest, name, threads, settings, args, work):
    """Runs one entrant; returns its lines."""
    if entrant.startswith("recsys"):
        sets = [*settings["sets"], *args.set]
        epochs = args.epochs or settings["epochs"]
        line, run_dir = ours.train(args.recsys, contest, args.data, name, threads, epochs, work, sets)
        line["peer"] = entrant
        measure = "rank" if contest == "bpr" else f"{contest}-rank"
        if entrant != "recsys" or contest not in RANKED:
            return [line]
        return [line, ours.rank(args.recsys, measure, name, threads, run_dir, work)]
    command = [args.venv / "bin" / "python", HERE / "peers.py", entrant, "--data", args.data, "--name", name]
    command += ["--threads", str(threads), *settings.split()]
    if args.epochs and "--epochs" in settings:
        command += ["--epochs", str(args.epochs)]
    ran = ours.run(list(map(str, command)), threads, cwd=work)
    lines = [json.loads(line) for line in ran.output.splitlines() if line.startswith("{")]
    named = {"als": contest}  # those of 128 dimensions are measures of their own
    return [{**line, "measure": named.get(line["measure"], line["measure"]), "others": ran.others} for line in lines]


def main():
    args = parse()
    if args.table:
        print(table.table([json.loads(line) for line in args.table.read_text().splitlines()]))
        return
    wanted = set(filter(None, args.entrants.split(",")))
    failures, lines = 0, []
    with tempfile.TemporaryDirectory(prefix="recsys-bench-") as work, args.output.open("a") as output:
        for turn in range(args.rounds):
            for threads in map(int, args.threads.split(",")):
                for (contest, name), entrants in CONTESTS.items():
                    if contest not in args.contests.split(",") or name not in args.names.split(","):
                        continue
                    order = [e for e in entrants if not wanted or e in wanted]
                    for place in range(len(order)):
                        entrant = order[(place + turn) % len(order)]
                        print(f"round {turn + 1}, {threads} threads: {contest} {name} {entrant}", file=sys.stderr)
                        try:
                            new = enter(entrant, contest, name, threads, entrants[entrant], args, work)
                        except ours.Failed as error:
                            failures += 1
                            new = [{"peer": entrant, "measure": contest, "data": name, "threads": threads}]
                            new[0]["failed"] = str(error)
                            print(f"  FAILED: {error}", file=sys.stderr)
                        for line in new:
                            line["round"] = turn + 1
                            output.write(json.dumps(line) + "\n")
                            output.flush()
                        lines += new
    print(table.table(lines))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
