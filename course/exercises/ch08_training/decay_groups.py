"""8.4 decay_groups: what is computed. What is said stands in decay_groups.md."""

import torch
from torch import nn

arguments = ("model", "weight_decay")


class Plain(nn.Module):
    """A linear layer and a gain."""

    def __init__(self):
        super().__init__()
        self.c_proj = nn.Linear(3, 2)
        self.ln_f = nn.LayerNorm(3)


class Sample(nn.Module):
    """A model with every kind of parameter: matrices, gains, biases, frozen ones, a shared one, a single number."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(7, 4)
        self.ln_1 = nn.LayerNorm(4)
        self.wpe = nn.Embedding(3, 4)
        self.norm = nn.LayerNorm(4)  # equal to ln_1, and called otherwise
        self.c_fc = nn.Linear(4, 5)
        self.conv = nn.Conv1d(2, 3, 2)  # its weight has three dimensions
        self.narrow = nn.Linear(1, 3)  # a matrix with one column
        self.logit_bias = nn.Parameter(torch.tensor(0.5))  # no dimensions at all
        self.frozen = nn.Linear(4, 3).requires_grad_(False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.wte.weight


def cases():
    """A small model, then one with everything in it."""
    return [(Plain(), 0.1), (Sample(), 0.3)]


def run(answer, model, weight_decay):
    """Return the names of the parameters in each group, with its decay."""
    names = {id(p): name for name, p in model.named_parameters(remove_duplicate=True)}

    def called(p):
        if isinstance(p, str):
            return f"the text {p!r} and no parameter"
        return "a pair" if isinstance(p, tuple) else names.get(id(p), "a copy")

    def told(group):
        if iter(group["params"]) is group["params"]:
            return "used up after one reading"
        if isinstance(group["params"], set):
            return "a set, which has no order"
        return sorted(map(called, group["params"]))

    groups = answer(model, weight_decay)
    if not all(isinstance(group, dict) and "params" in group for group in groups):
        raise TypeError("your groups aren't dicts with the keys 'params' and 'weight_decay'")
    return [
        {"weight_decay": group.get("weight_decay", "not given"), "params": told(group)} for group in groups
    ]


def by_loop(model, weight_decay):
    decay, rest = [], []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decay if parameter.dim() > 1 else rest).append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def by_modules(model, weight_decay):
    rest = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    rest |= {id(p) for n, p in model.named_parameters() if n.endswith("bias")}
    ps = [p for p in model.parameters() if p.requires_grad]
    return [
        dict(weight_decay=weight_decay, params=[p for p in ps if id(p) not in rest]),
        dict(weight_decay=0, params=[p for p in ps if id(p) in rest]),
    ]


def by_filter(model, weight_decay):
    ps = tuple(filter(lambda p: p.requires_grad, model.parameters()))
    return (
        {"params": tuple(p for p in ps if len(p.shape) >= 2), "weight_decay": weight_decay},
        {"params": tuple(p for p in ps if len(p.shape) <= 1), "weight_decay": 0.0},
    )


def by_flag(model, weight_decay):
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [
        {"weight_decay": decay, "params": [p for p in named.values() if (p.ndim >= 2) == large]}
        for large, decay in ((True, weight_decay), (False, 0))
    ]


styles = [by_loop, by_modules, by_filter, by_flag]
