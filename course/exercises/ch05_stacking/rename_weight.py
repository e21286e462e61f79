"""5.6 rename_weight: what is computed. What is said stands in rename_weight.md."""

import re

import torch

from course.exercises.common import numbers


def cases():
    """A matrix, the square one, biases, masks, with and without the prefix; layers of one and two digits."""
    return [
        ("transformer.h.0.mlp.c_fc.weight", numbers(2, 8)),
        ("h.1.attn.c_proj.weight", numbers(3, 3, seed=1)),
        ("transformer.h.11.attn.c_attn.bias", numbers(6, seed=2)),
        ("transformer.h.10.attn.bias", numbers(1, 1, 4, 4, seed=3)),
        ("h.3.attn.masked_bias", torch.tensor(-1e4)),
        ("transformer.wte.weight", numbers(5, 2, seed=4)),
        ("lm_head.weight", numbers(5, 2, seed=5)),
        ("transformer.h.2.mlp.c_proj.weight", numbers(8, 2, seed=6)),
        ("h.11.attn.c_attn.weight", numbers(2, 6, seed=7)),
        ("transformer.h.2.attn.c_proj.bias", numbers(2, seed=8)),
        ("wpe.weight", numbers(4, 2, seed=9)),
        ("transformer.ln_f.bias", numbers(2, seed=10)),
        ("h.4.attn.c_attn.weight", numbers(2, 6, seed=11)),
        ("transformer.h.10.mlp.c_fc.weight", numbers(2, 8, seed=12)),
    ]


def wishes():
    """A name whose letters after the prefix are in it, too, so that `lstrip` takes them as well. GPT-2 has none."""
    says = (
        "By luck, though: from `transformer.norm.weight` yours would make another name than `norm.weight`. If you "
        "use `lstrip`, it takes away any of these *letters*, for as long as it finds them. `removeprefix` takes away "
        "the word, once."
    )
    return [(("transformer.norm.weight", numbers(2, seed=13)), says)]


def by_split(stored, weight):
    parts = stored.split(".")
    if parts[0] == "transformer":
        parts = parts[1:]
    if parts[-2] == "attn":
        return None
    if parts[-1] == "weight" and parts[-2].startswith("c_"):
        weight = weight.transpose(0, 1).contiguous()
    return ".".join(parts), weight


def by_replace(stored, weight):
    name = stored.replace("transformer.", "", 1)
    if "masked_bias" in name or ".attn.bias" in name:
        return None
    linear = any(part in name for part in ("c_attn", "c_proj", "c_fc")) and "bias" not in name
    return name, torch.einsum("ij->ji", weight) if linear else weight


def by_regex(stored, weight):
    name = re.sub(r"^transformer\.", "", stored)
    if re.search(r"\.attn\.(masked_)?bias$", name):
        return None
    return [name, weight.permute(1, 0).clone() if re.search(r"c_\w+\.weight$", name) else weight.clone()]


styles = [by_split, by_replace, by_regex]
