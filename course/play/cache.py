"""The cache: what each step of writing computes, and what it looks up instead. Chapter 07."""

from collections.abc import Callable

import torch

import gpt2lib
from course.play.explorable import Explorable, named

STEPS = 12  # tokens that are written


def products(config, start: int, end: int) -> int:
    """Return how many multiplications it takes to read the tokens from start up to end, and say what follows.

    In each block 12 * C * C for a token's own matrices, 2 * C for each token that it looks at; then V * C.
    """
    C = config.n_embd
    looked_at = sum(range(start + 1, end + 1))
    return config.n_layer * (12 * C * C * (end - start) + 2 * C * looked_at) + config.vocab_size * C


def cache(
    model, tokenizer, text: str = "Once upon a time", *, KVCache: Callable = gpt2lib.KVCache
) -> Explorable:
    """Write a few tokens with a cache, and show for each step what was computed, looked up and kept.

    KVCache is gpt2lib's or yours, called as KVCache(config).
    """
    config = model.config

    def run(text: str) -> dict:
        ids = (tokenizer.encode(text) or [tokenizer.end_of_text])[: max(1, config.n_positions - STEPS)]
        prompt, kept, steps, same = len(ids), KVCache(config), [], True
        with torch.no_grad():
            while len(steps) < STEPS and len(ids) < config.n_positions:
                start = kept.length
                logits = model(torch.tensor([ids[start:]]), kept)[0, -1]
                whole = model(torch.tensor([ids]))[0, -1]
                same = same and torch.allclose(logits, whole, atol=1e-3)
                steps.append(
                    {
                        "start": start,
                        "end": kept.length,
                        "with": products(config, start, kept.length),
                        "without": products(config, 0, len(ids)),
                    }
                )
                ids.append(logits.argmax().item())
        return {
            "tokens": named(tokenizer, ids),
            "prompt": prompt,
            "layers": config.n_layer,
            "numbers": 2 * config.n_layer * config.n_embd,
            "steps": steps,
            "same": bool(same),
        }

    return Explorable("cache", {"run": run}, in_words, text=text)


def in_words(answer: dict) -> str:
    """Return one line for each step."""
    tokens, layers, lines = answer["tokens"], answer["layers"], []
    for i, step in enumerate(answer["steps"], start=1):
        new, old = step["end"] - step["start"], step["start"]
        lines.append(
            f"  {i:>2}  {new * layers:>4} keys computed, {old * layers:>4} looked up, then {tokens[step['end']]['label']}"
        )
    used, saved = (sum(step[kind] for step in answer["steps"]) / 1e6 for kind in ("with", "without"))
    total = f"{used:,.0f} million multiplications instead of {saved:,.0f} million"
    return "\n".join(["Step by step, with a cache:", *lines, total])
