#!/usr/bin/env python3
"""Writes the data that this program and its peers are compared on: the same three files for all.

    data.py ml-1m SOURCE OUT      ratings.dat of MovieLens 1M: ratings of 3 and more, a random 80/10/10 of each user
    data.py ml-1m-sequence SOURCE OUT    all ratings of it in time order; a user's last is test, the one before validation
    data.py gowalla SOURCE OUT    train.txt and test.txt of LightGCN's split; a fiftieth of train becomes validation
    data.py synth OUT --users 1000000 --items 1000000 --interactions 20000000

SOURCE holds the files, gzipped or not. The result is OUT/NAME/NAME.{train,valid,test}.inter, RecBole's atomic
files (`user_id:token item_id:token`), which this program reads as they are. `synth` has items of Zipf popularity and
a test part of a thousand users, and no validation part: it is for speed alone.
"""
import argparse
import gzip
from pathlib import Path

import numpy as np

HEADER = b"user_id:token\titem_id:token\n"
# The ids of `synth` start here, so that all have eight digits.
FIRST_ID = 10_000_000


def read(folder, name):
    """The bytes of a file that may be gzipped."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    raise SystemExit(f"data.py: there is neither {name} nor {name}.gz in {folder}")


def movielens(source, rng):
    """Pairs (user, item) by part, ids dense from 0."""
    table = np.array(read(source, "ratings.dat").replace(b"::", b" ").split(), dtype=np.int64).reshape(-1, 4)
    table = table[table[:, 2] >= 3]
    users, items = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
    # A random order within each user: sorted by user, then by a random number.
    order = np.lexsort((rng.random(len(users)), users))
    users, items = users[order], items[order]
    counts = np.bincount(users)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.repeat(np.rint(counts * 0.1).astype(int), counts)
    pairs = np.stack([users, items], axis=1)
    return {
        "train": pairs[place >= 2 * held],
        "valid": pairs[place < held],
        "test": pairs[(place >= held) & (place < 2 * held)],
    }


def movielens_sequence(source, _rng):
    """Pairs by part, in time order within each user; users and items with at least 5. Ties keep the file's order."""
    table = np.array(read(source, "ratings.dat").replace(b"::", b" ").split(), dtype=np.int64).reshape(-1, 4)
    while True:
        few = [np.bincount(table[:, column])[table[:, column]] < 5 for column in (0, 1)]
        if not (few[0] | few[1]).any():
            break
        table = table[~(few[0] | few[1])]
    table = table[np.lexsort((table[:, 3], table[:, 0]))]
    users, items = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
    pairs = np.stack([users, items], axis=1)
    counts = np.bincount(users)
    from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(users))
    return {"train": pairs[from_end > 2], "valid": pairs[from_end == 2], "test": pairs[from_end == 1]}


def gowalla(source, rng):
    """Pairs by part. A user's first training item stays where it is, so that nobody loses all."""
    parts = {}
    for part in ("train", "test"):
        rows = [np.array(line.split(), dtype=np.int64) for line in read(source, f"{part}.txt").splitlines()]
        pairs = [np.stack([np.full(len(row) - 1, row[0]), row[1:]], axis=1) for row in rows if len(row)]
        parts[part] = np.concatenate(pairs)
    users = parts["train"][:, 0]
    first = np.concatenate([[True], users[1:] != users[:-1]])
    held = (rng.random(len(users)) < 0.02) & ~first
    return {"train": parts["train"][~held], "valid": parts["train"][held], "test": parts["test"]}


SOURCES = {"ml-1m": movielens, "ml-1m-sequence": movielens_sequence, "gowalla": gowalla}


def synth(args, rng):
    """Distinct random pairs; item i is drawn about as often as 1 / (i + 1) ** 0.8 says."""
    # Twice, since popular pairs repeat; distinct keys are sorted, so they are shuffled before the cut.
    drawn = int(args.interactions * 1.3)
    users = rng.integers(0, args.users, drawn)
    items = np.minimum((args.items * rng.random(drawn) ** 5).astype(np.int64), args.items - 1)
    keys = np.unique(users * args.items + items)
    keys = rng.permutation(keys)[: args.interactions]
    pairs = np.stack([keys // args.items, keys % args.items], axis=1) + FIRST_ID
    test = np.unique(pairs[:, 0], return_index=True)[1][:1000]
    return {"train": np.delete(pairs, test, axis=0), "test": pairs[test]}


def write(folder, name, parts):
    folder.mkdir(parents=True, exist_ok=True)
    for part, pairs in parts.items():
        path = folder / f"{name}.{part}.inter"
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            file.write(HEADER)
            if pairs[0, 0] >= FIRST_ID:
                file.write(fixed_width(pairs))
            else:
                file.write(b"".join(b"%d\t%d\n" % (user, item) for user, item in pairs.tolist()))
        partial.rename(path)
    print(f"{folder}: " + ", ".join(f"{len(pairs)} {part}" for part, pairs in parts.items()))


def fixed_width(pairs):
    """Lines of ids with eight digits each, made without a loop over the lines."""
    lines = np.empty((len(pairs), 18), dtype=np.uint8)
    for column, (start, end) in enumerate(((0, b"\t"), (9, b"\n"))):
        rest = pairs[:, column].copy()
        for digit in range(7, -1, -1):
            rest, last = np.divmod(rest, 10)
            lines[:, start + digit] = last + ord("0")
        lines[:, start + 8] = end[0]
    return lines.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in SOURCES:
        of_files = kinds.add_parser(kind)
        of_files.add_argument("source", type=Path)
        of_files.add_argument("out", type=Path)
        of_files.add_argument("--seed", type=int, default=2020)
    made = kinds.add_parser("synth")
    made.add_argument("out", type=Path)
    for size, default in (("users", 1_000_000), ("items", 1_000_000), ("interactions", 20_000_000), ("seed", 2020)):
        made.add_argument(f"--{size}", type=int, default=default)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    if args.kind == "synth":
        if max(args.users, args.items) > 9 * FIRST_ID:
            parser.error("no more than 90,000,000 users and items")
        parts = synth(args, rng)
        short = args.interactions - sum(len(pairs) for pairs in parts.values())
        if short:
            parser.error(f"{short} interactions are missing: so few users and items have no more pairs at this skew")
    else:
        parts = SOURCES[args.kind](args.source, rng)
    write(args.out / args.kind, args.kind, parts)


if __name__ == "__main__":
    main()
