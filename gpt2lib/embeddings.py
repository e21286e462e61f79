"""From token ids to vectors and back to logits. Built in chapter 02."""

import torch
import torch.nn.functional as F


def embed(tokens: torch.Tensor, wte: torch.Tensor, wpe: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Return the sum of each token's vector and its position's vector.

    tokens (B, T), wte (V, C), wpe (n_positions, C) -> (B, T, C). The first token sits at position
    `start`, the number of tokens before it. Raises ValueError if the text goes past the last
    position. Source: GPT-2's `wte` ("word token embedding") and `wpe` ("word position
    embedding").
    """
    T = tokens.shape[-1]
    if start + T > len(wpe):
        raise ValueError(
            f"the text has {start + T} tokens, but there are only {len(wpe)} positions (n_positions); "
            f"shorten it"
        )
    return F.embedding(tokens, wte) + wpe[start : start + T]  # (B, T, C) + (T, C)


def unembed(x: torch.Tensor, wte: torch.Tensor) -> torch.Tensor:
    """Return each vector's dot product with every token's vector: its logits.

    x (B, T, C), wte (V, C) -> (B, T, V). Source: weight tying, Press and Wolf 2017; GPT-2 has no
    other output matrix and no bias here.
    """
    return x @ wte.T
