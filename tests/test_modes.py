"""The library in the modes that people are in: gradients on or off, inference mode, copies, other processes."""

import contextlib
import copy
import multiprocessing
import pickle

import pytest
import torch

from conftest import largest
from gpt2lib import (
    GPT2,
    GPT2Config,
    KVCache,
    Sampler,
    TrainingConfig,
    complete,
    from_pretrained,
    generate,
    train,
)
from gpt2lib.tokenizer import Tokenizer

TOKENS = torch.randint(311, (2, 9), generator=torch.Generator().manual_seed(0))
MODES = {
    "gradients": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


def by_pieces(model, tokens, cache, modes):
    """Return the logits of tokens read in three pieces, each piece in a mode of its own."""
    pieces = []
    for part, mode in zip((tokens[:, :4], tokens[:, 4:5], tokens[:, 5:]), modes):
        with MODES[mode]():
            pieces.append(model(part, cache))
    return torch.cat([piece.detach().clone() for piece in pieces], dim=1)


@pytest.mark.parametrize("opened", MODES)
@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("then", MODES)
def test_a_cache_works_in_every_mode_and_across_them(small, opened, first, then):
    want = small(TOKENS).detach()
    for new in (lambda: KVCache(small.config, 2), lambda: small.new_cache(2, 9)):
        with MODES[opened]():
            cache = new()
        assert largest(by_pieces(small, TOKENS, cache, (first, then, first)) - want) < 1e-5
        cache.truncate(3)
        with MODES[then]():
            assert largest(small(TOKENS[:, 3:], cache).detach() - want[:, 3:]) < 1e-5


@pytest.mark.parametrize("opened", MODES)
@pytest.mark.parametrize("read", MODES)
@pytest.mark.parametrize("use_cache", [True, False])
def test_generate_may_be_opened_in_one_mode_and_read_in_another(small, opened, read, use_cache):
    want = torch.stack(list(generate(small, TOKENS, 20)))
    with MODES[opened]():
        steps = generate(small, TOKENS, 20, use_cache=use_cache)
        got = [next(steps)]
    for i, step in enumerate(steps):  # in no mode, then in another one
        got.append(step)
        if i == 3:
            break
    with MODES[read]():
        got += steps
    assert torch.equal(torch.stack(got), want)


def test_gradients_through_a_cache_are_those_without_one(small):
    small(TOKENS).logsumexp(-1).sum().backward()
    want = {name: weight.grad.clone() for name, weight in small.named_parameters()}
    small.zero_grad()
    small(TOKENS, KVCache(small.config, 2)).logsumexp(-1).sum().backward()
    for name, weight in small.named_parameters():
        assert torch.allclose(weight.grad, want[name], atol=1e-4, rtol=1e-4), name


def test_earlier_tokens_in_a_cache_count_as_constants(small):
    cache = KVCache(small.config, 2)
    small(TOKENS[:, :6], cache)
    small(TOKENS[:, 6:], cache).sum().backward()  # neither an error nor a graph that grows with each step
    old, new = small.wpe.weight.grad[:6], small.wpe.weight.grad[6:9]
    assert old.abs().max() == 0 and new.abs().max() > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_was_loaded_in_any_mode_can_be_trained(saved, mode):
    with MODES[mode]():
        model, _ = from_pretrained(saved)
    model(TOKENS).logsumexp(-1).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("made", MODES)
@pytest.mark.parametrize("mode", MODES)
def test_training_works_in_every_mode(made, mode):
    with MODES[made]():
        model = GPT2(GPT2Config(311, 24, 12, 1, 3))
    with MODES[mode]():
        losses = [
            p.loss for p in train(model, TOKENS.flatten(), TrainingConfig(20, 4, 8, 0.01, warmup_steps=0))
        ]
    assert losses[-1] < losses[0]


def test_a_forward_pass_needs_no_values(small):
    want = small(TOKENS).shape
    meta = copy.deepcopy(small).to("meta")
    assert meta(TOKENS.to("meta")).shape == meta(TOKENS.to("meta"), meta.new_cache(2)).shape == want

    def loss(weights, tokens):
        return torch.func.functional_call(small, weights, (tokens[None],)).logsumexp(-1).sum()

    weights = {name: weight.detach() for name, weight in small.named_parameters()}
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, TOKENS)["wpe.weight"]
    assert (
        largest(
            each.sum(0)
            - torch.func.grad(lambda w: loss(w, TOKENS[0]) + loss(w, TOKENS[1]))(weights)["wpe.weight"]
        )
        < 1e-3
    )


def test_a_compiled_step_is_not_compiled_again_for_every_token(small):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(small, backend=backend, dynamic=True, fullgraph=True)
    cache, want = small.new_cache(2), small(TOKENS).detach()
    with torch.no_grad():
        got = [compiled(TOKENS[:, i : i + 1], cache) for i in range(9)]
    assert largest(torch.cat(got, dim=1) - want) < 1e-5 and len(graphs) <= 4
    torch.compiler.reset()


def ways_to_copy():
    return [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]


@pytest.mark.parametrize("again", ways_to_copy(), ids=["copy", "deepcopy", "pickle"])
def test_everything_public_can_be_copied_and_pickled(small, again):
    tokenizer = Tokenizer.train("the cat sat on the mat " * 3, 270)
    assert again(tokenizer).encode("the mat sat") == tokenizer.encode("the mat sat")
    assert again(tokenizer).merges == tokenizer.merges
    assert again(small.config) == small.config
    assert largest(again(small)(TOKENS) - small(TOKENS)) < 1e-5
    for with_gradients in (True, False):
        cache = KVCache(small.config, 2)
        with torch.set_grad_enabled(with_gradients):
            small(TOKENS[:, :6], cache)
            other = again(cache)
            assert largest(small(TOKENS[:, 6:], other) - small(TOKENS)[:, 6:]) < 1e-5


@pytest.mark.parametrize("again", ways_to_copy()[1:], ids=["deepcopy", "pickle"])
def test_a_copied_sampler_goes_on_where_the_original_was(again):
    sampler = Sampler(0.9, top_k=40, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(4, 60, generator=torch.Generator().manual_seed(1))
    sampler(logits)
    other = again(sampler)
    assert [other(logits).tolist() for _ in range(5)] == [sampler(logits).tolist() for _ in range(5)]


def greedy_text(model, tokenizer):
    return complete(model, tokenizer, "the cat", 5)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_processes_get_tokenizer_and_model(small, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    tokenizer = Tokenizer.train("the cat sat on the mat " * 3, 270)
    texts = ["the cat", "a mat", "", "sat 🙂"]
    want = [tokenizer.encode(text) for text in texts]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(tokenizer.encode, texts) == want
        assert pool.map(tokenizer.decode, want) == texts
        if method == "spawn":  # torch's threads do not survive a fork
            assert pool.apply(greedy_text, (small, tokenizer)) == greedy_text(small, tokenizer)


def test_ids_of_32_bits_are_fine_everywhere(small):
    short = TOKENS.int()
    for cache in (None, small.new_cache(2)):
        assert largest(small(short, cache) - small(TOKENS)) < 1e-5
    want = torch.stack(list(generate(small, TOKENS, 30)))
    assert torch.equal(torch.stack(list(generate(small, short, 30))), want)
    model = GPT2(GPT2Config(262, 24, 12, 1, 3))
    tokenizer = Tokenizer.train("the cat sat on the mat " * 3, 262)
    assert tokenizer.decode(torch.tensor(tokenizer.encode("the cat"), dtype=torch.int32)) == "the cat"
    assert complete(model, tokenizer, "the", 3, sampler=lambda logits: logits.argmax(-1).int())


def test_the_tests_of_the_library_run_with_gradients():
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
