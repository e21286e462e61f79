"""The exercises of chapter 07: what a cache saves, what it holds, how it is filled, what it costs."""

import math
from copy import deepcopy
from dataclasses import replace
from inspect import isgenerator
from itertools import combinations

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


def pair(result, wanted):
    """The two parts of a result; if it has no two parts, what it is instead."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result
    what = f"{len(result)} things" if isinstance(result, (tuple, list)) else type(result).__name__
    return f"{what} instead of {wanted}", None


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


def with_cache(T, n):
    return T + n - 1


WITHOUT = {  # wrong sums without a cache
    "reads-the-last-without": (
        [lambda T, n: without(T + 1, n)],
        "without a cache you count T + 1 rows in the first step. The first step reads the prompt, T rows; "
        "its new token is first read in the second step.",
    ),
    "one-step-more": (
        [lambda T, n: without(T, n + 1)],
        "without a cache you count a step too many, which would read the last token. n new tokens take n "
        "steps, of T, T + 1, ... and T + n - 1 rows.",
    ),
    "one-step-short": (
        [lambda T, n: without(T, n - 1)],
        "without a cache T + n - 1 rows are missing, as many as the last step computes. n new tokens take n "
        "steps, and all of their rows count.",
    ),
    "first-step-missing": (
        [lambda T, n: without(T + 1, n - 1)],
        "without a cache the first step is missing from your sum. It reads the prompt, T rows.",
    ),
    "first-step-twice": (
        [lambda T, n: T + without(T, n)],
        "without a cache you count the first step twice. Start the sum at 0, not at the length of the "
        "prompt.",
    ),
    "does-not-grow": (
        [lambda T, n: T * n],
        "without a cache your steps all cost the prompt. The text is one token longer at every step, and "
        "all of it is read again.",
    ),
    "full-length-each-step": (
        [lambda T, n: (T + n) * n, lambda T, n: (T + n - 1) * n],
        "without a cache your steps all cost the same, as much as the longest text. The early steps read "
        "less: the text grows by one token at a time.",
    ),
    "triangle-from-one": (
        [lambda T, n: without(1, T + n - 1), lambda T, n: without(1, T + n)],
        "without a cache you start the sum at 1, as if the prompt were written token by token too. The "
        "first step reads all T tokens of the prompt in one go.",
    ),
    "new-tokens-only": (
        [lambda T, n: without(1, n)],
        "without a cache you leave the prompt out of the sum. Every step reads the prompt as well as the "
        "new tokens so far.",
    ),
    "prompt-once": (
        [lambda T, n: T + without(0, n), lambda T, n: T + without(1, n)],
        "without a cache you count the prompt once. Every step reads it again, in front of the new tokens.",
    ),
    "first-step-only": (
        [lambda T, n: T],
        "without a cache you count the first step only. Add up all n steps; is there a return inside the "
        "loop?",
    ),
    "last-step-only": (
        [lambda T, n: T + n],
        "without a cache you count one step only. Add up the lengths of all n steps.",
    ),
    "ends-at-n": (
        [lambda T, n: sum(range(T, n)), lambda T, n: sum(range(T, n + 1))],
        "without a cache your sum goes from T to n. The lengths go from T to T + n - 1: new_tokens is how "
        "many steps there are, not where they end.",
    ),
    "exchanged": (
        [lambda T, n: without(n, T)],
        "without a cache the prompt and the new tokens have changed places. There are new_tokens steps, and "
        "the first reads prompt_length tokens.",
    ),
    "half-a-step-off": (
        [lambda T, n: n * (2 * T + n) / 2, lambda T, n: n * (2 * T + n) // 2],
        "without a cache your formula gives about n / 2 too much. It is n times the mean of the first and "
        "the last length, T and T + n - 1.",
    ),
    "squares": (
        [lambda T, n: (T + n) ** 2, lambda T, n: (T + n - 1) ** 2],
        "without a cache you square the length. Each step reads the text so far, which grows by one: add up "
        "the lengths.",
    ),
}
WITH = {  # wrong sums with a cache
    "reads-the-last": (
        [lambda T, n: T + n],
        "with a cache you count one row too many. The last token is written, but no step comes after it "
        "that would read it.",
    ),
    "one-row-short": (
        [lambda T, n: T + n - 2],
        "with a cache you count one row too few. The prompt takes T rows, and each of the n - 1 steps after "
        "it takes 1.",
    ),
    "forgets-the-prompt": (
        [lambda T, n: n],
        "with a cache you count the new tokens only. The prompt has to be read once before anything can be "
        "looked up.",
    ),
    "later-steps-only": (
        [lambda T, n: n - 1],
        "with a cache you count the later steps only. The first step reads the prompt, T rows.",
    ),
    "prompt-only": (
        [lambda T, n: T],
        "with a cache you count the prompt only. Each later step reads 1 token, the one that was just "
        "chosen.",
    ),
    "last-step-only-with": (
        [lambda T, n: 1],
        "with a cache you count one step only. Add the prompt and the 1 of every later step.",
    ),
    "prompt-each-step": (
        [lambda T, n: n * (T + 1), lambda T, n: n * (T + 1) - 1],
        "with a cache you read the prompt at every step. It is read once; after that its keys and values "
        "lie in the cache.",
    ),
}


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
    yield Mistake(
        "only-the-example",
        rows_rule(lambda T, n: 6, lambda T, n: 15),
        "you return the numbers of the example, whatever the lengths are. Compute them from prompt_length "
        "and new_tokens.",
    )
    yield Mistake(
        "list-of-steps",
        rows_rule(lambda T, n: [T] + [1] * (n - 1), lambda T, n: list(range(T, T + n))),
        "you return the rows of each step. Return how many they are together: the sum.",
        3,
    )
    yield Mistake(
        "last-step-only",
        rows_rule(lambda T, n: 1, with_cache),
        "you count the last step only. Add up the rows of all n steps.",
    )
    for name, (formulas, says) in WITH.items():
        for wrong in formulas:
            yield Mistake(name, rows_rule(wrong), says, 2)
    for name, (formulas, says) in WITHOUT.items():
        for wrong in formulas:
            yield Mistake(name, rows_rule(with_cache, wrong), says)
            for others, _ in WITH.values():
                for other in others:
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
            result = cache.append(noise(10 + i, B, H, T, D), noise(20 + i, B, H, T, D))
            k, v = pair(result, "(k, v)")
            told[f"append {i + 1}"] = {"k": deepcopy(k), "v": deepcopy(v), "length": cache.length}
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


@appending
def joins_and_forgets(self, k, v, end):
    k = torch.cat([self.k[:, :, : self.length], k], dim=2)
    v = torch.cat([self.v[:, :, : self.length], v], dim=2)
    self.length = end
    return k, v


@appending
def names_a_slice(self, k, v, end):
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_from_the_start(self, k, v, end):
    self.k[:, :, :end] = k
    self.v[:, :, :end] = v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_the_far_end(self, k, v, end):
    self.k[:, :, -k.shape[2] :], self.v[:, :, -v.shape[2] :] = k, v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_one_place(self, k, v, end):
    self.k[:, :, self.length], self.v[:, :, self.length] = k[:, :, 0], v[:, :, 0]
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def puts_all_in_one_place(self, k, v, end):
    self.k[:, :, self.length] = k
    self.v[:, :, self.length] = v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_one_place_late(self, k, v, end):
    self.k[:, :, self.length + 1 : end + 1] = k
    self.v[:, :, self.length + 1 : end + 1] = v
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def fills_the_width(self, k, v, end):
    self.k[..., self.length : end] = k
    self.v[..., self.length : end] = v
    self.length = end
    return self.k[..., :end], self.v[..., :end]


@appending
def stores_k_twice(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, k
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def writes_k_only(self, k, v, end):
    self.k[:, :, self.length : end] = k
    self.length = end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def counts_and_returns_calls(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length += 1
    return self.k[:, :, : self.length], self.v[:, :, : self.length]


@appending
def counts_this_call(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length = k.shape[2]
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def counts_and_returns_this_call(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length = k.shape[2]
    return self.k[:, :, : self.length], self.v[:, :, : self.length]


@appending
def adds_end(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length += end
    return self.k[:, :, :end], self.v[:, :, :end]


@appending
def returns_nothing(self, k, v, end):
    self.k[:, :, self.length : end], self.v[:, :, self.length : end] = k, v
    self.length = end


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
            "counts-calls",
            counts_and_returns_calls,
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
            "K02",
            writes_k_only,
            "you write the keys into the memory but not the values. A later token weighs the values of all "
            "earlier tokens, so both have to be kept.",
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
            "nothing-stored",
            joins_and_forgets,
            "what you return is right once, but nothing is written into self.k and self.v. The next call "
            "finds what was in memory before; assign to a slice of self.k.",
            2,
        ),
        Mistake(
            "nothing-stored",
            names_a_slice,
            "nothing is written into self.k and self.v. `place = k` gives a name to k; `self.k[:, :, "
            "start:stop] = k` writes into the memory.",
            2,
        ),
        Mistake(
            "no-start",
            fills_from_the_start,
            "your slice begins at place 0, so it covers the old tokens as well. It has to begin at "
            "self.length.",
            2,
        ),
        Mistake(
            "at-the-far-end",
            fills_the_far_end,
            "you write into the last places of the memory. The new tokens belong right behind the "
            "self.length that are there.",
            1,
        ),
        Mistake(
            "one-place",
            fills_one_place,
            "you write the first new token only. A call may bring several: they need the places from "
            "self.length to end.",
            2,
        ),
        Mistake(
            "one-place",
            puts_all_in_one_place,
            "self.k[:, :, self.length] is one place, and k holds T tokens. They need the places from "
            "self.length to end.",
            2,
        ),
        Mistake(
            "one-place-late",
            fills_one_place_late,
            "you leave one place free and write behind it. Places count from 0: the first free one is "
            "self.length.",
            1,
        ),
        Mistake(
            "slices-the-width",
            fills_the_width,
            "your slice runs over the D numbers of a head. The places for tokens are the third dimension, "
            "self.k[:, :, start:stop].",
            2,
        ),
        Mistake(
            "k-for-v",
            stores_k_twice,
            "self.v gets the keys. Write v into self.v.",
            2,
        ),
        Mistake(
            "length-of-the-call",
            counts_this_call,
            "self.length becomes the number of tokens of this call. It counts all tokens so far: set it to "
            "`end`.",
            3,
        ),
        Mistake(
            "length-of-the-call",
            counts_and_returns_this_call,
            "self.length becomes the number of tokens of this call. It counts all tokens so far: set it to "
            "`end`.",
            3,
        ),
        Mistake(
            "adds-end",
            adds_end,
            "you add `end` to self.length. `end` is the length after the call already: set self.length to "
            "it.",
            3,
        ),
        Mistake(
            "no-return",
            returns_nothing,
            "the tokens are stored, but append returns nothing. Return the first `end` places of both "
            "memories.",
            3,
        ),
    ],
    styles=[CacheByNarrow, CacheByLoop, CacheByIndex, CacheByNewTensors],
)


# --- 7.3 attend_to_cache


class LayerMemory(Memory):
    """A LayerCache that is complete and refuses what does not fit, as the library's does."""

    def append(self, k, v):
        B, H, capacity, D = self.k.shape
        end = self.length + k.shape[2]
        if k.shape != v.shape or k.shape != (B, H, k.shape[2], D) or k.dtype != self.k.dtype:
            raise ValueError(f"this cache takes k and v of shape (B={B}, H={H}, T, D={D}), {self.k.dtype}")
        if end > capacity:
            raise ValueError(f"{end} tokens are too many: it has room for {capacity}")
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
    room = sum(calls) + 4
    cache, told = LayerMemory(noise(1, B, H, room, D), noise(2, B, H, room, D)), {}
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


def attends_to_all_memory_masked(q, k, v, cache):
    cache.append(k, v)
    return weigh(q, cache.k, cache.v, seen_mask(q.shape[2], cache.k.shape[2]))


def attends_to_all_memory_unmasked(q, k, v, cache):
    cache.append(k, v)
    return weigh(q, cache.k, cache.v)


def is_causal_for_several(q, k, v, cache):
    k, v = cache.append(k, v)
    return F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)


def caches_q_and_k_as_named(q, k, v, cache):
    q_seen, k = cache.append(q, k)
    return weigh(q, q_seen, k, seen_mask(q.shape[2], k.shape[2]))


def counts_the_new_twice(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, seen_mask(q.shape[2], cache.length + q.shape[2]))


def masks_by_heads(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, seen_mask(q.shape[1], k.shape[1]))


def masks_by_width(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, seen_mask(q.shape[3], k.shape[3]))


def sees_not_itself(q, k, v, cache):
    k, v = cache.append(k, v)
    T, S = q.shape[2], k.shape[2]
    return weigh_by_hand(q, k, v, torch.ones(T, S, dtype=torch.bool).tril(S - T - 1))


def sees_only_the_future(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh_by_hand(q, k, v, ~seen_mask(q.shape[2], k.shape[2]))


def chunk_looks_at_itself(q, k, v, cache):
    all_k, all_v = cache.append(k, v)
    T = q.shape[2]
    return weigh(q, all_k, all_v) if T == 1 else weigh(q, k, v, seen_mask(T, T))


def counts_again(q, k, v, cache):
    k, v = cache.append(k, v)
    cache.length += q.shape[2]
    return weigh(q, k, v, seen_mask(q.shape[2], k.shape[2]))


def merges_the_heads(q, k, v, cache):
    k, v = cache.append(k, v)
    return weigh(q, k, v, seen_mask(q.shape[2], k.shape[2])).transpose(1, 2).flatten(2)


def attend_to_joined(q, k, v, cache):
    all_k = torch.cat([cache.k[:, :, : cache.length], k], dim=2)
    all_v = torch.cat([cache.v[:, :, : cache.length], v], dim=2)
    cache.append(k, v)
    return weigh(q, all_k, all_v, seen_mask(q.shape[2], all_k.shape[2]))


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
            "K02-q-and-k",
            caches_q_and_k_as_named,
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
            "nothing is appended to the cache, so each call knows only its own tokens. Append the new k and "
            "v, and use what append returns.",
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
            "tokens before it: append first, and attend to what append returns.",
            1,
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
            "your mask is (S, S), and its first rows are those of the oldest tokens. The T new tokens are "
            "the last ones: causal_mask(T, S).",
            2,
        ),
        Mistake(
            "mask-from-the-corner",
            is_causal_for_several,
            "where several tokens come at once, your triangle starts in the upper left corner, as if the "
            "first query were token 0. is_causal=True does so when T < S; hand over causal_mask(T, S) "
            "instead.",
            2,
        ),
        Mistake(
            "mask-of-the-new",
            attends_with_square_mask,
            "your mask is (T, T), but the cache gives back S keys. Make it causal_mask(T, S), with S read "
            "after the append.",
            2,
        ),
        Mistake(
            "mask-of-other-sizes",
            masks_by_heads,
            "your mask has the number of heads for its sizes. T and S are the third sizes: q.shape[2] and "
            "k.shape[2].",
            2,
        ),
        Mistake(
            "mask-of-other-sizes",
            masks_by_width,
            "your mask has the width of a head for its sizes. T and S are the third sizes: q.shape[2] and "
            "k.shape[2].",
            2,
        ),
        Mistake(
            "counts-the-new-twice",
            counts_the_new_twice,
            "your mask has T columns too many. After the append, cache.length counts the new tokens already, "
            "and k.shape[2] is the same number.",
            2,
        ),
        Mistake(
            "not-itself",
            sees_not_itself,
            "a token sees those before it and not itself. The diagonal of your mask is one too far left.",
            2,
        ),
        Mistake(
            "only-the-future",
            sees_only_the_future,
            "your mask is turned round, so each token sees its future alone. In causal_mask True stands "
            "where it may look, and `attend` takes it as it is.",
            2,
        ),
        Mistake(
            "all-memory",
            attends_to_all_memory,
            "cache.k is the whole memory, also the part that nothing was written to yet. Use what `append` "
            "returns.",
            1,
        ),
        *(
            Mistake(
                "all-memory",
                wrong,
                "you attend to the whole memory, also to the places that nothing was written to yet. Use "
                "what `append` returns.",
                1,
            )
            for wrong in (attends_to_all_memory_masked, attends_to_all_memory_unmasked)
        ),
        Mistake(
            "looks-at-the-new",
            chunk_looks_at_itself,
            "where several tokens come at once, they look at each other only. They too see all that is in "
            "the cache: use the k and v that append returns.",
            1,
        ),
        Mistake(
            "counts-again",
            counts_again,
            "you add to cache.length, but append has moved it already. Leave it alone.",
            1,
        ),
        Mistake(
            "merges-the-heads",
            merges_the_heads,
            "you put the heads side by side, (B, T, C). The result keeps its heads, (B, H, T, D), as "
            "`attend` "
            "returns it.",
            3,
        ),
    ],
    styles=[attend_by_scores, attend_row_by_row, attend_in_float64, attend_mask_if_needed, attend_to_joined],
)


# --- 7.4 KVCache


def memory(config, B, room, width=None, **options):
    """The two tensors of one layer."""
    D = width or config.n_embd // config.n_head
    return torch.zeros(2, B, config.n_head, room, D, **options)


def separate_layers(config, B, room, **options):
    return [LayerMemory(*memory(config, B, room, **options)) for _ in range(config.n_layer)]


def keeping(layers=separate_layers, length=None, getitem=None):
    """A KVCache; the parts that are not given are right."""

    class Cache:
        def __init__(self, config, batch_size=1, *, max_length=None, dtype=None, device=None):
            self.config = config
            self.room = config.n_positions if max_length is None else max_length
            if not 1 <= self.room <= config.n_positions:
                raise ValueError(f"max_length is {max_length}, above n_positions or below 1")
            self.layers = layers(config, batch_size, self.room, dtype=dtype, device=device)

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
    """(config, batch size, options, tokens in each step): a prompt and two tokens; odd sizes; no contents."""
    return [
        (small_config(), 1, {}, [3, 1, 1]),
        (small_config(n_layer=3, n_head=3, n_embd=12), 2, {}, [1, 5, 2]),
        (small_config(n_layer=5, n_head=1, n_embd=4), 3, {"max_length": 6}, [2, 3, 1]),
        (small_config(n_layer=3), 2, {"max_length": 5, "dtype": torch.float64}, [2, 2]),
        (small_config(n_layer=1), 1, {}, [2, 1]),
        (small_config(), 1, {"device": "meta"}, []),
    ]


def whole_number(value):
    """The value itself if it is an int; otherwise what it is: the model counts positions from it."""
    return value if type(value) is int else f"{value!r}, a {type(value).__name__} and not an int"


def run_kv_cache(answer, config, batch_size, options, steps):
    """Go through the layers at each step as the model does; tell what the cache is and what it gives back."""
    cache = answer(config, batch_size, **options)
    told = {"number of layers": len(cache.layers)}
    if len(cache.layers) != config.n_layer:
        return told
    told["length when empty"] = whole_number(cache.length)
    for i in range(config.n_layer):
        for name, part in (("k", cache[i].k), ("v", cache[i].v)):
            told[f"cache[{i}].{name}"] = {
                "shape": list(part.shape),
                "dtype": str(part.dtype),
                "device": part.device.type,
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
        told[f"length after step {step + 1}"] = whole_number(cache.length)
        told[f"step {step + 1}"] = {  # copied now: another layer may have written there
            f"layer {i}": {"k": k.clone(), "v": v.clone()} for i, (k, v) in enumerate(seen)
        }
    told["cache[i] is self.layers[i]"] = [cache[i] is cache.layers[i] for i in range(config.n_layer)]
    return told


def one_big_tensor(config, B, room, **options):
    D = config.n_embd // config.n_head
    big = torch.full((config.n_layer, 2, B, config.n_head, room, D), 7.0, **options)
    return [LayerMemory(k, v) for k, v in big]


def layers_by_loop(config, B, room, **options):
    layers = []
    for _ in range(config.n_layer):
        k = torch.empty(B, config.n_head, room, config.n_embd // config.n_head, **options)
        layers.append(LayerMemory(k, torch.empty_like(k)))
    return layers


def layers_in_a_dict(config, B, room, **options):
    return {i: LayerMemory(*memory(config, B, room, **options)) for i in range(config.n_layer)}


def one_for_all(config, B, room, **options):
    return [LayerMemory(*memory(config, B, room, **options))] * config.n_layer


def one_memory_for_all(config, B, room, **options):
    shared = memory(config, B, room, **options)
    return [LayerMemory(*shared) for _ in range(config.n_layer)]


IGNORED = {  # options that a learner may forget to use
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
    "device": (
        "ignores-device",
        "your memory always lies on the processor. Hand device on to torch.empty: a model on another device "
        "makes its keys there.",
    ),
}
SOME_IGNORED = [names for n in (1, 2, 3, 4) for names in combinations(IGNORED, n)]


def careless(layers, ignored):
    """The same layers, but some options ignored."""

    def made(config, B, room, **options):
        return layers(
            config,
            1 if "B" in ignored else B,
            config.n_positions if "room" in ignored else room,
            **{name: value for name, value in options.items() if name not in ignored},
        )

    return made


def k_is_v(config, B, room, **options):
    parts = [memory(config, B, room, **options)[0] for _ in range(config.n_layer)]
    return [LayerMemory(part, part) for part in parts]


def full_width_heads(config, B, room, **options):
    return [LayerMemory(*memory(config, B, room, config.n_embd, **options)) for _ in range(config.n_layer)]


def no_heads(config, B, room, **options):
    shape = (2, B, 1, room, config.n_embd)
    return [LayerMemory(*torch.zeros(shape, **options)) for _ in range(config.n_layer)]


def heads_last(config, B, room, **options):
    return [
        LayerMemory(*memory(config, B, room, **options).transpose(2, 3).contiguous())
        for _ in range(config.n_layer)
    ]


def no_room_yet(config, B, room, **options):
    return separate_layers(config, B, 0, **options)


def one_per_head(config, B, room, **options):
    return [LayerMemory(*memory(config, B, room, **options)) for _ in range(config.n_head)]


def sum_of_lengths(cache):
    return sum(layer.length for layer in cache.layers)


def sharing_mistakes():
    """All layers in one, in three ways, with and without options that are ignored as well."""
    shared = (
        "all layers share one LayerCache. Each has its own keys and values: make a new LayerCache for "
        "each ([x] * n repeats the same one n times), and let cache[i] return the one at index i."
    )
    memory_shared = (
        "you have one LayerCache for each layer, but all write into the same two tensors, so each "
        "layer overwrites the one before. Set memory aside inside the loop."
    )
    for ignored in [(), *SOME_IGNORED]:
        yield Mistake("K07", keeping(careless(one_for_all, ignored)), shared, 2)
        yield Mistake("K07-memory", keeping(careless(one_memory_for_all, ignored)), memory_shared, 2)
    yield Mistake("K07", keeping(one_for_all, sum_of_lengths), shared, 2)
    yield Mistake("K07-memory", keeping(one_memory_for_all, sum_of_lengths), memory_shared, 2)
    yield Mistake(
        "K07",
        keeping(getitem=lambda cache, layer: cache.layers[0]),
        "cache[i] is the first layer's cache, whatever i is. Return the one at index `layer`.",
        3,
    )


def option_mistakes():
    """Options that are ignored, alone and together: then the first is told."""
    for ignored in SOME_IGNORED:
        name, says = IGNORED[ignored[0]]
        yield Mistake(name, keeping(careless(separate_layers, ignored)), says, 2)


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
            "no-room-yet",
            keeping(no_room_yet),
            "your memory has room for no token. It is set aside once, for max_length tokens: append fills it "
            "and cannot make it longer.",
            2,
        ),
        Mistake(
            "one-for-each-head",
            keeping(one_per_head),
            "you make n_head LayerCaches. One LayerCache holds all heads of its layer: make n_layer of them.",
            1,
        ),
        Mistake(
            "another-layer",
            keeping(getitem=lambda cache, layer: cache.layers[layer - 1]),
            "cache[i] is the cache of the layer before i. Layers count from 0, as the list does: "
            "self.layers[layer].",
            3,
        ),
        Mistake(
            "length-is-a-mean",
            keeping(length=lambda cache: sum_of_lengths(cache) / len(cache.layers)),
            "your length comes out of a division, so it is a float. Positions are whole numbers; all layers "
            "hold the same tokens, so ask one.",
            3,
        ),
        Mistake(
            "length-of-each-layer",
            keeping(length=lambda cache: [layer.length for layer in cache.layers]),
            "your length is a list, one number for each layer. They are all the same, so return that of one "
            "layer.",
            3,
        ),
        Mistake(
            "second-layer",
            keeping(length=lambda cache: cache.layers[1].length),
            "your length asks the second layer, and a model may have only one. The first is self.layers[0].",
            3,
        ),
        Mistake(
            "length-sums-layers",
            keeping(length=sum_of_lengths),
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


class SmallCache(keeping()):
    """A cache of all layers, with what KVCache promises."""

    for_one_text = False  # open every cache for one text, whatever is asked for

    def __init__(self, config, batch_size=1, **options):
        super().__init__(config, 1 if SmallCache.for_one_text else batch_size, **options)


def for_one_text(answer):
    """The same answer, but with its caches opened for one text."""

    def careless_answer(*arguments):
        SmallCache.for_one_text = True
        try:
            return answer(*arguments)
        finally:
            SmallCache.for_one_text = False

    return careless_answer


def also_for_one_text(mistakes, right, in_batches=()):
    """The mistakes, a cache that is opened for one text, and both at once: then the mistake is told.

    Mistakes `in_batches` look like the cache for one text if both are made, so they come alone.
    """
    return [
        *mistakes,
        *in_batches,
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
    if isgenerator(new):
        new = "a generator, and a tensor is wanted"
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
    cache, new, out = SmallCache(model.config, len(tokens)), tokens, []
    for _ in range(max_new_tokens):
        new = model(new, cache)[:, -1].argmax(-1)
        out.append(new)
    return torch.stack(out, dim=1)


def greedy_steps(steps, join=lambda new: torch.cat(new, dim=1), first=0, room=None, B=None):
    """An answer that collects tokens (B, 1) in a list: `steps` of them, from the `first` on, joined."""

    def greedy(model, tokens, max_new_tokens):
        T = tokens.shape[1]
        options = {} if room is None else {"max_length": room(T, max_new_tokens)}
        cache = SmallCache(model.config, len(tokens) if B is None else B(tokens), **options)
        new = [tokens]
        for _ in range(steps(max_new_tokens)):
            new.append(model(new[-1], cache)[:, -1].argmax(-1, keepdim=True))
        return join(new[1 + first :])

    return greedy


def as_many(n):
    return n


def first_text_only(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    new, x = [], tokens
    for _ in range(max_new_tokens):
        new.append(model(x, cache)[0, -1].argmax().item())
        x = torch.tensor([[new[-1]]])
    return torch.tensor([new])


def first_text_only_flat(model, tokens, max_new_tokens):
    return first_text_only(model, tokens, max_new_tokens)[0]


def all_rows_chosen(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    new = [tokens]
    for _ in range(max_new_tokens):
        new.append(model(new[-1], cache).argmax(-1))
    return torch.cat(new[1:], dim=1)


def prompt_in_two_calls(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    model(tokens[:, :-1], cache)
    text = tokens
    for _ in range(max_new_tokens):
        text = torch.cat([text, model(text[:, -1:], cache)[:, -1:].argmax(-1)], dim=1)
    return text[:, tokens.shape[1] :]


def prompt_not_in_the_cache(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    new = [model(tokens)[:, -1:].argmax(-1)]
    for _ in range(max_new_tokens - 1):
        new.append(model(new[-1], cache)[:, -1:].argmax(-1))
    return torch.cat(new, dim=1)


def prompt_at_every_step(model, tokens, max_new_tokens):
    cache = SmallCache(model.config, len(tokens))
    return torch.cat([model(tokens, cache)[:, -1:].argmax(-1) for _ in range(max_new_tokens)], dim=1)


def yields_tokens(model, tokens, max_new_tokens):
    yield from ()


def collects_floats(new):
    return torch.cat(new, dim=1).float()


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
                "the cache is empty again at every step, so nothing is left of the step before. Open one "
                "before the loop, and keep what is in it.",
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
                "logits-for-ids",
                greedy_rule(unread, pick=lambda logits: logits[:, -1].max(-1).values),
                "you take the largest logit and not its place. The id of a token is where the largest logit "
                "stands: argmax.",
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
            *(
                Mistake(
                    "one-short",
                    greedy_steps(steps, join, first=first),
                    "one token is missing from what you return. The call that reads the prompt gives one, "
                    "and each of the max_new_tokens - 1 calls after it gives another.",
                    1,
                )
                for join in (lambda new: torch.cat(new, dim=1), lambda new: torch.stack(new, dim=1)[..., 0])
                for steps, first in ((lambda n: n - 1, 0), (as_many, 1))
            ),
            Mistake(
                "one-short",
                greedy_rule(unread, cut=lambda text, T: text[:, T:-1]),
                "the last new token is missing from what you return. It is never read, but it belongs to "
                "the text.",
                2,
            ),
            Mistake(
                "one-too-many",
                greedy_steps(lambda n: n + 1),
                "you return one token too many. The call that reads the prompt gives the first, so "
                "max_new_tokens - 1 more calls are enough.",
                1,
            ),
            Mistake(
                "first-token-lost",
                greedy_steps(lambda n: n + 1, first=1),
                "the first new token is missing, and one stands at the end that was not asked for. The call "
                "that reads the prompt gives the first: keep it.",
                1,
            ),
            Mistake(
                "first-text-only",
                first_text_only_flat,
                "you continue the first text only, and without the axis of the batch. Let argmax run over "
                "the last axis, and return (B, max_new_tokens).",
                2,
            ),
            Mistake(
                "all-rows-chosen",
                all_rows_chosen,
                "you choose a token after every token of the prompt, and all of them go on. Only what "
                "follows the last one is new: take row -1 of the logits.",
                1,
            ),
            *(
                Mistake(
                    "not-joined",
                    greedy_steps(as_many, join),
                    "you return a list with the tokens of each step. Join them along dim=1, to one tensor "
                    "(B, max_new_tokens).",
                    3,
                )
                for join in (list, lambda new: [token[:, 0] for token in new])
            ),
            *(
                Mistake(
                    "joined-another-way",
                    greedy_steps(as_many, join),
                    "the tokens are there, but their axes are not (B, max_new_tokens). torch.cat(..., dim=1) "
                    "joins tensors (B, 1); torch.stack(..., dim=1) joins tensors (B,).",
                    3,
                )
                for join in (
                    torch.cat,
                    torch.stack,
                    lambda new: torch.stack(new, dim=1),
                    lambda new: torch.cat(new, dim=1).T,
                )
            ),
            Mistake(
                "float-ids",
                greedy_steps(as_many, collects_floats),
                "your tokens are floats. Ids are whole numbers: torch.zeros and torch.empty need "
                "dtype=torch.int64 for them.",
                3,
            ),
            Mistake(
                "prompt-in-two-calls",
                prompt_in_two_calls,
                "you hold back the last token of the prompt and read it with a call of its own. The prompt "
                "goes in with one call: its last row of logits gives the first new token.",
                1,
            ),
            Mistake(
                "prompt-not-in-the-cache",
                prompt_not_in_the_cache,
                "you read the prompt without the cache, so later steps know nothing of it. Hand the cache to "
                "the first call too.",
                1,
            ),
            Mistake(
                "prompt-at-every-step",
                prompt_at_every_step,
                "every call reads the prompt. After the first call it is in the cache: read the token that "
                "was just chosen.",
                2,
            ),
            Mistake(
                "yields",
                yields_tokens,
                "you yield the tokens, as `generate` does. This function returns them, in one tensor "
                "(B, max_new_tokens).",
                3,
            ),
            *(
                Mistake(
                    "too-little-room",
                    greedy_steps(as_many, room=room),
                    "your cache has too little room. max_length counts the prompt and the new tokens; "
                    "without "
                    "it there is room for n_positions.",
                    1,
                )
                for room in (lambda T, n: T, lambda T, n: n)
            ),
        ],
        greedy_by_cat,
        in_batches=[
            Mistake(
                "first-text-only",
                first_text_only,
                "you continue the first text only. Let argmax run over the last axis, so that each text of "
                "the batch gets a token of its own.",
                2,
            ),
            Mistake(
                "cut-at-the-count",
                greedy_rule(unread, cut=lambda text, T: text[:, text.shape[1] - T :]),
                "you cut the text at max_new_tokens. The new tokens begin behind the prompt, at "
                "tokens.shape[1].",
                3,
            ),
            Mistake(
                "length-for-batch-size",
                greedy_steps(as_many, B=lambda tokens: tokens.shape[1]),
                "you open the cache for as many texts as there are tokens in one. The number of texts is "
                "len(tokens), or tokens.shape[0].",
                1,
            ),
            Mistake(
                "joined-another-way",
                greedy_steps(as_many, lambda new: torch.cat(new)[:, 0]),
                "your tokens stand in one row, whatever texts they belong to. torch.cat(..., dim=1) joins "
                "tensors (B, 1) to (B, max_new_tokens).",
                3,
            ),
        ],
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
    """Tell the logits, the calls, and what the cache is good for: further tokens up to n_positions."""
    model = SmallModel(config)
    told = {"tokens read in each call": model.calls}
    try:
        result = answer(model, tokens, chunk_size)
    except ValueError as error:
        return told | {"logits": refusal(error)}
    logits, cache = pair(result, "(logits, cache)")
    if hasattr(logits, "length"):
        logits = "a cache, and a tensor is wanted"
    told |= {"tokens read in each call": list(model.calls), "logits": logits}
    if cache is None:
        return told
    if not hasattr(cache, "length"):
        return told | {"cache": f"{'a tensor' if isinstance(cache, torch.Tensor) else repr(cache)}, no cache"}
    told["cache.length"] = cache.length
    rest = torch.ones(len(tokens), config.n_positions - tokens.shape[1], dtype=torch.int64)
    try:
        told["logits of further tokens, up to n_positions"] = model(rest, cache)
    except ValueError as error:
        told["logits of further tokens, up to n_positions"] = refusal(error)
    return told


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


def whole_chunks_by_count(tokens, chunk_size):
    return [tokens[:, i * chunk_size : (i + 1) * chunk_size] for i in range(tokens.shape[1] // chunk_size)]


def stops_a_chunk_early(tokens, chunk_size):
    return [tokens[:, i : i + chunk_size] for i in range(0, tokens.shape[1] - chunk_size, chunk_size)]


def stops_a_token_early(tokens, chunk_size):
    return [tokens[:, i : i + chunk_size] for i in range(0, tokens.shape[1] - 1, chunk_size)]


def one_chunk_more(tokens, chunk_size):
    return [
        tokens[:, i * chunk_size : (i + 1) * chunk_size] for i in range(tokens.shape[1] // chunk_size + 1)
    ]


def short_chunk_first(tokens, chunk_size):
    T = tokens.shape[1]
    first = T % chunk_size
    return tokens.split([first] * (first > 0) + [chunk_size] * (T // chunk_size), dim=1)


def chunks_of_one_size(tokens, chunk_size):
    return tokens.chunk(math.ceil(tokens.shape[1] / chunk_size), dim=1)


def first_chunk_only(tokens, chunk_size):
    return [tokens[:, :chunk_size]]


def cache_first(model, tokens, chunk_size):
    logits, cache = chunks_by_split(model, tokens, chunk_size)
    return cache, logits


def logits_alone(model, tokens, chunk_size):
    return chunks_by_split(model, tokens, chunk_size)[0]


def length_for_the_cache(model, tokens, chunk_size):
    logits, cache = chunks_by_split(model, tokens, chunk_size)
    return logits, cache.length


def room_for_the_prompt(model, tokens, chunk_size):
    cache = SmallCache(model.config, len(tokens), max_length=tokens.shape[1])
    return torch.cat([model(part, cache) for part in tokens.split(chunk_size, dim=1)], dim=1), cache


def room_for_a_chunk(model, tokens, chunk_size):
    cache = SmallCache(model.config, len(tokens), max_length=chunk_size)
    return torch.cat([model(part, cache) for part in tokens.split(chunk_size, dim=1)], dim=1), cache


CHUNKS = Exercise(
    number="7.6",
    name="prefill_in_chunks",
    tolerance=1e-4,  # results of up to 30 and several products: processors differ by 1e-5
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
            Mistake(
                "logits-alone",
                logits_alone,
                "you return the logits alone. Return (logits, cache): whoever goes on writing needs the "
                "cache.",
                3,
            ),
            Mistake(
                "length-for-the-cache",
                length_for_the_cache,
                "you return the length of the cache. Return the cache itself: whoever goes on writing "
                "needs it.",
                3,
            ),
            Mistake(
                "room-for-the-prompt",
                room_for_the_prompt,
                "your cache has room for the prompt and nothing else, so writing cannot go on. Without "
                "max_length it has room for n_positions.",
                1,
            ),
            Mistake(
                "room-for-a-chunk",
                room_for_a_chunk,
                "your cache has room for one chunk. It keeps all of the prompt; without max_length it has "
                "room for n_positions.",
                1,
            ),
            Mistake(
                "not-joined",
                chunk_rule(split_tokens, join=lambda rows: rows),
                "you return a list with the logits of each chunk. Join them along dim=1, to one tensor "
                "(B, T, V).",
                3,
            ),
            Mistake(
                "joined-over-the-batch",
                chunk_rule(split_tokens, join=torch.cat),
                "torch.cat joins along the first dimension, the batch, unless you tell it another. The "
                "chunks "
                "belong one behind the other along the tokens, dim=1.",
                3,
            ),
            Mistake(
                "joined-over-the-vocabulary",
                chunk_rule(split_tokens, join=lambda rows: torch.cat(rows, dim=-1)),
                "you join along the last dimension, the vocabulary. The chunks belong one behind the other "
                "along the tokens, dim=1.",
                3,
            ),
            *(
                Mistake(
                    "stacked",
                    chunk_rule(split_tokens, join=join),
                    "torch.stack makes a new dimension and wants tensors of one shape. torch.cat joins along "
                    "one that is there: dim=1.",
                    3,
                )
                for join in (torch.stack, lambda rows: torch.stack(rows, dim=1))
            ),
            Mistake(
                "reads-all-again",
                chunk_rule(all_so_far),
                "each call reads the text from its start, although the cache holds the earlier chunks "
                "already. Hand over the next chunk alone.",
                1,
            ),
            Mistake(
                "no-cache",
                chunk_rule(all_so_far, join=lambda rows: rows[-1], use=False),
                "the logits are right, but each call reads the text from its start, and the cache stays "
                "empty. Hand the cache to every call, and the next chunk alone.",
                1,
            ),
            Mistake(
                "drops-the-rest",
                chunk_rule(whole_chunks_by_count),
                "the last tokens are missing where the length is not a multiple of chunk_size. The last "
                "chunk may be shorter than the others.",
                2,
            ),
            *(
                Mistake(
                    "stops-early",
                    chunk_rule(parts),
                    "your loop stops too early, so the last tokens are not read. The chunks start at 0, "
                    "chunk_size, 2 * chunk_size and so on, below T.",
                    2,
                )
                for parts in (stops_a_chunk_early, stops_a_token_early)
            ),
            Mistake(
                "first-chunk-only",
                chunk_rule(first_chunk_only),
                "you read the first chunk only. Is there a return inside the loop?",
                3,
            ),
            Mistake(
                "empty-last-chunk",
                chunk_rule(one_chunk_more),
                "where T is a multiple of chunk_size, your last call reads no token. T // chunk_size + 1 "
                "chunks are one too many then; range(0, T, chunk_size) gives the starts.",
                2,
            ),
            Mistake(
                "short-chunk-first",
                chunk_rule(short_chunk_first),
                "the logits are right, but your first chunk is the short one. All have chunk_size tokens but "
                "the last.",
                2,
            ),
            Mistake(
                "chunks-of-one-size",
                chunk_rule(chunks_of_one_size),
                "the logits are right, but you cut the prompt into chunks of nearly the same size. All have "
                "chunk_size tokens but the last: that is torch.split.",
                2,
            ),
            Mistake(
                "ignores-chunk-size",
                chunk_rule(lambda tokens, chunk_size: tokens.split(2, dim=1)),
                "your calls read 2 tokens, whatever chunk_size says. The 2 belongs to the example.",
                2,
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
    "no-width": (
        lambda c, n, each, B: 1 / c.n_embd,
        "the width of the model is not in your count. A key holds n_embd numbers, over all heads, and a "
        "value as many.",
        1,
    ),
    "heads-for-width": (
        lambda c, n, each, B: c.n_head / c.n_embd,
        "you count the heads and not how wide they are. A head is n_embd / n_head wide, so all heads "
        "together have n_embd numbers.",
        2,
    ),
    "width-squared": (
        lambda c, n, each, B: c.n_embd,
        "your count has the square of the width in it. That is the size of the weights that make a key; the "
        "key itself has n_embd numbers.",
        1,
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


UNITS = ("bits", "kibibytes", "mebibytes")


def bytes_mistakes():
    """Factors that could be read in two ways, each wrong factor alone, and two at once: the first is told."""
    yield Mistake(
        "ignores-bytes-and-half",
        bytes_off_by(lambda c, n, each, B: 2 / each),
        "your result is the same for 4 bytes and for 2. Multiply by bytes_per_number, and count two vectors "
        "per token and layer, a key and a value.",
        3,
    )
    yield Mistake(
        "heads-for-layers",
        bytes_off_by(lambda c, n, each, B: c.n_head / c.n_layer),
        "your count has the number of heads in it and not the number of layers. The heads share the width, "
        "so n_head falls out; n_layer belongs in.",
        2,
    )
    yield Mistake(
        "only-the-example",
        bytes_off_by(lambda c, n, each, B: 30 / (c.n_layer * c.n_embd)),
        "you count 60 numbers for a token, whatever the model is. They are 2 * 5 * 6, from the sizes of the "
        "example.",
        3,
    )
    yield Mistake(
        "kibibytes",
        lambda *arguments: right_bytes(*arguments) // 1024,
        "your result is in whole KiB. Return bytes; whoever prints the number can divide.",
        3,
    )
    wrong = WRONG_NUMBERS | WRONG_REST
    for name, (factor, says, hint) in wrong.items():
        yield Mistake(name, bytes_off_by(factor), says, hint)
    exclusive = [
        {"heads-times-width", "one-head", "no-width", "heads-for-width", "width-squared"},
        {"ignores-tokens", "pairs-of-tokens", "whole-memory"},
        {"only-one-of-k-and-v", "always-four-bytes"},  # the two that are told above
        {"one-layer", "heads-times-width"},
    ]
    for first, second in combinations([name for name in wrong if name not in UNITS], 2):
        if not any({first, second} <= names for names in exclusive):
            factor, says, hint = wrong[first]
            yield Mistake(first, bytes_off_by(factor, wrong[second][0]), says, hint)


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
    mistakes=list(bytes_mistakes()),
    styles=[bytes_of_tensors, bytes_by_loops, bytes_by_heads],
)


EXERCISES = [ROWS, LAYER_CACHE, ATTEND_TO_CACHE, KV_CACHE, GREEDY, CHUNKS, CACHE_BYTES]
