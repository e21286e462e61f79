"""Neighbors: the tokens whose vectors point where a token's vector points, and king - man + woman. Chapter 02."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from course.play.explorable import Explorable, bar, named

SHOWN = 10


def cosines_of(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the cosine of every row of a with every row of b: (N, C), (M, C) -> (N, M)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def neighbors(
    model,
    tokenizer,
    token: str = " king",
    *,
    cosines: Callable = cosines_of,
    analogy=(" king", " man", " woman"),
) -> Explorable:
    """Show the nearest neighbors of a token in the model's table of vectors, and where a - b + c leads.

    cosines compares the rows of two matrices: (N, C), (M, C) -> (N, M). analogy is a, b, c.
    """
    wte = model.wte.weight.detach().float()

    def ranked(vector: torch.Tensor, n: int) -> list[dict]:
        similarity = cosines(vector[None], wte)[0]
        order = similarity.argsort(descending=True, stable=True)[:n].tolist()
        return [t | {"cosine": similarity[t["id"]].item()} for t in named(tokenizer, order)]

    def nearest(token: str, chosen: int | None = None, **_) -> dict:
        """Compare one token of what was typed, None for the last, with all others."""
        ids = tokenizer.encode(token)
        if not ids:
            return {"tokens": [], "chosen": 0, "nearest": []}
        chosen = len(ids) - 1 if chosen is None else chosen
        found = [t for t in ranked(wte[ids[chosen]], SHOWN + 1) if t["id"] != ids[chosen]][:SHOWN]
        return {"tokens": named(tokenizer, ids), "chosen": chosen, "nearest": found}

    def analogies(words: list[str]) -> dict:
        """Return what a - b + c is nearest to, with a, b and c marked where they are among the nearest."""
        ids = [tokenizer.encode(word) for word in words]
        several = [word for word, found in zip(words, ids) if len(found) != 1]
        if several:
            return {
                "problem": f"{several[0]!r} is not one token of this vocabulary, and only a token has a vector"
            }
        a, b, c = (found[0] for found in ids)
        found = ranked(wte[a] - wte[b] + wte[c], SHOWN + 3)
        return {"found": [t | {"given": t["id"] in (a, b, c)} for t in found]}

    questions = {"nearest": nearest, "analogy": analogies}
    return Explorable("neighbors", questions, in_words, token=token, analogy=list(analogy))


def in_words(answer: dict) -> str:
    """Return the neighbors as lines of text."""
    if not answer["tokens"]:
        return "An empty text has no neighbors."
    width = max(len(token["label"]) for token in answer["nearest"])
    lines = [
        f"  {t['label']:<{width}} {t['cosine']:6.2f}  {bar(max(0, t['cosine']))}".rstrip()
        for t in answer["nearest"]
    ]
    return "\n".join([f"Nearest to {answer['tokens'][answer['chosen']]['label']} by cosine:", *lines])
