"""The loop that writes: read the text, look at the most likely next tokens, take one, again. Chapters 00 and 06."""

from functools import lru_cache

import torch

import gpt2lib
from course.play.explorable import Explorable, bar, named

SHOWN = 10  # candidates with a bar of their own
RANKS = (
    1,
    2,
    3,
    5,
    7,
    10,
    15,
    20,
    30,
    50,
    70,
    100,
    150,
    200,
    300,
    500,
    700,
    1000,
    2000,
    3000,
    5000,
    10000,
    20000,
)


def loop(
    model, tokenizer, text: str = "Once upon a time there was a", *, sampler=gpt2lib.Sampler, **settings
):
    """Show the most likely next tokens of a text; a click on one appends it.

    sampler is a class with gpt2lib.Sampler's arguments and its method `distribution`; settings are what its
    sliders start at: temperature, top_k and top_p (None keeps all), and seed for what is drawn.
    """
    settings = {"temperature": 1.0, "top_k": None, "top_p": None, "seed": 0} | settings
    generator = torch.Generator().manual_seed(settings.pop("seed"))
    limit = model.config.n_positions

    @lru_cache(maxsize=1)  # what is drawn after a text is looked at first
    def logits_after(ids: tuple[int, ...]) -> torch.Tensor:
        """Return the logits after a text, (1, V); an empty one is continued from nothing."""
        with torch.no_grad():
            return model(torch.tensor([(ids or (tokenizer.end_of_text,))[-limit:]]))[:, -1].float()

    def read(text, ids):
        ids = tokenizer.encode(text, allow_special=True) if ids is None else ids
        return ids, logits_after(tuple(ids))

    def next_tokens(text="", ids=None, temperature=1.0, top_k=None, top_p=None) -> dict:
        ids, logits = read(text, ids)
        uncut = sampler(temperature).distribution(logits)[0]
        chances = sampler(temperature, top_k, top_p).distribution(logits)[0]
        ranked, order = uncut.sort(descending=True, stable=True)
        sums = ranked.cumsum(0).tolist()
        best = order[:SHOWN].tolist()
        return {
            "text": tokenizer.decode(ids),
            "tokens": named(tokenizer, ids),
            "top": [
                token | {"p": uncut[token["id"]].item(), "chance": chances[token["id"]].item()}
                for token in named(tokenizer, best)
            ],
            "kept": int((chances > 0).sum()),
            "vocab_size": len(sums),
            "curve": [[rank, sums[rank - 1]] for rank in (*RANKS, len(sums)) if rank <= len(sums)],
            "room": limit - len(ids),
        }

    def draw(text="", ids=None, temperature=1.0, top_k=None, top_p=None) -> dict:
        ids, logits = read(text, ids)
        drawn = sampler(temperature, top_k, top_p, generator)(logits).item()
        return {"ids": [*ids, drawn], "ended": drawn == tokenizer.end_of_text}

    return Explorable("loop", {"next": next_tokens, "draw": draw}, in_words, text=text, **settings)


def in_words(answer: dict) -> str:
    """Return the candidates as lines of text."""
    width = max(len(token["label"]) for token in answer["top"])
    lines = [
        f"  {token['label']:<{width}} {100 * token['chance']:5.1f}%  {bar(token['chance'])}".rstrip()
        for token in answer["top"]
    ]
    kept = "" if answer["kept"] == answer["vocab_size"] else f" ({answer['kept']} tokens stay)"
    return "\n".join([answer["text"], f"What comes next?{kept}", *lines])
