"""Makes optimisers.safetensors and optimisers.json: steps of PyTorch's optimisers, in float64.

usage: optimisers.py [OUTPUT_DIR]

OUTPUT_DIR is the script's own folder unless given. For each case of CASES the JSON file holds its options; learning
rates change from step to step. The safetensors file holds, in float32:

    CASE/parameters       [N], before the first step
    CASE/gradients        [STEPS, N]
    CASE/learning_rates   [STEPS]
    CASE/out.parameters   [STEPS, N], after each step
    CASE/out.norms        [STEPS], of the gradients before clipping
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

ADAM = dict(beta1=0.9, beta2=0.999, epsilon=1e-8)
CASES = {
    "adam": dict(optimiser="adam", learning_rate=0.02, decay=0.0, max_norm=0.0, **ADAM),
    "adam_decay_clipped": dict(optimiser="adam", learning_rate=0.02, decay=0.1, max_norm=1.5, **ADAM),
    "adam_other_betas": dict(
        optimiser="adam", learning_rate=0.02, decay=0.0, max_norm=0.0, beta1=0.5, beta2=0.9, epsilon=1e-3
    ),
    "adamw_clipped": dict(optimiser="adamw", learning_rate=0.02, decay=0.1, max_norm=1.5, **ADAM),
    "sgd": dict(optimiser="sgd", learning_rate=0.02, decay=0.0, max_norm=0.0, momentum=0.0),
    "sgd_momentum_decay_clipped": dict(
        optimiser="sgd", learning_rate=0.02, decay=0.1, max_norm=1.5, momentum=0.9
    ),
}
N = 37
STEPS = 20


def new_optimiser(parameter, case):
    """PyTorch's optimiser of a case, without its vectorised forms."""
    options = dict(lr=case["learning_rate"], weight_decay=case["decay"], foreach=False)
    if case["optimiser"] == "sgd":
        return torch.optim.SGD([parameter], momentum=case["momentum"], **options)
    new = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[case["optimiser"]]
    return new([parameter], betas=(case["beta1"], case["beta2"]), eps=case["epsilon"], **options)


def run(case, parameters, gradients, learning_rates):
    """The parameters after each step, and the gradients' norms."""
    parameter = torch.nn.Parameter(parameters.double())
    optimiser = new_optimiser(parameter, case)
    after, norms = [], []
    for gradient, learning_rate in zip(gradients.double(), learning_rates.double()):
        parameter.grad = gradient.clone()
        optimiser.param_groups[0]["lr"] = learning_rate.item()
        max_norm = case["max_norm"] or float("inf")
        norms.append(torch.nn.utils.clip_grad_norm_([parameter], max_norm))
        optimiser.step()
        after.append(parameter.detach().clone())
    return torch.stack(after), torch.stack(norms)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    folder = parser.parse_args().output
    torch.set_num_threads(1)

    tensors = {}
    for seed, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        parameters = torch.randn(N)
        # Sizes from 1e-4 to 1 side by side; the last parameter has no gradient.
        gradients = torch.randn(STEPS, N) * 10.0 ** (-4 * torch.arange(N) / N)
        gradients[:, -1] = 0.0
        learning_rates = case["learning_rate"] * torch.linspace(1.0, 0.1, STEPS)
        after, norms = run(case, parameters, gradients, learning_rates)
        of_case = dict(parameters=parameters, gradients=gradients, learning_rates=learning_rates)
        of_case.update({"out.parameters": after, "out.norms": norms})
        tensors.update({f"{name}/{key}": value.float().contiguous() for key, value in of_case.items()})
        print(f"{name}: norms {norms.min().item():.2f} to {norms.max().item():.2f}")

    save_file(tensors, folder / "optimisers.safetensors")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in CASES.items())
    (folder / "optimisers.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
