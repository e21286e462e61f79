"""7.6 prefill_in_chunks: what is computed. What is said stands in prefill_in_chunks.md."""

import torch

from course.exercises.ch07_kv_cache import SmallModel, stand_in, token_ids
from gpt2lib.cache import KVCache

arguments = ("config of the model", "tokens", "chunk_size")
tolerance = 1e-4  # results of up to 30 and several products: processors differ by 1e-5


def cases():
    """A last chunk that is shorter; batches; a last one that is full; one token at a time; all at once."""
    return [
        (stand_in(), token_ids(1, 5, 11), 2),
        (stand_in(n_layer=3), token_ids(2, 10, 12), 4),
        (stand_in(), token_ids(3, 12, 13), 5),
        (stand_in(), token_ids(3, 6, 16), 2),
        (stand_in(), token_ids(1, 4, 14), 1),
        (stand_in(), token_ids(3, 6, 15), 9),
    ]


def run(answer, config, tokens, chunk_size):
    """Tell the logits, the calls, and what the cache is good for: further tokens up to n_positions."""
    model = SmallModel(config)
    result = answer(model, tokens, chunk_size)
    told = {"tokens read in each call": list(model.calls), "result": "not (logits, cache)"}
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        return told
    logits, cache = result
    told["result"] = "a cache first" if hasattr(logits, "length") else logits
    told["cache"] = "a KVCache" if hasattr(cache, "length") else type(cache).__name__
    if told["cache"] == "a KVCache":
        told["cache.length"] = cache.length
        rest = torch.ones(len(tokens), config.n_positions - tokens.shape[1], dtype=torch.int64)
        try:
            told["logits of further tokens, up to n_positions"] = model(rest, cache)
        except ValueError:
            told["logits of further tokens, up to n_positions"] = "the cache has no room for them"
    return told


def by_split(model, tokens, chunk_size):
    cache = KVCache(model.config, len(tokens))
    return torch.cat([model(part, cache) for part in torch.split(tokens, chunk_size, 1)], 1), cache


def by_length(model, tokens, chunk_size):
    cache, rows = KVCache(model.config, len(tokens)), []
    while cache.length < tokens.shape[1]:
        rows += model(tokens[:, cache.length : cache.length + chunk_size], cache).unbind(dim=1)
    return torch.stack(rows, dim=1), cache


def into_place(model, tokens, chunk_size):
    B, T = tokens.shape
    cache, logits = KVCache(model.config, B), torch.empty(B, T, model.config.vocab_size)
    for start in range(0, T, chunk_size):
        end = min(start + chunk_size, T)
        logits[:, start:end] = model(tokens[:, start:end], cache)
    return [logits, cache]


styles = [by_split, by_length, into_place]
