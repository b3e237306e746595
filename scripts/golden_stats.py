#!/usr/bin/env python3
"""Makes tests/golden_stats.json: paired differences and what scipy says of them.

    python3 -m venv venv
    venv/bin/pip install scipy==1.17.1 numpy==2.4.6
    venv/bin/python scripts/golden_stats.py tests/golden_stats.json

The signed-rank test is scipy.stats.wilcoxon with its defaults, the interval scipy.stats.bootstrap (percentile,
paired differences of one sample). The effect sizes are written out from their definitions on scipy's ranks;
Holm's adjustment has no function in scipy and is written out, too.
"""
import json
import sys

import numpy as np
from scipy import stats


def cases():
    rng = np.random.default_rng(19450601)
    yield "small and exact", rng.normal(0.3, 1.0, 12)
    yield "fifty, still exact", rng.normal(0.1, 1.0, 50)
    yield "fifty-one, approximate", rng.normal(0.1, 1.0, 51)
    yield "small with zeros", np.array([0.0, 0.5, -0.25, 0.0, 0.75, 1.0, 0.125, -0.375])
    yield "small with ties", np.array([1.0, -1.0, 2.0, 2.0, -3.0, 2.0, 5.0, 1.0, 4.0])
    # As a metric of lists gives them: most users equal, few distinct values.
    yield "hit rates", rng.choice([-1.0, 0.0, 1.0], 900, p=[0.08, 0.8, 0.12])
    yield "many, far apart", rng.normal(0.4, 1.0, 2000)
    yield "one sign", rng.uniform(0.1, 1.0, 20)
    yield "skewed", rng.exponential(1.0, 400) - 0.9


def case(d):
    test = stats.wilcoxon(d)
    nonzero = d[d != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    plus, minus = ranks[nonzero > 0].sum(), ranks[nonzero < 0].sum()
    assert test.statistic == min(plus, minus)
    drawn = stats.bootstrap((d,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1))
    return {
        "differences": d.tolist(),
        "mean": float(d.mean()),
        "statistic": float(test.statistic),
        "p_value": float(test.pvalue),
        "rank_biserial": float((plus - minus) / (plus + minus)),
        "cohens_dz": float(d.mean() / d.std(ddof=1)),
        "interval": [float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)],
        "standard_error": float(d.std() / np.sqrt(len(d))),
    }


def holm(p):
    order = np.argsort(p)
    steps = np.minimum(np.asarray(p)[order] * (len(p) - np.arange(len(p))), 1.0)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(steps)
    return {"p_values": list(p), "adjusted": adjusted.tolist()}


golden = {
    "cases": {name: case(d) for name, d in cases()},
    "holm": [holm([0.01, 0.04, 0.03, 0.005]), holm([0.2, 0.9, 0.001]), holm([0.05])],
}
with open(sys.argv[1], "w") as file:
    json.dump(golden, file)
    file.write("\n")
