"""The exercises of chapter 07: what a cache saves, what it holds, how it is filled, what it costs."""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config

REFUSALS = ("this cache takes", "this cache holds", "it has room", "n_positions")  # in the library's errors


def noise(seed, *shape):
    """Random numbers that are the same on every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ids(seed, B, T, vocab_size=23):
    """Random token ids (B, T)."""
    return torch.randint(vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def refusal(error):
    """Name a refusal, in the same words for the library's caches and for ours; raise any other error."""
    if any(part in str(error) for part in REFUSALS):
        return "refused: they do not belong or do not fit in there"
    raise error


# --- 7.1 rows_computed


def rows_cases():
    """Small ones without and with a cache, one new token, one prompt token, and a long text."""
    return [(4, 3, False), (4, 3, True), (5, 1, False), (5, 1, True), (1, 6, False), (1, 6, True)] + [
        (16, 240, False),
        (16, 240, True),
    ]


def without(T, n):
    return sum(T + i for i in range(n))


def rows_rule(with_cache, without_cache=without):
    """An answer made of two formulas of T and n."""

    def rows(prompt_length, new_tokens, use_cache):
        formula = with_cache if use_cache else without_cache
        return formula(prompt_length, new_tokens)

    return rows


def rows_by_formula(prompt_length, new_tokens, use_cache):
    if use_cache:
        return prompt_length - 1 + new_tokens
    return new_tokens * (2 * prompt_length + new_tokens - 1) // 2


def rows_by_simulation(prompt_length, new_tokens, use_cache):
    rows, length, cached = 0, prompt_length, 0
    while new_tokens > 0:
        rows += length - cached
        if use_cache:
            cached = length
        length += 1
        new_tokens -= 1
    return rows


def rows_by_triangles(prompt_length, new_tokens, use_cache):
    end = prompt_length + new_tokens - 1
    if use_cache:
        return end
    return math.comb(end + 1, 2) - math.comb(prompt_length, 2)


WITHOUT = {  # wrong sums without a cache
    "reads-the-last-without": (
        lambda T, n: without(T + 1, n),
        "without a cache you count T + 1 rows in the first step. The first step reads the prompt, T rows; "
        "its new token is first read in the second step.",
    ),
    "does-not-grow": (
        lambda T, n: T * n,
        "without a cache your steps all cost the prompt. The text is one token longer at every step, and "
        "all of it is read again.",
    ),
    "full-length-each-step": (
        lambda T, n: (T + n) * n,
        "without a cache your steps all cost the finished text. The early steps read less: the text grows "
        "by one token at a time.",
    ),
    "triangle-from-one": (
        lambda T, n: without(1, T + n - 1),
        "without a cache you start the sum at 1, as if the prompt were written token by token too. The "
        "first step reads all T tokens of the prompt in one go.",
    ),
    "new-tokens-only": (
        lambda T, n: without(1, n),
        "without a cache you leave the prompt out of the sum. Every step reads the prompt as well as the "
        "new tokens so far.",
    ),
}
WITH = {  # wrong sums with a cache
    "reads-the-last": (
        lambda T, n: T + n,
        "with a cache you count one row too many. The last token is written, but no step comes after it "
        "that would read it.",
    ),
    "forgets-the-prompt": (
        lambda T, n: n,
        "with a cache you count the new tokens only. The prompt has to be read once before anything can be "
        "looked up.",
    ),
    "prompt-each-step": (
        lambda T, n: n * (T + 1),
        "with a cache you read the prompt at every step. It is read once; after that its keys and values "
        "lie in the cache.",
    ),
}


def with_cache(T, n):
    return T + n - 1


def rows_mistakes():
    """The places exchanged, each wrong sum alone, and both sums wrong: then the first is told."""
    yield Mistake(
        "never-cached",
        rows_rule(without),
        "you return the same number with a cache and without. With use_cache=True, what was computed in an "
        "earlier step is not computed again.",
    )
    yield Mistake(
        "always-cached",
        rows_rule(with_cache, with_cache),
        "you return the same number without a cache and with one. With use_cache=False every step computes "
        "the whole text so far.",
    )
    yield Mistake(
        "turned-round",
        rows_rule(without, with_cache),
        "your two numbers are in each other's place. use_cache=True is the small one.",
    )
    for name, (wrong, says) in WITH.items():
        yield Mistake(name, rows_rule(wrong), says, 2)
    for name, (wrong, says) in WITHOUT.items():
        yield Mistake(name, rows_rule(with_cache, wrong), says)
        for other, _ in WITH.values():
            yield Mistake(name, rows_rule(other, wrong), says)


ROWS = Exercise(
    number="7.1",
    name="rows_computed",
    level=1,
    minutes=5,
    done="you can say in one number what a cache saves: the work grows with n, no longer with n times n.",
    hints=(
        "Write down what is read at each step for a prompt of 4 and 3 new tokens, without a cache: 4 "
        "tokens, then 5, then ...? And with one: 4, then ...?",
        "The last new token is written and never read: no step comes after it. So n new tokens take n steps.",
        "Without: the sum of prompt_length + i for i in range(new_tokens). With: the prompt once, then 1 "
        "for each of the other steps. How many other steps are there?",
    ),
    cases=rows_cases,
    mistakes=list(rows_mistakes()),
    styles=[rows_by_formula, rows_by_simulation, rows_by_triangles],
)


# --- 7.2 LayerCache


class Memory:
    """What the scaffold of LayerCache gives, for answers that fill in the rest."""

    def __init__(self, k, v):
        self.k, self.v = k, v
        self.length = 0

    def append(self, k, v):
        end = self.length + k.shape[2]
        if end > self.k.shape[2]:
            raise ValueError("it has room for fewer")
        return self.fill(k, v, end)


def appending(fill):
    """A LayerCache whose gap is filled by fill(self, k, v, end)."""
    return type("LayerCache", (Memory,), {"fill": fill})


def layer_cache_cases():
    """(B, H, D, room, tokens in each call): a prompt and two tokens; batches, chunks; one token too many."""
    return [
        (1, 2, 2, 5, [3, 1, 1]),
        (2, 3, 4, 7, [1, 1, 5]),
        (3, 2, 5, 9, [2, 4, 1, 1, 1]),
        (1, 3, 2, 4, [3, 2, 1]),
    ]


def run_layer_cache(answer, B, H, D, room, calls):
    """Append calls; tell what came back at each, and how much the cache then holds."""
    cache = answer(noise(1, B, H, room, D), noise(2, B, H, room, D))  # what was in the memory does not matter
    told = {}
    for i, T in enumerate(calls):
        try:
            k, v = cache.append(noise(10 + i, B, H, T, D), noise(20 + i, B, H, T, D))
            told[f"append {i + 1}"] = {"k": k.clone(), "v": v.clone(), "length": cache.length}
        except ValueError as error:
            told[f"append {i + 1}"] = {"error": refusal(error), "length": cache.length}
    return told


@appending
def CacheByNarrow(self, k, v, end):
    for memory, new in ((self.k, k), (self.v, v)):
        memory.narrow(2, self.length, new.shape[2]).copy_(new)
    self.length = end
    return self.k.narrow(2, 0, end), self.v.narrow(2, 0, end)


@appending
def CacheByLoop(self, k, v, end):
    for t in range(k.shape[2]):
        self.v[:, :, self.length] = v[:, :, t]
        self.k[:, :, self.length] = k[:, :, t]
        self.length += 1
    return self.k[:, :, : self.length].clone(), self.v[:, :, : self.length].clone()


@appending
def CacheByIndex(self, k, v, end):
    places = torch.arange(self.length, end)
    self.k.index_copy_(2, places, k)
    self.v.index_copy_(2, places, v)
    self.length = end
    return self.k[..., :end, :], self.v[..., :end, :]


@appending
def CacheByNewTensors(self, k, v, end):
    old = slice(0, self.length)
    rest = slice(end, None)
    self.k = torch.cat([self.k[:, :, old], k, self.k[:, :, rest]], dim=2)
    self.v = torch.cat([self.v[:, :, old], v, self.v[:, :, rest]], dim=2)
    self.length += k.shape[2]
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def swaps_k_and_v(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = v, k
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def never_counts(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def counts_calls(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length += 1
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def counts_twice(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length += 2 * k.shape[2]
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def returns_the_new(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length = end
    return k, v


@appending
def returns_the_old(self, k, v, end):
    old = self.length
    self.k[:, :, old:end], self.v[:, :, old:end] = k, v
    self.length = end
    return self.k[:, :, :old], self.v[:, :, :old]


@appending
def returns_all_memory(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length = end
    return self.k, self.v


@appending
def always_at_the_start(self, k, v, end):
    self.k[:, :, : k.shape[2]], self.v[:, :, : v.shape[2]] = k, v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def newest_first(self, k, v, end):
    self.k[:, :, :end] = torch.cat([k, self.k[:, :, : self.length]], dim=2)
    self.v[:, :, :end] = torch.cat([v, self.v[:, :, : self.length]], dim=2)
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def keeps_k_only(self, k, v, end):
    self.k[:, :, self.length : end] = k
    self.length = end
    return self.k[:, :, :end], v


@appending
def shrinks(self, k, v, end):
    self.k = torch.cat([self.k[:, :, : self.length], k], dim=2)
    self.v = torch.cat([self.v[:, :, : self.length], v], dim=2)
    self.length = end
    return self.k, self.v


@appending
def grows_behind_the_memory(self, k, v, end):
    self.k, self.v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
    self.length = end
    return self.k, self.v


@appending
def counts_first(self, k, v, end):
    self.length = end
    self.k[:, :, self.length : end] = k
    self.v[:, :, self.length : end] = v
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_heads(self, k, v, end):
    self.k[:, self.length : end] = k
    self.v[:, self.length : end] = v
    self.length = end
    return self.k[:, :end], self.v[:, :end]


@appending
def fills_texts(self, k, v, end):
    self.k[self.length : end] = k
    self.v[self.length : end] = v
    self.length = end
    return self.k[:end], self.v[:end]


@appending
def fills_the_rest(self, k, v, end):
    self.k[:, :, self.length :] = k
    self.v[:, :, self.length :] = v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


LAYER_CACHE = Exercise(
    number="7.2",
    name="LayerCache",
    level=2,
    minutes=10,
    done="the keys and values of a token are written once, and every later token finds them.",
    hints=(
        "The memory has room for `capacity` tokens, and the first self.length places are taken. Which "
        "places, from where to where, do the new tokens get? `end` is there already.",
        "Assign to a slice of the third dimension: self.k[:, :, start:stop] = k. Do the same for v. Only "
        "then move self.length.",
        "Write k and v into the places self.length to end, set self.length to end, and return the first "
        "end places of both memories. Four lines.",
    ),
    cases=layer_cache_cases,
    run=run_layer_cache,
    arguments=("B", "H", "D", "capacity", "tokens in each append"),
    mistakes=[
        Mistake(
            "swaps-k-and-v",
            swaps_k_and_v,
            "keys and values have changed places. self.k takes k and self.v takes v, and k is returned "
            "first.",
            3,
        ),
        Mistake(
            "never-counts",
            never_counts,
            "self.length stays 0, so each call overwrites what the call before wrote. Set it to `end` once "
            "the new tokens are in.",
            2,
        ),
        Mistake(
            "counts-first",
            counts_first,
            "you move self.length before you use it, so the slice from self.length to end is empty. Write "
            "k and v first, then set self.length.",
            2,
        ),
        Mistake(
            "slices-heads",
            fills_heads,
            "your slice runs over the heads. The memory is (B, H, capacity, D): the places for tokens are "
            "its third dimension, self.k[:, :, start:stop].",
            2,
        ),
        Mistake(
            "slices-texts",
            fills_texts,
            "your slice runs over the batch. The memory is (B, H, capacity, D): the places for tokens are "
            "its third dimension, self.k[:, :, start:stop].",
            2,
        ),
        Mistake(
            "no-end",
            fills_the_rest,
            "your slice has no end, so it covers all the places that are left, and k is shorter than that. "
            "The new tokens go from self.length to end.",
            2,
        ),
        Mistake(
            "counts-calls",
            counts_calls,
            "self.length goes up by 1 for each call, but a call brings T tokens. After a prompt of 3 "
            "tokens it should be 3.",
            2,
        ),
        Mistake(
            "counts-twice",
            counts_twice,
            "self.length goes up by twice the number of tokens. A token's key and its value stand at the "
            "same place, so they count once.",
            2,
        ),
        Mistake(
            "returns-the-new",
            returns_the_new,
            "you store everything but return only the new keys and values. The new tokens are to look at "
            "all the tokens so far, so return those from place 0 on.",
            3,
        ),
        Mistake(
            "returns-the-old",
            returns_the_old,
            "you return what was there before this call. A token looks at itself too, so the new keys and "
            "values belong in what you return.",
            3,
        ),
        Mistake(
            "returns-all-memory",
            returns_all_memory,
            "you return the whole memory, also the part that nothing was written to yet. What lies there "
            "is left over from before; return the first `end` places.",
            3,
        ),
        Mistake(
            "always-at-the-start",
            always_at_the_start,
            "every call writes from place 0 on, so the newest tokens overwrite the oldest. They belong "
            "behind the self.length tokens that are there.",
            2,
        ),
        Mistake(
            "newest-first",
            newest_first,
            "the new tokens come before the old ones in your memory. The mask counts on the order of the "
            "text: append them at the end.",
            2,
        ),
        Mistake(
            "K02",
            keeps_k_only,
            "you keep the keys but not the values. A later token weighs the values of all earlier tokens, "
            "so both have to be kept.",
            2,
        ),
        Mistake(
            "shrinks-the-memory",
            shrinks,
            "you replace the memory by a tensor that is exactly full, so the next append finds no room. "
            "Write into the memory that was set aside; don't make a new one.",
            2,
        ),
        Mistake(
            "grows-the-memory",
            grows_behind_the_memory,
            "you put the new tokens behind the whole memory, its unused places included. They belong right "
            "behind the self.length tokens that are there, inside the memory.",
            2,
        ),
        Mistake(
            "squares",
            lambda prompt_length, new_tokens, use_cache: (
                prompt_length + new_tokens - 1 if use_cache else (prompt_length + new_tokens) ** 2
            ),
            "you square the length. Each step reads the text so far, which grows by one: add up the lengths.",
            2,
        ),
    ],
    styles=[CacheByNarrow, CacheByLoop, CacheByIndex, CacheByNewTensors],
)


# --- 7.3 attend_to_cache


class SmallLayerCache:
    """A cache of one layer for checks that need one which works; its memory has room for more than it holds."""

    def __init__(self, batch_size=None):
        self.k = self.v = None
        self.length, self.batch_size = 0, batch_size

    def append(self, k, v):
        if self.batch_size not in (None, len(k)):
            raise ValueError("this cache takes another number of texts")
        if self.k is None:
            self.k, self.v = (torch.zeros(*k.shape[:2], 64, k.shape[3], dtype=k.dtype) for _ in "kv")
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


def weigh(q, k, v, mask=None, scale=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def seen_mask(T, S):
    return torch.ones(T, S, dtype=torch.bool).tril(S - T)


def attend_cases():
    """(B, H, D, tokens in each call): a prompt and one token; then chunks of several tokens, in batches."""
    return [(1, 2, 2, [3, 1]), (2, 3, 4, [3, 2, 1, 5]), (3, 2, 5, [1, 4, 4])]


def run_attend(answer, B, H, D, calls):
    """Give the answer one call's q, k, v after the other; tell what comes out and is held."""
    cache, told = SmallLayerCache(), {}
    for i, T in enumerate(calls):
        q, k, v = (noise(part + i, B, H, T, D) for part in (10, 20, 30))
        told[f"call {i + 1}"] = {"result": answer(q, k, v, cache), "cache.length": cache.length}
    return told


def attend_by_scores(q, k, v, cache):
    T, seen = q.shape[2], cache.length
    k, v = cache.append(k, v)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / q.shape[-1] ** 0.5
    future = torch.arange(k.shape[2]) > torch.arange(seen, seen + T)[:, None]
    return torch.einsum("bhts,bhsd->bhtd", scores.masked_fill(future, -math.inf).softmax(-1), v)


def attend_row_by_row(q, k, v, cache):
    rows = []
    for t in range(q.shape[2]):
        all_k, all_v = cache.append(k[:, :, t : t + 1], v[:, :, t : t + 1])
        rows.append(F.scaled_dot_product_attention(q[:, :, t : t + 1], all_k, all_v))
    return torch.cat(rows, dim=2)


def attend_in_float64(q, k, v, cache):
    k, v = cache.append(k, v)
    mask = torch.zeros(q.shape[2], k.shape[2]).masked_fill(~seen_mask(q.shape[2], k.shape[2]), -math.inf)
    return F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask.double()).float()


def attend_mask_if_needed(q, k, v, cache):
    k, v = cache.append(k, v)
    T, S = q.shape[2], k.shape[2]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if T == 1 else seen_mask(T, S))


def attends_without_mask(q, k, v, cache):
    return weigh(q, *cache.append(k, v))


def masks_only_the_prompt(q, k, v, cache):
    first = cache.length == 0
    k, v = cache.append(k, v)
    return weigh(q, k, v, seen_mask(q.shape[2], k.shape[2]) if first else None)


def masks_from_the_corner(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh(q, k, v, torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril())


def caches_q_as_k(q, k, v, cache):
    k, v = cache.append(q, v)
    return weigh(q, k, v, seen_mask(q.shape[2], k.shape[2]))


def caches_q_and_k(q, k, v, cache):
    q_seen, k = cache.append(q, k)
    return weigh(q, k, q_seen, seen_mask(q.shape[2], k.shape[2]))


def caches_k_as_v(q, k, v, cache):
    v, k = cache.append(v, k)
    return weigh(q, v, k, seen_mask(q.shape[2], k.shape[2]))


def never_appends(q, k, v, cache):
    return weigh(q, k, v, seen_mask(q.shape[2], q.shape[2]))


def appends_and_looks_at_the_new(q, k, v, cache):
    cache.append(k, v)
    return weigh(q, k, v, seen_mask(q.shape[2], q.shape[2]))


def sees_no_self(q, k, v, cache):
    T, seen = q.shape[2], cache.length
    k, v = cache.append(k, v)
    mask = torch.zeros(T, k.shape[2], dtype=torch.bool)
    mask[:, :seen] = True
    return weigh(q, k, v, mask)


def sees_one_too_many(q, k, v, cache):
    k, v = cache.append(k, v)
    T, S = q.shape[2], k.shape[2]
    return weigh(q, k, v, torch.ones(T, S, dtype=torch.bool).tril(S - T + 1))


def forgets_the_scale(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh(q, k, v, seen_mask(q.shape[2], k.shape[2]), scale=1.0)


def returns_the_last_row(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh(q[:, :, -1:], k, v)


def weigh_by_hand(q, k, v, mask):
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf).softmax(-1) @ v


def attends_with_first_rows(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, seen_mask(k.shape[2], k.shape[2]))


def attends_with_square_mask(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, seen_mask(q.shape[2], q.shape[2]))


def attends_to_all_memory(q, k, v, cache):
    cache.append(k, v)
    return weigh_by_hand(q, cache.k, cache.v, seen_mask(q.shape[2], cache.length))


ATTEND_TO_CACHE = Exercise(
    number="7.3",
    name="attend_to_cache",
    level=2,
    minutes=8,
    done="new tokens look at everything that was read before them, alone or several at once.",
    hints=(
        "Two steps: hand the new k and v to the cache, which gives back those of all S tokens; then attend "
        "with the T new queries.",
        "Let T = q.shape[2] and S = k.shape[2] after the append. Which of chapter 3's functions makes the "
        "mask for the T newest of S tokens?",
        "k, v = cache.append(k, v), and then attend(q, k, v, ...) with causal_mask of T and S as the mask.",
    ),
    cases=attend_cases,
    run=run_attend,
    arguments=("B", "H", "D", "tokens in each call"),
    mistakes=[
        Mistake(
            "K05",
            attends_without_mask,
            "there is no mask, so the tokens of one call see each other's future. A single new token needs "
            "none, but a prompt or a chunk of several tokens does.",
            2,
        ),
        Mistake(
            "K05-after-the-prompt",
            masks_only_the_prompt,
            "you mask the first call and no later one. A later call may bring several tokens too, and they "
            "must not see each other's future.",
            2,
        ),
        Mistake(
            "mask-from-the-corner",
            masks_from_the_corner,
            "your triangle starts in the upper left corner, as if the first query were token 0. Row 0 "
            "belongs to token S - T: it sees all cached tokens and itself. (is_causal=True has this flaw "
            "when T < S.)",
            2,
        ),
        Mistake(
            "K02",
            caches_q_as_k,
            "you put the queries into the cache in the place of the keys. Later tokens ask with their own "
            "queries and match them against the keys of the old ones.",
            1,
        ),
        Mistake(
            "K02-q-and-k",
            caches_q_and_k,
            "you keep q and k. What a token needs of the earlier ones is their keys, to match against, and "
            "their values, to gather.",
            1,
        ),
        Mistake(
            "swaps-k-and-v",
            caches_k_as_v,
            "keys and values have changed places. append takes k first and v second, and returns them so.",
            3,
        ),
        Mistake(
            "never-appends",
            never_appends,
            "you never touch the cache, so each call knows only its own tokens. Append the new k and v, "
            "and use what append returns.",
            1,
        ),
        Mistake(
            "looks-at-the-new",
            appends_and_looks_at_the_new,
            "you append the new keys and values but attend to the new ones only. Use the k and v that "
            "append returns: they cover all tokens so far.",
            1,
        ),
        Mistake(
            "no-self",
            sees_no_self,
            "the new tokens see only what was there before this call. Each also sees itself and the new "
            "tokens before it.",
            2,
        ),
        Mistake(
            "A06",
            sees_one_too_many,
            "each token sees exactly one token of its future. The diagonal of your mask is one too far "
            "right.",
            2,
        ),
        Mistake(
            "A01",
            forgets_the_scale,
            "the scores are not divided by the root of D. `attend` does that for you.",
            3,
        ),
        Mistake(
            "last-row-only",
            returns_the_last_row,
            "you return the row of the last new token alone. Every one of the T tokens goes on to the next "
            "layer, which needs its key and value.",
            2,
        ),
        Mistake(
            "mask-from-the-corner",
            attends_with_first_rows,
            "your mask is (S, S), and its first rows are those of the oldest tokens. The T new tokens are the last ones: causal_mask(T, S).",
            2,
        ),
        Mistake(
            "mask-of-the-new",
            attends_with_square_mask,
            "your mask is (T, T), but the cache gives back S keys: causal_mask(T, S), with S read after the append.",
            2,
        ),
        Mistake(
            "all-memory",
            attends_to_all_memory,
            "cache.k is the whole memory, also the part that nothing was written to yet. Use what `append` returns.",
            1,
        ),
    ],
    styles=[attend_by_scores, attend_row_by_row, attend_in_float64, attend_mask_if_needed],
)


# --- 7.4 KVCache


class LayerMemory(Memory):
    """A LayerCache that is complete and refuses what does not fit, as the library's does."""

    def append(self, k, v):
        B, H, capacity, D = self.k.shape
        if k.shape != (B, H, k.shape[2], D) or self.length + k.shape[2] > capacity or k.dtype != self.k.dtype:
            raise ValueError("this cache takes others")
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


def memory(config, B, room, dtype, width=None):
    """The two tensors of one layer."""
    D = width or config.n_embd // config.n_head
    return torch.zeros(2, B, config.n_head, room, D, dtype=dtype)


def separate_layers(config, B, room, dtype):
    return [LayerMemory(*memory(config, B, room, dtype)) for _ in range(config.n_layer)]


def keeping(layers=None, length=None, getitem=None):
    """A KVCache; the parts that are not given are right."""
    layers = layers or separate_layers

    class Cache:
        def __init__(self, config, batch_size=1, *, max_length=None, dtype=None, device=None):
            self.config = config
            self.room = config.n_positions if max_length is None else max_length
            self.layers = layers(config, batch_size, self.room, dtype)

        @property
        def length(self):
            return self.layers[0].length if length is None else length(self)

        def __getitem__(self, layer):
            return self.layers[layer] if getitem is None else getitem(self, layer)

    Cache.__name__ = Cache.__qualname__ = "KVCache"
    return Cache


def small_config(**sizes):
    return GPT2Config(**{"vocab_size": 23, "n_positions": 8, "n_embd": 6, "n_layer": 2, "n_head": 2} | sizes)


def kv_cache_cases():
    """(config, batch size, options, tokens in each step): a prompt and two tokens; then odd sizes."""
    return [
        (small_config(), 1, {}, [3, 1, 1]),
        (small_config(n_layer=3, n_head=3, n_embd=12), 2, {}, [1, 5, 2]),
        (small_config(n_layer=5, n_head=1, n_embd=4), 3, {"max_length": 6}, [2, 3, 1]),
        (small_config(n_layer=3), 2, {"max_length": 5, "dtype": torch.float64}, [2, 2]),
    ]


def run_kv_cache(answer, config, batch_size, options, steps):
    """Go through the layers at each step as the model does; tell what the cache is and what it gives back."""
    cache = answer(config, batch_size, **options)
    told = {
        "length when empty": cache.length,
        "shape of cache[0].k": list(cache[0].k.shape),
        "dtype": str(cache[0].k.dtype),
    }
    dtype = options.get("dtype", torch.float32)
    D = config.n_embd // config.n_head
    for step, T in enumerate(steps):
        seen = []
        try:
            for i in range(config.n_layer):
                k, v = (noise(100 * step + 10 * i + part, batch_size, config.n_head, T, D) for part in (1, 2))
                seen.append(cache[i].append(k.to(dtype), v.to(dtype)))
        except ValueError as error:
            told[f"step {step + 1}"] = refusal(error)
            break
        told[f"length after step {step + 1}"] = cache.length
        told[f"step {step + 1}"] = {  # copied now: another layer may have written there
            f"layer {i}": {"k": k.clone(), "v": v.clone()} for i, (k, v) in enumerate(seen)
        }
    return told


def one_big_tensor(config, B, room, dtype):
    D = config.n_embd // config.n_head
    big = torch.full((config.n_layer, 2, B, config.n_head, room, D), 7.0, dtype=dtype)
    return [LayerMemory(k, v) for k, v in big]


def layers_by_loop(config, B, room, dtype):
    layers = []
    for _ in range(config.n_layer):
        k = torch.empty(B, config.n_head, room, config.n_embd // config.n_head, dtype=dtype)
        layers.append(LayerMemory(k, torch.empty_like(k)))
    return layers


def layers_in_a_dict(config, B, room, dtype):
    return {i: LayerMemory(*memory(config, B, room, dtype)) for i in range(config.n_layer)}


def one_for_all(config, B, room, dtype):
    return [LayerMemory(*memory(config, B, room, dtype))] * config.n_layer


def one_memory_for_all(config, B, room, dtype):
    shared = memory(config, B, room, dtype)
    return [LayerMemory(*shared) for _ in range(config.n_layer)]


def careless(layers, ignored):
    """The same layers, but some options ignored: B, room, dtype."""

    def made(config, B, room, dtype):
        return layers(
            config,
            1 if "B" in ignored else B,
            config.n_positions if "room" in ignored else room,
            None if "dtype" in ignored else dtype,
        )

    return made


def k_is_v(config, B, room, dtype):
    parts = [memory(config, B, room, dtype)[0] for _ in range(config.n_layer)]
    return [LayerMemory(part, part) for part in parts]


def full_width_heads(config, B, room, dtype):
    return [LayerMemory(*memory(config, B, room, dtype, config.n_embd)) for _ in range(config.n_layer)]


def no_heads(config, B, room, dtype):
    shape = (2, B, 1, room, config.n_embd)
    return [LayerMemory(*torch.zeros(shape, dtype=dtype)) for _ in range(config.n_layer)]


def heads_last(config, B, room, dtype):
    return [
        LayerMemory(*memory(config, B, room, dtype).transpose(2, 3).contiguous())
        for _ in range(config.n_layer)
    ]


def sharing_mistakes():
    """All layers in one, in two ways, with and without options that are ignored as well."""
    for ignored in [(), ("dtype",), ("room",), ("room", "dtype"), ("B", "room", "dtype")]:
        yield Mistake(
            "K07",
            keeping(careless(one_for_all, ignored)),
            "all layers share one LayerCache. Each has its own keys and values: make a new LayerCache for "
            "each ([x] * n repeats the same one n times), and let cache[i] return the one at index i.",
            2,
        )
        yield Mistake(
            "K07-memory",
            keeping(careless(one_memory_for_all, ignored)),
            "you have one LayerCache for each layer, but all write into the same two tensors, so each "
            "layer overwrites the one before. Set memory aside inside the loop.",
            2,
        )


def option_mistakes():
    """Options that are ignored, alone and together: then the first is told."""
    says = {
        "B": (
            "one-text",
            "there is room for one text only, whatever batch_size says. The first dimension is batch_size.",
        ),
        "room": (
            "ignores-max-length",
            "you always set memory aside for n_positions tokens. Use max_length: who knows that a text "
            "stays short does not have to pay for a long one.",
        ),
        "dtype": (
            "ignores-dtype",
            "your memory is always float32. Hand dtype (and device) on to torch.empty: a model in another "
            "precision makes keys of that precision.",
        ),
    }
    for ignored in [("B",), ("room",), ("dtype",), ("room", "dtype"), ("B", "dtype"), ("B", "room", "dtype")]:
        name, text = says[ignored[0]]
        yield Mistake(name, keeping(careless(separate_layers, ignored)), text, 2)


KV_CACHE = Exercise(
    number="7.4",
    name="KVCache",
    level=2,
    minutes=10,
    done="each layer keeps its own keys and values, and the model can ask how many tokens it has read.",
    hints=(
        "You need a list with n_layer LayerCaches. Each is made from two tensors of its own. What shape "
        "has the k of one layer? Look at the docstring of LayerCache.",
        "The memory of one layer: two tensors (batch_size, n_head, max_length, n_embd // n_head), with "
        "torch.empty and the dtype and device that were given. A list comprehension makes new ones each "
        "time; [x] * n repeats the same one.",
        "torch.empty((2, ...)) unpacks into two tensors: LayerCache(*torch.empty(...)). length asks any "
        "one of the layers, and cache[i] is self.layers[i].",
    ),
    cases=kv_cache_cases,
    run=run_kv_cache,
    arguments=("config", "batch_size", "options", "tokens in each step"),
    mistakes=[
        *sharing_mistakes(),
        Mistake(
            "one-memory-for-k-and-v",
            keeping(k_is_v),
            "k and v of a layer are one tensor, so the values overwrite the keys. Each needs memory of its "
            "own.",
            3,
        ),
        Mistake(
            "full-width-heads",
            keeping(full_width_heads),
            "each head gets n_embd numbers for a token. The heads share the width: a head is n_embd / "
            "n_head wide.",
            2,
        ),
        Mistake(
            "no-heads",
            keeping(no_heads),
            "your memory has no heads: the second dimension is 1. It takes k and v as split_heads makes "
            "them, (B, H, T, D).",
            2,
        ),
        Mistake(
            "heads-after-tokens",
            keeping(heads_last),
            "your dimensions are (B, tokens, H, D). k and v come as (B, H, T, D): heads first, then tokens.",
            2,
        ),
        *option_mistakes(),
        Mistake(
            "length-sums-layers",
            keeping(length=lambda cache: sum(layer.length for layer in cache.layers)),
            "your length counts each token once for every layer. All layers hold the same tokens, so ask "
            "one.",
            3,
        ),
        Mistake(
            "length-counts-layers",
            keeping(length=lambda cache: len(cache.layers)),
            "your length is the number of layers. It should be the number of tokens that a layer holds.",
            3,
        ),
        Mistake(
            "length-is-room",
            keeping(length=lambda cache: cache.room),
            "your length is the room that was set aside. It should be the number of tokens that are in it: "
            "0 at first. The model takes its positions from it.",
            3,
        ),
        Mistake(
            "K01",
            keeping(length=lambda cache: 0),
            "your length stays at 0, so the model would give every new token position 0. Ask a layer each "
            "time; don't store the number when the cache is made.",
            3,
        ),
    ],
    styles=[
        keeping(one_big_tensor),
        keeping(layers_by_loop, length=lambda cache: cache.layers[-1].length),
        keeping(
            layers_in_a_dict, length=lambda cache: max(cache[i].length for i in range(cache.config.n_layer))
        ),
    ],
)


# --- 7.5 greedy_with_cache and 7.6 prefill_in_chunks


class SmallCache:
    """A cache of all layers, with what KVCache promises."""

    for_one_text = False  # open every cache for one text, whatever is asked for

    def __init__(self, config, batch_size=1, **options):
        batch_size = 1 if SmallCache.for_one_text else batch_size
        self.layers = [SmallLayerCache(batch_size) for _ in range(config.n_layer)]

    length = property(lambda self: self.layers[0].length)

    def __getitem__(self, layer):
        return self.layers[layer]


def for_one_text(answer):
    """The same answer, but with its caches opened for one text."""

    def careless_answer(*arguments):
        SmallCache.for_one_text = True
        try:
            return answer(*arguments)
        finally:
            SmallCache.for_one_text = False

    return careless_answer


def also_for_one_text(mistakes, right):
    """The mistakes, a cache that is opened for one text, and both at once: then the mistake is told."""
    return [
        *mistakes,
        Mistake(
            "one-text",
            for_one_text(right),
            "your cache is opened for one text, but the batch may have more. Hand KVCache the number of "
            "texts, len(tokens), too.",
            1,
        ),
        *(replace(mistake, wrong=for_one_text(mistake.wrong)) for mistake in mistakes),
    ]


class SmallModel(nn.Module):
    """A model that is called as GPT2 is, and that writes down how many tokens each call reads."""

    def __init__(self, config):
        super().__init__()
        self.config, self.calls, self.held = config, [], []
        C, V = config.n_embd, config.vocab_size
        self.wte = nn.Embedding(V, C, _weight=noise(1, V, C))
        self.wpe = nn.Embedding(config.n_positions, C, _weight=noise(2, config.n_positions, C))
        self.h = [noise(3 + i, C, 3 * C) / C**0.5 for i in range(config.n_layer)]
        self.head = noise(99, C, V)
        self.requires_grad_(False)

    def forward(self, tokens, cache=None, *, last_only=False):
        start = 0 if cache is None else cache.length
        B, T = tokens.shape
        self.calls.append(T)
        self.held.append(None if cache is None else start)
        if T == 0 or start + T > self.config.n_positions:
            raise ValueError(
                f"got {start} tokens in the cache and {T} new ones, but this model reads 1 to "
                f"{self.config.n_positions} (n_positions)"
            )
        x = self.wte(tokens) + self.wpe.weight[start : start + T]
        for i, weight in enumerate(self.h):
            parts = (x @ weight).chunk(3, dim=-1)
            q, k, v = (part.unflatten(2, (self.config.n_head, -1)).transpose(1, 2) for part in parts)
            if cache is not None:
                k, v = cache[i].append(k, v)
            x = x + weigh(q, k, v, seen_mask(T, k.shape[2])).transpose(1, 2).flatten(2)
        return (x[:, -1:] if last_only else x) @ self.head


def stand_in(**sizes):
    """The sizes of the model that the checks use."""
    return small_config(**{"n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3} | sizes)


def greedy_cases():
    """(config, tokens, max_new_tokens): one text; a batch; one new token; one prompt token; a full text."""
    return [
        (stand_in(), ids(1, 1, 3), 3),
        (stand_in(n_layer=3), ids(2, 3, 4), 6),
        (stand_in(), ids(3, 2, 5), 1),
        (stand_in(), ids(4, 2, 1), 5),
        (stand_in(), ids(5, 3, 9), 7),
    ]


def run_greedy(answer, config, tokens, max_new_tokens):
    """Tell the new tokens and what each call read; one more call for the last token is all right."""
    model = SmallModel(config)
    try:
        new = answer(model, tokens, max_new_tokens)
    except ValueError as error:
        new = refusal(error)
    return {
        "new tokens": new,
        "tokens read in each call": model.calls[:max_new_tokens],
        "in the cache before it": model.held[:max_new_tokens],
    }


def greedy_by_cat(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    text = tokens
    for _ in range(max_new_tokens):
        logits = model(text[:, cache.length :], cache)
        text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return text[:, tokens.shape[1] :]


def greedy_by_stack(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, tokens.shape[0])
    logits = model(tokens, cache, last_only=True)
    new = []
    while True:
        new.append(logits[:, -1, :].argmax(dim=1))
        if len(new) == max_new_tokens:
            return torch.stack(new, dim=1)
        logits = model(new[-1].unsqueeze(1), cache, last_only=True)


def greedy_with_one_read_more(model, tokens, max_new_tokens):
    new = torch.zeros(len(tokens), max_new_tokens, dtype=torch.int64)
    cache = SmallCache(model.config, len(tokens))
    logits = model(tokens, cache)
    for i in range(max_new_tokens):
        new[:, i] = logits[:, -1].softmax(-1).topk(1).indices[:, 0]
        logits = model(new[:, i : i + 1], cache)
    return new


def last_row(logits):
    return logits[:, -1].argmax(-1)


def greedy_rule(read, pick=last_row, cut=None, keep=True):
    """An answer: `read(text, cache)` says which tokens a step reads, `pick` which token comes out."""

    def greedy(model, tokens, max_new_tokens):
        cache = SmallCache(model.config, len(tokens))
        text = tokens
        for _ in range(max_new_tokens):
            if not keep:
                cache = SmallCache(model.config, len(tokens))
            logits = model(read(text, cache), cache)
            text = torch.cat([text, pick(logits)[:, None]], dim=1)
        return text[:, tokens.shape[1] :] if cut is None else cut(text, tokens.shape[1])

    return greedy


def unread(text, cache):
    return text[:, cache.length :]


def reads_all_without_a_cache(model, tokens, max_new_tokens):
    text = tokens
    for _ in range(max_new_tokens):
        text = torch.cat([text, model(text)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return text[:, tokens.shape[1] :]


def prompt_token_by_token(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    text = tokens
    for t in range(tokens.shape[1] + max_new_tokens - 1):
        logits = model(text[:, t : t + 1], cache)
        if t >= tokens.shape[1] - 1:
            text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return text[:, tokens.shape[1] :]


def prefills_then_reads_the_last_again(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    model(tokens, cache)
    text = tokens
    for _ in range(max_new_tokens):
        logits = model(text[:, -1:], cache)
        text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return text[:, tokens.shape[1] :]


def prompt_again_and_again(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    logits = model(tokens, cache)
    new = []
    for _ in range(max_new_tokens):
        new.append(logits[:, -1].argmax(-1))
        cache = SmallCache(model.config, len(tokens))
        logits = model(new[-1][:, None], cache)
    return torch.stack(new, dim=1)


def decodes_without_handing_the_cache_on(model, tokens, max_new_tokens):
    logits = model(tokens, SmallCache(model.config, len(tokens)))
    new = []
    for _ in range(max_new_tokens):
        new.append(logits[:, -1].argmax(-1))
        if len(new) < max_new_tokens:
            logits = model(new[-1][:, None])
    return torch.stack(new, dim=1)


def greedy_loses_an_axis(model, tokens, max_new_tokens):
    from gpt2lib.cache import KVCache

    cache, new, out = KVCache(model.config, len(tokens)), tokens, []
    for _ in range(max_new_tokens):
        new = model(new, cache)[:, -1].argmax(-1)
        out.append(new)
    return torch.stack(out, dim=1)


GREEDY = Exercise(
    number="7.5",
    name="greedy_with_cache",
    level=3,
    minutes=12,
    done="the prompt is read once, every new token once, and the text is the one you get without a cache.",
    hints=(
        "First: open a KVCache for the model's config and the number of texts, hand the whole prompt and "
        "the cache to the model, and take the last row of the logits.",
        "Each later step reads only the token that was just chosen, as a tensor (B, 1), with the same "
        "cache. The cache remembers the rest, positions included.",
        "A neat way: keep the whole text, and read text[:, cache.length:] at every step. At first that is "
        "the prompt, later the one new token. Return the columns behind the prompt.",
    ),
    cases=greedy_cases,
    run=run_greedy,
    arguments=("config of the model", "tokens", "max_new_tokens"),
    mistakes=also_for_one_text(
        [
            Mistake(
                "no-cache",
                reads_all_without_a_cache,
                "the tokens are right, but every call reads the whole text. Hand a cache to the model and "
                "read only what is not in it.",
                1,
            ),
            Mistake(
                "reads-all-again",
                greedy_rule(lambda text, cache: text),
                "you hand the whole text to the model at every step although the cache holds most of it "
                "already, so the old tokens go in twice. After the prompt, hand over the new token alone.",
                2,
            ),
            Mistake(
                "new-cache-each-step",
                greedy_rule(unread, keep=False),
                "you open a new cache inside the loop, so nothing is left of the step before. Open it "
                "once, before the loop.",
                1,
            ),
            Mistake(
                "new-cache-after-the-prompt",
                prompt_again_and_again,
                "after the prompt you hand the model an empty cache, so it sees one token and nothing "
                "before it. Go on with the cache that holds the prompt.",
                2,
            ),
            Mistake(
                "cache-not-handed-on",
                decodes_without_handing_the_cache_on,
                "the later steps call the model without the cache, so it sees one token, at position 0, "
                "and nothing before it. Hand the same cache to every call.",
                2,
            ),
            Mistake(
                "no-prefill",
                greedy_rule(lambda text, cache: text[:, -1:]),
                "the prompt never gets into the cache, only its last token does. The first call reads all "
                "of the prompt.",
                1,
            ),
            Mistake(
                "last-token-twice",
                prefills_then_reads_the_last_again,
                "after the prompt you read its last token once more, so it stands in the cache twice. The "
                "logits of the first new token are the last row of the call that read the prompt.",
                1,
            ),
            Mistake(
                "prompt-token-by-token",
                prompt_token_by_token,
                "the tokens are right, but you read the prompt one token at a time. All of it is known, so "
                "one call can read it: that is the prefill.",
                1,
            ),
            Mistake(
                "first-row",
                greedy_rule(unread, pick=lambda logits: logits[:, 0].argmax(-1)),
                "you choose from the first row of the logits. The next token follows the last one: take "
                "row -1. (With one token the two are the same, so only the prompt's step shows it.)",
                1,
            ),
            Mistake(
                "least-likely",
                greedy_rule(unread, pick=lambda logits: logits[:, -1].argmin(-1)),
                "you choose the token with the smallest logit. Greedy takes the largest.",
                1,
            ),
            Mistake(
                "prompt-returned-too",
                greedy_rule(unread, cut=lambda text, T: text),
                "you return the prompt and the new tokens. Return the new ones only, (B, max_new_tokens).",
                3,
            ),
            Mistake(
                "last-token-only",
                greedy_rule(unread, cut=lambda text, T: text[:, -1:]),
                "you return the last new token only. Collect all of them, (B, max_new_tokens).",
                3,
            ),
            Mistake(
                "one-short",
                greedy_rule(unread, cut=lambda text, T: text[:, T + 1 :]),
                "the first new token is missing from what you return. The call that reads the prompt gives "
                "one too.",
                1,
            ),
            Mistake(
                "lost-axis",
                greedy_loses_an_axis,
                "argmax gives (B,), and the model wants (B, 1). Keep the axis: argmax(-1, keepdim=True).",
                2,
            ),
        ],
        greedy_by_cat,
    ),
    styles=[greedy_by_cat, greedy_by_stack, greedy_with_one_read_more],
)


def chunk_cases():
    """(config, tokens, chunk_size): a last chunk that is shorter; batches; one at a time; all at once."""
    return [
        (stand_in(), ids(11, 1, 5), 2),
        (stand_in(n_layer=3), ids(12, 2, 10), 4),
        (stand_in(), ids(13, 3, 12), 5),
        (stand_in(), ids(14, 1, 4), 1),
        (stand_in(), ids(15, 3, 6), 9),
    ]


def run_chunks(answer, config, tokens, chunk_size):
    """Tell the logits, the calls, and what the cache is good for: the logits of one more token."""
    model = SmallModel(config)
    try:
        result = answer(model, tokens, chunk_size)
    except ValueError as error:
        return refusal(error)
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        return f"{type(result).__name__}, not a pair (logits, cache)"
    logits, cache = result
    if not hasattr(cache, "length"):
        return f"a pair ({type(logits).__name__}, {type(cache).__name__}), not (logits, cache)"
    calls, length = list(model.calls), cache.length
    after = model(torch.ones(len(tokens), 1, dtype=torch.int64), cache)
    return {
        "tokens read in each call": calls,
        "logits": logits,
        "cache.length": length,
        "logits of one more token": after,
    }


def chunks_by_split(model, tokens, chunk_size):
    cache = SmallCache(model.config, len(tokens))
    return torch.cat([model(part, cache) for part in tokens.split(chunk_size, dim=1)], dim=1), cache


def chunks_by_length(model, tokens, chunk_size):
    cache, rows = SmallCache(model.config, len(tokens)), []
    while cache.length < tokens.shape[1]:
        rows += model(tokens[:, cache.length : cache.length + chunk_size], cache).unbind(dim=1)
    return torch.stack(rows, dim=1), cache


def chunks_into_place(model, tokens, chunk_size):
    B, T = tokens.shape
    cache, logits = SmallCache(model.config, B), torch.empty(B, T, model.config.vocab_size)
    for start in range(0, T, chunk_size):
        end = min(start + chunk_size, T)
        logits[:, start:end] = model(tokens[:, start:end], cache)
    return (logits, cache)


def chunk_rule(parts, join=lambda rows: torch.cat(rows, dim=1), keep=True, use=True):
    """An answer: `parts(tokens, chunk_size)` are what the calls read."""

    def prefill(model, tokens, chunk_size):
        cache, rows = SmallCache(model.config, len(tokens)), []
        for part in parts(tokens, chunk_size):
            if not keep:
                cache = SmallCache(model.config, len(tokens))
            rows.append(model(part, cache) if use else model(part))
        return join(rows), cache

    return prefill


def split_tokens(tokens, chunk_size):
    return tokens.split(chunk_size, dim=1)


def all_so_far(tokens, chunk_size):
    return [tokens[:, : start + chunk_size] for start in range(0, tokens.shape[1], chunk_size)]


def whole_chunks_only(tokens, chunk_size):
    T = tokens.shape[1]
    whole = max(T - T % chunk_size, min(T, chunk_size))
    return tokens[:, :whole].split(chunk_size, dim=1)


def cache_first(model, tokens, chunk_size):
    logits, cache = chunks_by_split(model, tokens, chunk_size)
    return cache, logits


CHUNKS = Exercise(
    number="7.6",
    name="prefill_in_chunks",
    level=2,
    minutes=10,
    done="a long prompt goes in piece by piece, and the model computes what it would have computed at once.",
    hints=(
        "Open one cache for the whole job. Then hand the model one piece of the prompt after the other, "
        "always with this cache. It knows where a piece starts: at cache.length.",
        "tokens.split(chunk_size, dim=1) cuts (B, T) into pieces of chunk_size tokens; the last one may be "
        "shorter.",
        "Collect the logits of every piece in a list and join them along the dimension of the tokens with "
        "torch.cat. Return the joined logits and the cache.",
    ),
    cases=chunk_cases,
    run=run_chunks,
    arguments=("config of the model", "tokens", "chunk_size"),
    mistakes=also_for_one_text(
        [
            Mistake(
                "new-cache-each-chunk",
                chunk_rule(split_tokens, keep=False),
                "you open a new cache for every chunk, so each is read as if it were the beginning of a "
                "text. Open one, before the loop.",
                1,
            ),
            Mistake(
                "cache-unused",
                chunk_rule(split_tokens, use=False),
                "you call the model without the cache, so each chunk starts at position 0 and sees nothing "
                "before it. Hand the cache to every call.",
                1,
            ),
            Mistake(
                "reads-all-again",
                chunk_rule(all_so_far, join=lambda rows: rows[-1]),
                "each call reads the text from its start, although the cache holds the earlier chunks "
                "already. Hand over the next chunk alone.",
                1,
            ),
            Mistake(
                "drops-the-rest",
                chunk_rule(whole_chunks_only),
                "the last tokens are missing where the length is not a multiple of chunk_size. The last "
                "chunk may be shorter than the others.",
                2,
            ),
            Mistake(
                "number-for-size",
                chunk_rule(lambda tokens, chunk_size: tokens.chunk(chunk_size, dim=1)),
                "you cut the prompt into chunk_size pieces. It should be pieces of chunk_size tokens: "
                "torch.split takes the size of a piece, torch.chunk the number of pieces.",
                2,
            ),
            Mistake(
                "all-at-once",
                chunk_rule(lambda tokens, chunk_size: [tokens]),
                "the whole prompt goes in with one call. Cut it along the tokens, dim=1 (dim 0 is the "
                "batch), into pieces of chunk_size.",
                2,
            ),
            Mistake(
                "token-by-token",
                chunk_rule(lambda tokens, chunk_size: tokens.split(1, dim=1)),
                "the logits are right, but each call reads one token. A call should read chunk_size of them.",
                2,
            ),
            Mistake(
                "last-chunk-only",
                chunk_rule(split_tokens, join=lambda rows: rows[-1]),
                "you return the logits of the last chunk. Those of all T positions are wanted, so collect "
                "them.",
                3,
            ),
            Mistake(
                "last-rows-only",
                chunk_rule(split_tokens, join=lambda rows: torch.cat([row[:, -1:] for row in rows], dim=1)),
                "you keep one row of logits for each chunk. Keep all of its rows: the logits are (B, T, V).",
                3,
            ),
            Mistake(
                "joined-over-the-batch",
                chunk_rule(
                    lambda tokens, chunk_size: tokens.split(chunk_size, dim=1),
                    join=lambda rows: torch.cat([row.flatten(0, 1) for row in rows]),
                ),
                "batch and tokens are mixed up in your logits. Join the chunks along dim=1, to (B, T, V).",
                3,
            ),
            Mistake(
                "backwards",
                chunk_rule(lambda tokens, chunk_size: tokens.split(chunk_size, dim=1)[::-1]),
                "the chunks go in last one first. A chunk looks at what is in the cache, so the beginning "
                "of the text has to be there before it.",
                1,
            ),
            Mistake(
                "cache-first",
                cache_first,
                "you return the cache first. Return (logits, cache), in this order.",
                3,
            ),
        ],
        chunks_by_split,
    ),
    styles=[chunks_by_split, chunks_by_length, chunks_into_place],
)


# --- 7.7 cache_bytes


def bytes_cases():
    """A tiny model with the defaults; then every argument moved, and GPT-2 small and XL."""
    return [
        (GPT2Config(vocab_size=50, n_positions=32, n_embd=6, n_layer=5, n_head=3), 10),
        (GPT2Config(vocab_size=50, n_positions=32, n_embd=6, n_layer=5, n_head=2), 7, 2, 3),
        (GPT2Config(vocab_size=50, n_positions=32, n_embd=15, n_layer=2, n_head=3), 11, 1, 4),
        (GPT2Config(), 1),
        (GPT2Config.preset("gpt2-xl"), 1000, 2, 8),
    ]


def right_bytes(config, tokens, bytes_per_number=4, batch_size=1):
    return 2 * config.n_layer * config.n_embd * tokens * bytes_per_number * batch_size


# what a wrong answer multiplies the right one by: f(config, tokens, bytes_per_number, batch_size)
WRONG_NUMBERS = {
    "only-one-of-k-and-v": (
        lambda c, n, each, B: 1 / 2,
        "you count one vector per token and layer. There are two: a key and a value.",
        1,
    ),
    "K02": (
        lambda c, n, each, B: 3 / 2,
        "you count q too. Queries are not kept: k and v make two vectors per token and layer.",
        1,
    ),
    "one-layer": (
        lambda c, n, each, B: 1 / c.n_layer,
        "you count one layer. Every layer keeps keys and values of its own.",
        3,
    ),
    "heads-times-width": (
        lambda c, n, each, B: c.n_head,
        "you give every head the full width. The heads share it: n_head * D is n_embd.",
        2,
    ),
    "one-head": (
        lambda c, n, each, B: 1 / c.n_head,
        "you count one head. Each of the n_head heads has its key and its value; together they are n_embd "
        "wide.",
        2,
    ),
}
WRONG_REST = {
    "whole-memory": (
        lambda c, n, each, B: c.n_positions / n,
        "you count n_positions tokens. Count the `tokens` that were asked for.",
        3,
    ),
    "pairs-of-tokens": (
        lambda c, n, each, B: n,
        "your count grows with the square of the tokens. The weights of attention do, but they are not "
        "kept: a token's key and value are the same size however long the text is.",
        1,
    ),
    "ignores-tokens": (
        lambda c, n, each, B: 1 / n,
        "you count one token, however many there are. Each of the tokens has keys and values of its own.",
        3,
    ),
    "ignores-batch": (
        lambda c, n, each, B: 1 / B,
        "batch_size changes nothing in your count. Each text of a batch has keys and values of its own.",
        3,
    ),
    "always-four-bytes": (
        lambda c, n, each, B: 4 / each,
        "you always count 4 bytes for a number. In half precision it is 2: use bytes_per_number.",
        3,
    ),
    "numbers-not-bytes": (
        lambda c, n, each, B: 1 / each,
        "you count numbers, not bytes. Multiply by bytes_per_number.",
        3,
    ),
    "bits": (
        lambda c, n, each, B: 8,
        "your result is 8 times too large: those are bits. bytes_per_number is in bytes already.",
        3,
    ),
    "kibibytes": (
        lambda c, n, each, B: 1 / 1024,
        "your result is in KiB. Return bytes; whoever prints the number can divide.",
        3,
    ),
    "mebibytes": (
        lambda c, n, each, B: 1 / 1024**2,
        "your result is in MiB. Return bytes; whoever prints the number can divide.",
        3,
    ),
}


def bytes_off_by(*factors):
    """The right answer times some factors."""

    def needed(config, tokens, bytes_per_number=4, batch_size=1):
        result = right_bytes(config, tokens, bytes_per_number, batch_size)
        for factor in factors:
            result *= factor(config, tokens, bytes_per_number, batch_size)
        return result

    return needed


def bytes_mistakes():
    """Each wrong factor alone, and two at once: then the first is told."""
    wrong = WRONG_NUMBERS | WRONG_REST
    alone = [Mistake(name, bytes_off_by(factor), says, hint) for name, (factor, says, hint) in wrong.items()]
    names, pairs = list(WRONG_NUMBERS), []
    for i, first in enumerate(names):
        factor, says, hint = wrong[first]
        for second in [*names[i + 1 :], *WRONG_REST]:
            if {first, second} != {"heads-times-width", "one-head"}:
                pairs.append(Mistake(first, bytes_off_by(factor, wrong[second][0]), says, hint))
    return alone + pairs


def bytes_of_tensors(config, tokens, bytes_per_number=4, batch_size=1):
    shape = (2, config.n_layer, batch_size, config.n_head, tokens, config.n_embd // config.n_head)
    return torch.empty(shape, device="meta").numel() * bytes_per_number


def bytes_by_loops(config, tokens, bytes_per_number=4, batch_size=1):
    total = 0
    for _layer in range(config.n_layer):
        for _name in ("k", "v"):
            total += config.n_embd * bytes_per_number
    return total * tokens * batch_size


def bytes_by_heads(config, tokens, bytes_per_number=4, batch_size=1):
    head = config.n_embd // config.n_head
    return math.prod([batch_size, config.n_layer, 2, config.n_head, head, tokens, bytes_per_number])


CACHE_BYTES = Exercise(
    number="7.7",
    name="cache_bytes",
    level=1,
    minutes=5,
    done="you can say what a text costs in memory before you start to write it.",
    hints=(
        "Start with one token and one layer. How many numbers are in its k, over all heads together? And "
        "in its v?",
        "All H heads together are as wide as the model: H * D = n_embd. So the number of heads falls out.",
        "Multiply: 2 for k and v, the layers, the width, the tokens, the texts, and the bytes of one number.",
    ),
    cases=bytes_cases,
    mistakes=bytes_mistakes(),
    styles=[bytes_of_tensors, bytes_by_loops, bytes_by_heads],
)


EXERCISES = [ROWS, LAYER_CACHE, ATTEND_TO_CACHE, KV_CACHE, GREEDY, CHUNKS, CACHE_BYTES]
