"""Plain PyTorch, as one would write it: the training steps alone, batches drawn on the device.

Kind to PyTorch: positives are drawn with replacement and negatives without a look at the user's positives, so that a
step is a few gathers, a loss and the optimizer. Modes: `eager`; `graph`, the whole step as a CUDA graph; `compile`,
torch.compile around the loss (with CUDA graphs on a GPU) and around nothing else.
"""
import time
from functools import partial

import numpy as np
import torch
from common import emit
from torch import nn
from torch.nn import functional

BLOCK_SECONDS = 0.25


class Factors(nn.Module):
    """BPR of matrix factorization; scores are dot products."""

    def __init__(self, num_users, num_items, dim, sparse):
        super().__init__()
        self.users = nn.Embedding(num_users, dim, sparse=sparse)
        self.items = nn.Embedding(num_items, dim, sparse=sparse)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, user, positive, negative):
        difference = self.items(positive) - self.items(negative)
        return functional.softplus(-(self.users(user) * difference).sum(-1)).mean()


class NeuMf(nn.Module):
    """He et al. 2017, with a hidden part of 128 and 64 and a dropout of 0.1, as RecBole's defaults have it."""

    def __init__(self, num_users, num_items, dim, sparse):
        super().__init__()
        if sparse:
            raise ValueError("SparseAdam takes no dense layers")
        self.gmf_users, self.mlp_users = (nn.Embedding(num_users, dim) for _ in range(2))
        self.gmf_items, self.mlp_items = (nn.Embedding(num_items, dim) for _ in range(2))
        self.mlp = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(2 * dim, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 64), nn.ReLU()
        )
        self.out = nn.Linear(dim + 64, 1)

    def forward(self, user, positive, negative):
        user, item = torch.cat([user, user]), torch.cat([positive, negative])
        product = self.gmf_users(user) * self.gmf_items(item)
        hidden = self.mlp(torch.cat([self.mlp_users(user), self.mlp_items(item)], -1))
        logit = self.out(torch.cat([product, hidden], -1)).squeeze(-1)
        label = torch.zeros_like(logit)
        label[: len(positive)] = 1
        return functional.binary_cross_entropy_with_logits(logit, label)


def optimizer_of(name, model, rate, mode):
    """One of `adam`, `adam-fused` (dense, the kernel that does all in one pass) and `sparse-adam`."""
    if name == "sparse-adam":
        return torch.optim.SparseAdam(model.parameters(), lr=rate)
    return torch.optim.Adam(model.parameters(), lr=rate, fused=name == "adam-fused", capturable=mode == "graph")


def step_of(model, optimizer, pairs, num_items, args, mode):
    """A function without arguments that does one step."""
    users, items = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    loss_of = model
    if mode == "compile":
        loss_of = torch.compile(model, mode="reduce-overhead" if args.device != "cpu" else "default")

    def step():
        picked = torch.randint(len(users), (args.batch_size,), device=users.device)
        negative = torch.randint(num_items, (args.batch_size,), device=users.device)
        loss = loss_of(users[picked], items[picked], negative)
        # With set_to_none a graph would free what it captured.
        optimizer.zero_grad(set_to_none=mode != "graph")
        loss.backward()
        optimizer.step()

    return captured(step) if mode == "graph" else step


def captured(step):
    """The step as a CUDA graph, after the warm-up on a stream of its own that capturing asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def seconds_of(step, args):
    """Median over blocks of the mean time of a step in a block."""
    wait = torch.cuda.synchronize if args.device != "cpu" else lambda: None
    for _ in range(5):
        step()
    wait()
    count, means = 1, []
    begun = time.perf_counter()
    while time.perf_counter() - begun < args.seconds or len(means) < 3:
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        seconds = time.perf_counter() - start
        means.append(seconds / count)
        count = max(1, round(count * BLOCK_SECONDS / seconds))
    return float(np.median(means))


def measure(measured, model_of, pairs, num_items, args):
    """A line for each optimizer and mode; what cannot be run is a line that says why."""
    torch.set_num_threads(args.threads)
    pairs = torch.as_tensor(pairs, device=args.device)
    for name in args.optimizers.split(","):
        for mode in args.modes.split(","):
            if mode == "graph" and args.device == "cpu":
                continue
            # SparseAdam asks the host for sizes, which no graph can, and torch.compile has no sparse gradients.
            if mode != "eager" and name == "sparse-adam":
                continue
            fields = {"items": args.batch_size, "unit": "positives in a step", "device": args.device}
            try:
                torch.manual_seed(args.seed)
                model = model_of(name == "sparse-adam").to(args.device)
                optimizer = optimizer_of(name, model, args.learning_rate, mode)
                step = step_of(model, optimizer, pairs, num_items, args, mode)
                fields["seconds"] = round(seconds_of(step, args), 7)
            except Exception as error:  # The other measurements are worth having.
                fields["failed"] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
            emit(f"torch {name} {mode}", measured, args, version=torch.__version__, **fields)
            model = optimizer = step = None
            if args.device != "cpu":
                torch.cuda.empty_cache()


def bpr(data, args):
    model_of = partial(Factors, data.num_users, data.num_items, args.dim)
    measure("bpr", model_of, data.parts["train"], data.num_items, args)


def neumf(data, args):
    model_of = partial(NeuMf, data.num_users, data.num_items, args.dim)
    measure("neumf", model_of, data.parts["train"], data.num_items, args)


def catalog(_data, args):
    """The BPR step with catalogs of several sizes, a hundred thousand users and uniform pairs."""
    rng = np.random.default_rng(args.seed)
    num_users = 100_000
    for num_items in map(int, args.items.split(",")):
        args.label = f"{num_items} items"
        pairs = np.stack([rng.integers(0, size, 1_000_000) for size in (num_users, num_items)], axis=1)
        measure("catalog", partial(Factors, num_users, num_items, args.dim), pairs, num_items, args)


def copy(_data, args):
    """Bytes read and written in a second by a copy within the device's memory."""
    torch.set_num_threads(args.threads)
    size = (1 << 30) if args.device != "cpu" else (1 << 28)
    source = torch.ones(size, dtype=torch.uint8, device=args.device)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), args)
    device = torch.cuda.get_device_name() if args.device != "cpu" else "cpu"
    fields = {"seconds": round(seconds, 7), "items": 2 * size, "unit": "bytes read and written", "device": device}
    args.label = "copy"
    emit("torch", "copy", args, version=torch.__version__, **fields)
