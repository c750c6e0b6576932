"""Trains the embedded character model with PyTorch and writes it as a gatefold model folder.

usage: train_shakespeare.py CORPUS OUTPUT_DIR [--hidden 384] [--epochs 16] [--threads 2] ...

The last 10 % of the corpus (contiguous) is never trained on; its loss, in nats a character with the
state carried through from zero, is printed after each epoch for the log and decides nothing: the
weights written are those of the last step.
"""

import argparse
import json
import math
import os
import time

import torch
import torch.nn as nn
from safetensors.torch import save_file


class CharModel(nn.Module):
    """embedding -> dropout -> LSTM stack (dropout between layers) -> dropout -> linear."""

    def __init__(self, vocab, embed, hidden, layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.rnn = nn.LSTM(embed, hidden, layers, batch_first=True, dropout=dropout)
        self.output = nn.Linear(hidden, vocab)
        self.drop = nn.Dropout(dropout)

    def forward(self, ids, state=None):
        y, state = self.rnn(self.drop(self.embedding(ids)), state)
        return self.output(self.drop(y)), state


@torch.inference_mode()
def held_out_nats(model, ids, window=2000):
    """Mean nats a character over ids[1:], the state carried from window to window."""
    model.eval()
    total, state = 0.0, None
    for start in range(0, len(ids) - 1, window):
        x = ids[start : start + window][None]
        y = ids[start + 1 : start + window + 1]
        logits, state = model(x[:, : len(y)], state)
        total += nn.functional.cross_entropy(logits[0], y, reduction="sum").item()
    model.train()
    return total / (len(ids) - 1)


def write_folder(model, characters, path, args, nats):
    os.makedirs(path, exist_ok=True)
    tensors = {k: v.detach().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    config = {
        "format_version": 1,
        "cell": "lstm",
        "vocab_size": len(characters),
        "embedding_size": args.embed,
        "hidden_size": args.hidden,
        "num_layers": args.layers,
        "tie_word_embeddings": False,
        "dropout": args.dropout,
        "start_text": "\n",
    }
    tokenizer = {"model": {"type": "characters", "vocab": characters}}
    for name, value in (("config.json", config), ("tokenizer.json", tokenizer)):
        with open(os.path.join(path, name), "w") as f:
            json.dump(value, f, indent=1, ensure_ascii=True)
            f.write("\n")
    print(f"wrote {path}: held-out {nats:.4f} nats a character", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("corpus")
    p.add_argument("output")
    p.add_argument("--embed", type=int, default=64)
    p.add_argument("--hidden", type=int, default=384)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--dropout", type=float, default=0.4)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--window", type=int, default=100)
    p.add_argument("--epochs", type=int, default=16)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--clip", type=float, default=1.0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    text = open(args.corpus, encoding="utf-8").read()
    characters = sorted(set(text))
    index = {c: i for i, c in enumerate(characters)}
    ids = torch.tensor([index[c] for c in text])
    split = len(ids) * 9 // 10
    train, held_out = ids[:split], ids[split:]

    model = CharModel(len(characters), args.embed, args.hidden, args.layers, args.dropout)
    optimiser = torch.optim.Adam(model.parameters(), args.lr)
    windows = (len(train) - 1) // args.batch // args.window
    steps = args.epochs * windows
    warmup = min(200, steps // 10)
    rate = lambda s: min(1, (s + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * s / steps)) + 1e-3
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    started = time.time()
    for epoch in range(args.epochs):
        # Streams start at another offset in each epoch, so that window borders move.
        slack = len(train) - 1 - args.batch * windows * args.window
        offset = int(torch.randint(0, slack + 1, ()))
        span = args.batch * windows * args.window
        x = train[offset : offset + span].view(args.batch, -1)
        y = train[offset + 1 : offset + 1 + span].view(args.batch, -1)
        state, total = None, 0.0
        for w in range(windows):
            cols = slice(w * args.window, (w + 1) * args.window)
            logits, state = model(x[:, cols], state)
            state = tuple(s.detach() for s in state)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y[:, cols].flatten())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimiser.step()
            schedule.step()
            total += loss.item()
        nats = held_out_nats(model, held_out)
        print(f"epoch {epoch + 1}/{args.epochs}  train {total / windows:.4f}  held out {nats:.4f}  "
              f"{time.time() - started:.0f} s", flush=True)
        if (epoch + 1) % 4 == 0:
            write_folder(model, characters, args.output + ".partial", args, nats)
    write_folder(model, characters, args.output, args, nats)


if __name__ == "__main__":
    main()
