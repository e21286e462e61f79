"""7.1 rows_computed: what is computed. What is said stands in rows_computed.md."""

import math


def cases():
    """Without and with a cache: the example; one new token; one prompt token; a long text."""
    lengths = [(4, 3), (5, 1), (1, 6), (16, 240)]
    return [(*both, use_cache) for both in lengths for use_cache in (False, True)]


def by_formula(prompt_length, new_tokens, use_cache):
    if use_cache:
        return prompt_length - 1 + new_tokens
    return new_tokens * (2 * prompt_length + new_tokens - 1) // 2


def by_simulation(prompt_length, new_tokens, use_cache):
    rows, length, cached = 0, prompt_length, 0
    while new_tokens > 0:
        rows += length - cached
        if use_cache:
            cached = length
        length += 1
        new_tokens -= 1
    return rows


def by_triangles(prompt_length, new_tokens, use_cache):
    end = prompt_length + new_tokens - 1
    return end if use_cache else math.comb(end + 1, 2) - math.comb(prompt_length, 2)


styles = [by_formula, by_simulation, by_triangles]
