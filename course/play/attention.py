"""Attention: how much each token takes from each token before it, and the steps that lead there. Chapter 03."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

import gpt2lib
from course.play.explorable import Explorable, bar, named

SHOWN = 32  # tokens of a text; a longer one is cut


def attention(
    model,
    tokenizer,
    text: str = "The king had a daughter, and the daughter had a",
    *,
    layer: int = 0,
    head: int = 0,
    attend: Callable = gpt2lib.attend,
    causal_mask: Callable = gpt2lib.causal_mask,
) -> Explorable:
    """Show the shares of one head in one layer, over a text and step by step for one token.

    attend and causal_mask are gpt2lib's or yours: what they return is what is drawn. Raises ValueError if
    there is no such layer or head.
    """
    H = model.config.n_head
    if not (0 <= layer < model.config.n_layer and 0 <= head < H):
        raise ValueError(
            f"layer is {layer} and head {head}, but this model has layers 0 to {model.config.n_layer - 1} "
            f"with heads 0 to {H - 1}"
        )

    def parts(text: str, layer: int, head: int):
        """Return the ids and the head's q, k, v (1, 1, T, D) and mask (T, T)."""
        ids = tokenizer.encode(text)[:SHOWN] or [tokenizer.end_of_text]
        caught = []
        handle = model.h[layer].attn.c_attn.register_forward_hook(lambda module, x, y: caught.append(y))
        try:
            with torch.no_grad():
                model(torch.tensor([ids]))
        finally:
            handle.remove()
        q, k, v = (part.unflatten(-1, (H, -1))[:, :, head][:, None] for part in caught[0].chunk(3, dim=-1))
        return ids, q, k, v, causal_mask(len(ids), len(ids))

    def shares_of(q, k, mask) -> torch.Tensor:
        """Return the shares (T, T): the averages of unit vectors, as wide as v, have them for their numbers."""
        T, D = q.shape[-2:]
        units = F.pad(torch.eye(T), (0, -T % D)).split(D, dim=1)
        columns = [attend(q, k, part[None, None].contiguous(), mask)[0, 0] for part in units]
        return torch.cat(columns, dim=1)[:, :T]

    def look(text: str, layer: int, head: int) -> dict:
        ids, q, k, _, mask = parts(text, layer, head)
        return {
            "tokens": named(tokenizer, ids),
            "layers": model.config.n_layer,
            "heads": H,
            "shares": shares_of(q, k, mask).tolist(),
        }

    def steps(text: str, layer: int, head: int, position: int) -> dict:
        ids, q, k, v, mask = parts(text, layer, head)
        products = (q @ k.transpose(-2, -1))[0, 0, position]
        return {
            "query": q[0, 0, position].tolist(),
            "keys": k[0, 0].tolist(),
            "products": products.tolist(),
            "scores": (products / q.shape[-1] ** 0.5).tolist(),
            "seen": mask[position].tolist(),
            "shares": shares_of(q, k, mask)[position].tolist(),
            "values": v[0, 0].tolist(),
            "sum": attend(q, k, v, mask)[0, 0, position].tolist(),
        }

    def in_words(answer: dict) -> str:
        tokens, shares = answer["tokens"], answer["shares"][-1]
        width = max(len(token["label"]) for token in tokens)
        lines = [
            f"  {token['label']:<{width}} {100 * share:5.1f}%  {bar(share)}".rstrip()
            for token, share in zip(tokens, shares)
        ]
        return "\n".join(
            [f"Block {layer}, head {head}: what {tokens[-1]['label']} takes from each token", *lines]
        )

    return Explorable(
        "attention", {"look": look, "steps": steps}, in_words, text=text, layer=layer, head=head
    )
