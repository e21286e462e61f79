"""10.11 inlined_block: what is computed. What is said stands in inlined_block.md."""

import torch
import torch.nn.functional as F

from course.exercises.common import numbers
from gpt2lib.cache import LayerCache

arguments = ("width C", "heads H", "tokens in the cache", "texts B")


def cases():
    """One text, seven tokens before; nothing before; two texts; one head; three heads."""
    return [(6, 2, 7, 1), (6, 2, 0, 1), (8, 2, 3, 2), (4, 1, 2, 1), (12, 3, 5, 1)]


def run(answer, C, H, seen, B):
    """Return what an answer makes of a new token, and what the cache holds then."""

    def product(n_in, n_out, seed):
        # 0.3: with larger numbers, the order of the sums would move the results by more than the tolerance
        weight, bias = 0.3 * numbers(n_out, n_in, seed=seed), numbers(n_out, seed=seed + 1)
        return lambda x: F.linear(x, weight, bias)

    products = [product(C, 3 * C, 10), product(C, C, 20), product(C, 4 * C, 30), product(4 * C, C, 40)]
    norms = [((C,), 1 + 0.5 * numbers(C, seed=seed), numbers(C, seed=seed + 1), 0.1) for seed in (50, 60)]
    cache = LayerCache(torch.zeros(B, H, seen + 2, C // H), torch.zeros(B, H, seen + 2, C // H))
    if seen:
        cache.append(numbers(B, H, seen, C // H, seed=70), numbers(B, H, seen, C // H, seed=80))
    x = numbers(B, 1, C, seed=90)
    y = answer(x.clone(), norms, products, H, cache)
    return {
        "result": y,
        "tokens in the cache": cache.length,
        "the newest k": cache.k[:, :, seen],
        "the newest v": cache.v[:, :, seen],
    }


# as in chapters 3 and 4; written out with a softmax; in place
styles = [
    """
    from gpt2lib.attention import merge_heads, split_heads
    from gpt2lib.mlp import gelu

    ln_1, ln_2 = norms
    make_qkv, mix_heads, widen, narrow = products
    q, k, v = (split_heads(each, n_head) for each in make_qkv(F.layer_norm(x, *ln_1)).chunk(3, dim=-1))
    k, v = cache.append(k, v)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    y = merge_heads(scores.softmax(-1) @ v)
    x = x + mix_heads(y)
    return x + narrow(gelu(widen(F.layer_norm(x, *ln_2))))
    """,
    """
    B, T, C = x.shape
    qkv = products[0](F.layer_norm(x, *norms[0]))
    q, k, v = qkv.split(C, dim=2)
    q, k, v = (z.reshape(B, T, n_head, C // n_head).transpose(1, 2) for z in (q, k, v))
    keys, values = cache.append(k, v)
    y = F.scaled_dot_product_attention(q, keys, values).transpose(1, 2).reshape(B, T, C)
    middle = x + products[1](y)
    wide = F.gelu(products[2](F.layer_norm(middle, *norms[1])), approximate="tanh")
    return middle + products[3](wide)
    """,
    """
    shape, weight, bias, eps = norms[0]
    h = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
    q, k, v = products[0](h * weight + bias).unflatten(-1, (3, n_head, -1)).permute(2, 0, 3, 1, 4)
    k, v = cache.append(k, v)
    x = x + products[1](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    x += products[3](F.gelu(products[2](F.layer_norm(x, *norms[1])), approximate="tanh"))
    return x
    """,
]
