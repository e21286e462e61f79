"""Measure what each choice of a training run is worth, for the picture in chapter 8.

`python benchmarks/choices.py` trains the GPT-2 of that chapter as the chapter does, and with one thing
changed, each way with several seeds, and writes course/data/choices.json: an hour on one core.
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

EVERY, SEEDS = 100, 4
MODEL = GPT2Config(vocab_size=512, n_positions=128, n_embd=96, n_layer=3, n_head=4)
BASE = TrainingConfig(
    600, batch_size=16, context=128, peak_lr=4e-3, final_lr=4e-4, warmup_steps=30, weight_decay=0.1
)
CHOICES = {  # name: settings that differ, and options of `curve`
    "as in the chapter": ({}, {}),
    "no warm-up": ({"warmup_steps": 0}, {}),
    "no clipping": ({"clip": float("inf")}, {}),
    "three times the rate": ({"peak_lr": 1.2e-2, "final_lr": 1.2e-3}, {}),
    "a tenth of the rate": ({"peak_lr": 4e-4, "final_lr": 4e-5}, {}),
    "the rate doesn't fall": ({"final_lr": 4e-3}, {}),
    "no weight decay": ({"weight_decay": 0.0}, {}),
    "dropout 0.1": ({}, {"dropout": 0.1}),
    "no attention": ({}, {"attention": False}),
}


class NoAttention(torch.nn.Module):
    def forward(self, x: torch.Tensor, cache: None = None) -> torch.Tensor:
        return 0 * x


def curve(
    shape: GPT2Config,
    ids: torch.Tensor,
    held_out: torch.Tensor,
    config: TrainingConfig,
    dropout: float = 0.0,
    every: int = EVERY,
    attention: bool = True,
) -> list[float]:
    """Train one model and return its held-out loss, nats per token, every `every` updates."""
    torch.manual_seed(config.seed)
    rates = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), dropout)
    model = GPT2(replace(shape, **rates))
    if not attention:
        for block in model.h:
            block.attn = NoAttention()
    losses = [mean_loss(model.eval(), held_out, config.context)]
    model.train()
    try:
        for progress in Trainer(model, ids, config):
            if progress.step % every == 0:
                losses.append(mean_loss(model.eval(), held_out, config.context))
                model.train()
    except FloatingPointError:  # the run diverged: its curve ends here
        pass
    return [round(loss, 3) for loss in losses]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("course/data/choices.json"))
    out = parser.parse_args().out
    text, judged = held_back(wizard_of_oz())
    tokenizer = Tokenizer.train(text, vocab_size=MODEL.vocab_size)
    ids = torch.tensor(tokenizer.encode(text, allow_special=True))
    held_out = torch.tensor(tokenizer.encode(judged, allow_special=True))
    found = {name: [] for name in CHOICES}
    for seed in tqdm(range(SEEDS)):
        for name, (settings, options) in CHOICES.items():
            config = replace(BASE, seed=seed, **settings)
            found[name].append(curve(MODEL, ids, held_out, config, **options))
    out.write_text(json.dumps({"every": EVERY, "curves": found}, indent=None) + "\n", "utf-8")


if __name__ == "__main__":
    main()
