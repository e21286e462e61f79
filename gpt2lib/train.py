"""Train a GPT-2 from the command line: `python -m gpt2lib.train --help`. Built in chapter 08."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm import tqdm

from gpt2lib.checkpoint import from_pretrained, save_pretrained
from gpt2lib.config import PRESETS, GPT2Config
from gpt2lib.files import replacing
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import END_OF_TEXT, Tokenizer
from gpt2lib.training import Trainer, TrainingConfig, bits_per_byte

STATE = "training.pt"  # weights, optimizer, generator and settings in one file: it is whole or not there


def read_text(path: Path) -> str:
    """Return the text of a file, or of all .txt files in a folder with `<|endoftext|>` between them.

    Raises FileNotFoundError if there is none, ValueError if a file is not UTF-8 or all are empty.
    """
    paths = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not paths:
        raise FileNotFoundError(f"{path} holds no .txt file; pass a text file or a folder of them")
    texts = []
    for file in paths:
        try:
            texts.append(file.read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 (byte {error.start}); convert it first") from error
    text = END_OF_TEXT.join(texts)
    if not text.strip():
        raise ValueError(f"{path} is empty; pass a text with something to learn from")
    return text


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the settings of a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gpt2lib.train",
        description="Train a GPT-2 on text. Interrupted, the same command with --resume goes on.",
    )
    add = parser.add_argument
    add("--text", type=Path, required=True, help="a text file, or a folder of .txt files")
    add("--validation", type=Path, help="text to measure bits per byte on; never trained on")
    add(
        "--out",
        type=Path,
        required=True,
        help="the directory for the model and the state of the run",
    )
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--start", help="start from the weights of this model, a name or a directory, not from random ones")
    add("--preset", choices=PRESETS, help="the sizes of a published model")
    add("--layers", type=int, default=6)
    add("--heads", type=int, default=6)
    add("--width", type=int, default=384, help="n_embd, a multiple of --heads")
    add(
        "--context",
        type=int,
        default=256,
        help="tokens in a stretch of text; the model's n_positions",
    )
    add(
        "--vocab-size",
        type=int,
        help="train a tokenizer of this size on the text (default: GPT-2's own)",
    )
    add(
        "--tokens",
        type=lambda number: int(float(number)),
        default=10_000_000,
        help="tokens to train on, e.g. 1e7",
    )
    add("--batch-size", type=int, default=16, help="stretches in an update, over all processes")
    add("--micro-batches", type=int, default=1, help="parts to cut a batch into, to save memory")
    add("--lr", type=float, default=1e-3, help="the highest learning rate; it ends at a tenth")
    add(
        "--warmup",
        type=float,
        default=0.02,
        help="the part of the run in which the learning rate rises",
    )
    add("--weight-decay", type=float, default=0.1)
    add("--dropout", type=float, help="of embeddings, attention and residual; GPT-2 had 0.1 (default: none)")
    add("--average", type=float, default=0.0, help="average the weights over this last part of the run")
    add("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the matrix products")
    add("--compile", action="store_true", help="compile the model first; pays on GPUs")
    add("--seed", type=int, default=0)
    add("--save-every", type=int, default=200, help="updates between two saved states")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> TrainingConfig:
    """Return the training settings that the options ask for."""
    steps = max(1, options.tokens // (options.batch_size * options.context))
    return TrainingConfig(
        steps=steps,
        batch_size=options.batch_size,
        context=options.context,
        peak_lr=options.lr,
        final_lr=options.lr / 10,
        warmup_steps=int(options.warmup * steps),
        weight_decay=options.weight_decay,
        micro_batches=options.micro_batches,
        dtype=options.dtype,
        average=options.average,
        seed=options.seed,
    )


def open_tokenizer(options: argparse.Namespace, text: str) -> Tokenizer:
    """Return the tokenizer of the run: the one in --out, or one trained on the text, or GPT-2's."""
    if options.resume and (options.out / "merges.txt").is_file():
        return Tokenizer.load(options.out)
    if options.vocab_size is None:
        return Tokenizer.gpt2()
    return Tokenizer.train(text, options.vocab_size)


def with_dropout(config: GPT2Config, dropout: float | None) -> GPT2Config:
    """Return the config with one rate for all three dropouts, or as it is for None."""
    if dropout is None:
        return config
    return replace(config, embd_pdrop=dropout, attn_pdrop=dropout, resid_pdrop=dropout)


def model_config(options: argparse.Namespace, vocab_size: int) -> GPT2Config:
    """Return the sizes of the model that the options ask for."""
    if options.preset:
        sizes = GPT2Config.preset(options.preset)
        sizes = replace(sizes, vocab_size=vocab_size, n_positions=max(sizes.n_positions, options.context))
    else:
        sizes = GPT2Config(vocab_size, options.context, options.width, options.layers, options.heads)
    return with_dropout(sizes, options.dropout)


def run(options: argparse.Namespace) -> None:
    """Train, saving the model and the state of the run on the way and at the end.

    Raises ValueError for settings that contradict each other or the run that is to be resumed,
    OSError for files that cannot be read or written.
    """
    if "RANK" in os.environ:  # started by torchrun, once for each process
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    first = not dist.is_initialized() or dist.get_rank() == 0
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")
    state_path = options.out / STATE
    if state_path.is_file() and not options.resume:
        raise ValueError(
            f"{options.out} holds a run already; pass --resume to go on with it, or another --out"
        )

    text = read_text(options.text)
    validation = read_text(options.validation) if options.validation else None
    if options.start:
        if options.preset or options.vocab_size:
            raise ValueError("--start brings sizes and tokenizer along; leave out --preset and --vocab-size")
        model, tokenizer = from_pretrained(options.start)
        weights = model.state_dict()
        model = GPT2(with_dropout(model.config, options.dropout))
        model.load_state_dict(weights)
    else:
        tokenizer = open_tokenizer(options, text)
        torch.manual_seed(options.seed)
        model = GPT2(model_config(options, tokenizer.vocab_size))
    model.to(device)
    tokens = torch.tensor(tokenizer.encode(text, allow_special=True))
    settings = settings_of(options)
    if options.compile:
        model.compile()
    trainer = Trainer(model, tokens, settings)
    this_run = (
        asdict(model.config) | asdict(settings) | {"text_sha256": hashlib.sha256(text.encode()).hexdigest()}
    )
    history = []  # [updates, mean loss since the last row, bits per byte or None]
    if state_path.is_file():
        state = torch.load(state_path, weights_only=True)
        changed = [name for name in this_run if state["run"].get(name) != this_run[name]]
        if changed:
            raise ValueError(
                f"the run in {options.out} was started with another {', '.join(changed)}; "
                f"resume it with the options it was started with, or pass another --out"
            )
        trainer.load_state_dict(state["trainer"])
        history = state["history"]

    def save() -> None:
        model.eval()
        with trainer.averaged_weights():
            bits = bits_per_byte(model, tokenizer, validation) if validation else None
            save_pretrained(model, tokenizer, options.out)
        model.train()
        history.append([trainer.step, sum(losses) / len(losses), bits])
        losses.clear()
        with replacing(options.out / "history.json") as path:
            path.write_text(json.dumps(history), "utf-8")
        with replacing(state_path) as path:
            torch.save({"run": this_run, "trainer": trainer.state_dict(), "history": history}, path)

    losses = []
    model.train()
    per_update = settings.batch_size * settings.context
    with tqdm(
        total=settings.steps * per_update,
        initial=trainer.step * per_update,
        unit="tok",
        unit_scale=True,
        disable=not first,
    ) as bar:
        for progress in trainer:
            losses.append(progress.loss)
            bar.update(per_update)
            bar.set_postfix(
                loss=f"{progress.loss:.3f}", bits=history[-1][2] if history else None, refresh=False
            )
            if first and (progress.step % options.save_every == 0 or progress.step == settings.steps):
                save()
    if first:
        row = history[-1]
        print(
            f"{row[0]} updates, loss {row[1]:.3f}" + (f", {row[2]:.3f} bits per byte" if validation else "")
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says; errors end the program with one sentence."""
    options = parse(arguments)
    try:
        run(options)
    except (ValueError, OSError) as error:
        sys.exit(f"gpt2lib.train: {error}")
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
