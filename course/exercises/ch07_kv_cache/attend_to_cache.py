"""7.3 attend_to_cache: what is computed. What is said stands in attend_to_cache.md."""

import math

import torch
from torch.nn import functional as F

from course.exercises.common import lower, numbers
from gpt2lib.cache import LayerCache

arguments = ("B", "H", "D", "tokens in each call")


def cases():
    """A prompt and two tokens; a prompt and one; chunks of several, in batches; large numbers come with them."""
    return [(1, 2, 2, [3, 2]), (1, 2, 2, [3, 1]), (2, 3, 4, [3, 2, 1, 5]), (3, 2, 5, [1, 4, 4])]


def run(answer, B, H, D, calls):
    """Give the answer q, k, v of one call after the other; tell what comes out and how much is held."""
    room = sum(calls) * 2 + 4
    cache, told = LayerCache(numbers(B, H, room, D, seed=1), numbers(B, H, room, D, seed=2)), {}
    for i, T in enumerate(calls):
        q, k, v = (numbers(B, T, H, D, seed=part + i).transpose(1, 2) for part in (10, 20, 30))
        told[f"call {i + 1}"] = {"result": answer(q, k, v, cache), "cache.length": cache.length}
    return told


def by_scores(q, k, v, cache):
    T, seen = q.shape[2], cache.length
    k, v = cache.append(k, v)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / q.shape[-1] ** 0.5
    future = torch.arange(k.shape[2]) > torch.arange(seen, seen + T)[:, None]
    return torch.einsum("bhts,bhsd->bhtd", scores.masked_fill(future, -math.inf).softmax(-1), v)


def row_by_row(q, k, v, cache):
    rows = []
    for t in range(q.shape[2]):
        all_k, all_v = cache.append(k[:, :, t : t + 1], v[:, :, t : t + 1])
        rows.append(F.scaled_dot_product_attention(q[:, :, t : t + 1], all_k, all_v))
    return torch.cat(rows, dim=2)


def in_float64(q, k, v, cache):
    k, v = cache.append(k, v)
    mask = torch.zeros(q.shape[2], k.shape[2]).masked_fill(~lower(q.shape[2], k.shape[2]), -math.inf)
    return F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask.double()).float()


def mask_if_needed(q, k, v, cache):
    k, v = cache.append(k, v)
    T, S = q.shape[2], k.shape[2]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if T == 1 else lower(T, S))


def joined_first(q, k, v, cache):
    all_k = torch.cat([cache.k[:, :, : cache.length], k], dim=2)
    all_v = torch.cat([cache.v[:, :, : cache.length], v], dim=2)
    cache.append(k, v)
    return F.scaled_dot_product_attention(q, all_k, all_v, attn_mask=lower(q.shape[2], all_k.shape[2]))


styles = [by_scores, row_by_row, in_float64, mask_if_needed, joined_first]
