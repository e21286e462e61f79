"""Writing text, one token at a time. Built in chapter 06."""

from collections.abc import Callable, Iterator

import torch

from gpt2lib.cache import KVCache
from gpt2lib.model import GPT2, check_tokens
from gpt2lib.sampling import greedy
from gpt2lib.tokenizer import Tokenizer


def generate(
    model: GPT2,
    tokens: torch.Tensor,
    max_new_tokens: int,
    *,
    sampler: Callable[[torch.Tensor], torch.Tensor] = greedy,
    stop_token: int | None = None,
    use_cache: bool = True,
) -> Iterator[torch.Tensor]:
    """Yield the token that continues each text of a batch, one step at a time.

    tokens (B, T) -> max_new_tokens times (B,). It ends early once every text has drawn stop_token;
    a text that ended before the others goes on with stop_token. With use_cache each step reads one
    new token, without it the whole text. A text that outgrows n_positions is continued from its
    last n_positions tokens, without a cache: each token then stands at another position than
    before, so nothing computed for the old position can be used again. Raises ValueError if the
    tokens are not ids that the model can read.
    """
    check_tokens(tokens, model.config)
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}, but it must be 0 or more")
    limit = model.config.n_positions
    cache = None
    if use_cache:
        room = min(tokens.shape[1] + max_new_tokens, limit)
        weight = model.wte.weight
        dtype = getattr(model, "cache_dtype", weight.dtype)  # a model of chapter 10 may want another one
        cache = KVCache(model.config, len(tokens), max_length=room, dtype=dtype, device=weight.device)

    @torch.no_grad()
    def steps() -> Iterator[torch.Tensor]:
        text, ended = tokens, torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for _ in range(max_new_tokens):
            if cache is None or text.shape[1] > limit:
                logits = model(text[:, -limit:], last_only=True)
            else:
                logits = model(text[:, cache.length :], cache, last_only=True)  # the prompt, then 1 token
            new = sampler(logits[:, -1])
            if stop_token is not None:
                new = new.masked_fill(ended, stop_token)
                ended = ended | (new == stop_token)
            yield new
            if ended.all():
                return
            text = torch.cat([text, new[:, None]], dim=1)

    return steps()


def complete(
    model: GPT2,
    tokenizer: Tokenizer,
    prompt: str,
    max_new_tokens: int = 100,
    *,
    sampler: Callable[[torch.Tensor], torch.Tensor] = greedy,
) -> str:
    """Return the prompt with what the model writes after it, up to the end of the text it writes.

    `<|endoftext|>` as the prompt asks for a text from nothing. Raises ValueError if the prompt is
    empty or longer than the model reads.
    """
    ids = tokenizer.encode(prompt, allow_special=True)
    if not ids:
        raise ValueError(
            "the prompt is empty, but the model needs one token to start from; pass '<|endoftext|>'"
        )
    limit = model.config.n_positions
    if len(ids) > limit:
        raise ValueError(
            f"the prompt has {len(ids)} tokens but this model reads at most {limit} (n_positions); shorten it"
        )
    tokens = torch.tensor([ids], device=model.wte.weight.device)
    for new in generate(model, tokens, max_new_tokens, sampler=sampler, stop_token=tokenizer.end_of_text):
        if new.item() != tokenizer.end_of_text:
            ids.append(new.item())
    return tokenizer.decode(ids)
