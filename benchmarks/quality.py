"""What rounding costs, in gpt2lib and in its peers: `python benchmarks/quality.py --text validation.txt`.

Two models are rounded: the trained `tales`, on a text that it has not seen, and a model of the 124M shape
with random weights and outlier channels, on random tokens. Each program's logits are compared with those
of the plain float32 model: how often the likeliest token is the same, and by how much the perplexity
changes. A speed counts if int8 keeps 98% of the likeliest tokens and the perplexity within 1%, and a
16-bit kind 99.5% and 0.1% (BOUNDS). Writes QUALITY.md.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import transformers
from run import gguf_file, machine, with_section
from torch.nn.functional import cross_entropy

from gpt2lib.checkpoint import from_pretrained, save_pretrained
from gpt2lib.config import GPT2Config
from gpt2lib.fast import FastGPT2, fast
from gpt2lib.files import replacing
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import Tokenizer

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

Logits = Callable[[torch.Tensor], torch.Tensor]  # tokens (T,) -> logits (T, V)
BOUNDS = {
    "float32": (0.995, 0.001),
    "float16": (0.995, 0.001),
    "bfloat16": (0.995, 0.001),
    "int8": (0.98, 0.01),
}
BOUNDS["q8_0"] = BOUNDS["int8"]
HEAD = (
    "What rounding costs, measured by `benchmarks/quality.py` against the plain float32 model. A row passes "
    "if int8 and q8_0 keep 98% of the likeliest tokens and 1% of the perplexity, the others 99.5% and "
    "0.1%. `gpt2lib`'s int8 takes more than a byte where bytes are too coarse, in the second model for "
    "every matrix in the blocks. It chooses by speed, too, so another processor may round in another way: "
    "one section per machine."
)
PROGRAMS = (
    "transformers bfloat16",
    "gpt2lib float32",
    "gpt2lib float16",
    "gpt2lib bfloat16",
    "gpt2lib int8",
    "CTranslate2 int8",
    "llama.cpp bfloat16",
    "llama.cpp q8_0",
)


def with_outliers(model: GPT2, factor: float = 20.0) -> GPT2:
    """Make one in a hundred columns of every matrix in the blocks larger, in place."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for linear in (part for part in model.modules() if isinstance(part, torch.nn.Linear)):
            columns = torch.randperm(linear.in_features, generator=generator)[: 1 + linear.in_features // 100]
            linear.weight[:, columns] *= factor
    return model


def by_way_of_a_cache(model: FastGPT2) -> Logits:
    """Let a model read a text as `generate` does, into the cache that suits it."""
    return lambda tokens: model(tokens[None], model.new_cache())[0]


def program_of(name: str, model: GPT2, tokenizer: Tokenizer, folder: Path) -> Logits:
    """Return what computes the logits of one text; folder holds the model as `save_pretrained` wrote it."""
    kind, weights = name.split()
    if kind == "gpt2lib":
        return by_way_of_a_cache(fast(model, weights))
    if kind == "transformers":
        other = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, weights)).eval()
        return lambda tokens: other(tokens[None]).logits[0].float()
    if kind == "CTranslate2":
        import ctranslate2

        converted = folder / f"ct2-{weights}"
        ctranslate2.converters.TransformersConverter(str(folder)).convert(converted, quantization=weights)
        generator = ctranslate2.Generator(str(converted), compute_type=weights)
        return lambda tokens: torch.from_numpy(np.array(generator.forward_batch([tokens.tolist()])))[0]
    import llama_cpp

    path = folder / f"{weights}.gguf"
    gguf_file(model, folder, path, weights)
    llama = llama_cpp.Llama(str(path), n_ctx=model.config.n_positions, logits_all=True, verbose=False)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        llama.reset()
        llama.eval(tokens.tolist())
        return torch.from_numpy(llama.scores[: len(tokens)].copy())

    return logits


@torch.inference_mode()
def rounding(model: GPT2, quick: Logits, texts: torch.Tensor) -> tuple[float, float]:
    """Return the share of positions with the same likeliest token, and the relative change in perplexity."""
    same, losses, rounded = [], [], []
    for tokens in texts:
        right, ours = model(tokens[None])[0], quick(tokens)
        same.append((right.argmax(-1) == ours.argmax(-1)).float().mean())
        losses.append(cross_entropy(right[:-1], tokens[1:]))
        rounded.append(cross_entropy(ours[:-1], tokens[1:]))
    change = torch.stack(rounded).mean() - torch.stack(losses).mean()
    return torch.stack(same).mean().item(), change.expm1().item()


def passes(weights: str, agree: float, change: float) -> bool:
    """Tell whether what `rounding` measured is within the bounds of these weights."""
    least, most = BOUNDS[weights]
    return agree >= least and abs(change) <= most


def models(text: str) -> Iterator[tuple[str, GPT2, Tokenizer, torch.Tensor]]:
    """Yield each model with its name, its tokenizer and the texts (B, T) that it is tried on."""
    model, tokenizer = from_pretrained("tales")
    tokens = torch.tensor(tokenizer.encode(text, allow_special=True)[: 32 * 256])
    yield f"tales, {len(tokens):,} tokens of a text it has not seen", model, tokenizer, tokens.view(-1, 256)
    torch.manual_seed(2)
    model, tokenizer = with_outliers(GPT2(GPT2Config()).eval()), Tokenizer.gpt2()
    tokens = torch.randint(model.config.vocab_size, (8, 256), generator=torch.Generator().manual_seed(4))
    yield f"124M shape with outlier channels, {tokens.numel():,} random tokens", model, tokenizer, tokens


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, required=True, help="a text that tales was not trained on")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for QUALITY.md")
    options = parser.parse_args()
    lines = [f"## {machine()}, torch {torch.__version__}"]
    for title, model, tokenizer, texts in models(options.text.read_text("utf-8")):
        lines += ["", f"| {title} | same likeliest token | perplexity | passes |", "|---|---|---|---|"]
        for name in PROGRAMS:
            with tempfile.TemporaryDirectory() as folder:
                save_pretrained(model, tokenizer, folder)
                try:
                    agree, change = rounding(model, program_of(name, model, tokenizer, Path(folder)), texts)
                except ImportError as error:
                    print(f"{name} does not take part: {error}")
                    continue
            verdict = "yes" if passes(name.split()[1], agree, change) else "no"
            lines.append(f"| {name} | {agree:.2%} | {change:+.3%} | {verdict} |")
            print(lines[-1], flush=True)
    out = options.out / "QUALITY.md"
    before = out.read_text("utf-8") if out.exists() else HEAD
    with replacing(out) as path:
        path.write_text(with_section(before, "\n".join(lines)), "utf-8")


if __name__ == "__main__":
    main()
