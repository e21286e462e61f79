"""5.4 initial_std: what is computed. What is said stands in initial_std.md."""

import math

import torch


def cases():
    """One matrix of each kind, biases and gains, for two depths."""
    names = [
        "h.0.attn.c_proj.weight", "wte.weight", "wpe.weight", "h.3.ln_1.weight", "h.3.ln_2.bias", "ln_f.weight", "ln_f.bias",
        "h.1.attn.c_attn.weight", "h.1.attn.c_attn.bias", "h.2.attn.c_proj.bias", "h.4.mlp.c_fc.weight", "h.11.mlp.c_proj.weight",
        "h.4.mlp.c_fc.bias", "h.10.mlp.c_proj.bias",
    ]  # fmt: skip
    return [(name, 12) for name in names] + [(name, 3) for name in names]


def by_parts(name, n_layer):
    *_, layer, kind = name.split(".")
    if kind == "bias" or layer.startswith("ln"):
        return 0
    return 0.02 * (2 * n_layer) ** -0.5 if layer == "c_proj" else 0.02


def by_table(name, n_layer):
    table = {"wte": 0.02, "wpe": 0.02, "c_attn": 0.02, "c_fc": 0.02, "c_proj": 0.02 / math.sqrt(2 * n_layer)}
    layer, kind = name.split(".")[-2:]
    return table.get(layer, 0.0) if kind == "weight" else 0.0


def as_tensor(name, n_layer):
    if "ln_" in name or "bias" in name:
        return torch.tensor(0.0)
    return torch.tensor(0.02) / (torch.tensor(2.0 * n_layer).sqrt() if "c_proj" in name else 1)


styles = [by_parts, by_table, as_tensor]
