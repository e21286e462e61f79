"""Writing text, one token at a time. Built in chapter 06."""

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, Protocol

import torch

from gpt2lib.cache import KVCache
from gpt2lib.config import GPT2Config
from gpt2lib.model import check_tokens
from gpt2lib.sampling import greedy
from gpt2lib.tokenizer import Tokenizer, check_tokenizer


class LanguageModel(Protocol):
    """What generation needs of a module: a GPT2, what chapter 10 makes of it, or a model of your own."""

    config: GPT2Config

    def __call__(
        self, tokens: torch.Tensor, cache: KVCache | None = None, *, last_only: bool = False
    ) -> torch.Tensor:
        """Return the logits of the token that follows each token, as `GPT2.forward` does."""

    def new_cache(self, batch_size: int = 1, max_length: int | None = None) -> KVCache:
        """Return an empty cache that fits the model, as `GPT2.new_cache` does."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Return the weights; tokens go where they are."""


# Errors for bad arguments
def check_model(model: Any) -> None:
    """Raise TypeError for a model that text can't be written with."""
    if not all(hasattr(model, name) for name in ("__call__", "config", "new_cache", "parameters")):
        raise TypeError(
            f"model is a {type(model).__name__}, but it must be a GPT2 or one that fast made; "
            f"of a wrapped model pass model.module"
        )


def check_count(name: str, value: Any) -> None:
    """Raise TypeError or ValueError for a number of tokens that isn't a whole number, 0 or more."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}, but it must be a whole number")
    if value < 0:
        raise ValueError(f"{name} is {value}, but it must be 0 or more")


def _checking(sampler: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a sampler that raises TypeError where the one given doesn't return one id for each text."""

    def draw(logits: torch.Tensor) -> torch.Tensor:
        ids = sampler(logits)
        what = f"{ids.dtype} {tuple(ids.shape)}" if isinstance(ids, torch.Tensor) else type(ids).__name__
        if what not in (f"torch.int64 ({len(logits)},)", f"torch.int32 ({len(logits)},)"):
            raise TypeError(
                f"sampler returned {what}, but it must return one id for each text, torch.int64 "
                f"({len(logits)},), as logits.argmax(dim=-1) does"
            )
        return ids

    return draw


def _check_arguments(model: Any, max_new_tokens: Any, sampler: Any, stop_token: Any = None) -> None:
    """Raise TypeError or ValueError for arguments that generation would stumble over later."""
    check_model(model)
    check_count("max_new_tokens", max_new_tokens)
    if not callable(sampler):
        raise TypeError(f"sampler is {sampler!r}, but it must be greedy or a Sampler, as Sampler(0.8)")
    if not isinstance(stop_token, Integral | None):
        raise TypeError(f"stop_token is {stop_token!r}, but it must be one id, or None")


def generate(
    model: LanguageModel,
    tokens: torch.Tensor | Sequence[Sequence[int] | torch.Tensor],
    max_new_tokens: int,
    *,
    sampler: Callable[[torch.Tensor], torch.Tensor] = greedy,
    stop_token: int | None = None,
    use_cache: bool = True,
) -> Iterator[torch.Tensor]:
    """Yield the next token of every text in the batch, one step at a time.

    tokens (B, T) -> max_new_tokens times (B,). It ends early once every text has drawn stop_token; a text
    that ended before the others gets stop_token from then on. A text that outgrows n_positions is
    continued from its last n_positions tokens, without a cache.
    Prompts of different lengths come as a list, each a list of ids or a tensor (T,).
    Raises ValueError if the tokens are not ids that the model can read, TypeError for arguments
    of another kind.
    """
    _check_arguments(model, max_new_tokens, sampler, stop_token)
    sampler = _checking(sampler)
    if isinstance(tokens, (list, tuple)):
        return _in_step(model, tokens, max_new_tokens, sampler, stop_token, use_cache)
    check_tokens(tokens, model.config)
    limit = model.config.n_positions
    room = min(tokens.shape[1] + max_new_tokens, limit)
    cache = model.new_cache(len(tokens), room) if use_cache else None

    def read(text: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next tokens: (B, T) -> (B, V)."""
        if cache is None or text.shape[1] > limit:
            return model(text[:, -limit:], last_only=True)[:, -1]
        return model(text[:, cache.length :], cache, last_only=True)[:, -1]  # the prompt, then 1 token

    @torch.no_grad()
    def steps() -> Iterator[torch.Tensor]:
        text, ended = tokens, torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for _ in range(max_new_tokens):
            new = sampler(read(text))
            if stop_token is not None:
                new = new.masked_fill(ended, stop_token)
                ended = ended | (new == stop_token)
            yield new
            if ended.all():
                return
            text = torch.cat([text, new[:, None]], dim=1)

    return steps()


# Prompts of different lengths
def _in_step(
    model: LanguageModel,
    prompts: Sequence[Sequence[int] | torch.Tensor],
    max_new_tokens: int,
    sampler: Callable[[torch.Tensor], torch.Tensor],
    stop_token: int | None,
    use_cache: bool,
) -> Iterator[torch.Tensor]:
    """Yield what `generate` does for prompts of different lengths, with nothing padded.

    Each gets what it gets alone. All texts are read up to the end of the shortest prompt. From there on each
    step reads one token of every text: the next of its prompt while that lasts, then the one drawn for it. So
    all texts have the same length at any time, and each token stands at the position that it has in its text
    alone. This takes one extra step for each token by which the longest prompt is longer than the shortest.
    """
    ids = [row for row in prompts if not isinstance(row, torch.Tensor)]
    if not prompts or not all(
        isinstance(row, (list, tuple)) and all(isinstance(token, Integral) for token in row) for row in ids
    ):
        check_tokens(prompts, model.config)  # this is no list of prompts; the error says what to pass
    device = next(model.parameters()).device
    rows = [row if isinstance(row, torch.Tensor) else torch.tensor(row, device=device) for row in prompts]
    for row in rows:
        check_tokens(row[None], model.config)
    lengths = [len(row) for row in rows]
    shortest, longest = min(lengths), max(lengths)
    most = longest - shortest + max_new_tokens if max_new_tokens else 0

    def steps() -> Iterator[torch.Tensor]:
        drawn: list[torch.Tensor] = []

        def next_tokens(logits: torch.Tensor) -> torch.Tensor:
            place = shortest + len(drawn)
            new = [row[place] if place < len(row) else own for row, own in zip(rows, sampler(logits))]
            drawn.append(torch.stack(new))
            return drawn[-1]

        first = torch.stack([row[:shortest].long() for row in rows])
        ended = torch.zeros(len(rows), dtype=torch.bool, device=first.device)
        for step, _ in enumerate(generate(model, first, most, sampler=next_tokens, use_cache=use_cache)):
            if step < longest - shortest:
                continue
            new = torch.stack([drawn[step - longest + n][i] for i, n in enumerate(lengths)])
            if stop_token is not None:
                new = new.masked_fill(ended, stop_token)
                ended = ended | (new == stop_token)
            yield new
            if ended.all():
                return

    return steps()


# From text to text
def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    max_new_tokens: int = 100,
    *,
    sampler: Callable[[torch.Tensor], torch.Tensor] = greedy,
) -> str:
    """Return the prompt with what the model writes after it, up to the end of the text it writes.

    `<|endoftext|>` as the prompt asks for a text from nothing. Ids that the tokenizer doesn't have are
    never drawn. Raises ValueError if the prompt is empty or longer than the model reads, TypeError for
    arguments of another kind.
    """
    if not isinstance(prompt, str):
        raise TypeError(
            f"prompt is a {type(prompt).__name__}, but complete continues one text, a str; call it for each "
            f"text, or give generate a list of prompts, each as a list of ids"
        )
    _check_arguments(model, max_new_tokens, sampler)
    check_tokenizer(tokenizer)
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
    known = tokenizer.vocab_size  # a model may have more rows than that, for padding or added tokens
    tokens = torch.tensor([ids], device=next(model.parameters()).device)
    for new in generate(
        model,
        tokens,
        max_new_tokens,
        sampler=lambda logits: sampler(logits[:, :known]),
        stop_token=tokenizer.end_of_text,
    ):
        if new.item() != tokenizer.end_of_text:
            ids.append(new.item())
    return tokenizer.decode(ids)
