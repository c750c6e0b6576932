"""Makes models.safetensors and models.json: small language models with what PyTorch computes from them in float64.

usage: make.py [OUTPUT_DIR]

OUTPUT_DIR is the script's own folder unless given. For each case of CASES the JSON file holds the sizes, the seed,
ids `input` [T, B], `prompts`, and `greedy`: the tokens that follow each prompt when the most likely one is taken
each time. `smallest_margin` is the least distance in any of those steps between the two largest logits. Seeds are
tried in order until it is large enough for the tokens not to depend on rounding, and no continuation is dull.

The safetensors file holds, in float32:

    CASE/param.NAME   the weights, under the names of a model file
    CASE/out.logits   [T, B, V], after each token of `input`
    CASE/out.hn       [L, B, H], the states after the last token, from zero states before the first
    CASE/out.cn       [L, B, H], an LSTM's cell states
"""

import argparse
import itertools
import json
import pathlib

import torch
import torch.nn as nn
from safetensors.torch import save_file

CASES = {
    "lstm_1_layer": dict(cell="lstm", vocab=23, embedding=9, hidden=67, layers=1, time=20, rows=3),
    "lstm_2_layers": dict(cell="lstm", vocab=66, embedding=5, hidden=7, layers=2, time=21, rows=3),
    "lstm_3_layers": dict(cell="lstm", vocab=101, embedding=40, hidden=20, layers=3, time=19, rows=2),
    "gru_1_layer": dict(cell="gru", vocab=37, embedding=12, hidden=80, layers=1, time=20, rows=3),
    "gru_2_layers": dict(cell="gru", vocab=300, embedding=6, hidden=18, layers=2, time=17, rows=3),
    "gru_3_layers": dict(cell="gru", vocab=129, embedding=24, hidden=12, layers=3, time=18, rows=5),
}
PROMPT_LENGTHS = [7, 6, 9]
GREEDY_TOKENS = 40
LEAST_MARGIN = 2e-3
LEAST_VARIETY = 5
# PyTorch's initial weights give logits that hardly differ, and the same token again and again.
RNN_SCALE = {"lstm": 3.0, "gru": 2.5}
OUTPUT_SCALE = 4.0


class LanguageModel(nn.Module):
    """embedding -> LSTM or GRU stack -> linear, on ids [T, B]."""

    def __init__(self, cell, vocab, embedding, hidden, layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](embedding, hidden, layers)
        self.output = nn.Linear(hidden, vocab)

    def forward(self, ids, state=None):
        y, state = self.rnn(self.embedding(ids), state)
        return self.output(y), state


def new_model(seed, time, rows, **shape):
    """A model whose weights are float32 numbers, computing in float64."""
    torch.manual_seed(seed)
    model = LanguageModel(**shape)
    for parameter in model.rnn.parameters():
        parameter.mul_(RNN_SCALE[shape["cell"]])
    model.output.weight.mul_(OUTPUT_SCALE)
    return model.double()


def greedy(model, prompt):
    """The most likely continuation, and the least margin of its choices."""
    ids, state, margin, chosen = torch.tensor(prompt), None, float("inf"), []
    for _ in range(GREEDY_TOKENS):
        logits, state = model(ids[:, None], state)
        (first, second), (token, _) = (top.tolist() for top in logits[-1, 0].topk(2))
        margin = min(margin, first - second)
        chosen.append(token)
        ids = torch.tensor([token])
    return chosen, margin


def try_case(case, seed):
    """The JSON record and the tensors of a case."""
    model = new_model(seed, **case)
    prompts = [torch.randint(case["vocab"], (length,)).tolist() for length in PROMPT_LENGTHS]
    ids = torch.randint(case["vocab"], (case["time"], case["rows"]))
    continuations, margins = zip(*(greedy(model, prompt) for prompt in prompts))
    record = dict(case, seed=seed, smallest_margin=min(margins), input=ids.tolist())
    record.update(prompts=prompts, greedy=continuations)

    logits, state = model(ids)
    h, c = state if case["cell"] == "lstm" else (state, None)
    tensors = {f"param.{name}": value for name, value in model.state_dict().items()}
    tensors.update({"out.logits": logits, "out.hn": h})
    if c is not None:
        tensors["out.cn"] = c
    return record, tensors


def is_telling(record):
    """Whether a record's greedy tokens are safe from rounding, and would show a wrong state."""
    variety = min(len(set(tokens)) for tokens in record["greedy"])
    return record["smallest_margin"] > LEAST_MARGIN and variety >= LEAST_VARIETY


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    folder = parser.parse_args().output
    torch.set_num_threads(1)

    records, tensors = {}, {}
    for name, case in CASES.items():
        attempts = (try_case(case, seed) for seed in itertools.count(1))
        record, of_case = next(attempt for attempt in attempts if is_telling(attempt[0]))
        records[name] = record
        tensors.update({f"{name}/{key}": value.float().contiguous() for key, value in of_case.items()})
        print(f"{name}: seed {record['seed']}, smallest margin {record['smallest_margin']:.4f}, "
              f"standard deviation of logits {of_case['out.logits'].std().item():.2f}, "
              f"distinct tokens {[len(set(tokens)) for tokens in record['greedy']]}")

    save_file(tensors, folder / "models.safetensors")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in records.items())
    (folder / "models.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
