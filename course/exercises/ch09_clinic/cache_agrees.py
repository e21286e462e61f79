"""9.3 cache_agrees: what is computed. What is said stands in cache_agrees.md."""

import torch

from course.exercises.ch09_clinic import comparisons, near, run_probe
from course.exercises.ch09_clinic.patients import (
    BLANK,
    HEALTHY,
    LARGER,
    ROUNDS,
    WHOLE,
    ids,
    lower,
    moved_at,
    newest_alone,
    no_positions,
    one_short,
    patient,
)

arguments = ("model", "tokens")
run = run_probe


def restarts(self, tokens, start):
    return torch.arange(tokens.shape[1])


def restarts_for_one(self, tokens, start):
    T = tokens.shape[1]
    return torch.arange(T) + (0 if T == 1 else start)


def second_layer_forgets(self, layer, k, v, cache):
    return cache[layer].append(k, v) if layer == 0 else (cache[layer].append(k, v), (k, v))[1]


def first_text_for_all(self, layer, k, v, cache):
    k, v = cache[layer].append(k, v)
    return k[:1].expand_as(k), v[:1].expand_as(v)


def one_for_all(self, layer, k, v, cache):
    return cache[0].append(k, v)


def none_with_cache(self, layer, T, S, cached):
    return lower(T, S, S if cached else 0)


def from_the_corner(self, layer, T, S, cached):
    return torch.ones(T, S, dtype=torch.bool).tril(0 if T > 1 else S)


def no_mask_at_first(self, layer, T, S, cached):
    return lower(T, S, S if cached and T == S else 0)


def piece_apart(self, layer, T, S, cached):
    mask = lower(T, S)
    if cached:
        mask[:, S - T :] = torch.eye(T, dtype=torch.bool)
    return mask


def with_a_cache(move):
    """Return the part of a patient whose logits are moved where there is a cache: move(logits, start)."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, start) if cached else logits

    return {"finish": finish}


def cases():
    """A healthy one; sick ones that show at every step, for single tokens, in chunks, in a prompt; others."""
    tokens, two = ids(5, 1, 9), ids(6, 2, 9)

    def sick(says, text, name, method, **sizes):
        return patient(says, {name: method}, **sizes), text

    def moved(says, move, text):
        return patient(f"with a cache, {says}", with_a_cache(move)), text

    alone = {"vectors": no_positions, "mask": newest_alone, "rounds": True}
    return [
        (HEALTHY, tokens),
        sick("with a cache, every call starts at position 0", tokens, "positions", restarts),
        sick("with a cache, a single token is at position 0", tokens, "positions", restarts_for_one),
        sick("1 layer, no mask where there is a cache", two, "mask", none_with_cache, layers=1),
        sick("1 layer, no mask in the first call with a cache", two, "mask", no_mask_at_first, layers=1),
        sick("the mask of a later chunk starts in the corner", tokens, "mask", from_the_corner),
        moved("all logits are a tenth larger", lambda logits, start: 1.1 * logits, two),
        moved("all logits are 0.004 higher", lambda logits, start: logits + 0.004, tokens),
        moved("all logits are 2 higher", lambda logits, start: logits + 2.0, tokens),
        moved("all logits are 2 lower", lambda logits, start: logits - 2.0, tokens),
        moved("two logits of token 4 move", lambda logits, start: moved_at(4 - start, logits, 1.0), tokens),
        (ROUNDS, two),
        (LARGER, two),
        (BLANK, tokens),
        (WHOLE, two),
        (patient("tokens see only themselves, and have no positions", alone, room=99), tokens),
        sick("with a cache, positions are one too low", two, "positions", one_short),
        sick("with a cache, layer 2 sees the new tokens only", tokens, "seen", second_layer_forgets),
        sick("with a cache, all texts get the keys of the first", two, "seen", first_text_for_all),
        sick("one cache for both layers", tokens, "seen", one_for_all),
        sick("2 layers, no mask where there is a cache", tokens, "mask", none_with_cache),
        sick("every call starts at position 0, and wpe is small", two, "positions", restarts, wpe=0.0005),
        sick("1 layer, the tokens of a piece don't see each other", two, "mask", piece_apart, layers=1),
    ]


def cached(model, tokens, sizes):
    """Return the logits of all tokens, read in calls of so many tokens each."""
    from gpt2lib.cache import KVCache

    cache = KVCache(model.config, len(tokens))
    return torch.cat([model(part, cache) for part in tokens.split(sizes, dim=1)], dim=1)


def in_every_size(model, tokens):
    whole = model(tokens)
    return all(near(cached(model, tokens, size), whole, 1e-4) for size in range(1, tokens.shape[1]))


def in_one_pass(model, tokens):
    T = tokens.shape[1]
    difference = cached(model, tokens, [3, 3, *[1] * (T - 6)]) - model(tokens)
    return difference.abs().max() < 1e-3


def at_every_split(model, tokens):
    whole, T = model(tokens), tokens.shape[1]
    for prompt in range(1, T):
        if not near(cached(model, tokens, [prompt, T - prompt]), whole):
            return False
        if not near(cached(model, tokens, [prompt, *[1] * (T - prompt)]), whole):
            return False
    return True


def piece_by_piece(model, tokens):
    from gpt2lib.cache import KVCache

    whole, agrees = model(tokens), True
    for size in (3, 1):
        cache = KVCache(model.config, batch_size=tokens.shape[0])
        for start in range(0, tokens.shape[1], size):
            piece = slice(start, start + size)
            agrees = agrees and torch.allclose(model(tokens[:, piece], cache), whole[:, piece], atol=1e-3)
    return agrees


styles = [in_every_size, in_one_pass, at_every_split, piece_by_piece]


def probe_with(close):
    """Return the answer with another comparison."""

    def probe(model, tokens):
        whole = model(tokens)
        return all(bool(close(cached(model, tokens, size), whole)) for size in (1, 3))

    return probe


extra = comparisons(probe_with)
