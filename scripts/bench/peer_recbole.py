"""RecBole: BPR, NeuMF and LightGCN in PyTorch, with its own loaders, trainer and full ranking."""
import logging
import resource
import signal
import tempfile

import numpy as np
from common import CUTOFF, Clock, emit, fields_of_training

# Its NeuMF scores every pair in a call of its own; without bounds the full ranking takes the machine's memory.
RANK_BYTES = 6 << 30
RANK_SECONDS = 240


def config_of(data, args, checkpoints):
    """The config, without a file and without anything else of the command line."""
    from recbole.config import Config

    values = {
        "data_path": str(data.folder),
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"]},
        "use_gpu": args.device != "cpu",
        "seed": args.seed,
        "state": "ERROR",
        "show_progress": False,
        "checkpoint_dir": checkpoints,
        "train_batch_size": args.batch_size,
        "eval_batch_size": 4096,
        "learning_rate": args.learning_rate,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1, "dynamic": False},
        "eval_args": {"group_by": "user", "order": "RO", "mode": "full"},
        "metrics": ["NDCG", "Recall"],
        "topk": [CUTOFF],
        "valid_metric": f"NDCG@{CUTOFF}",
        "embedding_size": args.dim,
        "mf_embedding_size": args.dim,
        "mlp_embedding_size": args.dim,
        "mlp_hidden_size": [128, 64],
        "dropout_prob": 0.1,
        "n_layers": 3,
        "reg_weight": 1e-4,
    }
    return Config(model={"bpr": "BPR", "neumf": "NeuMF", "lightgcn": "LightGCN"}[args.model], dataset=data.name, config_dict=values)


def run(data, args):
    """Epochs with validation after every `--validate-every`, then one full ranking of the test part."""
    import recbole
    import scipy.sparse
    import torch
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

    # What its LightGCN fills the adjacency matrix with, which newer SciPy calls `_dict.update`.
    scipy.sparse.dok_matrix._update = lambda matrix, values: matrix._dict.update(values)
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as checkpoints:
        config = config_of(data, args, checkpoints)
        init_seed(config["seed"], True)
        train, valid, test = data_preparation(config, create_dataset(config))
        model = get_model(config["model"])(config, train.dataset).to(config["device"])
        trainer = Trainer(config, model)
        # A copy of the item tensor that its fit() makes for the evaluation.
        trainer.eval_collector.data_collect(train)
        curve = []
        for epoch in range(args.epochs):
            with Clock() as clock:
                trainer._train_epoch(train, epoch)
            point = {"epoch": epoch + 1, "seconds": round(clock.seconds, 5)}
            # NeuMF's full ranking is measured once, below.
            if args.model != "neumf" and (epoch + 1) % args.validate_every == 0:
                point[f"ndcg@{CUTOFF}"] = trainer.evaluate(valid, load_best_model=False)[f"ndcg@{CUTOFF}"]
            curve.append(point)
        settings = {"learning_rate": args.learning_rate, "batch_size": args.batch_size}
        fields = fields_of_training(curve, len(data.parts["train"]))
        emit("recbole", args.model, args, version=recbole.__version__, settings=settings, **fields)
        rank(trainer, test, args, recbole.__version__, len(np.unique(data.parts["test"][:, 0])))


def rank(trainer, test, args, version, num_users):
    """Ranks the test part within bounds of memory and time; says so when it breaks one."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (RANK_BYTES, hard))
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(RANK_SECONDS)
    fields = {"items": num_users, "unit": "users ranked and judged"}
    try:
        with Clock() as clock:
            result = trainer.evaluate(test, load_best_model=False)
        fields["seconds"] = round(clock.seconds, 5)
        fields["quality"] = {f"ndcg@{CUTOFF}": result[f"ndcg@{CUTOFF}"], "part": "test"}
    except (MemoryError, RuntimeError, TimeoutError) as error:
        fields["failed"] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    emit("recbole", "rank" if args.model == "bpr" else f"{args.model}-rank", args, version=version, **fields)


def too_long(*_):
    raise TimeoutError(f"not done after {RANK_SECONDS} s")
