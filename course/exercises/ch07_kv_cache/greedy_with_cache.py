"""7.5 greedy_with_cache: what is computed. What is said stands in greedy_with_cache.md."""

from inspect import isgenerator

from course.exercises.ch07_kv_cache import SmallModel, stand_in, token_ids

arguments = ("config of the model", "tokens", "max_new_tokens")


def cases():
    """One text; a batch; one new token; one prompt token; a text that fills n_positions; one that is nearly full."""
    return [
        (stand_in(), token_ids(1, 3, 1), 3),
        (stand_in(n_layer=3), token_ids(3, 4, 2), 6),
        (stand_in(), token_ids(2, 5, 3), 1),
        (stand_in(), token_ids(2, 1, 4), 5),
        (stand_in(), token_ids(3, 9, 5), 8),
        (stand_in(), token_ids(2, 9, 6), 7),
    ]


def run(answer, config, tokens, max_new_tokens):
    """Tell the new tokens and what each call read."""
    model = SmallModel(config)
    new = answer(model, tokens, max_new_tokens)
    return {
        "new tokens": "a generator" if isgenerator(new) else new,
        "tokens read in each call": model.calls,
        "in the cache before it": model.held,
    }


# the whole text, of which the cache knows how much is read; a list that begins with the prompt; a place for each token
styles = [
    """
    cache = KVCache(model.config, len(tokens))
    text = tokens
    for _ in range(max_new_tokens):
        logits = model(text[:, cache.length :], cache)
        text = torch.cat([text, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return text[:, tokens.shape[1] :]
    """,
    """
    cache = KVCache(model.config, len(tokens))
    new = [tokens]
    for _ in range(max_new_tokens):
        new.append(model(new[-1], cache)[:, -1].argmax(-1, keepdim=True))
    return torch.cat(new[1:], dim=1)
    """,
    """
    new = torch.zeros(len(tokens), max_new_tokens, dtype=torch.int64)
    cache = KVCache(model.config, len(tokens))
    logits = model(tokens, cache)
    for i in range(max_new_tokens):
        if i > 0:
            logits = model(new[:, i - 1 : i], cache)
        new[:, i] = logits[:, -1].softmax(-1).topk(1).indices[:, 0]
    return new
    """,
]
