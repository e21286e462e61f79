"""6.5 generate: what is computed. What is said stands in generate.md."""

import math
from types import SimpleNamespace

import torch
from torch import nn

from gpt2lib.cache import KVCache

arguments = ("tokens", "max_new_tokens", "options")


class FakeModel(nn.Module):
    """Stand in for GPT2: what it predicts depends on every token that it can see, and on how many.

    It is honest about a cache: tokens that are in it are known from there, and handing them in again
    shifts everything.
    """

    def __init__(self, n_positions=6, vocab_size=11):
        super().__init__()
        self.config = SimpleNamespace(
            n_positions=n_positions,
            vocab_size=vocab_size,
            n_layer=1,
            n_head=1,
            n_embd=2,
            layer_norm_epsilon=1e-5,
        )
        self.wte = nn.Embedding(vocab_size, 2)
        self.calls = []

    def new_cache(self, batch_size=1, max_length=None):
        from gpt2lib.cache import KVCache

        return KVCache(self.config, batch_size, max_length=max_length)

    def forward(self, tokens, cache=None, *, last_only=False):
        self.calls.append(tokens.shape[1])
        B, T = tokens.shape
        seen = tokens
        if cache is not None:
            keys = tokens.float().view(B, 1, T, 1).expand(B, 1, T, 2)
            k, _ = cache[0].append(keys, keys)
            seen = k[:, 0, :, 0].round().long()
        if seen.shape[1] > self.config.n_positions:
            raise ValueError(
                f"got {seen.shape[1]} tokens, but this model reads at most {self.config.n_positions}"
            )
        weights = torch.arange(1, seen.shape[1] + 1)
        state = (seen * weights).cumsum(1) + 3 * weights
        logits = torch.zeros(B, seen.shape[1], self.config.vocab_size)
        for shift, size in ((0, 3.0), (4, 2.0), (7, 1.0)):
            logits.scatter_(-1, ((state + shift) % self.config.vocab_size)[..., None], size)
        logits = logits[:, -T:]
        return logits[:, -1:] if last_only else logits


def cases():
    """One text; two with a stop; across n_positions; without a cache; nothing to do; 0 as stop; a stop in the prompt."""
    return [
        ([[1, 2]], 3, {}),
        ([[1, 2], [4, 0]], 3, {"use_cache": False}),
        ([[1, 2], [3, 5]], 4, {"stop_token": 3}),
        ([[1, 2, 3]], 7, {}),
        ([[1, 2, 3]], 7, {"use_cache": False}),
        ([[7]], 5, {"sampler": second}),
        ([[7, 1]], 0, {}),
        ([[1, 2, 9]], 6, {"stop_token": 10}),
        ([[1, 3], [0, 3]], 4, {"stop_token": 0}),
        ([[1, 2], [3, 5]], 4, {"stop_token": 5}),
    ]


def second(logits):
    """Draw the token with the second-largest logit of 3, 2, 1."""
    return logits.where(logits > 1.5, math.inf).argmin(-1)


def run(answer, rows, n, options):
    """Return what is yielded, how often the model was called and with how many tokens, and whether the prompt is whole."""
    model, tokens = FakeModel(), torch.tensor(rows)
    before, yielded, calls = tokens.clone(), [], []
    for new in answer(model, tokens, n, **options):
        yielded.append(new)
        # a list made in advance would have needed all of them for its first token
        calls.append(len(model.calls))
        if len(yielded) > n + 3:
            break
    return {
        "tokens": yielded,
        "read in each step": model.calls,
        "steps before each token came": calls,
        "prompt unchanged": torch.equal(before, tokens),
    }


def by_list(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
    def steps():
        pick = sampler or (lambda logits: logits.argmax(-1))
        limit, columns = model.config.n_positions, list(tokens.unbind(1))
        cache = KVCache(model.config, len(tokens)) if use_cache else None
        ended = [False] * len(tokens)
        while len(columns) < tokens.shape[1] + max_new_tokens:
            if cache is not None and len(columns) <= limit:
                logits = model(torch.stack(columns[cache.length :], 1), cache)[:, -1]
            else:
                logits = model(torch.stack(columns[-limit:], 1))[:, -1]
            new = pick(logits).clone()
            for i, over in enumerate(ended):
                if over:
                    new[i] = stop_token
                ended[i] = over or new[i].item() == stop_token
            columns.append(new)
            yield new
            if all(ended):
                break

    return steps()


def by_window(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
    limit, T = model.config.n_positions, tokens.shape[1]
    cache = KVCache(model.config, tokens.shape[0]) if use_cache else None
    text = torch.cat([tokens, tokens.new_zeros(len(tokens), max_new_tokens)], 1)
    ended = torch.zeros(len(tokens)).bool()
    for i in range(T, T + max_new_tokens):
        usable = cache is not None and i <= limit
        start = cache.length if usable else max(0, i - limit)
        logits = model(text[:, start:i], cache if usable else None, last_only=True)[:, 0]
        new = logits.argmax(-1) if sampler is None else sampler(logits)
        if stop_token is not None:
            new = torch.where(ended, torch.full_like(new, stop_token), new)
            ended = ended.logical_or(new.eq(stop_token))
        text[:, i] = new
        yield new
        if bool(ended.all()):
            return


def by_recursion(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
    def steps(text, cache, ended, left):
        if left == 0:
            return
        fits = cache is not None and text.shape[1] <= model.config.n_positions
        if fits:
            logits = model(text[:, cache.length :], cache)
        else:
            logits = model(text[:, -model.config.n_positions :])
        new = (sampler or (lambda logits: logits.argmax(-1)))(logits[:, -1])
        if stop_token is not None:
            new = new.where(~ended, stop_token)
            ended = ended | (new == stop_token)
        yield new
        if not ended.all():
            yield from steps(torch.hstack([text, new[:, None]]), cache, ended, left - 1)

    cache = KVCache(model.config, len(tokens)) if use_cache else None
    return steps(tokens, cache, torch.zeros(len(tokens), dtype=torch.bool), max_new_tokens)


# the loop that reads by itself, for the mistakes that one can make there
BY_HAND = """
for _ in range(max_new_tokens):
    if cache is None or text.shape[1] > limit:
        logits = model(text[:, -limit:], last_only=True)
    else:
        logits = model(text[:, cache.length :], cache, last_only=True)
    new = sampler(logits[:, -1])
    if stop_token is not None:
        new = new.masked_fill(ended, stop_token)
        ended = ended | (new == stop_token)
    yield new
    if ended.all():
        return
    text = torch.cat([text, new[:, None]], dim=1)
"""

styles = [by_list, by_window, by_recursion, BY_HAND]
