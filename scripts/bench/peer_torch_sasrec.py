"""SASRec in plain PyTorch: causal self-attention over whole sequences, cross-entropy over the whole catalog.

Kind to PyTorch: the fused attention of its library, sequences of like length in one batch so that little of it is
padding, and logits only where there is an item to predict.
"""
import numpy as np
import torch
from common import CUTOFF, Clock, emit, fields_of_training
from torch import nn
from torch.nn import functional

MAX_LENGTH = 200
BLOCKS = 2
DROPOUT = 0.1
# Batches whose sequences are sorted by length together.
SORTED_BATCHES = 20


class Block(nn.Module):
    """Attention with one head and a point-wise network of two layers, each behind a layer norm."""

    def __init__(self, dim):
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.forward_network = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(dim, dim))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        query, key, value = self.qkv(self.norm_attention(x)).chunk(3, dim=-1)
        drop = DROPOUT if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, dropout_p=drop, is_causal=True)
        x = x + self.dropout(self.out(attended))
        return x + self.dropout(self.forward_network(self.norm_forward(x)))


class SasRec(nn.Module):
    """Kang and McAuley 2018. Sequences are padded at their end, where causal attention never looks."""

    def __init__(self, num_items, dim):
        super().__init__()
        self.items, self.positions = nn.Embedding(num_items, dim), nn.Embedding(MAX_LENGTH, dim)
        for table in (self.items, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(dim)

    def forward(self, inputs, kept):
        """Logits [kept positions, items]."""
        x = self.items(inputs) * self.items.embedding_dim**0.5 + self.positions.weight[: inputs.shape[1]]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[kept] @ self.items.weight.T


def sequences(pairs, num_users):
    """The items of each user in the order of the file."""
    order = np.argsort(pairs[:, 0], kind="stable")
    counts = np.bincount(pairs[:, 0], minlength=num_users)
    return np.split(pairs[order, 1], np.cumsum(counts)[:-1])


def padded(histories):
    """Item ids [histories, longest], 0 behind the end, and where there is an item."""
    lengths = np.array([len(history) for history in histories])
    kept = np.arange(lengths.max()) < lengths[:, None]
    table = np.zeros(kept.shape, dtype=np.int64)
    table[kept] = np.concatenate(histories)
    return torch.from_numpy(table), torch.from_numpy(kept)


def batches(histories, size, rng):
    """Users of an epoch: shuffled, then those of like length together, then the batches shuffled."""
    lengths = np.array([len(history) for history in histories])
    users = rng.permutation(np.flatnonzero(lengths > 1))
    found = []
    for start in range(0, len(users), size * SORTED_BATCHES):
        block = users[start : start + size * SORTED_BATCHES]
        block = block[np.argsort(lengths[block], kind="stable")]
        found += [block[at : at + size] for at in range(0, len(block), size)]
    return [found[at] for at in rng.permutation(len(found))]


def train_epoch(model, optimizer, histories, size, rng):
    """Returns how many items were predicted."""
    model.train()
    predicted = 0
    for users in batches(histories, size, rng):
        cut = [histories[user][-(MAX_LENGTH + 1) :] for user in users]
        inputs, kept = padded([history[:-1] for history in cut])
        targets, _ = padded([history[1:] for history in cut])
        loss = functional.cross_entropy(model(inputs, kept), targets[kept])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        predicted += int(kept.sum())
    return predicted


@torch.no_grad()
def quality(model, histories, targets):
    """NDCG@10 of one held-out item a user, all items ranked but those in the history."""
    model.eval()
    total, users = 0.0, [user for user in range(len(histories)) if len(targets[user])]
    for start in range(0, len(users), 256):
        block = users[start : start + 256]
        inputs, kept = padded([histories[user][-MAX_LENGTH:] for user in block])
        last = torch.zeros_like(kept)
        last[torch.arange(len(block)), kept.sum(dim=1) - 1] = True
        scores = model(inputs, last)
        target = torch.tensor([int(targets[user][0]) for user in block])
        for row, user in enumerate(block):
            scores[row, histories[user]] = -torch.inf
        own = scores.gather(1, target[:, None])
        rank = (scores > own).sum(dim=1)
        total += float((1 / torch.log2(rank[rank < CUTOFF] + 2.0)).sum())
    return round(total / len(users), 5)


def run(data, args):
    """Epochs with validation after every `--validate-every`. The rate counts predicted items."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    histories = sequences(data.parts["train"], data.num_users)
    targets = sequences(data.parts["valid"], data.num_users)
    model = SasRec(data.num_items, args.dim)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate, fused=True)
    mean_length = np.mean([min(len(history) - 1, MAX_LENGTH) for history in histories if len(history) > 1])
    size = max(1, round(args.batch_size / mean_length))
    curve, predicted = [], 0
    for epoch in range(args.epochs):
        with Clock() as clock:
            predicted = train_epoch(model, optimizer, histories, size, rng)
        point = {"epoch": epoch + 1, "seconds": round(clock.seconds, 5)}
        if (epoch + 1) % args.validate_every == 0:
            point[f"ndcg@{CUTOFF}"] = quality(model, histories, targets)
        curve.append(point)
    settings = {"learning_rate": args.learning_rate, "batch_size": args.batch_size}
    fields = {**fields_of_training(curve, predicted), "unit": "items predicted in the median epoch"}
    emit("torch", args.model, args, version=torch.__version__, settings=settings, **fields)
