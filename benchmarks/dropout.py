"""Measure what dropout buys on the text of `tales`, for the picture in chapter 8.

`python benchmarks/tales_text.py text` makes the text. Then `python benchmarks/dropout.py text` trains a
tiny GPT-2 on two pieces of it. One is read four times in a run, as `tales` read its own text,
and the other, a tenth as long, forty times. Each is done without dropout and with 0.1, and written to
course/data/dropout.json: three minutes on one core.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from choices import curve
from tqdm import tqdm

from gpt2lib import GPT2Config, Tokenizer
from gpt2lib.training import TrainingConfig

EVERY, SEEDS = 40, 2
TINY = GPT2Config(vocab_size=1024, n_positions=64, n_embd=64, n_layer=2, n_head=4)
CONFIG = TrainingConfig(
    600, batch_size=16, context=64, peak_lr=1e-2, final_lr=1e-3, warmup_steps=30, weight_decay=0.1
)
TIMES = {"4 times": 4, "40 times": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="the folder with train.txt and validation.txt")
    parser.add_argument("--out", type=Path, default=Path("course/data/dropout.json"))
    options = parser.parse_args()
    text, judged = (
        (options.text / f"{name}.txt").read_text("utf-8")[:1_000_000] for name in ("train", "validation")
    )
    tokenizer = Tokenizer.train(text, vocab_size=TINY.vocab_size)
    ids = torch.tensor(tokenizer.encode(text, allow_special=True))
    held_out = torch.tensor(tokenizer.encode(judged[:100_000], allow_special=True))[: 64 * CONFIG.context]
    read = CONFIG.steps * CONFIG.batch_size * CONFIG.context  # tokens in a run
    found = {}
    with tqdm(total=2 * len(TIMES) * SEEDS) as bar:
        for name, times in TIMES.items():
            for dropout in (0.0, 0.1):
                curves = found.setdefault(name, {})[f"dropout {dropout:g}"] = []
                for seed in range(SEEDS):
                    config = replace(CONFIG, seed=seed)
                    curves.append(curve(TINY, ids[: read // times], held_out, config, dropout, EVERY))
                    bar.update()
    out = {"every": EVERY, "curves": found}
    options.out.write_text(json.dumps(out, indent=None) + "\n", "utf-8")


if __name__ == "__main__":
    main()
