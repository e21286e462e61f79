"""The exercises of chapter 06: temperature, top-k, top-p, their order, and the loop that writes."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from course.exercise import Exercise, Mistake
from gpt2lib.sampling import keep_top_k, keep_top_p

INF = math.inf


def draw(*shape, seed=0):
    """Return normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def only(logits, keep):
    """Return the logits with -inf where keep is False."""
    return torch.where(keep, logits, torch.tensor(-INF, dtype=logits.dtype))


def ties():
    """Return logits of which some are equal."""
    return torch.tensor([[3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 5.0, 5.0]])


# --- 6.1 scale_temperature -----------------------------------------------------------------------------


def temperature_cases():
    """Half, double, one, zero, and zero with a tie."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [-1.0, 0.5, 3.0]])
    return [
        (logits.clone(), 0.5),
        (logits.clone(), 2.0),
        (draw(3, 7), 1.0),
        (draw(2, 5, seed=1), 0.7),
        (logits.clone(), 0),
        (ties(), 0.0),
    ]


def first_largest(logits):
    """Return True at the first largest logit of each row."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.argmax(-1, keepdim=True), True)


def at_zero(greedy):
    """Return a temperature that does something of its own at t = 0."""
    return lambda logits, t: logits / t if t else greedy(logits)


def largest_becomes(number):
    """Return a greedy that puts this number where the largest logit is."""
    return lambda logits: only(torch.full_like(logits, number), first_largest(logits))


def last_largest(logits):
    return only(logits, first_largest(logits.flip(-1)).flip(-1))


def largest_of_batch(logits):
    return only(logits, first_largest(logits.view(1, -1)).view_as(logits))


def columns_of_largest(logits):
    best, out = logits.argmax(-1), torch.full_like(logits, -INF)
    out[:, best] = logits[:, best]
    return out


def make_temperature(zero="greedy", scale=lambda x, t: x / t):
    """Return a temperature with the asked-for slips in it."""

    def scale_temperature(logits, t):
        if t == 0 and zero == "greedy":
            return only(logits, first_largest(logits))
        if t == 0 and zero == "ties":
            return only(logits, logits == logits.max(-1, keepdim=True).values)
        if t == 0 and zero == "same":
            return logits
        if t == 0 and zero == "id":
            return logits.argmax(-1)
        if t == 0 and zero == "one row":
            return only(logits, logits == logits.max())
        if t == 0 and zero == "zeros":
            return logits * first_largest(logits)
        return scale(logits, torch.tensor(t, dtype=logits.dtype))

    return scale_temperature


def temperature_by_scatter(logits, t):
    if t:
        return logits.mul(1 / t)
    best = logits.argmax(dim=-1, keepdim=True)
    return torch.full_like(logits, -INF).scatter(-1, best, logits.gather(-1, best))


def temperature_by_rows(logits, t):
    if t > 0:
        return torch.stack([row.double() / t for row in logits])
    out = torch.full_like(logits, -INF)
    for i, row in enumerate(logits):
        out[i, row.argmax()] = row.max()
    return out


def temperature_by_where(logits, t):
    if t == 0:
        return torch.where(torch.arange(logits.shape[-1]) == logits.argmax(-1)[:, None], logits, -INF)
    return torch.div(logits, t)


# --- 6.2 keep_top_k ----------------------------------------------------------------------------------------


def k_cases():
    """A tie at the k-th place, k = 1, all, more than all, random ones; at last so many ties that sorts mix them."""
    return [
        (ties(), 2),
        (ties(), 1),
        (draw(2, 6), 3),
        (ties(), 4),
        (ties(), 99),
        (draw(3, 8, seed=1), 5),
        (torch.zeros(1, 5), 3),
        (torch.zeros(1, 24), 12),
    ]


def ranks(logits):
    """Return the place of each token in its row, the largest logit first."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return order.argsort(-1)


def k_threshold(logits, k):
    k = min(k, logits.shape[-1])
    return only(logits, logits >= logits.topk(k).values[:, -1:])


def k_drops_kth(logits, k):
    k = min(k, logits.shape[-1])
    return only(logits, logits > logits.topk(k).values[:, -1:])


def k_smallest(logits, k):
    return only(logits, (-logits).argsort(dim=-1, descending=True, stable=True).argsort(-1) < k)


def k_to_zero(logits, k):
    return torch.where(ranks(logits) < k, logits, 0.0)


def k_one_row(logits, k):
    return only(logits, (ranks(logits) < k)[:1].expand_as(logits))


def k_sorted(logits, k):
    ranked = logits.sort(dim=-1, descending=True, stable=True).values
    return only(ranked, torch.arange(logits.shape[-1]).expand_as(logits) < k)


def k_shortened(logits, k):
    return logits.topk(min(k, logits.shape[-1])).values


def k_one_more(logits, k):
    return only(logits, ranks(logits) <= k)


def k_last_ties(logits, k):
    flipped = ranks(logits.flip(-1)).flip(-1)
    return only(logits, flipped < k)


def k_too_large_fails(logits, k):
    kept = logits.topk(k).indices
    return (
        torch.full_like(logits, -INF).scatter(-1, kept, logits.gather(-1, kept))
        if k <= logits.shape[-1]
        else None
    )


def k_unstable(logits, k):
    return logits.scatter(-1, logits.argsort(dim=-1, descending=True)[..., k:], -INF)


def k_by_topk(logits, k):
    values, kept = logits.topk(min(k, logits.shape[-1]))
    return torch.full_like(logits, -INF).scatter(-1, kept, values)


def k_one_batch(logits, k):
    return only(logits, (ranks(logits.view(1, -1)) < k).view_as(logits))


def k_one_threshold(logits, k):
    flat = logits.flatten()
    return only(logits, logits >= flat.topk(min(k, len(flat))).values[-1])


def k_by_index(logits, k):
    out = torch.full_like(logits, -INF)
    for kept, row in zip(out, logits.tolist()):
        for value in sorted(row, reverse=True)[:k]:
            kept[row.index(value)] = value
    return out


def k_rolled(logits, k):
    order = logits.roll(1, -1).argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, (order[..., k:] - 1) % logits.shape[-1], -INF)


def mixing(*wrong):
    """Return each, or one that mixes equal logits in its place: how torch sorts them depends on the processor."""
    cases = k_cases()
    return [
        answer if any(not torch.equal(answer(*c), k_by_ranks(*c)) for c in cases) else k_rolled
        for answer in wrong
    ]


def k_by_ranks(logits, k):
    return logits.masked_fill(ranks(logits) >= k, -INF)


def k_by_python(logits, k):
    out = logits.clone()
    for row in out:
        order = sorted(range(len(row)), key=lambda i: (-row[i].item(), i))
        row[order[k:]] = -INF
    return out


def k_by_rounds(logits, k):
    left, out = logits.double().clone(), torch.full_like(logits, -INF).double()
    for _ in range(min(k, logits.shape[-1])):
        best = left.argmax(-1, keepdim=True)
        out.scatter_(-1, best, logits.double().gather(-1, best))
        left.scatter_(-1, best, -INF)
    return out


# --- 6.3 keep_top_p ----------------------------------------------------------------------------------------


def p_cases():
    """The text's example unsorted, a p below the largest, an exact half, everything, random ones."""
    small = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.15, 0.05]]).log()
    exact = torch.tensor([[0.25, 0.5, 0.25]]).log()
    return [
        (small.clone(), 0.8),
        (small.clone(), 0.01),
        (exact, 0.5),
        (small.clone(), 1.0),
        (2 * draw(3, 9), 0.6),
        (draw(2, 30, seed=1) + 5, 0.85),
    ]


def sorted_sums(logits):
    """Return the order, the probabilities in it and their running sums."""
    p, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
    return order, p, p.cumsum(-1)


def unsort(order, keep):
    """Return a mask over sorted places as one over ids."""
    return torch.zeros_like(keep).scatter(-1, order, keep)


def make_p(rule):
    """Return a nucleus that keeps the sorted places that the rule says."""

    def keep_top_p(logits, p):
        order, probabilities, sums = sorted_sums(logits)
        return only(logits, unsort(order, rule(probabilities, sums, p)))

    return keep_top_p


def p_drops_but_one(probabilities, sums, p):
    keep = sums <= p
    keep[:, 0] = True
    return keep


def p_not_undone(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return only(logits, sums - probabilities < p)


def p_returns_sorted(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return only(logits.sort(dim=-1, descending=True, stable=True).values, sums - probabilities < p)


def p_ascending(logits, p):
    probabilities, order = logits.softmax(-1).sort(-1)
    return only(logits, unsort(order, probabilities.cumsum(-1) - probabilities < p))


def p_threshold(logits, p):
    probabilities = logits.softmax(-1)
    return only(logits, probabilities >= (1 - p) * probabilities.max(-1, keepdim=True).values)


def p_probabilities(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    kept = logits.softmax(-1) * unsort(order, sums - probabilities < p)
    return kept / kept.sum(-1, keepdim=True)


def p_over_logits(logits, p):
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    sums = ranked.cumsum(-1)
    return only(logits, unsort(order, sums - ranked < p))


def p_one_row(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return only(logits, unsort(order, sums - probabilities < p)[:1].expand_as(logits))


def p_along_batch(logits, p):
    return make_p(lambda probabilities, sums, limit: sums - probabilities < limit)(logits.T, p).T


def p_sums_along_batch(logits, p):
    order, probabilities, _ = sorted_sums(logits)
    return only(logits, unsort(order, probabilities.cumsum(0) - probabilities < p))


def p_mask_gathered(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return only(logits, (sums - probabilities < p).gather(-1, order))


def p_raw_probabilities(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return logits.softmax(-1) * unsort(order, sums - probabilities < p)


def p_of_all_rows(logits, p):
    order, probabilities, sums = sorted_sums(logits.view(1, -1))
    return only(logits, unsort(order, sums - probabilities < p).view_as(logits))


def p_first_count(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    count = (sums - probabilities < p)[0].sum()
    return only(logits, ranks(logits) < count)


def p_by_python(logits, p):
    out = torch.full_like(logits, -INF)
    for i, row in enumerate(logits.softmax(-1)):
        total = 0.0
        for j in sorted(range(len(row)), key=lambda j: -row[j].item()):
            if total >= p:
                break
            out[i, j] = logits[i, j]
            total += row[j].item()
    return out


def p_by_shift(logits, p):
    ranked, order = torch.sort(logits, dim=-1, descending=True)
    remove = ranked.softmax(-1).cumsum(-1) >= p
    remove[:, 1:] = remove[:, :-1].clone()
    remove[:, 0] = False
    return logits.masked_fill(unsort(order, remove), -INF)


def p_from_the_tail(logits, p):
    ranked, order = logits.sort(dim=-1)
    remove = ranked.softmax(-1).cumsum(-1) <= 1 - p
    remove[:, -1] = False
    return logits.masked_fill(unsort(order, remove), -INF)


def p_by_pairs(logits, p):
    probabilities = logits.double().softmax(-1)
    place = torch.arange(logits.shape[-1])
    likelier = probabilities[:, None, :] > probabilities[:, :, None]
    likelier |= (probabilities[:, None, :] == probabilities[:, :, None]) & (place[None, :] < place[:, None])
    before = (likelier * probabilities[:, None, :]).sum(-1)
    return only(logits, before < p)


# --- 6.4 Sampler -----------------------------------------------------------------------------------------------


def sampler_cases():
    """Each setting by itself, then together, where the order shows; many tokens."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    settings = [
        {"top_k": 4},
        {"top_p": 0.7},
        {"temperature": 3.0, "top_p": 0.6},
        {"temperature": 0.4, "top_k": 3, "top_p": 0.8},
        {"top_k": 5, "top_p": 0.75},
        {"temperature": 0, "top_k": 5},
    ]
    return [
        (logits.clone(), {}),
        (logits.clone(), {"temperature": 0.5}),
        *[(2 * draw(2, 12), each) for each in settings],
        (0.1 * draw(2, 12, seed=3), {"top_k": 3, "top_p": 0.5}),
        (draw(1, 60, seed=4), {"top_p": 0.9}),
    ]


def run_sampler(answer, logits, settings):
    """Return the distribution, and what each of its rows adds up to."""
    sampler = answer(**settings)
    distribution = sampler.distribution(logits)
    return {"distribution": distribution, "sums": distribution.sum(-1)}


@dataclass
class Settings:
    """The fields of a sampler."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    generator: Any = None


RIGHT_T, RIGHT_P = make_temperature(), make_p(lambda p, sums, limit: sums - p < limit)


def apply_t(self, x):
    return RIGHT_T(x, self.temperature)


def apply_k(self, x):
    return x if self.top_k is None else keep_top_k(x, self.top_k)


def apply_p(self, x):
    return x if self.top_p is None else keep_top_p(x, self.top_p)


def sampler_of(*steps, last=lambda x: x.softmax(-1)):
    """Return a sampler whose distribution applies these steps in order."""

    def distribution(self, logits):
        for step in steps:
            logits = step(self, logits)
        return last(logits)

    return distribution_of(distribution)


def p_by_truth(self, x):
    return keep_top_p(x, self.top_p) if self.top_p else x


def k_by_truth(self, x):
    return keep_top_k(x, self.top_k) if self.top_k else x


def distribution_flat(self, logits):
    logits = temperature_by_scatter(logits, self.temperature)
    k = logits.shape[-1] if self.top_k is None else self.top_k
    p = 1.0 if self.top_p is None else self.top_p
    e = keep_top_p(keep_top_k(logits, k), p).double()
    e = (e - e.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def either_k_or_p(self, logits):
    logits = apply_t(self, logits)
    logits = apply_k(self, logits) if self.top_k is not None else apply_p(self, logits)
    return logits.softmax(-1)


def either_p_or_k(self, logits):
    logits = apply_t(self, logits)
    logits = apply_p(self, logits) if self.top_p is not None else apply_k(self, logits)
    return logits.softmax(-1)


def both_or_none(self, logits):
    logits = apply_t(self, logits)
    if self.top_k is not None and self.top_p is not None:
        logits = apply_p(self, apply_k(self, logits))
    return logits.softmax(-1)


def starts_anew(self, logits):
    kept = apply_t(self, logits)
    kept = kept if self.top_k is None else apply_k(self, logits)
    kept = kept if self.top_p is None else apply_p(self, logits)
    return kept.softmax(-1)


def not_renormalized(self, logits):
    logits = apply_t(self, logits)
    return logits.softmax(-1) * apply_p(self, apply_k(self, logits)).isfinite()


def id_at_zero(self, logits):
    right = sampler_of(apply_t, apply_k, apply_p).distribution
    return right(self, logits) if self.temperature else logits.argmax(-1)


def not_returned(self, logits):
    apply_p(self, apply_k(self, apply_t(self, logits)))


def distribution_of(forward):
    """Return a sampler with this distribution."""
    return type("Sampler", (Settings,), {"distribution": forward})


# --- 6.5 generate --------------------------------------------------------------------------------------------------


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


def generate_cases():
    """One text; two texts with a stop; across n_positions; without a cache; nothing to do; a stop token of 0."""
    return [
        ([[1, 2]], 3, {}),
        ([[1, 2], [4, 0]], 3, {"use_cache": False}),
        ([[1, 2], [3, 5]], 4, {"stop": True}),
        ([[1, 2, 3]], 7, {}),
        ([[1, 2, 3]], 7, {"use_cache": False}),
        ([[7]], 5, {"second": True}),
        ([[7, 1]], 0, {}),
        ([[1, 2, 9]], 6, {"stop": True}),
        ([[1, 3], [0, 3]], 4, {"stop": True}),
    ]


def plain(rows, n, stop=False, second=False, use_cache=True):
    """Return what generate yields, worked out without it."""
    model, rows, done, out = FakeModel(), [list(row) for row in rows], [False] * len(rows), []
    stop_token = stop_of(rows) if stop else None
    for _ in range(n):
        new = []
        for i, row in enumerate(rows):
            logits = model(torch.tensor([row[-6:]]))[0, -1]
            token = logits.topk(2).indices[1].item() if second else logits.argmax().item()
            new.append(stop_token if done[i] else token)
            done[i] = done[i] or new[-1] == stop_token
            row.append(new[-1])
        out.append(new)
        if all(done):
            break
    return out


def stop_of(rows):
    """Return a stop token that the first text draws in its second step."""
    return plain(rows[:1], 2)[1][0]


def run_generate(answer, rows, n, options):
    """Return what is yielded, how often the model was called, and with how many tokens."""
    options = dict(options)
    if options.pop("stop", False):
        options["stop_token"] = stop_of(rows)
    if options.pop("second", False):
        options["sampler"] = lambda logits: logits.where(logits > 1.5, INF).argmin(
            -1
        )  # the second of 3, 2, 1
    model, tokens = FakeModel(), torch.tensor(rows)
    before, yielded = tokens.clone(), []
    for new in answer(model, tokens, n, **options):
        yielded.append(new)
        if len(yielded) > n + 3:
            break
    return {
        "tokens": yielded,
        "read in each step": model.calls,
        "prompt unchanged": torch.equal(before, tokens),
    }


def make_generate(
    window="last",
    append=True,
    stop="right",
    cached="right",
    draw="sampler",
    count=0,
    ends=True,
    steps=None,
    gives=lambda new, text: new,
):
    """Return a generate with the asked-for slips in it."""

    def generate(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
        from gpt2lib.cache import KVCache

        limit = model.config.n_positions
        choose = sampler if sampler is not None and draw != "greedy" else (lambda logits: logits.argmax(-1))
        cache = None
        if use_cache and cached != "never":
            cache = KVCache(
                model.config, len(tokens), max_length=min(tokens.shape[1] + max_new_tokens, limit)
            )
        text, ended = tokens, torch.zeros(len(tokens), dtype=torch.bool)
        for _ in range(steps(max_new_tokens, tokens, limit) if steps else max_new_tokens + count):
            if cache is None or (text.shape[1] > limit - (cached == "early") and cached != "always"):
                part = {"last": text[:, -limit:], "first": text[:, :limit], "all": text}[window]
                logits = model(part, last_only=True)
            elif cached == "whole":
                logits = model(text, cache, last_only=True)
            elif cached == "one":
                logits = model(text[:, -1:], cache, last_only=True)
            else:
                logits = model(text[:, cache.length :], cache, last_only=True)
            row = logits if draw == "three axes" else logits[:, -1]
            if draw == "probabilities":
                row = row.softmax(-1)
            new = choose(row) if draw != "axis" else row.argmax(0)[: len(text)]
            if stop_token is not None and stop != "ignored" and (stop_token or stop != "by truth"):
                if stop != "no fill":
                    new = new.masked_fill(ended, stop_token)
                ended = ended | (new == stop_token)
            if stop == "silent" and ended.all():
                return
            yield gives(new, text)
            if ended.any() if stop == "any" else (ended.all() and ends and stop != "ignored"):
                return
            if append == "rows":
                text = torch.cat([text, new[:, None]], dim=0)
            elif append:
                text = torch.cat([text, new if append == "flat" else new[:, None]], dim=1)

    return generate


def returned(ends=True):
    """Return a generate that returns the whole text at the end."""

    def generate(model, tokens, max_new_tokens, **options):
        new = list(make_generate(ends=ends)(model, tokens, max_new_tokens, **options))
        return torch.cat([tokens, *[column[:, None] for column in new]], dim=1)

    return generate


def generate_at_once(model, tokens, max_new_tokens, **options):
    yield torch.stack(list(make_generate()(model, tokens, max_new_tokens, **options)), dim=1)


def generate_by_list(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
    from gpt2lib.cache import KVCache

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


def generate_by_window(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
    from gpt2lib.cache import KVCache

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


def k_by_last_row(logits, k):
    if k < 1:
        raise ValueError
    values = logits.topk(min(k, logits.shape[-1])).values
    return logits.masked_fill(logits < values[-1], -math.inf)


def k_indexes_rows(logits, k):
    if k < 1:
        raise ValueError
    kept, indices = torch.full_like(logits, -math.inf), logits.topk(min(k, logits.shape[-1])).indices
    kept[indices] = logits[indices]
    return kept


def p_each_alone(logits, p):
    return logits.masked_fill(logits.softmax(-1) < p, -math.inf)


def p_unsorted_sums(logits, p):
    return logits.masked_fill(logits.softmax(-1).cumsum(-1) > p, -math.inf)


def p_gathers_back(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return only(logits.gather(-1, order), sums - probabilities < p).gather(-1, order)


def p_fills_zeros(logits, p):
    order, probabilities, sums = sorted_sums(logits)
    return logits.masked_fill(unsort(order, sums - probabilities >= p), 0.0)


EXERCISES = [
    Exercise(
        number="6.1",
        name="scale_temperature",
        level=1,
        minutes=10,
        done="one number now goes from cautious to wild.",
        hints=(
            "For t above 0 it is one division.",
            "t = 0 is a case of its own: argmax finds the first largest logit of each row.",
            "torch.full_like(logits, -math.inf), and scatter the largest logit of each row into it. Or keep_top_k(logits, 1), if you have written it.",
        ),
        cases=temperature_cases,
        mistakes=[
            Mistake(
                "S01",
                make_temperature(scale=lambda x, t: x * t),
                "you multiply by the temperature, so hot is cold. Divide.",
                1,
            ),
            Mistake(
                "S01-after",
                make_temperature(scale=lambda x, t: x.softmax(-1) / t),
                "you take the softmax first. Temperature works on the logits; the softmax comes later.",
                1,
            ),
            Mistake(
                "softmaxed",
                make_temperature(scale=lambda x, t: (x / t).softmax(-1)),
                "you return probabilities. Return logits: top-k and top-p come before the softmax.",
                1,
            ),
            Mistake(
                "S02",
                make_temperature(zero="no"),
                "at t = 0 you divide by zero. It stands for greedy: keep the largest logit and set the others to -inf.",
                2,
            ),
            *[
                Mistake(
                    "S02-tiny",
                    lambda logits, t, tiny=tiny: logits / max(t, tiny),
                    "you replace 0 by a tiny number. Ties stay tied then, and the logits become huge. Keep the largest logit, set the others to -inf.",
                    2,
                )
                for tiny in (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
            ],
            Mistake(
                "zero-ignored",
                make_temperature(zero="same"),
                "at t = 0 you return the logits as they are. It stands for greedy.",
                2,
            ),
            Mistake(
                "ties",
                make_temperature(zero="ties"),
                "at t = 0 you keep all tokens that tie for the largest. Keep the first one only.",
                2,
            ),
            Mistake(
                "id",
                make_temperature(zero="id"),
                "at t = 0 you return the token. Return logits: the largest one, the others -inf.",
                3,
            ),
            Mistake(
                "one-row",
                make_temperature(zero="one row"),
                "at t = 0 you look for the largest logit of the whole batch. Each row has its own.",
                3,
            ),
            Mistake(
                "zeros",
                make_temperature(zero="zeros"),
                "at t = 0 you set the others to 0. A logit of 0 is not impossible; -inf is.",
                3,
            ),
            Mistake(
                "powers",
                make_temperature(scale=lambda x, t: x ** (1 / t)),
                "you raise logits to the power of 1/t. That is right for probabilities; logits are their logarithms, so divide.",
                1,
            ),
            Mistake(
                "S01",
                lambda logits, t: logits * t,
                "you multiply by the temperature, so hot is cold, and at t = 0 all tokens are alike. Divide, and treat 0 on its own.",
                1,
            ),
            Mistake(
                "softmaxed",
                lambda logits, t: (logits / t).softmax(-1),
                "you return probabilities, and at t = 0 you divide by zero. Return logits, and treat 0 on its own.",
                2,
            ),
            Mistake(
                "one-row",
                at_zero(largest_of_batch),
                "at t = 0 you keep one token of the whole batch. Each row has its own: argmax(dim=-1).",
                2,
            ),
            Mistake(
                "columns",
                at_zero(columns_of_largest),
                "logits[:, best] takes the columns of all rows, so each row keeps the others' tokens too. Pair rows with columns, or use scatter.",
                3,
            ),
            Mistake(
                "last-of-tie",
                at_zero(last_largest),
                "of equal logits you keep the last. Keep the first one, as argmax does.",
                2,
            ),
            Mistake(
                "one-hot",
                at_zero(lambda logits: first_largest(logits).to(logits.dtype)),
                "at t = 0 you return ones and zeros, which are probabilities. Return logits: the largest one, the others -inf.",
                3,
            ),
            *[
                Mistake(
                    "another-number",
                    at_zero(largest_becomes(number)),
                    "at t = 0 the right token is left, but its logit is another number. Keep the largest logit as it is.",
                    3,
                )
                for number in (0.0, 1.0, INF)
            ],
            Mistake(
                "nothing-left",
                at_zero(lambda logits: torch.full_like(logits, -INF)),
                "at t = 0 all logits are -inf, so no token is left. Keep the largest one.",
                3,
            ),
            *[
                Mistake(
                    "not-quite-inf",
                    at_zero(lambda logits, low=low: torch.where(first_largest(logits), logits, low)),
                    "at t = 0 you write a large negative number. Write -inf: code that asks isfinite which tokens are left relies on it.",
                    3,
                )
                for low in (-1e9, -1e10)
            ],
        ],
        styles=[temperature_by_scatter, temperature_by_rows, temperature_by_where],
    ),
    Exercise(
        number="6.2",
        name="keep_top_k",
        level=2,
        minutes=10,
        done="the far tail is gone, whatever the distribution.",
        hints=(
            "Sort each row, largest first: the ids from place k on are to go.",
            "logits.argsort(dim=-1, descending=True, stable=True) gives the ids in that order; stable keeps equal ones in the order of their ids.",
            "logits.scatter(-1, order[..., k:], -math.inf) writes -inf at those ids. It works for k larger than V too.",
        ),
        cases=k_cases,
        mistakes=[
            Mistake(
                "S04",
                k_threshold,
                "you keep every token that ties with the k-th, so more than k stay. Keep exactly k.",
                1,
            ),
            Mistake(
                "S04-drops",
                k_drops_kth,
                "the k-th token is gone too: your comparison should let it stay. (And ties need a rule: keep exactly k.)",
                1,
            ),
            Mistake(
                "smallest", k_smallest, "you keep the k smallest. The largest logits are the likeliest.", 2
            ),
            Mistake(
                "zeros", k_to_zero, "you set the others to 0. A logit of 0 is not impossible; use -inf.", 3
            ),
            Mistake(
                "one-row",
                k_one_row,
                "you use the first row's tokens for all rows. Each row has its own k.",
                2,
            ),
            Mistake(
                "sorted",
                k_sorted,
                "your logits come back sorted, so they belong to the wrong tokens. Put them back to their ids.",
                3,
            ),
            Mistake(
                "shortened",
                k_shortened,
                "you return k numbers. Return all V, with -inf for those that are gone.",
                3,
            ),
            Mistake(
                "one-more", k_one_more, "you keep k + 1 tokens. Exactly k stay: the places 0 to k - 1.", 1
            ),
            Mistake(
                "last-ties",
                k_last_ties,
                "of equal logits you keep those with the larger ids. Keep the smaller ones.",
                2,
            ),
            Mistake(
                "too-large", k_too_large_fails, "topk fails if k is larger than V. All tokens stay then.", 3
            ),
            Mistake(
                "k-beyond-v",
                lambda logits, k: k_threshold(logits, k) if k <= logits.shape[-1] else logits.topk(k).values,
                "topk fails if k is larger than V, and then all tokens stay. Besides, a threshold keeps every token of a tie: keep exactly k.",
                3,
            ),
            Mistake(
                "row-for-column",
                k_by_last_row,
                "values[-1] is the last row of the batch. The smallest of each row's k largest is values[..., -1:].",
                2,
            ),
            Mistake(
                "indexes-rows",
                k_indexes_rows,
                "logits[indices] takes whole rows. Use gather and scatter along the last axis.",
                2,
            ),
            *[
                Mistake(
                    "ties-mixed",
                    wrong,
                    "k tokens stay, but of equal logits not always those with the smaller ids. Only a sort with stable=True keeps their order.",
                    2,
                )
                for wrong in mixing(k_by_topk, k_unstable)
            ],
            Mistake(
                "whole-batch",
                k_one_batch,
                "you keep k tokens of the whole batch. Each row has its own k: work along dim=-1.",
                1,
            ),
            Mistake(
                "whole-batch",
                k_one_threshold,
                "you compare all rows with the k-th largest logit of the whole batch. Each row has its own k: work along dim=-1.",
                1,
            ),
            Mistake(
                "first-of-each-tie",
                k_by_index,
                "row.index finds the first of equal logits every time, so fewer than k stay. Sort the ids, not the values.",
                2,
            ),
            Mistake(
                "first-k",
                lambda logits, k: only(logits, torch.arange(logits.shape[-1]).expand_as(logits) < k),
                "you keep the ids 0 to k - 1, whatever their logits. Sort first.",
                1,
            ),
            Mistake(
                "one-less",
                lambda logits, k: only(logits, ranks(logits) < k - 1),
                "you keep k - 1 tokens. Exactly k stay: the places 0 to k - 1.",
                1,
            ),
            Mistake(
                "ids-for-places",
                lambda logits, k: only(logits, logits.argsort(dim=-1, descending=True, stable=True) < k),
                "argsort gives the ids in the order of their places, not the place of each id. Scatter with it, or argsort it once more.",
                3,
            ),
            Mistake(
                "upside-down",
                lambda logits, k: only(logits, ranks(logits) >= k),
                "the k largest are gone and the others stay. Turn your mask round.",
                3,
            ),
            Mistake(
                "probabilities",
                lambda logits, k: k_by_ranks(logits, k).softmax(-1),
                "you return probabilities. Return logits: the softmax comes after top-p.",
                3,
            ),
            Mistake(
                "wrong-axis",
                lambda logits, k: only(logits, ranks(logits.T).T < k),
                "you sort over the texts of the batch. Sort over the tokens: dim=-1.",
                2,
            ),
            *[
                Mistake(
                    "not-quite-inf",
                    lambda logits, k, low=low: torch.where(ranks(logits) < k, logits, low),
                    "you write a large negative number. Write -inf: code that asks isfinite which tokens are left relies on it.",
                    3,
                )
                for low in (-1e9, -1e10)
            ],
        ],
        styles=[k_by_ranks, k_by_python, k_by_rounds],
    ),
    Exercise(
        number="6.3",
        name="keep_top_p",
        level=3,
        minutes=15,
        done="the choice is narrow where the model is sure and wide where it is not.",
        hints=(
            "Sort the logits, largest first, and take the softmax and its running sum (cumsum).",
            "running sum minus the token's own probability is what the likelier ones have together. The token stays if that is below p.",
            "torch.empty_like(logits).scatter(-1, order, filtered) puts sorted values back to their ids.",
        ),
        cases=p_cases,
        mistakes=[
            Mistake(
                "S06",
                make_p(lambda p, sums, limit: sums <= limit),
                "the token that crosses p is gone, and with it, at times, all tokens. It stays: look at the sum before the token.",
                2,
            ),
            Mistake(
                "S06-but-one",
                make_p(p_drops_but_one),
                "you keep at least one, but the token that crosses p is still dropped. Look at the sum before the token.",
                2,
            ),
            Mistake(
                "one-too-many",
                make_p(lambda p, sums, limit: sums - p <= limit),
                "where p is reached exactly you keep one more. Once the likelier ones have p, it is enough.",
                2,
            ),
            Mistake(
                "S07",
                p_not_undone,
                "the mask is in sorted order, but the logits are not, so the wrong tokens go. Undo the sorting.",
                3,
            ),
            Mistake(
                "sorted",
                p_returns_sorted,
                "your logits come back sorted, so they belong to the wrong tokens. Scatter them back.",
                3,
            ),
            Mistake(
                "ascending",
                p_ascending,
                "you sort from the least likely and keep the tail. Sort descending.",
                1,
            ),
            Mistake(
                "min-p",
                p_threshold,
                "you compare each probability with the largest one. That is another method (min-p). Here the sum counts.",
                1,
            ),
            Mistake(
                "probabilities",
                p_probabilities,
                "you return probabilities. Return logits, with -inf for those that are gone.",
                3,
            ),
            Mistake(
                "sum-of-logits",
                p_over_logits,
                "you add up logits. Take the softmax first: p is a probability.",
                1,
            ),
            Mistake(
                "one-row", p_one_row, "you use the first row's nucleus for all rows. Each row has its own.", 2
            ),
            Mistake(
                "single-probabilities",
                p_each_alone,
                "you compare single probabilities with p. Their sum counts: from the likeliest on, until it reaches p.",
                1,
            ),
            Mistake(
                "not-sorted",
                p_unsorted_sums,
                "you add up probabilities in the order of the ids. Sort first: the likeliest tokens are added first.",
                1,
            ),
            Mistake(
                "gather-for-scatter",
                p_gathers_back,
                "gather reads the sorted logits in that order once more. To bring them back to their places use scatter.",
                3,
            ),
            Mistake(
                "zeros",
                p_fills_zeros,
                "a logit of 0 is no ban: softmax gives it weight. Set what is dropped to -inf.",
                2,
            ),
            Mistake(
                "S06",
                make_p(lambda p, sums, limit: sums < limit),
                "the token that reaches p is gone, and with it, at times, all tokens. It stays: look at the sum before the token.",
                2,
            ),
            Mistake(
                "S07",
                lambda logits, p: only(logits, sorted_sums(logits)[2] <= p),
                "two slips at once: the mask is in sorted order while the logits are not, and the token that crosses p is gone. Undo the sorting, and look at the sum before the token.",
                3,
            ),
            Mistake(
                "sorted",
                lambda logits, p: only(
                    logits.sort(dim=-1, descending=True, stable=True).values, sorted_sums(logits)[2] <= p
                ),
                "two slips at once: your logits come back sorted, and the token that crosses p is gone. Scatter them back, and look at the sum before the token.",
                3,
            ),
            Mistake(
                "not-sorted",
                lambda logits, p: only(logits, logits.softmax(-1).cumsum(-1) - logits.softmax(-1) < p),
                "you add up probabilities in the order of the ids. Sort first: the likeliest tokens are added first.",
                1,
            ),
            Mistake(
                "one-more",
                make_p(
                    lambda p, sums, limit: (
                        torch.arange(p.shape[-1]) <= (sums - p < limit).sum(-1, keepdim=True)
                    )
                ),
                "you keep one token too many. The token that crosses p is the last one that stays.",
                2,
            ),
            Mistake(
                "upside-down",
                make_p(lambda p, sums, limit: sums - p >= limit),
                "you drop the nucleus and keep the tail. Turn your mask round.",
                2,
            ),
            Mistake(
                "wrong-axis",
                p_along_batch,
                "you sort and add up over the texts of the batch. Sort and add up over the tokens: dim=-1.",
                1,
            ),
            Mistake(
                "wrong-axis",
                p_sums_along_batch,
                "your running sum goes over the texts of the batch. It goes over the tokens: cumsum(dim=-1).",
                1,
            ),
            Mistake(
                "whole-batch",
                p_of_all_rows,
                "you take one nucleus for the whole batch. Each row has its own: work along dim=-1.",
                1,
            ),
            Mistake(
                "one-row",
                p_first_count,
                "you keep as many tokens in each row as the first row needs. Each row has its own count.",
                2,
            ),
            Mistake(
                "gather-for-scatter",
                p_mask_gathered,
                "gather reads the mask in that order once more. To bring it back to the ids use scatter.",
                3,
            ),
            Mistake(
                "probabilities",
                p_raw_probabilities,
                "you return probabilities, and 0 for the others. Return logits, with -inf for those that are gone.",
                3,
            ),
            Mistake(
                "single-probabilities",
                lambda logits, p: only(logits, logits.softmax(-1) >= 1 - p),
                "you compare single probabilities with 1 - p. Their sum counts: from the likeliest on, until it reaches p.",
                1,
            ),
            Mistake(
                "min-p",
                lambda logits, p: only(
                    logits, logits.softmax(-1) >= p * logits.softmax(-1).amax(-1, keepdim=True)
                ),
                "you keep what has at least p times the largest probability. That is another method (min-p). Here the sum counts.",
                1,
            ),
            Mistake(
                "share-of-tokens",
                lambda logits, p: only(logits, ranks(logits) < max(1, int(p * logits.shape[-1]))),
                "you keep a share p of the tokens. p is a share of the probability: add probabilities up until they reach it.",
                1,
            ),
            *[
                Mistake(
                    "not-quite-inf",
                    lambda logits, p, low=low: RIGHT_P(logits, p).clamp(min=low),
                    "you write a large negative number. Write -inf: code that asks isfinite which tokens are left relies on it.",
                    3,
                )
                for low in (-1e9, -1e10)
            ],
        ],
        styles=[p_by_python, p_by_shift, p_by_pairs, p_from_the_tail],
    ),
    Exercise(
        number="6.4",
        name="Sampler",
        level=2,
        minutes=10,
        done="any mixture of the three is one object, and it can be tested without chance.",
        hints=(
            "Three steps, each of which you have written. The first always happens, the others if their setting is not None.",
            "The order is temperature, top-k, top-p.",
            "At the end .softmax(dim=-1): distribution returns probabilities.",
        ),
        cases=sampler_cases,
        run=run_sampler,
        arguments=("logits", "settings"),
        mistakes=[
            Mistake(
                "order-p-k",
                sampler_of(apply_t, apply_p, apply_k),
                "top-p comes before top-k. The order is temperature, top-k, top-p: p of what top-k has left.",
                2,
            ),
            Mistake(
                "order-t-last",
                sampler_of(apply_k, apply_p, apply_t),
                "the temperature comes last. It comes first, so that top-p sees the distribution that is drawn from.",
                2,
            ),
            Mistake(
                "no-temperature",
                sampler_of(apply_k, apply_p),
                "the temperature is not used. scale_temperature comes first, whatever the other settings are.",
                1,
            ),
            Mistake(
                "no-top-k",
                sampler_of(apply_t, apply_p),
                "top_k is not used. Where it is not None, keep_top_k follows the temperature.",
                1,
            ),
            Mistake(
                "no-top-p",
                sampler_of(apply_t, apply_k),
                "top_p is not used. Where it is not None, keep_top_p comes last before the softmax.",
                1,
            ),
            Mistake(
                "logits",
                sampler_of(apply_t, apply_k, apply_p, last=lambda x: x),
                "you return logits. A distribution is probabilities: softmax at the end.",
                3,
            ),
            Mistake(
                "either",
                distribution_of(either_k_or_p),
                "top-p is left out when there is a top-k. Both may be asked for.",
                1,
            ),
            Mistake(
                "log",
                sampler_of(apply_t, apply_k, apply_p, last=lambda x: x.log_softmax(-1)),
                "you return logarithms of probabilities. Use softmax.",
                3,
            ),
            Mistake(
                "wrong-axis",
                sampler_of(apply_t, apply_k, apply_p, last=lambda x: x.softmax(0)),
                "your softmax runs over the texts of the batch. It should run over the tokens: dim=-1.",
                3,
            ),
            Mistake(
                "probabilities-first",
                sampler_of(apply_t, lambda self, x: x.softmax(-1), apply_k, apply_p, last=lambda x: x),
                "you take the softmax first and cut probabilities off. Cut logits off, and take the softmax last.",
                3,
            ),
            Mistake(
                "zero-skipped",
                sampler_of(lambda self, x: apply_t(self, x) if self.temperature else x, apply_k, apply_p),
                "a temperature of 0 is skipped. It stands for greedy: scale_temperature knows what to do with it.",
                1,
            ),
            Mistake(
                "own-division",
                sampler_of(lambda self, x: x / self.temperature, apply_k, apply_p),
                "you divide by the temperature yourself, and 0 gives NaN. Call scale_temperature.",
                1,
            ),
            Mistake(
                "no-top-k",
                sampler_of(apply_t),
                "neither top_k nor top_p is used. Both follow the temperature.",
                1,
            ),
            Mistake(
                "either",
                distribution_of(either_p_or_k),
                "top-k is left out when there is a top-p. Both may be asked for.",
                1,
            ),
            Mistake(
                "both-or-none",
                distribution_of(both_or_none),
                "top-k and top-p count in yours only if both are given. Ask for each by itself.",
                1,
            ),
            Mistake(
                "starts-anew",
                distribution_of(starts_anew),
                "top-k and top-p get the logits that came in, so what was done before is lost. Give each result to the next.",
                1,
            ),
            Mistake(
                "order-t-last",
                sampler_of(apply_p, apply_k, apply_t),
                "your order is turned round: top-p, top-k, temperature. It is temperature, top-k, top-p.",
                2,
            ),
            Mistake(
                "softmax-twice",
                sampler_of(apply_t, lambda self, x: x.softmax(-1), apply_k, apply_p),
                "you take the softmax twice, before the cuts and after. Take it once, at the end.",
                3,
            ),
            Mistake(
                "not-renormalized",
                distribution_of(not_renormalized),
                "what is left does not add up to 1. Cut logits off, and take the softmax last: it shares out what is gone.",
                3,
            ),
            Mistake(
                "id-at-0",
                distribution_of(id_at_zero),
                "at temperature 0 you return the token. Return probabilities there too: scale_temperature and the softmax give it 1.",
                1,
            ),
            Mistake(
                "wrong-axis",
                sampler_of(apply_t, apply_k, apply_p, last=lambda x: x.flatten().softmax(0).view_as(x)),
                "your softmax runs over the whole batch. It runs over the tokens of each row: dim=-1.",
                3,
            ),
            Mistake(
                "temperature-twice",
                sampler_of(apply_t, apply_k, apply_p, lambda self, x: x / self.temperature),
                "the temperature is applied twice. Once, at the beginning, is enough.",
                1,
            ),
            Mistake(
                "no-return",
                distribution_of(not_returned),
                "distribution returns None. Return the probabilities.",
                3,
            ),
            Mistake(
                "no-temperature",
                sampler_of(),
                "none of the settings is used. Call the three functions, each with what the one before returned.",
                1,
            ),
        ],
        styles=[
            sampler_of(apply_k, apply_t, apply_p),
            distribution_of(distribution_flat),
            sampler_of(apply_t, k_by_truth, p_by_truth),
            sampler_of(lambda self, x: temperature_by_rows(x, self.temperature), apply_k, apply_p),
        ],
        tolerance=1e-4,
    ),
    Exercise(
        number="6.5",
        name="generate",
        level=3,
        minutes=20,
        done="the model writes, one token at a time, as long as you like.",
        hints=(
            "for _ in range(max_new_tokens): logits, draw, yield, append. torch.cat([text, new[:, None]], dim=1) appends.",
            "With a usable cache only text[:, cache.length:] is new. It is usable while text.shape[1] <= limit. Otherwise read text[:, -limit:] without it.",
            "new.masked_fill(ended, stop_token) before you note ended | (new == stop_token); yield; return if ended.all(); append.",
        ),
        cases=generate_cases,
        run=run_generate,
        arguments=("tokens", "max_new_tokens", "options"),
        mistakes=[
            Mistake(
                "E06-first",
                make_generate(window="first"),
                "past n_positions you read the first tokens, so the same token is predicted for ever. Read the last ones: text[:, -limit:].",
                2,
            ),
            Mistake(
                "E06",
                make_generate(window="all"),
                "past n_positions you read more than the model can. Read the last n_positions tokens.",
                2,
            ),
            Mistake(
                "not-appended",
                make_generate(append=False),
                "the new tokens are not appended, so every step predicts the same one. Append them: torch.cat([text, new[:, None]], dim=1).",
                1,
            ),
            Mistake(
                "K04",
                make_generate(cached="whole"),
                "with a cache you read the whole text again in every step. What is in the cache has been read: text[:, cache.length:] is new.",
                2,
            ),
            Mistake(
                "prefill-last",
                make_generate(cached="one"),
                "with a cache you read only the last token, also in the first step. Then the rest of the prompt is never read.",
                2,
            ),
            Mistake(
                "cache-unused",
                make_generate(cached="never"),
                "the tokens are right, but the cache is not used: the whole text is read in every step.",
                2,
            ),
            Mistake(
                "sampler-unused",
                make_generate(draw="greedy"),
                "the sampler is not used. Call it with logits of shape (B, V).",
                1,
            ),
            Mistake(
                "wrong-axis",
                make_generate(draw="axis"),
                "you look for the largest logit over the batch. Hand logits[:, -1], (B, V), to the sampler.",
                1,
            ),
            Mistake(
                "stop-ignored",
                make_generate(stop="ignored"),
                "stop_token is not looked at. Note which texts have drawn it, and stop when all have.",
                3,
            ),
            Mistake(
                "stop-any",
                make_generate(stop="any"),
                "you stop when the first text has ended. Go on until all have.",
                3,
            ),
            Mistake(
                "goes-on",
                make_generate(stop="no fill"),
                "a text that has ended goes on with other tokens. It should go on with stop_token.",
                3,
            ),
            Mistake(
                "one-more",
                make_generate(count=1),
                "you yield one token too many. The loop runs max_new_tokens times.",
                1,
            ),
            Mistake(
                "one-less",
                make_generate(count=-1),
                "you yield one token too few. The loop runs max_new_tokens times.",
                1,
            ),
            Mistake(
                "never-ends",
                make_generate(ends=False),
                "you go on after all texts have ended. Return once ended.all() is true.",
                3,
            ),
            Mistake(
                "stop-by-truth",
                make_generate(stop="by truth"),
                "a stop_token of 0 counts as none in yours. Ask `stop_token is not None`.",
                3,
            ),
            Mistake(
                "ends-silently",
                make_generate(stop="silent"),
                "you end before the last stop_token is yielded. First yield, then look whether all have ended.",
                3,
            ),
            Mistake(
                "probabilities",
                make_generate(draw="probabilities"),
                "the sampler gets probabilities. It takes logits, and the softmax is in it.",
                1,
            ),
            Mistake(
                "given-up-early",
                make_generate(cached="early"),
                "the tokens are right, but you give the cache up one step early. It serves while text.shape[1] <= limit.",
                2,
            ),
            Mistake(
                "counts-prompt",
                make_generate(steps=lambda n, tokens, limit: n - tokens.shape[1]),
                "you count the tokens of the prompt too. max_new_tokens new ones are wanted.",
                1,
            ),
            Mistake(
                "stops-at-limit",
                make_generate(steps=lambda n, tokens, limit: min(n, limit - tokens.shape[1])),
                "you stop when the text has n_positions tokens. Go on, and read its last n_positions tokens.",
                2,
            ),
            Mistake(
                "yields-lists",
                make_generate(gives=lambda new, text: new.tolist()),
                "you yield lists. Yield the tensor (B,).",
                3,
            ),
            Mistake(
                "yields-ints",
                make_generate(gives=lambda new, text: new.item()),
                "item() makes a number of a tensor with one element, and a batch has more. Yield the tensor (B,).",
                3,
            ),
            Mistake(
                "yields-columns",
                make_generate(gives=lambda new, text: new[:, None]),
                "you yield shape (B, 1). Only torch.cat needs the second axis: yield new, (B,).",
                3,
            ),
            Mistake(
                "yields-text",
                make_generate(gives=lambda new, text: torch.cat([text, new[:, None]], dim=1)),
                "you yield the whole text. Yield the new tokens only, (B,).",
                3,
            ),
            Mistake(
                "yields-text",
                make_generate(gives=lambda new, text: text),
                "you yield the text so far. Yield the new tokens, (B,).",
                3,
            ),
            *[
                Mistake(
                    "returned",
                    returned(ends),
                    "you return the whole text at the end. Yield the new tokens in each step, so that they can be shown as they come.",
                    1,
                )
                for ends in (True, False)
            ],
            Mistake(
                "at-once",
                generate_at_once,
                "you yield once, at the end. Yield the new tokens (B,) in each step.",
                1,
            ),
            Mistake(
                "three-axes",
                make_generate(draw="three axes"),
                "the sampler gets (B, 1, V), so its tokens have an axis too many for torch.cat. Hand it logits[:, -1], (B, V).",
                1,
            ),
            Mistake(
                "cache-full",
                make_generate(cached="always"),
                "you use the cache after it is full, at n_positions. It serves while text.shape[1] <= limit; then read text[:, -limit:] without it.",
                2,
            ),
            Mistake(
                "append-axes",
                make_generate(append="flat"),
                "new has shape (B,) and text (B, T), so torch.cat refuses them. Give new a second axis: new[:, None].",
                1,
            ),
            Mistake(
                "append-axes",
                make_generate(append="rows"),
                "you append along the batch. The new tokens go to the end of each text: dim=1.",
                1,
            ),
        ],
        styles=[make_generate(), generate_by_list, generate_by_window],
    ),
]
