"""The textbook's recurrent model in PyTorch: embedding 10,000 x 128, LSTM 256, dense to the vocabulary, Adam, sparse
cross-entropy from logits; tokens 1..5 to 2..6, ten epochs, the state carried over. Writes textbook.json: its losses.

The initial weights are those of gatefold's own initialisation with seed 1 (Philox4x32-10), made again here in numpy,
so that both sides begin with equal numbers.

usage: python3 assets/reference/textbook.py        (torch, numpy)
"""
import json
import os

import numpy as np
import torch

VOCAB, EMBEDDING, HIDDEN, SEED = 10_000, 128, 256, 1


def philox(counters, key):
    """Philox4x32-10 on [n, 4] counters."""
    x = counters.astype(np.uint64)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    low = np.uint64(0xFFFF_FFFF)
    for _ in range(10):
        p0, p1 = x[:, 0] * np.uint64(0xD251_1F53), x[:, 2] * np.uint64(0xCD9E_8D57)
        x = np.stack([(p1 >> np.uint64(32)) ^ x[:, 1] ^ k0, p1 & low, (p0 >> np.uint64(32)) ^ x[:, 3] ^ k1, p0 & low], 1)
        k0, k1 = (k0 + np.uint64(0x9E37_79B9)) & low, (k1 + np.uint64(0xBB67_AE85)) & low
    return x.astype(np.uint32)


def words(place, count):
    blocks = -(-count // 4)
    counters = np.zeros((blocks, 4), np.uint32)
    counters[:, 0] = np.arange(blocks)
    counters[:, 2] = place
    return philox(counters, (SEED, 0)).reshape(-1)


def unit(w):
    return (w.astype(np.float64) + 0.5) / 4294967296.0


def uniform(place, shape):
    w = words(place, int(np.prod(shape)))[: int(np.prod(shape))]
    return ((unit(w) * 2.0 - 1.0).astype(np.float32) * np.float32(1.0 / np.sqrt(np.float32(HIDDEN)))).reshape(shape)


def normal(place, shape):
    pairs = unit(words(place, int(np.prod(shape)))).reshape(-1, 2)
    radius, angle = np.sqrt(-2.0 * np.log(pairs[:, 0])), 2 * np.pi * pairs[:, 1]
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
    return both[: int(np.prod(shape))].astype(np.float32).reshape(shape)


embedding, rnn, output = torch.nn.Embedding(VOCAB, EMBEDDING), torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, VOCAB)
parameters = [embedding.weight, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0, output.weight, output.bias]
with torch.no_grad():
    for place, p in enumerate(parameters):
        p.copy_(torch.from_numpy((normal if place == 0 else uniform)(place, tuple(p.shape))))

optimizer = torch.optim.Adam(parameters, lr=1e-3)
x, y = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[2, 3, 4, 5, 6]])
state, losses = None, []
for _ in range(10):
    h, state = rnn(embedding(x), state)
    state = tuple(s.detach() for s in state)
    loss = torch.nn.functional.cross_entropy(output(h).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(float(loss.detach()))

file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "textbook.json")
json.dump({"torch": torch.__version__.split("+")[0], "seed": SEED, "losses": losses}, open(file, "w"), indent=1)
print(losses)
