"""Bad input at every public edge: what was given, what is allowed, and nothing is lost."""

import math

import numpy as np
import pytest
import torch

from conftest import SIZES, largest
from gpt2lib import (
    GPT2,
    GPT2Config,
    KVCache,
    Sampler,
    causal_mask,
    complete,
    fast,
    generate,
    greedy,
    save_pretrained,
)
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


def test_a_full_cache_is_refused_and_stays_as_it_was(small):
    cache = KVCache(small.config, 1, max_length=6)
    small(tokens(T=5), cache)
    before = [layer.k[:, :, :5].detach().clone() for layer in cache.layers]
    with pytest.raises(ValueError, match="7 tokens.*5 so far.*room for 6"):
        small(tokens(T=2), cache)
    assert cache.length == 5
    assert all(torch.equal(layer.k[:, :, :5], old) for layer, old in zip(cache.layers, before))
    small(tokens(T=1), cache)
    assert cache.length == 6


def test_a_cache_of_another_batch_size_is_refused(small):
    with pytest.raises(ValueError, match="B=2"):
        small(tokens(B=3), KVCache(small.config, 2))


def test_a_cache_of_another_model_is_refused(small):
    with pytest.raises(ValueError, match="H=2"):
        small(tokens(), KVCache(GPT2Config(**SIZES | {"n_head": 2}), 1))


class Batch(list):
    """A list by another name."""


NOT_TOKENS = {
    "a list": ([1, 2], "list.*torch.tensor"),
    "rows": ([[1, 2], [3, 4]], "list.*torch.tensor"),
    "a tuple": ((1, 2), "tuple.*torch.tensor"),
    "another list": (Batch([1]), "Batch.*torch.tensor"),
    "arrays of different lengths": ([np.ones(3, int), np.ones(5, int)], "3, 5 tokens.*one text at a time"),
    "tensors of nothing": ([torch.tensor(1)], "list.*torch.tensor"),
    "an array": (np.ones((1, 4), dtype=int), "ndarray.*torch.tensor"),
    "a number": (5, "int.*torch.tensor"),
    "nothing": (None, "NoneType.*torch.tensor"),
    "a text": ("some text", "str.*tokenizer.encode"),
    "texts": (["a", "b"], "list.*tokenizer.encode"),
    "texts of different lengths": ([[1, 2], [3]], "2, 1 tokens.*one text at a time"),
    "tensors of different lengths": ([torch.ones(3).long(), torch.ones(5).long()], "3, 5 tokens.*one text at a time"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_TOKENS)
def test_what_is_no_tensor_of_ids_is_refused_with_what_to_pass(small, case):
    given, reason = NOT_TOKENS[case]
    uses = [small, lambda given: small(given, small.new_cache())]
    if "tensors" not in case and case not in ("rows", "texts of different lengths"):  # prompts for generate
        uses.append(lambda given: generate(small, given, 3))
    for use in uses:
        with pytest.raises(TypeError, match=reason):
            use(given)


NOT_PROMPTS = {
    "none at all": ([], TypeError, "torch.tensor"),
    "an empty one": ([[1, 2], []], ValueError, "at least one token"),
    "texts in lists": ([["a"], ["b", "c"]], TypeError, "tensor of ids"),
    "a text among them": ([[1, 2], "a"], TypeError, "tokenizer.encode"),
    "one too long": ([[1], [1] * 25], ValueError, "25 tokens.*at most 24"),
    "an unknown id": ([[1], [2, 311]], ValueError, "0 to 310"),
    "floats": ([torch.ones(2), torch.ones(3)], ValueError, r"tokens\.long\(\)"),
    "batches": ([torch.ones(1, 2).long(), torch.ones(1, 3).long()], ValueError, r"\(B, T\)"),
}


@pytest.mark.parametrize("case", NOT_PROMPTS)
def test_what_is_no_list_of_prompts_is_refused_at_the_call(small, case):
    given, error, reason = NOT_PROMPTS[case]
    with pytest.raises(error, match=reason):
        generate(small, given, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.uint32])
def test_whole_numbers_of_another_dtype_get_the_way_to_convert_them(small, dtype):
    with pytest.raises(ValueError, match=r"tokens\.long\(\)"):
        small(tokens().to(dtype))


GENERATION = {
    "max_new_tokens is 2.0": {"max_new_tokens": 2.0},
    "max_new_tokens is '5'": {"max_new_tokens": "5"},
    "max_new_tokens is None": {"max_new_tokens": None},
    "sampler is 0.8.*Sampler": {"sampler": 0.8},
    "model is a str": {"model": "gpt2"},
    "model is a DataParallel.*model.module": {"model": torch.nn.DataParallel(torch.nn.Linear(1, 1))},
    "model is a Linear": {"model": torch.nn.Linear(1, 1)},
}


@pytest.mark.parametrize("reason", GENERATION)
def test_arguments_of_another_kind_are_refused_at_once(small, reason):
    options = {"model": small, "max_new_tokens": 3} | GENERATION[reason]
    with pytest.raises(TypeError, match=reason):
        generate(tokens=tokens(), **options)
    with pytest.raises(TypeError, match=reason):
        complete(tokenizer=Tokenizer.train("a b", 258), prompt="a", **options)


@pytest.mark.parametrize("stop_token", [[1, 2], "x", 1.0, torch.tensor([1, 2])])
def test_a_stop_token_is_one_id(small, stop_token):
    with pytest.raises(TypeError, match="stop_token.*one id"):
        generate(small, tokens(), 3, stop_token=stop_token)


@pytest.mark.parametrize("prompt", [["a", "b"], b"a", 5, None, torch.tensor([[1]])])
def test_complete_takes_one_text(small, prompt):
    with pytest.raises(TypeError, match="one text"):
        complete(small, Tokenizer.train("a b", 258), prompt)


@pytest.mark.parametrize("tokenizer", [None, "gpt2", object(), Tokenizer.train("a b", 258).to_tiktoken()])
def test_a_tokenizer_of_another_kind_is_refused(small, tmp_path, tokenizer):
    for use in (lambda: complete(small, tokenizer, "a"), lambda: save_pretrained(small, tokenizer, tmp_path)):
        with pytest.raises(TypeError, match=f"tokenizer is a {type(tokenizer).__name__}.*Tokenizer.load"):
            use()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("config", ["gpt2", {"n_layer": 3}, None, 12], ids=repr)
def test_a_model_is_made_of_a_config(config):
    with pytest.raises(TypeError, match="GPT2Config.*from_pretrained"):
        GPT2(config)


def test_a_cache_is_made_of_a_config(small):
    for config in (small, "gpt2", None):
        with pytest.raises(TypeError, match="KVCache takes the model's config"):
            KVCache(config)


@pytest.mark.parametrize(
    "sampler", [greedy, Sampler(), Sampler(0.8, top_k=5), Sampler(top_p=0.9), Sampler(0)]
)
def test_a_damaged_model_writes_nothing(small, sampler):
    small.wpe.weight.data[1, 3] = float("nan")
    with pytest.raises(ValueError, match="NaN.*earlier checkpoint"):
        next(generate(small, tokens(), 3, sampler=sampler))
    for bad, places in ((math.nan, 3), (math.inf, 3), (-math.inf, slice(None))):
        logits = torch.zeros(2, 9)
        logits[1, places] = bad
        with pytest.raises(ValueError, match=f"largest logit is {bad}"):
            sampler(logits)


@pytest.mark.parametrize(
    "t, p, dtype", [(1e-30, 1, torch.float32), (1e-4, 1, torch.float16), (1, 1e-300, torch.float32)]
)
def test_a_setting_too_small_for_the_logits_is_refused(t, p, dtype):
    with pytest.raises(ValueError, match=f"temperature is {t} and top_p {p}.*{dtype}.*0 for greedy"):
        Sampler(t, top_p=p)(torch.tensor([[1.0, 30 if dtype == torch.float16 else 1e9]], dtype=dtype))


SAMPLERS = {
    r"int64 \(\)": lambda logits: logits.argmax(),
    r"int64 \(1, 1\)": lambda logits: logits.argmax(-1, keepdim=True),
    r"float32 \(1,\)": lambda logits: logits.max(-1).values,
    "list": lambda logits: logits.argmax(-1).tolist(),
    "NoneType": print,
}


@pytest.mark.parametrize("returned", SAMPLERS)
def test_a_sampler_that_returns_no_ids_is_told_what_to_return(small, returned):
    for prompts in (tokens(), [[1]]):
        with pytest.raises(TypeError, match=rf"sampler returned .*{returned}.*argmax\(dim=-1\)"):
            list(generate(small, prompts, 2, sampler=SAMPLERS[returned]))


def test_sizes_of_numpy_are_taken_wherever_a_whole_number_is(small):
    assert len(list(generate(small, tokens(), np.int64(3), stop_token=np.int64(99)))) == 3
    cache = small.new_cache(np.int64(2), np.int32(9))
    small(tokens(2), cache)
    cache.truncate(np.int64(1))
    assert cache.length == 1 and cache[0].k.shape == (2, 3, 9, 8)


def test_a_step_that_was_interrupted_can_be_taken_back(small, monkeypatch):
    cache, want = small.new_cache(), small(tokens(T=5))
    small(tokens(T=3), cache)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(small.h[1].mlp, "forward", lambda x: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            small(tokens(T=2), cache)
    for model in (small, fast(small)):
        with pytest.raises(ValueError, match=r"3 to 5 tokens.*cache\.truncate\(3\)"):
            model(tokens(T=2), cache)
    cache.truncate(3)
    assert largest(small(tokens(T=2), cache) - want[:, 3:]) < 1e-4


def test_a_cache_that_cannot_be_is_refused(small):
    for length in (1.0, "1", -1, 5, None):
        with pytest.raises(ValueError, match=f"length is {length!r}.*0 to 0"):
            small.new_cache().truncate(length)
    with pytest.raises(ValueError, match="batch_size is 0"):
        KVCache(small.config, 0)
    for length in (0, 25, 8.0, "8"):
        with pytest.raises(ValueError, match=f"max_length is {length!r}.*24"):
            KVCache(small.config, 1, max_length=length)
        with pytest.raises(ValueError, match=f"max_length is {length!r}.*24"):
            small.new_cache(1, length)


@pytest.mark.parametrize(
    "sizes, reason",
    [
        ({"n_embd": 770}, "770.*12"),
        ({"n_head": 0}, "n_head is 0"),
        ({"n_layer": -1}, "n_layer is -1"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"n_positions": 1.5}, "n_positions is 1.5"),
        ({"n_layer": True}, "n_layer is True"),
        ({"n_layer": "12"}, "n_layer is '12'"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
        ({"layer_norm_epsilon": math.inf}, "layer_norm_epsilon is inf"),
        ({"layer_norm_epsilon": math.nan}, "layer_norm_epsilon is nan"),
        ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon is '1e-5'"),
        ({"layer_norm_epsilon": None}, "layer_norm_epsilon is None"),
    ],
)
def test_sizes_that_no_gpt2_can_have_are_refused(sizes, reason):
    with pytest.raises(ValueError, match=reason):
        GPT2Config(**sizes)


def test_sizes_may_be_numbers_of_numpy():
    config = GPT2Config(n_embd=np.int64(24), n_head=np.int32(3), embd_pdrop=np.float32(0.5))
    assert config == GPT2Config(n_embd=24, n_head=3, embd_pdrop=0.5)
    assert {type(value) for value in vars(config).values()} == {int, float}  # which JSON can hold


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
