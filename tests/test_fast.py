"""gpt2lib.fast: the same model, on this processor and on one that has none of the private operators."""

import copy
import importlib
import shutil

import pytest
import torch
from quality import passes, rounding, with_outliers

from conftest import shake
from gpt2lib import GPT2, GPT2Config, KVCache, complete, from_pretrained, generate, save_pretrained

module = importlib.import_module("gpt2lib.fast")
fast, quantize_rows, quantized_linear = module.fast, module.quantize_rows, module.quantized_linear
LIMIT = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 3e-2, "int8": 3e-2}  # relative error of the logits
PRIVATE = ("onednn", "onednn_bfloat16", "fbgemm_float16", "aten_int8")


def within_bounds(model, weights, tokens):
    """Return whether the gate of benchmarks/quality.py lets these weights through."""
    quick = fast(model, weights)
    return passes(weights, *rounding(model, lambda text: quick(text[None])[0], tokens))


def error(got, want):
    return ((got - want).norm() / want.norm()).item()


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocab_size=311, n_positions=40, n_embd=48, n_layer=3, n_head=3))
    shake(model)
    return model.eval()


@pytest.fixture(params=["this processor", "no private operators"])
def processor(request, monkeypatch):
    def missing(weight, bias):
        raise RuntimeError("not on this processor")

    if request.param == "no private operators":
        for name in PRIVATE:
            monkeypatch.setattr(module, name, missing)


@pytest.mark.parametrize("weights", LIMIT)
def test_logits_are_those_of_the_plain_model(model, processor, weights):
    tokens = torch.randint(311, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = model(tokens)
        quick = fast(model, weights)
        assert error(quick(tokens), want) < LIMIT[weights]
        assert error(quick(tokens[:1, :1]), want[:1, :1]) < LIMIT[weights]  # one row takes another way
        assert error(quick(tokens, last_only=True), want[:, -1:]) < LIMIT[weights]
        cache = KVCache(model.config, 2)
        parts = [quick(part, cache) for part in tokens.split([7, 1, 1, 30, 1], dim=1)]
        assert error(torch.cat(parts, dim=1), want) < LIMIT[weights]


@pytest.mark.parametrize("weights", LIMIT)
def test_it_gives_no_gradient_and_leaves_the_model_alone(model, weights):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    logits = fast(model, weights)(torch.tensor([[1, 2, 3]]))
    assert not logits.requires_grad
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


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
    try:
        module.aten_int8(weight.contiguous(), bias)(torch.ones(1, 64))
    except (AttributeError, NotImplementedError, RuntimeError):
        pytest.skip("this torch has no such operator")
    monkeypatch.setattr(module, "plain_int8", None)  # the last resort would fail
    assert torch.isfinite(module.int8_product(weight, bias)(torch.ones(1, 64))).all()


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


def test_int8_without_a_look_at_outliers_would_fail(monkeypatch):
    monkeypatch.setattr(module, "has_outlier_columns", lambda weight: False)
    model, tokens = outliers()
    assert not within_bounds(model, "int8", tokens)


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
    got = module.int8_product(weight, bias)(x)
    assert got.dtype == torch.float32 and error(got, want) < 0.004  # bfloat16 has 8 bits


def test_int8_without_bfloat16_in_the_processor(monkeypatch):
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: False)
    x, weight, bias = torch.randn(40, 64), torch.randn(96, 64), torch.randn(96)
    numbers, scale = quantize_rows(weight)
    assert torch.equal(module.int8_product(weight, bias)(x), quantized_linear(x, numbers, scale, bias))


def test_unknown_weights_and_other_dtypes_are_refused(model):
    with pytest.raises(ValueError, match="int4.*choose one of float32, float16, bfloat16, int8"):
        fast(model, "int4")
    with pytest.raises(ValueError, match="starts from float32"):
        fast(model.half())


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here")
def test_the_way_beside_a_cpu(model):
    """Made fast on the meta device, as on a GPU, and then brought here to compute."""
    quick = fast(copy.deepcopy(model).to("meta"), "float32")
    quick.to_empty(device="cpu").load_state_dict(model.state_dict())
    compare(quick, model, 7, 10)
    with torch.compiler.set_stance("fail_on_recompile"):  # a text of another length asks for no new code
        compare(quick, model, 9, 20)


def compare(quick, model, length, new):
    tokens = torch.randint(311, (2, length), generator=torch.Generator().manual_seed(length))
    got, want = (torch.stack([*generate(m, tokens, new)]) for m in (quick, model))
    assert torch.equal(got, want)


@pytest.mark.parametrize("weights, dtype", [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_beside_a_cpu_the_weights_are_a_copy_in_the_dtype(model, weights, dtype):
    original = copy.deepcopy(model).to("meta")
    quick = fast(original, weights)
    assert {p.dtype for p in quick.parameters()} == {dtype}
    assert {p.dtype for p in original.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="int8 is made for CPUs"):
        fast(original, "int8")
