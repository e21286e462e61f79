"""gpt2lib.fast: the same model, on this processor and on one that has none of the private operators."""

import copy
import importlib
import math
import shutil

import pytest
import torch
from quality import by_way_of_a_cache, passes, rounding, with_outliers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from conftest import shake
from gpt2lib import (
    GPT2,
    GPT2Config,
    KVCache,
    attend,
    causal_mask,
    complete,
    from_pretrained,
    generate,
    save_pretrained,
)

module = importlib.import_module("gpt2lib.fast")
fast, quantize_rows, quantized_linear = module.fast, module.quantize_rows, module.quantized_linear
LIMIT = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 3e-2, "int8": 3e-2}  # relative error of the logits
PRIVATE = ("onednn", "onednn_bfloat16", "fbgemm_float16", "fbgemm_int8", "aten_int8")


def within_bounds(model, weights, tokens):
    """Return whether the gate of benchmarks/quality.py lets these weights through."""
    return passes(weights, *rounding(model, by_way_of_a_cache(fast(model, weights)), tokens))


def error(got, want):
    return ((got - want).norm() / want.norm()).item()


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocab_size=311, n_positions=40, n_embd=48, n_layer=3, n_head=3))
    shake(model)
    return model.eval()


def without(monkeypatch, *names):
    """Let this torch have none of these ways to multiply."""

    def missing(weight, bias):
        raise RuntimeError("not on this processor")

    gone = [getattr(module, name) for name in names]
    for weights, makers in module.MAKERS.items():
        left = tuple(missing if make in gone else make for make in makers)
        monkeypatch.setitem(module.MAKERS, weights, left)
    for name in names:
        monkeypatch.setattr(module, name, missing)


def int8_product(weight, bias, x=None):
    """Return the product that int8 takes for a weight, tried on x."""
    if x is None:
        x = torch.randn(16, weight.shape[1], generator=torch.Generator().manual_seed(9))
    return module.first_that_suits(module.MAKERS["int8"], weight, bias, x)


def way(product):
    return product.__qualname__.split(".")[0]


@pytest.fixture(params=["this processor", "no private operators"])
def processor(request, monkeypatch):
    if request.param == "no private operators":
        without(monkeypatch, *PRIVATE)


@pytest.mark.parametrize("weights", LIMIT)
def test_logits_are_those_of_the_plain_model(model, processor, weights):
    tokens = torch.randint(311, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = model(tokens)
        quick = fast(model, weights)
        assert error(quick(tokens), want) < LIMIT[weights]
        assert error(quick(tokens[:1, :1]), want[:1, :1]) < LIMIT[weights]  # one row takes another way
        assert error(quick(tokens, last_only=True), want[:, -1:]) < LIMIT[weights]
        for dtype in (quick.cache_dtype, torch.float32, torch.bfloat16):
            cache = KVCache(model.config, 2, dtype=dtype)
            parts = [quick(part, cache) for part in tokens.split([2, 1, 1, 35, 1], dim=1)]
            limit = max(LIMIT[weights], 3e-2 * (dtype == torch.bfloat16))
            assert error(torch.cat(parts, dim=1), want) < limit


@pytest.mark.parametrize("weights", LIMIT)
def test_it_gives_no_gradient_and_leaves_the_model_alone(model, weights):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    logits = fast(model, weights)(torch.tensor([[1, 2, 3]]))
    assert not logits.requires_grad
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("T, S", [(1, 1), (6, 6), (7, 20), (33, 33), (1, 9), (40, 64)])
def test_attention_in_bfloat16_is_attention(T, S):
    q, k, v = (torch.randn(2, 3, n, 16, generator=torch.Generator().manual_seed(n)) for n in (T, S, S + 1))
    v = v[:, :, 1:]
    want = attend(q, k, v, causal_mask(T, S))
    for rows in (4, 128):
        got = module.attend_in_bfloat16(q, k, v, rows)
        assert got.dtype == torch.float32 and error(got, want) < 0.01
        k[:, :, S - T + 1 :] += 1  # later keys change later results only
        v[:, :, S - T + 1 :] += 50
        again = module.attend_in_bfloat16(q, k, v, rows)
        assert torch.allclose(again[:, :, 0], got[:, :, 0], atol=0.05)
        want = attend(q, k, v, causal_mask(T, S))


def test_int8_attends_to_many_tokens_in_bfloat16_where_the_processor_is_quick_at_it(model, monkeypatch):
    seen, real = [], module.attend_in_bfloat16
    monkeypatch.setattr(
        module, "attend_in_bfloat16", lambda q, k, v: seen.append(q.shape[2]) or real(q, k, v)
    )
    for quick_at_it, want in [(True, [40, 40, 40]), (False, [])]:
        monkeypatch.setattr(module, "multiplies_bfloat16", lambda: quick_at_it)  # noqa: B023
        seen.clear()
        tokens = torch.randint(311, (1, 40), generator=torch.Generator().manual_seed(1))
        for weights in LIMIT:
            fast(model, weights)(tokens)
        fast(model, "int8")(tokens[:, :9])
        assert seen == want


class Calls(TorchDispatchMode):
    """Note every operator that is called, with the dtypes of what it returns."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        self.seen.append(
            (str(operator), [part.dtype for part in tree_leaves(result) if torch.is_tensor(part)])
        )
        return result


@pytest.mark.parametrize("weights", LIMIT)
def test_autocast_changes_nothing(model, weights):
    tokens = torch.randint(311, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, quick = model(tokens), fast(model, weights)
    with Calls() as plain:
        quick(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with Calls() as casting:
            quick(tokens)
        assert error(fast(model, weights)(tokens), want) < LIMIT[weights]  # nor does it while one is made
    assert casting.seen == plain.seen


@pytest.mark.parametrize("weights", LIMIT)
def test_generate_opens_the_cache_that_suits(model, weights, monkeypatch):
    generation, opened = importlib.import_module("gpt2lib.generation"), []
    monkeypatch.setattr(
        generation, "KVCache", lambda *args, **options: opened.append(KVCache(*args, **options)) or opened[-1]
    )
    quick = fast(model, weights)
    assert len(list(generate(quick, torch.tensor([[1, 2, 3]]), 4))) == 4
    [cache] = opened
    assert cache.length == 6
    assert cache[0].k.dtype == (torch.float32 if weights == "float32" else torch.float16)


def test_keys_too_large_for_float16_are_kept_in_float32(model):
    with torch.no_grad():
        model.h[1].attn.c_attn.weight *= 1e5
    quick = fast(model, "float16")
    assert quick.cache_dtype == torch.float32
    cache = KVCache(model.config, dtype=quick.cache_dtype)
    assert quick(torch.tensor([[1, 2, 3]]), cache).isfinite().all()


def test_greedy_text_in_float32_is_the_same():
    model, tokenizer = from_pretrained("tales")
    want = complete(model, tokenizer, "Once upon a time", 60)
    assert complete(fast(model), tokenizer, "Once upon a time", 60) == want
    tokens = torch.tensor([tokenizer.encode("The king said")])
    assert len(list(generate(fast(model, "int8"), tokens, 5))) == 5


def test_a_model_that_came_from_a_file_is_read_transposed(model, tmp_path, gpt2_tokenizer):
    save_pretrained(model, gpt2_tokenizer, tmp_path)
    loaded, _ = from_pretrained(tmp_path)
    assert not loaded.h[0].mlp.c_fc.weight.is_contiguous()  # as stored: nothing was copied
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        for weights, limit in LIMIT.items():
            assert error(fast(loaded, weights)(tokens), model(tokens)) < limit


def test_the_layout_of_a_weight_does_not_cost_the_quick_operator(monkeypatch):
    weight, bias = torch.randn(64, 96).t(), torch.zeros(96)
    assert way(int8_product(weight, bias)) == way(int8_product(weight.contiguous(), bias))
    without(monkeypatch, "fbgemm_int8")
    assert way(int8_product(weight, bias)) == way(int8_product(weight.contiguous(), bias))


TALE = (
    "Once upon a time there was a poor woodcutter who lived at the edge of a great forest with his wife and his "
    "seven sons. One winter, when the snow lay deep and there was no bread in the house, the youngest said: "
    "Father, let me go out into the world and seek my fortune. So the mother gave him her blessing and a loaf, "
    "and he walked until it grew dark and he came to a little hut in which there burned a light. "
)


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_quality_on_the_trained_model(weights):
    model, tokenizer = from_pretrained("tales")
    assert within_bounds(model, weights, torch.tensor([(tokenizer.encode(TALE) * 6)[:512]]).view(2, 256))


def outliers():
    torch.manual_seed(2)
    model = with_outliers(GPT2(GPT2Config(n_layer=4)).eval())
    return model, torch.randint(50257, (2, 128), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_quality_with_outlier_channels(weights):
    model, tokens = outliers()
    assert within_bounds(model, weights, tokens)


def test_int8_that_is_not_tried_would_fail(monkeypatch):
    monkeypatch.setattr(module, "NEAR", math.inf)
    model, tokens = outliers()
    assert not within_bounds(model, "int8", tokens)


def test_vectors_with_outliers_go_in_as_bfloat16_and_weights_with_outliers_stay_float16():
    generator = torch.Generator().manual_seed(7)
    weight, x = torch.randn(96, 768, generator=generator), torch.randn(16, 768, generator=generator)
    bias, large = torch.zeros(96), torch.ones(768)
    large[5] = 60
    assert way(int8_product(weight, bias, x)) in ("fbgemm_int8", "aten_int8", "plain_int8")
    assert way(int8_product(weight, bias, x * large)) in ("aten_int8", "plain_int8")
    assert "float16" in way(int8_product(weight * large, bias, x))


def test_a_product_is_tried_on_single_vectors_and_on_several():
    def wrong_for_one(weight, bias):
        return lambda x: x @ weight.T + bias if len(x) > 1 else 1.1 * (x @ weight.T) + bias

    def wrong_for_several(weight, bias):
        return lambda x: x @ weight.T + bias if len(x) == 1 else 1.1 * (x @ weight.T) + bias

    def wrong_for_small_ones(weight, bias):
        return lambda x: (x + 0.1) @ weight.T + bias

    weight, bias, x = torch.randn(6, 5), torch.randn(6), torch.randn(10, 5)
    x[::2] *= 1000
    for wrong in (wrong_for_one, wrong_for_several, wrong_for_small_ones):
        assert way(module.first_that_suits((wrong, module.plain), weight, bias, x)) == "plain"


def test_weights_too_large_for_float16_stay_float32_and_the_model_stays_as_it_is(model):
    weight = model.h[1].mlp.c_fc.weight
    with torch.no_grad():
        weight[3, 5] = 1e5
        tokens, before = torch.tensor([[1, 2, 3]]), weight.clone()
        assert error(fast(model, "float16")(tokens), model(tokens)) < LIMIT["float16"]
    assert torch.equal(weight, before)


@pytest.mark.parametrize("threads", [1, 2, 16, 64])
@pytest.mark.parametrize("N", [48, 1733 * 29, 311])
def test_one_row_is_multiplied_in_parts_for_any_number_of_threads(monkeypatch, threads, N):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    weight, bias, x = torch.randn(N, 8), torch.randn(N), torch.randn(1, 8)
    seen = []
    multiply = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda b, w, x: seen.append(len(w)) or multiply(b, w, x))
    assert torch.allclose(module.float32_in_parts(weight, bias)(x), x @ weight.T + bias, atol=1e-5)
    assert seen == [{48: {1: 2, 2: 4, 16: 48, 64: 48}[threads], 1733 * 29: 29, 311: 1}[N]]


def test_no_hook_stays_on_a_model_that_fails(model):
    model.h[2].mlp = None
    with pytest.raises(TypeError):
        fast(model)
    assert not any(part._forward_hooks for part in model.modules())


def test_the_shortlisted_are_exact_and_the_others_as_they_were():
    x, weight = torch.randn(3, 8), torch.randn(50, 8)
    rough = x @ weight.T + 0.01 * torch.randn(3, 50)
    got = module.shortlisted(lambda x: rough.clone(), weight, 10)(x)
    listed = torch.zeros(3, 50, dtype=torch.bool).scatter_(1, rough.topk(10).indices, True)
    assert torch.allclose(got[listed], (x @ weight.T)[listed], atol=1e-5)
    assert torch.equal(got[~listed], rough[~listed])
    assert module.shortlisted(lambda x: x @ weight.T, weight)(x).shape == (3, 50)  # fewer tokens than places


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_the_largest_logits_are_made_in_float32(model, weights):
    quick = fast(model, weights)
    x = torch.randn(1, 3, model.config.n_embd)
    exact, got = x @ model.wte.weight.T, quick.head(x)
    best = got.topk(5).indices
    assert torch.allclose(got.gather(-1, best), exact.gather(-1, best), atol=1e-5)
    assert not torch.allclose(got, exact, atol=1e-5)


def test_quantized_rows_are_off_by_half_a_scale_at_most():
    weight = torch.randn(30, 50, generator=torch.Generator().manual_seed(5))
    weight[3] = 0
    numbers, scale = quantize_rows(weight)
    assert numbers.dtype == torch.int8 and scale[3] == 1
    assert ((numbers * scale[:, None] - weight).abs() <= scale[:, None] * 0.5001).all()


@pytest.mark.parametrize("rows", [1, 16, 17, 100])
def test_int8_products_are_off_by_the_rounding_alone(rows, processor):
    generator = torch.Generator().manual_seed(6)
    x, weight = torch.randn(rows, 64, generator=generator), torch.randn(96, 64, generator=generator)
    bias = torch.randn(96, generator=generator)
    numbers, scale = quantize_rows(weight)
    want = x.double() @ (numbers * scale.double()[:, None]).T + bias
    assert torch.allclose(quantized_linear(x, numbers, scale, bias), want.float(), atol=1e-4)
    for make in ("fbgemm_int8", "aten_int8", "plain_int8"):
        try:
            product = getattr(module, make)(weight, bias)
        except (AttributeError, NotImplementedError, RuntimeError):
            continue  # not in this torch
        got = product(x)
        assert got.dtype == torch.float32 and error(got, want) < 0.015, make  # a vector's numbers have 8 bits
    got = int8_product(weight, bias)(torch.full((rows, 64), 0.3))  # nothing to stretch
    assert torch.allclose(got, 0.3 * (numbers * scale[:, None]).sum(1) + bias, atol=0.2)


def test_int8_without_bfloat16_in_the_processor(monkeypatch):
    without(monkeypatch, "fbgemm_int8")
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: False)
    x, weight, bias = torch.randn(40, 64), torch.randn(96, 64), torch.randn(96)
    numbers, scale = quantize_rows(weight)
    assert torch.allclose(int8_product(weight, bias)(x), quantized_linear(x, numbers, scale, bias), atol=1e-4)


def test_unknown_weights_and_other_dtypes_are_refused(model):
    with pytest.raises(ValueError, match="int4.*choose one of float32, float16, bfloat16, int8"):
        fast(model, "int4")
    with pytest.raises(ValueError, match="starts from float32"):
        fast(model.half())
    with pytest.raises(ValueError, match="starts from float32"):
        fast(model.to("meta"))


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here")
def test_the_way_beside_a_cpu(model, monkeypatch, tmp_path):
    """Made fast on the meta device, as on a GPU, and then brought here to compute."""
    monkeypatch.setenv(
        "TORCHINDUCTOR_CACHE_DIR", str(tmp_path)
    )  # code for another processor may lie in the usual one
    quick = fast(copy.deepcopy(model).to("meta"), "float32")
    quick.to_empty(device="cpu").load_state_dict(model.state_dict())
    compare(quick, model, 7, 10)
    with torch.compiler.set_stance("fail_on_recompile"):  # a text of another length asks for no new code
        compare(quick, model, 9, 20)


def compare(quick, model, length, new):
    """Read a prompt and then token by token, as generation does; the logits must be those of the model."""
    tokens = torch.randint(311, (2, length + new), generator=torch.Generator().manual_seed(length))
    cache = KVCache(model.config, 2)
    with torch.no_grad():
        parts = [quick(part, cache, last_only=True) for part in tokens.split([length, *[1] * new], dim=1)]
        assert error(torch.cat(parts, dim=1), model(tokens)[:, length - 1 :]) < 1e-5


@pytest.mark.parametrize("weights, dtype", [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_beside_a_cpu_the_weights_are_a_copy_in_the_dtype(model, weights, dtype):
    original = copy.deepcopy(model).to("meta")
    quick = fast(original, weights)
    assert {p.dtype for p in quick.parameters()} == {dtype}
    assert {p.dtype for p in original.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="int8 is made for CPUs"):
        fast(original, "int8")
