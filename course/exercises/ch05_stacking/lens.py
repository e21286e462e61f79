"""5.7 lens: what is computed. What is said stands in lens.md."""

import torch
import torch.nn.functional as F
from torch import nn

from course.exercises.ch05_stacking.gpt2 import FakeBlock
from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("blocks", "T")


def cases():
    """The text's example; a single token; one block; as many blocks as GPT-2 small."""
    return [(3, 4), (2, 1), (1, 5), (12, 6)]


def run(answer, blocks, T):
    """Return what an answer reads from a model whose blocks are stand-ins."""
    from gpt2lib.model import GPT2

    sizes = {"vocab_size": 13, "n_positions": 9, "n_embd": 6, "n_layer": blocks, "n_head": 2}
    model = GPT2(GPT2Config(**sizes, layer_norm_epsilon=0.1)).eval()
    model.h = nn.ModuleList(FakeBlock(6, seed) for seed in range(blocks))
    with torch.no_grad():
        for i, name in enumerate(("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")):
            parameter = model.get_parameter(name)
            parameter.copy_(numbers(*parameter.shape, seed=10 + i))
        ids = torch.randint(13, (1, T), generator=torch.Generator().manual_seed(T))
        return answer(model, ids)


def by_cutting_the_model(model, ids):
    """Read models of 0, 1, 2, ... blocks."""
    rows = []
    for n in range(len(model.h) + 1):
        x = model.wte(ids) + model.wpe(torch.arange(ids.shape[1]))
        for block in model.h[:n]:
            x = block(x)
        rows.append(F.linear(model.ln_f(x), model.wte.weight)[:, -1])
    return torch.cat(rows)


def by_hooks(model, ids):
    """Listen to the blocks while the model runs."""
    heard = []
    hooks = [model.h[0].register_forward_pre_hook(lambda block, given: heard.append(given[0]))]
    hooks += [block.register_forward_hook(lambda block, given, out: heard.append(out)) for block in model.h]
    model(ids)
    for hook in hooks:
        hook.remove()
    return torch.stack([model.ln_f(x[0, -1]) @ model.wte.weight.T for x in heard])


def one_at_a_time(model, ids):
    """Read as the stream goes by."""
    x = F.embedding(ids, model.wte.weight) + model.wpe.weight[: ids.shape[1]]
    logits = [model.wte.weight @ model.ln_f(x)[0, -1]]
    for block in model.h:
        x = block(x)
        logits += [model.wte.weight @ model.ln_f(x)[0, -1]]
    return torch.stack(logits)


styles = [by_cutting_the_model, by_hooks, one_at_a_time]
