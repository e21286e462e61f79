"""The stream: what the model would say if it stopped after each block (the "logit lens"). Chapter 05."""

import torch

from course.play.explorable import Explorable, named

SHOWN, CANDIDATES = 32, 5


def stream(model, tokenizer, text: str = "Once upon a") -> Explorable:
    """Show the residual stream at one token, read by the model's own head after every block.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """

    def read(text: str, position: int | None = None) -> dict:
        """Return the most likely next tokens after the embedding and after each block, at a position (None: the last)."""
        ids = tokenizer.encode(text)[:SHOWN] or [tokenizer.end_of_text]
        position = len(ids) - 1 if position is None else min(position, len(ids) - 1)
        caught = []
        handles = [model.h[0].register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))]
        handles += [
            block.register_forward_hook(lambda module, inputs, y: caught.append(y)) for block in model.h
        ]
        try:
            with torch.no_grad():
                model(torch.tensor([ids]))
                x = torch.stack([layer[0, position] for layer in caught])  # (1 + n_layer, C)
                shares = (model.ln_f(x) @ model.wte.weight.T).float().softmax(dim=-1)
        finally:
            for handle in handles:
                handle.remove()
        rows = []
        for i, share in enumerate(shares):
            order = share.argsort(descending=True, stable=True)[:CANDIDATES].tolist()
            top = [token | {"p": share[token["id"]].item()} for token in named(tokenizer, order)]
            rows.append({"name": f"block {i - 1}" if i else "embedding", "top": top})
        return {"tokens": named(tokenizer, ids), "position": position, "rows": rows}

    return Explorable("stream", {"read": read}, in_words, text=text)


def in_words(answer: dict) -> str:
    """Return the most likely token after each block as lines of text."""
    tokens = answer["tokens"]
    lines = [
        f"  {row['name']:<10}"
        + "".join(f" {t['label']} {100 * t['p']:.1f}% " for t in row["top"][:3]).rstrip()
        for row in answer["rows"]
    ]
    return "\n".join(
        [f"What comes after {tokens[answer['position']]['label']}, read after each block:", *lines]
    )
