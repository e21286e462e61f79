"""Speculative decoding: a draft guesses, and one call of the model checks it all. Built in chapter 10."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral

import torch

from gpt2lib.cache import KVCache
from gpt2lib.generation import LanguageModel, check_count, check_model
from gpt2lib.model import check_tokens


def draw(probabilities: torch.Tensor, generator: torch.Generator | None = None) -> int:
    """Return an id drawn from probabilities (V,).

    It's the first at which their running sum exceeds a random share of the whole: for one draw, several
    times as fast as torch.multinomial. Raises ValueError if they don't sum to a number above 0.
    """
    sums = probabilities.cumsum(0, dtype=torch.float64)
    if not 0 < sums[-1] < math.inf:
        raise ValueError(f"the probabilities sum to {sums[-1].item():g}, but they must sum to 1")
    share = torch.rand((), dtype=torch.float64, generator=generator) * sums[-1]
    return torch.searchsorted(sums, share, right=True).item()


def acceptance_probability(target: torch.Tensor, draft: torch.Tensor, token: int) -> float:
    """Return how likely a token drawn from the draft is kept: (V,), (V,), id -> between 0 and 1.

    Source: Leviathan et al. 2022, section 2.3.
    """
    return min(1.0, (target[token] / draft[token]).item())


def residual_distribution(target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
    """Return what to draw from after a guess was not kept: (V,), (V,) -> (V,), summing to 1."""
    missing = (target - draft).clamp(min=0)
    total = missing.sum()
    return missing / total if total > 0 else target


def accept_guesses(
    targets: torch.Tensor,
    drafts: list[torch.Tensor],
    guessed: list[int],
    dice: list[float],
    draw: Callable[[torch.Tensor], int],
) -> list[int]:
    """Return what a round adds to the text: the guesses that are kept, and one more token."""
    kept = []
    for target, draft, token, die in zip(targets, drafts, guessed, dice):
        if die >= acceptance_probability(target, draft, token):
            return kept + [draw(residual_distribution(target, draft))]
        kept.append(token)
    return kept + [draw(targets[-1])]


def guess_and_check(
    model: Callable,
    draft: Callable,
    ids: list[int],
    cache: KVCache,
    guesses: int,
    roll: Callable,
    draw: Callable,
) -> tuple[list[int], list[int]]:
    """Return the ids that a draft guesses in one round, and those that the text grows by.

    model(tokens (1, T), cache) -> logits (1, T, V); draft(ids) -> probabilities (V,); roll(n) -> n numbers
    between 0 and 1; draw(probabilities) -> id. The cache then has all of the longer text but its last token.
    Source: Leviathan et al. 2022, algorithm 1.
    """
    guessed, drafts = [], []
    for _ in range(guesses):
        drafts.append(draft(ids + guessed))
        guessed.append(draw(drafts[-1]))
    new = torch.tensor([(ids + guessed)[cache.length :]])
    targets = model(new, cache)[0, -guesses - 1 :].softmax(-1)
    taken = accept_guesses(targets, drafts, guessed, roll(len(guessed)), draw)
    cache.truncate(len(ids) + len(taken) - 1)
    return guessed, taken


# Rounds of guessing and checking, until the text is long enough
def speculate(
    model: LanguageModel,
    draft: Callable[[list[int]], torch.Tensor],
    tokens: Sequence[int],
    max_new_tokens: int,
    *,
    guesses: int = 2,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield for each call of the model the ids that were guessed, and those that the text grows by.

    draft gets the ids of a text and returns the probabilities (V,) of its next token. Each round it guesses
    that many tokens, and the model reads all of them in one call. The ids taken are max_new_tokens in all,
    each as likely as if the model had drawn it by itself, at temperature 1.
    Raises ValueError if the tokens are not ids that the model can read, or if the text would outgrow
    n_positions; TypeError for arguments of another kind.
    Source: Leviathan et al. 2022, algorithm 1.
    """
    check_model(model)
    if not callable(draft):
        raise TypeError(f"draft is a {type(draft).__name__}, but it must be a function: ids -> probabilities")
    check_count("max_new_tokens", max_new_tokens)
    check_count("guesses", guesses)
    if isinstance(tokens, torch.Tensor):
        tokens = tokens.tolist()
    ids = list(tokens) if isinstance(tokens, Iterable) else None
    if ids is None or not all(isinstance(token, Integral) for token in ids):
        raise TypeError(
            f"tokens are {tokens!r:.60}, but speculate reads the ids of one text; "
            f"pass what tokenizer.encode returns"
        )
    limit, vocabulary = model.config.n_positions, model.config.vocab_size
    check_tokens(torch.tensor([ids]), model.config)
    end = len(ids) + max_new_tokens
    if end > limit:
        raise ValueError(
            f"{len(ids)} tokens and {max_new_tokens} new ones are {end}, but this model reads at most "
            f"{limit} (n_positions); ask for fewer, or use generate"
        )
    device = next(model.parameters()).device
    cache = model.new_cache(1, end)

    def guess(text: list[int]) -> torch.Tensor:
        probabilities = draft(text)
        if not isinstance(probabilities, torch.Tensor) or probabilities.shape != (vocabulary,):
            shape = tuple(getattr(probabilities, "shape", ()))
            raise TypeError(
                f"draft returned a {type(probabilities).__name__} {shape}, but it must return the "
                f"probabilities of the next token, a tensor ({vocabulary},)"
            )
        return probabilities.cpu()

    def read(new: torch.Tensor, cache: KVCache) -> torch.Tensor:
        return model(new.to(device), cache)[:, -guesses - 1 :].cpu()  # no row of the prompt is copied

    def roll(n: int) -> list[float]:
        return torch.rand(n, generator=generator).tolist()

    @torch.no_grad()
    def rounds() -> Iterator[tuple[list[int], list[int]]]:
        while len(ids) < end:
            n = min(guesses, end - len(ids) - 1)  # and one token more comes out of it
            guessed, taken = guess_and_check(read, guess, ids, cache, n, roll, lambda p: draw(p, generator))
            ids.extend(taken)
            yield guessed, taken

    return rounds()
