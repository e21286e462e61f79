"""GPT-2 itself: the residual block and the stack of them. Built in chapter 05."""

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from gpt2lib.attention import CausalSelfAttention
from gpt2lib.config import GPT2Config
from gpt2lib.embeddings import embed, unembed
from gpt2lib.mlp import MLP

if TYPE_CHECKING:
    from gpt2lib.cache import KVCache, LayerCache


def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """Bring each vector to mean 0 and variance 1, then scale and shift each channel.

    x (..., C), weight and bias (C,) -> (..., C). The variance divides by C, and eps is added to it
    under the root. Source: Ba et al. 2016, section 3. `nn.LayerNorm` is the fused form.
    """
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


class Block(nn.Module):
    """Add to each token what attention gathers, then what the MLP makes of it.

    Source: GPT-2's block. LayerNorm stands before each sub-layer (Radford et al. 2019, section 2.3),
    so that the sum itself, the residual stream, is never normalized.
    """

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor, cache: "LayerCache | None" = None) -> torch.Tensor:
        """Return the residual stream after this block: (B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


def initial_std(name: str, n_layer: int) -> float:
    """Return the standard deviation of a parameter's initial values, by its name; 0 means a constant.

    Matrices get 0.02. Those that write to the residual stream get less, so that the sum of all they write
    starts with the variance of a single term. Source: Radford et al. 2019, section 2.3; the 0.02 is from
    OpenAI's code, which draws `wpe` with 0.01.
    """
    if name.endswith("bias") or "ln_" in name:
        return 0.0
    return 0.02 / math.sqrt(2 * n_layer) if name.endswith("c_proj.weight") else 0.02


# What a GPT2 does besides computing logits: keep its config, draw weights, make a cache
class _GPT2Base(nn.Module):
    """A model that keeps its config, draws its fresh weights, and makes caches that fit it."""

    def __init__(self, config: GPT2Config):
        """Keep the config. Raises TypeError if it isn't a GPT2Config."""
        check_config(config)
        super().__init__()
        self.config = config

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw fresh weights: normal, with the deviation that `initial_std` gives; biases 0, gains 1."""
        for name, parameter in self.named_parameters():
            gain = "ln_" in name and name.endswith("weight")
            parameter.normal_(0.0, initial_std(name, self.config.n_layer)).add_(float(gain))

    def new_cache(self, batch_size: int = 1, max_length: int | None = None) -> "KVCache":
        """Return an empty cache that fits this model, for batch_size texts of at most max_length tokens.

        max_length counts the prompt and the new tokens; None stands for n_positions. Raises ValueError
        as `KVCache` does.
        """
        from gpt2lib.cache import KVCache  # chapter 7 builds it

        weight = self.wte.weight
        return KVCache(
            self.config, batch_size, max_length=max_length, dtype=weight.dtype, device=weight.device
        )


class GPT2(_GPT2Base):
    """The whole model: from tokens to the logits of the next one, at every position.

    Source: Radford et al. 2019. The names of the weights are those of the published checkpoint:
    `wte` and `wpe` embed tokens and positions, `h` ("hidden layers") holds the blocks, `ln_f` is
    the final LayerNorm. The logits reuse `wte`, so there is no output matrix.
    """

    @torch.inference_mode(False)  # weights made in that mode could not be trained later
    def __init__(self, config: GPT2Config):
        """Make a model with fresh weights. Raises TypeError if config isn't a GPT2Config."""
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)  # acts in training only, see chapter 8
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.reset_parameters()

    def forward(
        self, tokens: torch.Tensor, cache: "KVCache | None" = None, *, last_only: bool = False
    ) -> torch.Tensor:
        """Return the logits of the token that follows each token: (B, T) -> (B, T, V).

        With a cache, `tokens` are the new ones only, and they take the positions after those in it.
        With last_only, only the logits after the last token are made, all that generation needs:
        (B, T) -> (B, 1, V). Raises ValueError as `check_tokens` does.
        """
        check_tokens(tokens, self.config, cache)
        start = 0 if cache is None else cache.length
        x = self.drop(embed(tokens, self.wte.weight, self.wpe.weight, start))
        for i, block in enumerate(self.h):
            x = block(x, None if cache is None else cache[i])
        x = self.ln_f(x[:, -1:] if last_only else x)
        return unembed(x, self.wte.weight)


# What is said about a config or an input that the model can't read
def check_config(config: GPT2Config) -> None:
    """Raise TypeError unless `config` is a GPT2Config."""
    if not hasattr(config, "n_embd"):
        raise TypeError(
            f"config is {config!r:.60}, but GPT2 takes a GPT2Config; from_pretrained loads a model with "
            f"its weights by its name, GPT2Config(**settings) takes settings"
        )


def check_tokens(tokens: torch.Tensor, config: GPT2Config, cache: "KVCache | None" = None) -> None:
    """Raise ValueError unless `tokens` are ids (B, T) that a model of this config can read next.

    They must be int64 or int32, lie in the vocabulary, and fit into n_positions after the tokens that the
    cache already holds, which must be as many in each layer. Raises TypeError for what is no tensor.
    """
    if not isinstance(tokens, torch.Tensor):
        rows = tokens if isinstance(tokens, (list, tuple)) else ()
        lengths = [len(row) for row in rows if hasattr(row, "__len__") and getattr(row, "ndim", 1)]
        if isinstance(tokens, str) or any(isinstance(row, str) for row in rows):
            remedy = "encode each text first, and pass torch.tensor([tokenizer.encode(text)])"
        elif len(set(lengths)) > 1:
            remedy = (
                f"the texts have {', '.join(map(str, lengths))} tokens, and all of a batch need the same "
                f"number: pass one text at a time, or give the list to generate, which takes any lengths"
            )
        else:
            remedy = "pass torch.tensor(rows) for several texts, torch.tensor([ids]) for one"
        raise TypeError(
            f"tokens are a {type(tokens).__name__}, but the model reads a tensor of ids (B, T); {remedy}"
        )
    if tokens.ndim != 2 or tokens.numel() == 0:
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}, but the model reads (B, T) with at least one token "
            f"in each row; for one text pass torch.tensor([ids])"
        )
    if tokens.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"tokens are {tokens.dtype}, but the model reads ids as torch.int64 or torch.int32; "
            f"if they are whole numbers, pass tokens.long()"
        )
    start = cache.length if cache is not None else 0
    end = start + tokens.shape[1]
    if end > config.n_positions:
        seen = f"{end} tokens ({start} of them in the cache)" if start else f"{end} tokens"
        raise ValueError(
            f"got {seen}, but this model reads at most {config.n_positions} (n_positions); shorten the text"
        )
    if torch.compiler.is_compiling():
        return  # a look at the values would split the compiled graph
    held = [layer.length for layer in getattr(cache, "layers", [])]
    if len(set(held)) > 1:
        raise ValueError(
            f"the layers of the cache hold {min(held)} to {max(held)} tokens: a step was interrupted, and "
            f"cache.truncate({min(held)}) takes it back; or the cache is another model's"
        )
    try:
        low, high = tokens.min().item(), tokens.max().item()
    except RuntimeError:  # they have no values: on the meta device, in vmap, while a graph is recorded
        return
    if low < 0 or high >= config.vocab_size:
        raise ValueError(
            f"tokens go from {low} to {high}, but this model's vocabulary has the ids 0 to "
            f"{config.vocab_size - 1}; encode the text with the tokenizer that belongs to the model"
        )
