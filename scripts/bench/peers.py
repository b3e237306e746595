#!/usr/bin/env python3
"""Measures one peer and prints a line of JSON for each measurement.

    peers.py implicit-bpr --data DIR --name ml-1m --threads 2 --epochs 20

DIR is what data.py wrote. Threads are those of OpenMP and PyTorch; run.py also sets them from outside. The fields of a
line: peer, measure, data, threads, dim, seconds (median), items and rate (items in a second), what an item is (unit),
quality, the training curve, peak_memory_bytes of the process.
"""
import argparse
import os
from pathlib import Path

PEERS = (
    "implicit-bpr", "implicit-als", "recbole-bpr", "recbole-neumf", "recbole-lightgcn",
    "torch-bpr", "torch-neumf", "torch-sasrec", "torch-catalog", "torch-copy",
)  # fmt: skip
WITHOUT_DATA = ("torch-catalog", "torch-copy")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--data", type=Path, help="what data.py wrote")
    parser.add_argument("--name", default="ml-1m", help="ml-1m, gowalla or synth")
    parser.add_argument("--label", default=None, help="what the lines call the data; its name unless given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--validate-every", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=None, help="4096 for RecBole and NeuMF, 8192 for torch-bpr")
    parser.add_argument("--learning-rate", type=float, default=None)
    parser.add_argument("--regularization", type=float, default=0.001, help="implicit's")
    parser.add_argument("--repeat", type=int, default=3, help="rankings that are timed")
    parser.add_argument("--seconds", type=float, default=10, help="how long each PyTorch step is repeated")
    parser.add_argument("--optimizers", default=None, help="adam, adam-fused and, but for NeuMF, sparse-adam")
    parser.add_argument("--modes", default="eager", help="of PyTorch's steps: eager, graph (CUDA only), compile")
    parser.add_argument("--items", default="10000,100000,1000000", help="the catalogs of torch-catalog")
    parser.add_argument("--device", default="cpu", help="PyTorch's: cpu or cuda")
    parser.add_argument("--seed", type=int, default=2020)
    args = parser.parse_args()
    if args.batch_size is None:
        args.batch_size = 8192 if args.peer in ("torch-bpr", "torch-catalog") else 4096
    args.label = args.label or args.name
    if args.data is None and args.peer not in WITHOUT_DATA:
        parser.error(f"{args.peer} needs --data")
    if args.optimizers is None:
        args.optimizers = "adam,adam-fused" + (",sparse-adam" if args.peer != "torch-neumf" else "")
    if args.learning_rate is None:
        args.learning_rate = 0.01 if args.peer == "implicit-bpr" else 0.001
    return args


def main():
    args = parse()
    # Before anything that reads it is loaded.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    library, args.model = args.peer.split("-")
    import common

    data = None if args.peer in WITHOUT_DATA else common.load(args.data, args.name)
    if library == "implicit":
        import peer_implicit

        {"bpr": peer_implicit.bpr, "als": peer_implicit.als}[args.model](data, args)
    elif library == "recbole":
        import peer_recbole

        peer_recbole.run(data, args)
    elif args.model == "sasrec":
        import peer_torch_sasrec

        peer_torch_sasrec.run(data, args)
    else:
        import peer_torch

        getattr(peer_torch, args.model)(data, args)


if __name__ == "__main__":
    main()
