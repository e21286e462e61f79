"""Train a healthy tiny GPT-2 and seven with a mistake made on purpose, for the loss curves in chapter 8.

`python benchmarks/curves.py` writes the loss of every update to course/data/curves.json: two minutes on one
core. The model is that of `dropout.py`, the text is Python's own manual, as the Python that runs this has it;
`diagnose_curve` of chapter 8 has to tell all eight apart.
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import torch
from dropout import TINY
from tqdm import tqdm

from course.stories import held_back, held_out_stories
from gpt2lib import GPT2, Tokenizer
from gpt2lib.training import decay_groups, learning_rate, next_token_loss, sample_batch

STEPS, BATCH = 400, 16
CONTEXT, V = TINY.n_positions, TINY.vocab_size
BROKEN = (160, 250, 330)  # updates whose batch is noise, among the spikes
RESUMED = 200
KINDS = (
    "healthy",
    "diverged",
    "learns nothing",
    "only frequencies",
    "too good",
    "spikes",
    "resumed wrongly",
    "waves",
)


def curve(kind: str, ids: torch.Tensor, tales: torch.Tensor, steps: int = STEPS) -> list[float]:
    """Train a tiny GPT-2 with one mistake and return the loss of each update, in nats per token."""
    torch.manual_seed(0)
    model = GPT2(TINY)
    optimizer = torch.optim.AdamW(decay_groups(model, 0.1), betas=(0.9, 0.95))
    if kind == "diverged":  # plain descent at a rate far too high
        optimizer = torch.optim.SGD(model.parameters())
    generator = torch.Generator().manual_seed(0)
    losses = []
    for step in range(steps):
        source = ids
        if kind == "resumed wrongly" and step >= RESUMED:  # a tokenizer with one more token, at id 341
            source = torch.where(ids < V // 3, ids, (ids + 1).clamp(max=V - 1))
        inputs, targets = sample_batch(source, BATCH, CONTEXT, generator)
        if kind == "waves":  # manual and tales take turns, four times, instead of being mixed
            rows = round(BATCH * (0.5 - 0.5 * math.cos(8 * math.pi * step / steps)))
            for mine, other in zip((inputs, targets), sample_batch(tales, BATCH, CONTEXT, generator)):
                mine[:rows] = other[:rows]
        if kind == "only frequencies":  # answers that belong to other questions
            _, targets = sample_batch(ids, BATCH, CONTEXT, generator)
        if kind == "too good":  # the shift forgotten
            targets = inputs
        if kind == "spikes" and step in BROKEN:
            inputs, targets = torch.randint(V, (2, BATCH, CONTEXT), generator=generator)
        loss = next_token_loss(model(inputs), targets)
        losses.append(round(loss.item(), 2))
        model.zero_grad()
        loss.backward()
        if kind == "learns nothing":  # cleared too early
            model.zero_grad()
        if kind != "diverged":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            rate = learning_rate(step, peak=1e-2, total_steps=steps, warmup_steps=30, floor=1e-3)
            group["lr"] = 3.0 if kind == "diverged" else rate
        optimizer.step()
        if not math.isfinite(losses[-1]):
            break
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("course/data/curves.json"))
    out = parser.parse_args().out
    text, _ = held_back("\n\n".join(topics[name] for name in sorted(topics)))
    tokenizer = Tokenizer.train(text, vocab_size=V)
    ids = torch.tensor(tokenizer.encode(text, allow_special=True))
    tales = torch.tensor(tokenizer.encode("\n".join(held_out_stories())))
    shares = [count / len(ids) for count in Counter(ids.tolist()).values()]
    unigram = -sum(share * math.log(share) for share in shares)
    curves = {kind: curve(kind, ids, tales) for kind in tqdm(KINDS)}
    out.write_text(json.dumps({"V": V, "unigram": round(unigram, 3), "curves": curves}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
