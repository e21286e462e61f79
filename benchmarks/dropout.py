"""Measure what dropout buys on the text of `tales`, for the picture in chapter 8.

`python benchmarks/tales_text.py text` makes the text. Then `python benchmarks/dropout.py text` trains the
tiny GPT-2 of `choices.py` on two pieces of it. One is read four times in a run, as `tales` read its own text,
and the other, a tenth as long, forty times. Each is done without dropout and with 0.1, and written to
course/data/dropout.json: three minutes on one core.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from choices import BASE, CONTEXT, curve
from tqdm import tqdm

from gpt2lib import Tokenizer

STEPS, EVERY, SEEDS, V = 600, 40, 2, 1024
CONFIG = replace(BASE, steps=STEPS)
TIMES = {"4 times": 4, "40 times": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="the folder with train.txt and validation.txt")
    parser.add_argument("--out", type=Path, default=Path("course/data/dropout.json"))
    options = parser.parse_args()
    text, judged = (
        (options.text / f"{name}.txt").read_text("utf-8")[:1_000_000] for name in ("train", "validation")
    )
    tokenizer = Tokenizer.train(text, vocab_size=V)
    ids = torch.tensor(tokenizer.encode(text, allow_special=True))
    held_out = torch.tensor(tokenizer.encode(judged[:100_000], allow_special=True))[: 64 * CONTEXT]
    read = STEPS * BASE.batch_size * CONTEXT  # tokens in a run
    found = {}
    with tqdm(total=2 * len(TIMES) * SEEDS) as bar:
        for name, times in TIMES.items():
            for dropout in (0.0, 0.1):
                curves = found.setdefault(name, {})[f"dropout {dropout:g}"] = []
                for seed in range(SEEDS):
                    config = replace(CONFIG, seed=seed)
                    curves.append(curve(ids[: read // times], held_out, config, dropout, EVERY, V))
                    bar.update()
    out = {"every": EVERY, "curves": found}
    options.out.write_text(json.dumps(out, indent=None) + "\n", "utf-8")


if __name__ == "__main__":
    main()
