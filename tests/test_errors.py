"""Bad input at every public edge: what was given, what is allowed, and nothing is lost."""

import pytest
import torch

from conftest import SIZES
from gpt2lib import GPT2Config, KVCache, causal_mask, complete, generate
from gpt2lib.tokenizer import Tokenizer


def tokens(B=1, T=4, dtype=torch.int64):
    return torch.ones(B, T, dtype=dtype)


def test_too_long_a_text_is_refused_with_both_numbers(small):
    with pytest.raises(ValueError, match="25.*24"):
        small(tokens(T=25))


def test_too_long_a_prompt_is_refused(small):
    tokenizer = Tokenizer.train("a b c", 258)
    with pytest.raises(ValueError, match="30 tokens.*24.*shorten"):
        complete(small, tokenizer, "x" * 30)
    with pytest.raises(ValueError, match="25.*24"):
        generate(small, tokens(T=25), 1)


def test_an_empty_prompt_is_refused(small):
    with pytest.raises(ValueError, match="empty"):
        complete(small, Tokenizer.train("a b", 258), "")
    with pytest.raises(ValueError, match=r"\(1, 0\)"):
        generate(small, tokens(T=0), 1)


@pytest.mark.parametrize("bad", [-1, 311])
def test_ids_out_of_range_are_refused(small, bad):
    given = tokens()
    given[0, 2] = bad
    with pytest.raises(ValueError, match=f"{bad}.*310"):
        small(given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8, torch.int16])
def test_ids_of_a_wrong_dtype_are_refused(small, dtype):
    with pytest.raises(ValueError, match=str(dtype)):
        small(tokens(dtype=dtype))


def test_int32_ids_are_fine(small):
    assert torch.allclose(small(tokens(dtype=torch.int32)), small(tokens()), atol=1e-4)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 1), (), (0, 4)])
def test_ids_of_a_wrong_shape_are_refused(small, shape):
    with pytest.raises(ValueError, match="shape"):
        small(torch.ones(shape, dtype=torch.int64))


@torch.no_grad()
def test_a_full_cache_is_refused_and_stays_as_it_was(small):
    cache = KVCache(small.config, 1, max_length=6)
    small(tokens(T=5), cache)
    before = [layer.k[:, :, :5].clone() for layer in cache.layers]
    with pytest.raises(ValueError, match="5 tokens.*2 more.*6"):
        small(tokens(T=2), cache)
    assert cache.length == 5
    assert all(torch.equal(layer.k[:, :, :5], old) for layer, old in zip(cache.layers, before))
    small(tokens(T=1), cache)
    assert cache.length == 6


@torch.no_grad()
def test_a_cache_of_another_batch_size_is_refused(small):
    with pytest.raises(ValueError, match="B=2"):
        small(tokens(B=3), KVCache(small.config, 2))


@torch.no_grad()
def test_a_cache_of_another_model_is_refused(small):
    with pytest.raises(ValueError, match="H=2"):
        small(tokens(), KVCache(GPT2Config(**SIZES | {"n_head": 2}), 1))


def test_a_cache_that_cannot_be_is_refused(small):
    with pytest.raises(ValueError, match="batch_size is 0"):
        KVCache(small.config, 0)
    for length in (0, 25):
        with pytest.raises(ValueError, match=f"max_length is {length}.*24"):
            KVCache(small.config, 1, max_length=length)


@pytest.mark.parametrize(
    "sizes, reason",
    [
        ({"n_embd": 770}, "770.*12"),
        ({"n_head": 0}, "n_head is 0"),
        ({"n_layer": -1}, "n_layer is -1"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"n_positions": 1.5}, "n_positions is 1.5"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
    ],
)
def test_sizes_that_no_gpt2_can_have_are_refused(sizes, reason):
    with pytest.raises(ValueError, match=reason):
        GPT2Config(**sizes)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="gpt3.*gpt2-xl"):
        GPT2Config.preset("gpt3")


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        GPT2Config().n_head = 3


def test_more_new_tokens_than_seen_ones_are_refused():
    with pytest.raises(ValueError, match="T is 3 and S is 2"):
        causal_mask(3, 2)


def test_a_negative_number_of_new_tokens_is_refused(small):
    with pytest.raises(ValueError, match="max_new_tokens is -1"):
        generate(small, tokens(), -1)
    assert list(generate(small, tokens(), 0)) == []


@torch.no_grad()
def test_generation_stops_when_every_text_has_ended(small):
    plan = iter([[5, 7], [9, 5], [1, 1]])

    def sampler(logits):
        assert logits.shape == (2, 311)
        return torch.tensor(next(plan))

    steps = [step.tolist() for step in generate(small, tokens(B=2), 10, sampler=sampler, stop_token=5)]
    assert steps == [[5, 7], [5, 5]]


def test_complete_leaves_the_end_of_text_out(small):
    tokenizer = Tokenizer.train("a b", 258)
    ids = iter([ord("h") - 33, ord("i") - 33, tokenizer.end_of_text, 0])
    text = complete(small, tokenizer, "a", 10, sampler=lambda logits: torch.tensor([next(ids)]))
    assert text == "ahi"
    text = complete(small, tokenizer, "<|endoftext|>", 1, sampler=lambda logits: torch.tensor([0]))
    assert text == "<|endoftext|>!"


def test_complete_joins_characters_that_span_tokens(small):
    tokenizer = Tokenizer.train("a b", 258)
    ids = iter(tokenizer.encode("🙂"))
    assert complete(small, tokenizer, "a", 4, sampler=lambda logits: torch.tensor([next(ids)])) == "a🙂"
