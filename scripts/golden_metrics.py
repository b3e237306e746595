#!/usr/bin/env python3
"""Makes tests/golden_metrics.json: a fixed score matrix and its metrics by independent tools.

    python3 -m venv venv
    venv/bin/pip install ranx==0.3.21 scikit-learn==1.9.1 numpy==2.4.6
    venv/bin/python scripts/golden_metrics.py tests/golden_metrics.json

Recall, precision, hit rate, NDCG and MRR are ranx's; NDCG is checked against scikit-learn's. AUC, RMSE,
MAE and the metrics of clicks (ratings from 4 on; scores less 2 as log-odds) are scikit-learn's. MAP is ranx's average precision with |T| replaced by min(k, |T|), the divisor of our
definition; ranx divides by |T|. Coverage, Gini, novelty and ARP have no such tool: they are written out from
their definitions on ranx's lists, the Gini coefficient as the mean absolute difference over all pairs.
"""
import itertools
import json
import math
import sys

import numpy as np
import ranx
from sklearn.metrics import log_loss, mean_absolute_error, ndcg_score, root_mean_squared_error, roc_auc_score

USERS, ITEMS, CUTOFFS = 30, 60, (1, 5, 10, 20)


def data():
    rng = np.random.default_rng(20130601)
    # Multiples of 1/64 are exact in 32 and 64 bits. Distinct in a row: the tools break ties in their own ways.
    scores = np.stack([rng.permutation(4 * ITEMS)[:ITEMS] for _ in range(USERS)]) / 64.0
    seen, held, ratings = [], [], []
    for user in range(USERS):
        items = rng.permutation(ITEMS)
        n_seen, n_held = rng.integers(1, 12), rng.integers(1, 25)
        seen.append(sorted(items[:n_seen].tolist()))
        held.append(sorted(items[n_seen : n_seen + n_held].tolist()))
        ratings.append(rng.integers(1, 6, n_held).tolist())
    return scores, seen, held, ratings


def rankings(scores, seen):
    """Unseen items with their scores, by user, as ranx takes them."""
    return {
        f"u{user}": {f"i{item}": float(scores[user, item]) for item in range(ITEMS) if item not in seen[user]}
        for user in range(USERS)
    }


def list_metrics(run, held):
    qrels = ranx.Qrels({f"u{user}": {f"i{item}": 1 for item in held[user]} for user in range(USERS)})
    values, per_user = {}, {}
    for k in CUTOFFS:
        asked = {name: f"{name}@{k}" for name in ("recall", "precision", "hit_rate", "ndcg", "mrr", "map")}
        lists = ranx.Run({user: dict(items) for user, items in run.items()})
        ranx.evaluate(qrels, lists, list(asked.values()))
        for name, key in asked.items():
            each = [lists.scores[key][f"u{user}"] for user in range(USERS)]
            if name == "map":
                each = [v * len(held[u]) / min(k, len(held[u])) for u, v in enumerate(each)]
            values[key] = float(np.mean(each))
            per_user[key] = [float(v) for v in each]
    return values, per_user


def check_ndcg(values, run, held):
    for k in CUTOFFS:
        each = []
        for user in range(USERS):
            items = run[f"u{user}"]
            truth = [[1.0 if int(name[1:]) in held[user] else 0.0 for name in items]]
            each.append(ndcg_score(truth, [list(items.values())], k=k))
        assert math.isclose(np.mean(each), values[f"ndcg@{k}"], rel_tol=1e-12), k


def score_metrics(run, held, scores, ratings):
    auc = []
    for user in range(USERS):
        items = run[f"u{user}"]
        auc.append(roc_auc_score([int(name[1:]) in held[user] for name in items], list(items.values())))
    predicted = [scores[user, item] for user in range(USERS) for item in held[user]]
    actual = list(itertools.chain.from_iterable(ratings))
    return {
        "auc": float(np.mean(auc)),
        "rmse": float(root_mean_squared_error(actual, predicted)),
        "mae": float(mean_absolute_error(actual, predicted)),
    }


def click_metrics(scores, seen, held, ratings, cold_below=3):
    rows = [(user, item, rating) for user in range(USERS) for item, rating in zip(held[user], ratings[user])]
    count = [sum(item in row for row in seen) for item in range(ITEMS)]
    values = {}
    for prefix, kept in (("", rows), ("cold_", [row for row in rows if count[row[1]] < cold_below])):
        clicked = [rating >= 4 for _, _, rating in kept]
        odds = np.array([scores[user, item] - 2 for user, item, _ in kept])
        values[f"{prefix}click_auc"] = float(roc_auc_score(clicked, odds))
        values[f"{prefix}log_loss"] = float(log_loss(clicked, 1 / (1 + np.exp(-odds))))
    return {"threshold": 4, "shift": 2, "cold_below": cold_below, "metrics": values}


def exposure_metrics(run, seen):
    popularity = [sum(item in row for row in seen) for item in range(ITEMS)]
    interactions = sum(popularity)
    values = {}
    for k in CUTOFFS:
        lists = [sorted(items, key=items.get, reverse=True)[:k] for items in run.values()]
        shown = [int(name[1:]) for name in itertools.chain.from_iterable(lists)]
        counts = [shown.count(item) for item in range(ITEMS)]
        differences = sum(abs(a - b) for a, b in itertools.product(counts, counts))
        values[f"coverage@{k}"] = len(set(shown)) / ITEMS
        values[f"gini@{k}"] = differences / (2 * ITEMS * sum(counts))
        values[f"novelty@{k}"] = -sum(math.log2(max(popularity[i], 1) / interactions) for i in shown) / len(shown)
        values[f"arp@{k}"] = sum(popularity[i] for i in shown) / len(shown)
    return values


def main():
    scores, seen, held, ratings = data()
    run = rankings(scores, seen)
    values, per_user = list_metrics(run, held)
    check_ndcg(values, run, held)
    values |= score_metrics(run, held, scores, ratings) | exposure_metrics(run, seen)
    golden = {
        "made_by": f"scripts/golden_metrics.py with numpy {np.__version__}, ranx 0.3.21, scikit-learn 1.9.1",
        "scores_times_64": (scores * 64).astype(int).tolist(),
        "seen": seen,
        "held_out": held,
        "ratings": ratings,
        "metrics": values,
        "clicks": click_metrics(scores, seen, held, ratings),
        "per_user": {"ndcg@10": per_user["ndcg@10"], "map@5": per_user["map@5"]},
    }
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items())
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
