"""It is GPT-2: the same logits, hidden states and text as transformers, and as itself with a cache."""

import pytest
import torch

from conftest import SIZES, ours, their_model
from gpt2lib import KVCache, generate

TOLERANCE = 1e-4


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def test_logits_of_the_full_shape_equal_transformers(full_pair):
    theirs, model = full_pair
    assert sum(p.numel() for p in model.parameters()) == 124_439_808
    assert len(list(model.parameters())) == 148
    tokens = torch.randint(50257, (2, 100), generator=torch.Generator().manual_seed(1))
    want = theirs(tokens).logits
    assert want.std() > 0.5  # logits that are all alike would agree by chance
    assert largest_difference(model(tokens), want) < TOLERANCE


def test_logits_of_the_full_shape_equal_transformers_at_full_length(full_pair):
    theirs, model = full_pair
    tokens = torch.randint(50257, (1, 1024), generator=torch.Generator().manual_seed(2))
    assert largest_difference(model(tokens), theirs(tokens).logits) < TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_head": 1},
        {"n_head": 24},
        {"n_layer": 1},
        {"layer_norm_epsilon": 1e-5},
        {"n_embd": 33, "n_head": 11},
        {"n_positions": 7},
        {"vocab_size": 2},
    ],
    ids=str,
)
def test_logits_of_odd_shapes_equal_transformers(change, tmp_path):
    sizes = SIZES | change
    theirs = their_model(**sizes)
    model = ours(theirs, tmp_path)
    for B, T in [(1, 1), (3, 1), (2, 5), (3, sizes["n_positions"])]:
        tokens = torch.randint(sizes["vocab_size"], (B, T), generator=torch.Generator().manual_seed(B * T))
        assert largest_difference(model(tokens), theirs(tokens).logits) < TOLERANCE


def test_every_hidden_state_equals_transformers(pair):
    theirs, model = pair
    tokens = torch.randint(311, (2, 17), generator=torch.Generator().manual_seed(3))
    want = theirs(
        tokens, output_hidden_states=True
    ).hidden_states  # embeddings, blocks, then ln_f of the last
    got = []
    hooks = [model.h[0].register_forward_pre_hook(lambda _, inputs: got.append(inputs[0]))]
    hooks += [
        layer.register_forward_hook(lambda *call: got.append(call[2]))
        for layer in [*model.h[:-1], model.ln_f]
    ]
    model(tokens)
    for hook in hooks:
        hook.remove()
    assert len(got) == len(want) == SIZES["n_layer"] + 1
    for layer, (g, w) in enumerate(zip(got, want)):
        assert largest_difference(g, w) < TOLERANCE, f"after {layer} blocks"


def test_greedy_text_equals_transformers_over_200_tokens(full_pair):
    theirs, model = full_pair
    prompt = torch.randint(50257, (1, 20), generator=torch.Generator().manual_seed(4))
    want = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=200,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, 20:]
    got = torch.cat(list(generate(model, prompt, 200)))
    assert got.tolist() == want.tolist()
    assert len(set(got.tolist())) > 10  # a text of one token over and over would agree too easily


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize(
    "steps", [[24], [1] * 24, [5] + [1] * 19, [5, 1, 7, 3, 8], [23, 1], [1, 23]], ids=str
)
def test_cached_logits_equal_uncached(pair, B, steps):
    _, model = pair
    tokens = torch.randint(311, (B, 24), generator=torch.Generator().manual_seed(5))
    want = model(tokens)
    cache, start = KVCache(model.config, B), 0
    for T in steps:
        got = model(tokens[:, start : start + T], cache)
        start += T
        assert cache.length == start
        assert largest_difference(got, want[:, start - T : start]) < TOLERANCE


def test_last_only_gives_the_last_row(pair):
    _, model = pair
    tokens = torch.randint(311, (3, 9), generator=torch.Generator().manual_seed(6))
    assert largest_difference(model(tokens, last_only=True), model(tokens)[:, -1:]) < 1e-5


def test_generate_is_the_same_with_and_without_a_cache(pair):
    _, model = pair
    tokens = torch.randint(311, (2, 4), generator=torch.Generator().manual_seed(7))
    seen = []

    def spy(logits):
        seen.append(logits)
        return logits.argmax(-1)

    with_cache = torch.stack(list(generate(model, tokens, 30, sampler=spy)), 1)
    logits_with_cache, seen = torch.stack(seen), []
    without = torch.stack(list(generate(model, tokens, 30, sampler=spy, use_cache=False)), 1)
    assert largest_difference(logits_with_cache, torch.stack(seen)) < TOLERANCE
    assert with_cache.tolist() == without.tolist()


def test_a_text_longer_than_n_positions_is_continued_from_its_last_window(pair):
    theirs, model = pair
    tokens = torch.randint(311, (1, 22), generator=torch.Generator().manual_seed(8))
    text = tokens
    for new in generate(model, tokens, 8):  # crosses the 24 positions
        want = theirs(text[:, -24:]).logits[0, -1].argmax()
        assert new.item() == want.item()
        text = torch.cat([text, new[:, None]], 1)
    assert text.shape == (1, 30)


def varied(model):
    """Return a sampler that takes the token whose logit is most above what it usually is in this model."""
    texts = torch.randint(311, (16, 24), generator=torch.Generator().manual_seed(9))
    usual = model(texts).detach().flatten(0, 1)
    return lambda logits: ((logits - usual.mean(0)) / usual.std(0)).argmax(-1)


PROMPTS = [[5, 9, 200], [7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [300, 7]]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("as_tensors", [True, False])
@pytest.mark.parametrize("n", [1, 5, 12, 20])  # the last two: up to the 24 positions, and across them
def test_prompts_of_different_lengths_get_what_each_gets_alone(pair, n, as_tensors, use_cache):
    _, model = pair
    prompts = [torch.tensor(ids, dtype=torch.int32) for ids in PROMPTS] if as_tensors else PROMPTS
    options = {"sampler": varied(model), "use_cache": use_cache}
    got = torch.stack(list(generate(model, prompts, n, **options)), 1)
    assert got.shape == (len(PROMPTS), n)
    for row, ids in zip(got, PROMPTS):
        alone = torch.stack(list(generate(model, torch.tensor([ids]), n, **options)), 1)
        assert row.tolist() == alone[0].tolist()
    assert len(set(got.flatten().tolist())) >= min(n, 3)


@pytest.mark.parametrize("use_cache", [True, False])
def test_prompts_of_different_lengths_are_read_to_the_same_logits_as_alone(pair, use_cache):
    _, model = pair
    seen, pick = [], varied(model)

    def spy(logits):
        seen.append(logits)
        return pick(logits)

    got = torch.stack(list(generate(model, PROMPTS, 12, sampler=spy, use_cache=use_cache)), 1)
    shortest = min(map(len, PROMPTS))
    for i, ids in enumerate(PROMPTS):
        text = torch.tensor([ids + got[i].tolist()])
        want = model(text[:, : text.shape[1] - 1])[0, len(ids) - 1 :]  # one row for each new token
        rows = torch.stack([logits[i] for logits in seen[len(ids) - shortest :]])[:12]
        assert largest_difference(rows, want) < TOLERANCE


def test_each_prompt_ends_at_its_own_stop_token(pair):
    _, model = pair
    pick = varied(model)
    alone = [
        torch.cat(list(generate(model, torch.tensor([ids]), 10, sampler=pick))).tolist() for ids in PROMPTS
    ]
    stop = next(token for token in alone[0][2:] if token not in alone[0][:2])
    got = torch.stack(list(generate(model, PROMPTS, 10, sampler=pick, stop_token=stop)), 1).tolist()
    for row, want in zip(got, alone):
        ended = want.index(stop) + 1 if stop in want else len(want)
        assert row[:ended] == want[:ended][: len(row)] and set(row[ended:]) <= {stop}
    assert list(generate(model, [[stop], [1, stop]], 0)) == []
    both = torch.stack(list(generate(model, [[7, stop, 3], [1]], 2, sampler=pick, stop_token=stop)), 1)
    one = torch.cat(list(generate(model, torch.tensor([[7, stop, 3]]), 2, sampler=pick, stop_token=stop)))
    assert both[0, : len(one)].tolist() == one.tolist()  # a stop token in the prompt ends nothing
