"""Measure what each choice of a training run is worth, for the picture in chapter 8.

`python benchmarks/choices.py` trains a tiny GPT-2 on the book of that chapter, each way with several seeds,
and writes course/data/choices.json: a quarter of an hour on one core. All runs see the same number of tokens.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from course.stories import held_back, wizard_of_oz
from gpt2lib import GPT2, GPT2Config, Tokenizer
from gpt2lib.training import Trainer, TrainingConfig, mean_loss

STEPS, EVERY, CONTEXT, SEEDS, V = 600, 40, 64, 4, 512
BASE = TrainingConfig(
    STEPS, batch_size=16, context=CONTEXT, peak_lr=1e-2, final_lr=1e-3, warmup_steps=30, weight_decay=0.1
)
CHOICES = {  # name: settings that differ, dropout
    "as in the chapter": ({}, 0.0),
    "no warm-up": ({"warmup_steps": 0}, 0.0),
    "no clipping": ({"clip": float("inf")}, 0.0),
    "three times the rate": ({"peak_lr": 3e-2, "final_lr": 3e-3}, 0.0),
    "a tenth of the rate": ({"peak_lr": 1e-3, "final_lr": 1e-4}, 0.0),
    "the rate doesn't fall": ({"final_lr": 1e-2}, 0.0),
    "no weight decay": ({"weight_decay": 0.0}, 0.0),
    "dropout 0.1": ({}, 0.1),
}


def curve(
    ids: torch.Tensor,
    held_out: torch.Tensor,
    config: TrainingConfig,
    dropout: float,
    every: int = EVERY,
    vocab_size: int = V,
) -> list[float]:
    """Train one model and return its held-out loss, nats per token, every `every` updates."""
    torch.manual_seed(config.seed)
    rates = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), dropout)
    model = GPT2(
        GPT2Config(vocab_size=vocab_size, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=4, **rates)
    )
    losses = [mean_loss(model.eval(), held_out, CONTEXT)]
    model.train()
    try:
        for progress in Trainer(model, ids, config):
            if progress.step % every == 0:
                losses.append(mean_loss(model.eval(), held_out, CONTEXT))
                model.train()
    except FloatingPointError:  # the run diverged: its curve ends here
        pass
    return [round(loss, 3) for loss in losses]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("course/data/choices.json"))
    out = parser.parse_args().out
    text, judged = held_back(wizard_of_oz())
    tokenizer = Tokenizer.train(text, vocab_size=V)
    ids = torch.tensor(tokenizer.encode(text, allow_special=True))
    held_out = torch.tensor(tokenizer.encode(judged, allow_special=True))[: 64 * CONTEXT]
    found = {name: [] for name in CHOICES}
    for seed in tqdm(range(SEEDS)):
        for name, (settings, dropout) in CHOICES.items():
            config = replace(BASE, seed=seed, **settings)
            found[name].append(curve(ids, held_out, config, dropout))
    out.write_text(json.dumps({"every": EVERY, "curves": found}, indent=None) + "\n", "utf-8")


if __name__ == "__main__":
    main()
