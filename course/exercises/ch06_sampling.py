"""The exercises of chapter 06: temperature, top-k, top-p, their order, and the loop that writes."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from course.exercise import Exercise, Mistake

INF = math.inf


def draw(*shape, seed=0):
    """Return normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def only(logits, keep):
    """Return the logits with -inf where keep is False."""
    return torch.where(keep, logits, torch.tensor(-INF, dtype=logits.dtype))


TIES = torch.tensor([[3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 5.0, 5.0]])


# --- 6.1 scale_temperature -----------------------------------------------------------------------------


def temperature_cases():
    """Half, double, one, zero, and zero with a tie."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [-1.0, 0.5, 3.0]])
    return [
        (logits, 0.5),
        (logits, 2.0),
        (draw(3, 7), 1.0),
        (draw(2, 5, seed=1), 0.7),
        (logits, 0),
        (TIES, 0.0),
    ]


def first_largest(logits):
    """Return True at the first largest logit of each row."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.argmax(-1, keepdim=True), True)


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
        return scale(logits, max(t, 1e-8) if zero == "tiny" else torch.tensor(t, dtype=logits.dtype))

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
    """A tie at the k-th place, k = 1, all, more than all, random ones."""
    return [
        (TIES, 2),
        (TIES, 1),
        (draw(2, 6), 3),
        (TIES, 4),
        (TIES, 99),
        (draw(3, 8, seed=1), 5),
        (torch.zeros(1, 5), 3),
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
        (small, 0.8),
        (small, 0.01),
        (exact, 0.5),
        (small, 1.0),
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


def p_by_pairs(logits, p):
    probabilities = logits.double().softmax(-1)
    place = torch.arange(logits.shape[-1])
    likelier = probabilities[:, None, :] > probabilities[:, :, None]
    likelier |= (probabilities[:, None, :] == probabilities[:, :, None]) & (place[None, :] < place[:, None])
    before = (likelier * probabilities[:, None, :]).sum(-1)
    return only(logits, before < p)


# --- 6.4 Sampler -----------------------------------------------------------------------------------------------


def sampler_cases():
    """Each setting by itself, then together, where the order shows."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    wide = 2 * draw(2, 12)
    return [
        (logits, {}),
        (logits, {"temperature": 0.5}),
        (wide, {"top_k": 4}),
        (wide, {"top_p": 0.7}),
        (wide, {"temperature": 3.0, "top_p": 0.6}),
        (wide, {"temperature": 0.4, "top_k": 3, "top_p": 0.8}),
        (wide, {"top_k": 5, "top_p": 0.75}),
        (0.1 * draw(2, 12, seed=3), {"top_k": 3, "top_p": 0.5}),
        (wide, {"temperature": 0, "top_k": 5}),
    ]


def run_sampler(answer, logits, settings):
    """Return the distribution, and what the draws of a seeded generator are."""
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
    return x if self.top_k is None else k_by_ranks(x, self.top_k)


def apply_p(self, x):
    return x if self.top_p is None else RIGHT_P(x, self.top_p)


def sampler_of(*steps, last=lambda x: x.softmax(-1)):
    """Return a sampler whose distribution applies these steps in order."""

    def distribution(self, logits):
        for step in steps:
            logits = step(self, logits)
        return last(logits)

    return type("Sampler", (Settings,), {"distribution": distribution})


def p_by_truth(self, x):
    return RIGHT_P(x, self.top_p) if self.top_p else x


def k_by_truth(self, x):
    return k_by_rounds(x, self.top_k) if self.top_k else x


def distribution_flat(self, logits):
    logits = temperature_by_scatter(logits, self.temperature)
    k = logits.shape[-1] if self.top_k is None else self.top_k
    p = 1.0 if self.top_p is None else self.top_p
    e = p_by_shift(k_by_python(logits, k), p).double()
    e = (e - e.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def either_k_or_p(self, logits):
    logits = apply_t(self, logits)
    logits = apply_k(self, logits) if self.top_k is not None else apply_p(self, logits)
    return logits.softmax(-1)


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
    """One text; two texts with a stop; across n_positions; without a cache; nothing to do."""
    return [
        ([[1, 2]], 3, {}),
        ([[1, 2], [4, 0]], 3, {"use_cache": False}),
        ([[1, 2], [3, 5]], 4, {"stop": True}),
        ([[1, 2, 3]], 7, {}),
        ([[1, 2, 3]], 7, {"use_cache": False}),
        ([[7]], 5, {"second": True}),
        ([[7, 1]], 0, {}),
        ([[1, 2, 9]], 6, {"stop": True}),
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
        options["sampler"] = lambda logits: logits.topk(2).indices[:, 1]
    model, tokens = FakeModel(), torch.tensor(rows)
    before, yielded = tokens.clone(), []
    for new in answer(model, tokens, n, **options):
        yielded.append(list(new.tolist()) if isinstance(new, torch.Tensor) else new)
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
    note_first=False,
):
    """Return a generate with the asked-for slips in it."""

    def generate(model, tokens, max_new_tokens, *, sampler=None, stop_token=None, use_cache=True):
        from gpt2lib.cache import KVCache

        limit = model.config.n_positions
        choose = sampler if sampler is not None and draw == "sampler" else (lambda logits: logits.argmax(-1))
        cache = None
        if use_cache and cached != "never":
            cache = KVCache(
                model.config, len(tokens), max_length=min(tokens.shape[1] + max_new_tokens, limit)
            )
        text, ended = tokens, torch.zeros(len(tokens), dtype=torch.bool)
        for _ in range(max_new_tokens + count):
            if cache is None or text.shape[1] > limit:
                part = {"last": text[:, -limit:], "first": text[:, :limit], "all": text}[window]
                logits = model(part, last_only=True)
            elif cached == "whole":
                logits = model(text, cache, last_only=True)
            elif cached == "one":
                logits = model(text[:, -1:], cache, last_only=True)
            else:
                logits = model(text[:, cache.length :], cache, last_only=True)
            row = logits[:, 0] if draw != "axis" else logits[:, -1]
            new = choose(row) if draw != "axis" else row.argmax(0)[: len(text)]
            if stop_token is not None and stop != "ignored":
                if stop == "right":
                    new = new.masked_fill(ended, stop_token)
                if stop == "silent" and (new == stop_token).all():
                    return
                ended = ended | (new == stop_token)
            yield new
            if ended.any() if stop == "any" else (ended.all() and ends and stop != "ignored"):
                return
            if append:
                text = torch.cat([text, new[:, None]], dim=1)

    return generate


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
            Mistake(
                "S02-tiny",
                make_temperature(zero="tiny"),
                "you replace 0 by a tiny number. Ties stay tied then, and logits grow to 10 to the 8. Keep the largest logit, set the others to -inf.",
                2,
            ),
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
            Mistake("one-more", k_one_more, "you keep k + 1 tokens.", 1),
            Mistake(
                "last-ties",
                k_last_ties,
                "of equal logits you keep those with the larger ids. Keep the smaller ones.",
                2,
            ),
            Mistake("too-large", k_too_large_fails, "k larger than V should keep all tokens.", 3),
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
            Mistake("one-row", p_one_row, "you use the first row's nucleus for all rows.", 2),
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
        ],
        styles=[p_by_python, p_by_shift, p_by_pairs],
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
            Mistake("no-temperature", sampler_of(apply_k, apply_p), "the temperature is not used.", 1),
            Mistake("no-top-k", sampler_of(apply_t, apply_p), "top_k is not used.", 1),
            Mistake("no-top-p", sampler_of(apply_t, apply_k), "top_p is not used.", 1),
            Mistake(
                "logits",
                sampler_of(apply_t, apply_k, apply_p, last=lambda x: x),
                "you return logits. A distribution is probabilities: softmax at the end.",
                3,
            ),
            Mistake(
                "either",
                type("Sampler", (Settings,), {"distribution": either_k_or_p}),
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
                "results-thrown-away",
                sampler_of(),
                "you call the three functions and throw their results away. Give each result to the next: logits = ...",
                1,
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
        ],
        styles=[
            sampler_of(apply_t, k_by_truth, p_by_truth),
            type("Sampler", (Settings,), {"distribution": distribution_flat}),
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
                "past n_positions you read the whole text, which is more than the model can. Read the last n_positions tokens.",
                2,
            ),
            Mistake(
                "not-appended",
                make_generate(append=False),
                "the new tokens are not appended, so every step predicts the same one.",
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
            Mistake("stop-ignored", make_generate(stop="ignored"), "stop_token is not looked at.", 3),
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
            Mistake("one-more", make_generate(count=1), "you yield one token too many.", 1),
            Mistake("one-less", make_generate(count=-1), "you yield one token too few.", 1),
            Mistake("never-ends", make_generate(ends=False), "you go on after all texts have ended.", 3),
        ],
        styles=[make_generate(), generate_by_list, generate_by_window],
    ),
]
