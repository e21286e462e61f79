"""The sizes that make a GPT-2. Built in chapter 02."""

import math
from dataclasses import dataclass
from numbers import Integral, Real


# Reject impossible sizes
def _whole_sizes(config: "GPT2Config") -> dict[str, int]:
    """Return the sizes that count something, as Python's whole numbers. Raises ValueError for other values.

    NumPy's whole numbers are taken too, but they couldn't be written as JSON.
    """
    sizes = {
        name: getattr(config, name) for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    }
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is {size!r}, but it must be a whole number of at least 1")
    return {name: int(size) for name, size in sizes.items()}


def _refuse_what_cannot_be(config: "GPT2Config") -> None:
    """Raise ValueError for a width that the heads can't share, or a share or epsilon out of range."""
    if config.n_embd % config.n_head:
        raise ValueError(
            f"n_embd is {config.n_embd} and n_head is {config.n_head}, but every head gets the same "
            f"width; choose an n_embd that is a multiple of n_head"
        )
    for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
        share = getattr(config, name)
        if not isinstance(share, Real) or not 0 <= share < 1:
            raise ValueError(f"{name} is {share!r}, but it must be at least 0 and below 1")
    eps = config.layer_norm_epsilon
    if not isinstance(eps, Real) or not 0 < eps < math.inf:
        raise ValueError(f"layer_norm_epsilon is {eps!r}, but it must be a number above 0")


class _Sizes:
    """The check of the sizes when a config is created."""

    def __post_init__(self):
        for name, size in _whole_sizes(self).items():
            object.__setattr__(self, name, size)
        _refuse_what_cannot_be(self)
        for name in ("layer_norm_epsilon", "embd_pdrop", "attn_pdrop", "resid_pdrop"):
            object.__setattr__(self, name, float(getattr(self, name)))  # JSON knows no other kinds


@dataclass(frozen=True)
class GPT2Config(_Sizes):
    """The sizes of a GPT-2; the default sizes are GPT-2 small's, and dropout is off unless asked for.

    Raises ValueError for sizes that no GPT-2 can have. Source: Radford et al. 2019, table 2, and
    the `config.json` of the published checkpoints, whose field names these are.
    """

    vocab_size: int = 50257  # V: 256 bytes + 50,000 merges + <|endoftext|>
    n_positions: int = 1024  # maximum context length, in tokens
    n_embd: int = 768  # C: the width of the vector that stands for one token
    n_layer: int = 12  # blocks on top of each other
    n_head: int = 12  # H: attention heads in a block; each is n_embd / n_head wide
    layer_norm_epsilon: float = 1e-5  # keeps LayerNorm (chapter 5) from dividing by zero
    embd_pdrop: float = 0.0  # dropout (chapter 8) of the sum of the embeddings
    attn_pdrop: float = 0.0  # dropout of the attention weights
    resid_pdrop: float = 0.0  # dropout of what attention and MLP add to the vectors

    @classmethod
    def preset(cls, name: str) -> "GPT2Config":
        """Return the sizes of a published model: gpt2, gpt2-medium, gpt2-large or gpt2-xl.

        Raises ValueError for any other name. Source: Radford et al. 2019, table 2.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
        return cls(**PRESETS[name])


# The published sizes
PRESETS = {
    "gpt2": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "gpt2-medium": {"n_layer": 24, "n_head": 16, "n_embd": 1024},
    "gpt2-large": {"n_layer": 36, "n_head": 20, "n_embd": 1280},
    "gpt2-xl": {"n_layer": 48, "n_head": 25, "n_embd": 1600},
}
