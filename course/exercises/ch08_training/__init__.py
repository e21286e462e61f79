"""The exercises of chapter 8: the loss, the loop, batches, the optimizer, the schedule, bits, a doctor for curves."""

import math

import torch
from torch import nn


def small_model_and_tokens(B: int, T: int, old_gradients: bool = True) -> tuple[nn.Module, torch.Tensor]:
    """Return a model of bigrams, the same each time, and texts (B, T + 1) for it; gradients of 1 may lie in it."""
    generator = torch.Generator().manual_seed(B)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.grad = torch.ones_like(parameter) if old_gradients else None
    return model, torch.randint(7, (B, T + 1), generator=generator)


def example_curves(vocab_size: int = 1024, unigram: float = 6.0, updates: int = 300, seed: int = 0) -> dict:
    """Return one clear case of each of `diagnose_curve`'s answers: its name -> the losses of the updates."""
    noise = (0.05 * torch.randn(8, updates, generator=torch.Generator().manual_seed(seed))).tolist()
    start, best = math.log(vocab_size), unigram / 2
    fall = [best + (start - best) * math.exp(-8 * i / updates) for i in range(updates)]
    spiky, resumed = list(fall), list(fall)
    for at in (0.4, 0.55, 0.8):
        for i, height in enumerate((2.5, 1.6, 0.8, 0.3)):
            spiky[int(at * updates) + i] += height
    again = updates // 2
    for i in range(again, updates):
        resumed[i] = fall[i] + 2.0 * math.exp(-6 * (i - again) / updates)
    curves = {
        "healthy": fall,
        "diverged": fall[: updates // 2] + [start + 3, *[math.nan] * (updates - updates // 2 - 1)],
        "learns nothing": [start] * updates,
        "only frequencies": [
            unigram + (start - unigram) * math.exp(-30 * i / updates) for i in range(updates)
        ],
        "too good": [0.01 + start * math.exp(-20 * i / updates) for i in range(updates)],
        "spikes": spiky,
        "resumed wrongly": resumed,
        "waves": [
            x + min(1.0, 5 * i / updates) * math.sin(8 * math.pi * i / updates) for i, x in enumerate(fall)
        ],
    }
    return {
        name: [abs(x + (0.1 if name == "too good" else 1) * e) for x, e in zip(curve, row)]
        for (name, curve), row in zip(curves.items(), noise)
    }
