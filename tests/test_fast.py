"""gpt2lib.fast: the same model, on this processor and on one that has none of the private operators."""

import copy
import dataclasses
import importlib
import math
import multiprocessing
import pickle
import shutil
from functools import partial
from random import Random

import pytest
import torch
import torch.nn.functional as F
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
)

module = importlib.import_module("gpt2lib.fast")
fast, quantize_rows, quantized_linear = module.fast, module.quantize_rows, module.quantized_linear
LIMIT = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 3e-2, "int8": 3e-2}  # relative error of the logits
PRIVATE = ("onednn", "onednn_bfloat16", "fbgemm_float16", "fbgemm_int8", "fbgemm_8_bits", "aten_int8")


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


def missing(weight, bias):
    raise module.NotHere("not on this processor")


def without(monkeypatch, *names):
    """Let this torch have none of these ways to multiply."""
    gone = [getattr(module, name) for name in names]
    for weights, kind in module.KINDS.items():
        left = {
            field: tuple(missing if make in gone else make for make in getattr(kind, field))
            for field in ("makers", "head")
        }
        monkeypatch.setitem(module.KINDS, weights, dataclasses.replace(kind, **left))


def prefer(monkeypatch, *ways):
    """Let these ways seem to be the fastest, in this order, and the plain one the slowest; nothing is timed."""
    makers = [*module.KINDS["int8"].makers, *module.KINDS["bfloat16"].makers, *module.KINDS["float32"].makers]
    order = [*ways, *(make.__name__ for make in makers), "plain"]

    def seconds_in_turns(calls, before, rounds=5):
        for call in calls.values():
            call()
        return {(what, way): 2.0 ** order.index(way) if way in order else 1.0 for what, way in calls}

    monkeypatch.setattr(module, "seconds_in_turns", seconds_in_turns)


@pytest.fixture(autouse=True)
def no_clock(monkeypatch):
    prefer(monkeypatch)


def int8_product(weight, bias, x=None):
    """Return the product that int8 takes for many rows of a weight, tried on x, and the name of its way."""
    if x is None:
        x = torch.randn(16, weight.shape[1], generator=torch.Generator().manual_seed(9))
    makers, matrix = module.KINDS["int8"].makers, (weight, bias, x)
    trials = module.try_ways({"matrix": matrix}, {"matrix": makers}, before=lambda: None)
    [product] = module.choose([matrix], makers, trials)
    [way] = [trial.way for trial in trials if "taken" in trial.verdict]
    return product, way


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
        caches = [
            quick.new_cache(2),
            *(KVCache(model.config, 2, dtype=each) for each in (torch.float32, torch.bfloat16)),
        ]
        for cache in caches:
            dtype = cache[0].k.dtype
            parts = [quick(part, cache) for part in tokens.split([2, 1, 1, 35, 1], dim=1)]
            limit = max(LIMIT[weights], 3e-2 * (dtype == torch.bfloat16))
            assert error(torch.cat(parts, dim=1), want) < limit


def test_where_float16_is_faster_int8_takes_it_for_every_matrix(model, monkeypatch):
    prefer(monkeypatch, "plain_float16")
    taken = {trial.what: trial.way for trial in fast(model, "int8").trials if sum(trial.taken)}
    assert {taken[what] for what in (*module.MATRICES, "wte")} == {"plain_float16"}


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


@pytest.mark.parametrize("faster, want", [("bfloat16", [150, 150]), ("float32", [])])
def test_int8_attends_to_many_tokens_in_bfloat16_where_that_is_faster(monkeypatch, faster, want):
    model = GPT2(GPT2Config(vocab_size=311, n_positions=150, n_embd=48, n_layer=2, n_head=3)).eval()
    prefer(monkeypatch, *["bfloat16", "float32"][:: 1 if faster == "bfloat16" else -1])
    tokens = torch.randint(311, (1, 150), generator=torch.Generator().manual_seed(1))
    quick, seen, real = {weights: fast(model, weights) for weights in LIMIT}, [], module.attend_in_bfloat16
    monkeypatch.setattr(
        module, "attend_in_bfloat16", lambda q, k, v: seen.append(q.shape[2]) or real(q, k, v)
    )
    for each in quick.values():
        assert error(each(tokens), model(tokens)) < 3e-2
    quick["int8"](tokens[:, :99])
    assert seen == want
    assert ("attention, 150" in quick["int8"].report) and ("attention" not in quick["float32"].report)


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
    quick, caches = fast(model, weights), set()
    quick.register_forward_pre_hook(lambda model, inputs: caches.add(inputs[1]))
    assert len(list(generate(quick, torch.tensor([[1, 2, 3]]), 4))) == 4
    [cache] = caches
    assert cache.length == 6
    assert cache[0].k.dtype == (torch.float32 if weights == "float32" else torch.float16)


def test_keys_too_large_for_float16_are_kept_in_float32(model):
    with torch.no_grad():
        model.h[1].attn.c_attn.weight *= 1e5
    quick = fast(model, "float16")
    cache = quick.new_cache()
    assert cache[0].k.dtype == torch.float32
    assert quick(torch.tensor([[1, 2, 3]]), cache).isfinite().all()


def test_greedy_text_in_float32_is_the_same():
    model, tokenizer = from_pretrained("tales")
    want = complete(model, tokenizer, "Once upon a time", 60)
    assert complete(fast(model), tokenizer, "Once upon a time", 60) == want
    tokens = torch.tensor([tokenizer.encode("The king said")])
    assert len(list(generate(fast(model, "int8"), tokens, 5))) == 5


@pytest.mark.parametrize("weights", LIMIT)
def test_weights_may_be_transposed_in_memory(model, weights):
    tokens = torch.tensor([[5, 6, 7]])
    want = model(tokens).detach()
    for part in model.modules():
        if isinstance(part, torch.nn.Linear):
            part.weight.data = part.weight.data.t().contiguous().t()
    assert error(fast(model, weights)(tokens), want) < LIMIT[weights]


def test_the_layout_of_a_weight_does_not_cost_the_quick_operator(monkeypatch):
    weight, bias = torch.randn(64, 96).t(), torch.zeros(96)
    assert int8_product(weight, bias)[1] == int8_product(weight.contiguous(), bias)[1]
    without(monkeypatch, "fbgemm_8_bits")
    assert int8_product(weight, bias)[1] == int8_product(weight.contiguous(), bias)[1]


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


def test_vectors_with_outliers_go_in_as_bfloat16_and_weights_with_outliers_take_more_than_a_byte():
    generator = torch.Generator().manual_seed(7)
    weight, x = torch.randn(96, 768, generator=generator), torch.randn(16, 768, generator=generator)
    bias, large = torch.zeros(96), torch.ones(768)
    large[5] = 60
    in_bytes = {maker.__name__ for maker in module.INT8}
    assert int8_product(weight, bias, x)[1] in in_bytes
    assert int8_product(weight, bias, x * large)[1] in ("aten_int8", "plain_int8")
    assert int8_product(weight * large, bias, x)[1] not in in_bytes


def wrong(rows):
    """Return a maker whose product is 10% too large where the number of vectors is among rows."""

    def make(weight, bias):
        return lambda x: (1.1 if len(x) in rows else 1.0) * (x @ weight.T) + bias

    return make


def off_for_small_ones(weight, bias):
    return lambda x: (x + 0.1) @ weight.T + bias


def not_a_number(weight, bias):
    return lambda x: x @ weight.T * math.nan


@pytest.mark.parametrize(
    "make", [wrong([1]), wrong([20]), wrong(range(99)), off_for_small_ones, not_a_number]
)
def test_however_fast_a_product_is_it_must_be_near_enough(make, monkeypatch):
    prefer(monkeypatch, make.__name__)
    matrix = torch.randn(6, 5), torch.randn(6), torch.randn(36, 5)
    matrix[2][::2] *= 1000
    trials = module.try_ways({"m": matrix}, {"m": (make,)}, before=lambda: None)
    [product] = module.choose([matrix], (make,), trials)
    weight, bias, x = matrix
    for rows in (1, 8, 36):
        assert torch.allclose(product(x[:rows]), x[:rows] @ weight.T + bias, rtol=1e-4, atol=1e-3)
    assert [trial.verdict for trial in trials] == [
        "off by more than 1.25%",
        "taken for 1 row, 8 rows, 256 rows",
    ]


class Clock:
    """A clock that stands still unless a product moves it."""

    now = 0.0

    def maker(self, name, seconds):
        """Return a maker whose product takes so many seconds, by the number of vectors, on this clock."""

        def make(weight, bias):
            def product(x):
                self.now += seconds(len(x))
                return x @ weight.T + bias

            return product

        make.__name__ = name
        return make


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.undo()  # seconds_in_turns is the real one again
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(module, "plain", clock.maker("plain", lambda rows: 1.0 * rows))
    return clock


def chosen(*makers):
    """Return what is taken for 1, 8 and 256 vectors of two matrices, by the verdicts."""
    matrices = [(torch.randn(6, 5), torch.randn(6), torch.randn(64, 5)) for _ in range(2)]
    trials = module.try_ways({"m": matrices[0]}, {"m": makers}, before=lambda: None)
    module.choose(matrices, makers, trials)
    return {trial.way: trial.verdict for trial in trials}


def test_the_fastest_product_is_taken_for_each_number_of_rows(clock):
    one = clock.maker("one", lambda rows: 0.5 if rows == 1 else 2 * rows)
    many = clock.maker("many", lambda rows: 3.0 + 0.1 * rows)
    assert chosen(one, many) == {
        "one": "taken for 1 row",
        "many": "taken for 8 rows, 256 rows",
        "plain": "not chosen",
    }
    assert chosen(many, one)["one"] == "taken for 1 row"  # their order does not matter


def test_a_product_must_be_clearly_faster_than_the_plain_one(clock):
    hardly, slow = (
        clock.maker("hardly", lambda rows: 0.95 * rows),
        clock.maker("slow", lambda rows: 9.0 * rows),
    )
    assert chosen(hardly, slow)["plain"] == "taken for 1 row, 8 rows, 256 rows"
    clearly = clock.maker("clearly", lambda rows: 0.8 * rows)
    assert chosen(hardly, slow, clearly)["clearly"] == "taken for 1 row, 8 rows, 256 rows"


def test_weights_are_not_stored_twice_for_a_small_gain(clock):
    first = clock.maker("first", lambda rows: 0.5 * rows)
    second = clock.maker("second", lambda rows: 0.6 if rows == 1 else 0.48 * rows)
    assert chosen(first, second) == {
        "first": "taken for 1 row, 8 rows, 256 rows",
        "second": "not chosen",
        "plain": "not chosen",
    }


@pytest.mark.parametrize("ahead, winner", [(0.95, "near"), (0.8, "rough"), (1.0, "near"), (1.5, "near")])
def test_of_two_that_are_nearly_as_fast_the_more_exact_is_taken(clock, ahead, winner):
    """The clock's noise would otherwise choose, and rougher weights gain nothing then."""

    def rough(weight, bias):
        product = clock.maker("rough", lambda rows: 0.5 * ahead * rows)(weight, bias)
        return lambda x: 1.005 * product(x)

    near = clock.maker("near", lambda rows: 0.5 * rows)
    for makers in ((rough, near), (near, rough)):
        verdicts = chosen(*makers)
        assert verdicts[winner] == "taken for 1 row, 8 rows, 256 rows", verdicts


def test_of_two_that_are_equally_exact_the_faster_is_taken(clock):
    """The order of their sums differs, so one is a millionth closer: that must not decide."""

    def closer(weight, bias):
        return clock.maker("closer", lambda rows: 0.5 * rows)(weight, bias)

    def faster(weight, bias):
        product = clock.maker("faster", lambda rows: 0.48 * rows)(weight, bias)
        return lambda x: (1 + 2e-6) * product(x)

    for makers in ((closer, faster), (faster, closer)):
        assert chosen(*makers)["faster"] == "taken for 1 row, 8 rows, 256 rows"


@pytest.mark.parametrize("seed", range(5))
def test_another_program_beside_it_changes_nothing(clock, seed):
    """Five of seven calls take up to a hundred times as long, others of each: who is fastest stays so."""
    calls, random = {}, Random(seed)
    for name, seconds in [("plain", 1e-4), ("quick", 0.8e-4), ("slow", 1.9e-4)]:
        disturbed = random.sample(range(1, 8), 5)
        delays = iter([seconds * (random.uniform(1.5, 100) if i in disturbed else 1) for i in range(8)])

        def call(delays=delays):
            clock.now += next(delays)

        calls["m", name] = call
    got = module.seconds_in_turns(calls, before=lambda: None)
    assert min(got, key=got.get) == ("m", "quick") and got["m", "plain"] == pytest.approx(1e-4)


def test_a_slow_machine_is_not_kept_waiting(clock):
    number = []

    def call():
        number.append(0)
        clock.now += 60

    module.seconds_in_turns({("m", "plain"): call}, before=lambda: None)
    assert len(number) == 4  # one that doesn't count, and three rounds


def test_the_report_says_what_was_taken_and_why_not(model, monkeypatch):
    without(monkeypatch, "fbgemm_8_bits")
    with torch.no_grad():
        model.h[1].mlp.c_fc.weight[:, 3] *= 1000  # too coarse in bytes
    prefer(monkeypatch, "plain_int8")
    report = fast(model, "int8").report
    assert "missing" in report and "not here: not on this processor" in report
    assert "off by more than 1.25%" in report and "not chosen" in report
    assert "taken for 1 row in 2 of 3" in report
    for what in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "wte", "Trying took"):
        assert what in report


def test_a_long_reason_takes_no_more_than_a_line_of_the_report(model, monkeypatch):
    def make(weight, bias):
        raise module.NotHere("this processor is too old. " * 9)

    monkeypatch.setitem(module.KINDS, "int8", dataclasses.replace(module.KINDS["int8"], makers=(make,)))
    report = fast(model, "int8").report
    assert "not here: this processor is too old." in report and "…" in report
    assert max(map(len, report.splitlines())) < 150


def forgets_an_argument(weight, bias):
    return missing(weight)


def has_the_wrong_shape(weight, bias):
    return lambda x: x @ weight


def misspells(weight, bias):
    return lambda x: x.sirtain_name()


@pytest.mark.parametrize("broken", [forgets_an_argument, has_the_wrong_shape, misspells])
@pytest.mark.parametrize("field", ["makers", "head"])
def test_a_mistake_in_a_maker_is_not_taken_for_a_processor_without_it(model, broken, field, monkeypatch):
    kind = dataclasses.replace(module.KINDS["int8"], **{field: (broken,)})
    monkeypatch.setitem(module.KINDS, "int8", kind)
    with pytest.raises((TypeError, RuntimeError, AttributeError)) as caught:
        fast(model, "int8")
    assert not isinstance(caught.value, module.NotHere)


def test_private_operators_say_that_they_are_not_here():
    with pytest.raises(module.NotHere, match="no torch.ops.mkldnn.no_such_thing"):
        module.private_operator("ops.mkldnn.no_such_thing")
    with pytest.raises(module.NotHere, match="aten.mm"):
        module.private_operator("ops.aten.mm.default")(torch.ones(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize("way", ["float32_in_parts", "onednn", "onednn_bfloat16", "plain_bfloat16", "fbgemm_float16",
                                 "plain_float16", "fbgemm_int8", "aten_int8", "plain_int8", "int8_as_bfloat16", "plain"])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1,), (7,), (1, 1), (2, 40), (3, 1)])
def test_every_way_multiplies_any_number_of_vectors(way, dtype, shape):
    generator = torch.Generator().manual_seed(8)
    weight, bias = torch.randn(48, 64, generator=generator), torch.randn(48, generator=generator)
    x = torch.randn(*shape, 64, generator=generator).to(dtype)
    try:
        got = getattr(module, way)(weight, bias)(x)
    except module.NotHere as reason:
        pytest.skip(str(reason))
    assert got.shape == (*shape, 48) and error(got.float(), F.linear(x.float(), weight, bias)) < 0.03


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


def test_many_rows_are_not_multiplied_in_parts(monkeypatch):
    weight, bias, met = torch.randn(8, 5), torch.randn(8), []
    in_parts = module.product_in_parts
    monkeypatch.setattr(module, "product_in_parts", lambda x, *rest: met.append(len(x)) or in_parts(x, *rest))
    product = module.float32_in_parts(weight, bias)
    for shape in [(1,), (44,), (4, 11), (45,), (3, 15), (256,)]:
        x = torch.randn(*shape, 5)
        assert torch.allclose(product(x), x @ weight.T + bias, atol=1e-5)
    assert met == [1, 44, 44]


class CallsNoLayer(torch.nn.Module):
    """An MLP that is right and uses its layers' weights without calling them."""

    def __init__(self, mlp):
        super().__init__()
        self.c_fc, self.c_proj = mlp.c_fc, mlp.c_proj

    def forward(self, x):
        x = F.gelu(F.linear(x, self.c_fc.weight, self.c_fc.bias), approximate="tanh")
        return F.linear(x, self.c_proj.weight, self.c_proj.bias)


def test_layers_need_not_be_called(model):
    for block in model.h:
        block.mlp = CallsNoLayer(block.mlp)
    tokens = torch.tensor([[1, 2, 3]])
    assert error(fast(model, "float16")(tokens), model(tokens)) < LIMIT["float16"]


MOVES = {
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.to(torch.bfloat16),
    "double": lambda model: model.double(),
    "meta": lambda model: model.to("meta"),
    "to_empty": lambda model: model.to_empty(device="meta"),
    "inside another": lambda model: torch.nn.Sequential(model).half(),
    "load_state_dict": lambda model: model.load_state_dict({}),
    "state_dict": lambda model: model.state_dict(),
    "pickle": pickle.dumps,
    "spawn": lambda model: multiprocessing.get_context("spawn").Process(target=print, args=(model,)).start(),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_fast_model_refuses_to_change_and_the_original_stays_as_it_was(model, move):
    quick, tokens = fast(model, "int8"), torch.tensor([[1, 2, 3]])
    want, quick_want = model(tokens).detach(), quick(tokens)
    with pytest.raises(TypeError, match="stays as it was made.*call fast on that again"):
        MOVES[move](quick)
    assert torch.allclose(model(tokens), want, atol=1e-5) and torch.allclose(
        quick(tokens), quick_want, atol=1e-5
    )
    fast(model, "float16")


@pytest.mark.parametrize("same", [lambda model: model.to("cpu"), lambda model: model.float(), lambda model: model.cpu(),
                                  lambda model: model.eval(), copy.copy, copy.deepcopy])  # fmt: skip
def test_what_changes_nothing_gives_the_same_model(model, same):
    quick, tokens = fast(model, "int8"), torch.tensor([[1, 2, 3]])
    assert torch.allclose(same(quick)(tokens), quick(tokens), atol=1e-5)


def test_moving_the_original_does_not_harm_the_fast_one(model):
    quick, tokens = fast(model, "int8"), torch.tensor([[1, 2, 3]])
    want = quick(tokens)
    model.half()
    assert torch.allclose(quick(tokens), want, atol=1e-5)


def test_a_fast_model_can_be_made_and_used_in_any_mode(model):
    tokens = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        inside = fast(model, "int8")
    outside = fast(model, "int8")
    for quick in (inside, outside):
        for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
            with mode():
                assert len(list(generate(quick, tokens, 3))) == 3


class Wrapped(torch.nn.Module):
    """What DistributedDataParallel is from outside: a model under `module`."""

    def __init__(self, module):
        super().__init__()
        self.module = module


@pytest.mark.parametrize(
    "wrap, says",
    [
        (fast, "fast already; pass the GPT2 that it was made from"),
        (partial(fast, weights="int8"), "fast already"),
        (torch.compile, "OptimizedModule; pass what is inside it, model._orig_mod"),
        (Wrapped, "Wrapped; pass what is inside it, model.module"),
        (torch.nn.DataParallel, "DataParallel; pass what is inside it, model.module"),
        (lambda model: model.h[0], "Block; pass a GPT2"),
        (lambda model: "gpt2", "str; pass a GPT2"),
    ],
)
def test_what_is_not_a_plain_model_is_refused(model, wrap, says):
    with pytest.raises(TypeError, match=says):
        fast(wrap(model))


def test_a_model_that_was_compiled_in_place_is_read_as_it_is(model):
    tokens = torch.tensor([[1, 2, 3]])
    want = model(tokens).detach()
    model.compile()
    assert error(fast(model)(tokens), want) < LIMIT["float32"]


def test_making_a_model_fast_leaves_the_process_alone(model, monkeypatch):
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("the C library was asked for something"))
    for weights in LIMIT:
        fast(model, weights)


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
        except module.NotHere:
            continue  # not in this torch
        got = product(x)
        # a vector's numbers have 8 bits, or 7
        assert got.dtype == torch.float32 and error(got, want) < 0.015, make
    got = int8_product(weight, bias)[0](torch.full((rows, 64), 0.3))  # nothing to stretch
    assert torch.allclose(got, 0.3 * (numbers * scale[:, None]).sum(1) + bias, atol=0.2)


def a_few_shout(x):
    return F.gelu(3 * x - 6)  # and the others are close to 0


@pytest.mark.parametrize(
    "bend", [a_few_shout, torch.relu, torch.neg, torch.exp, torch.zeros_like], ids=lambda f: f.__name__
)
def test_several_vectors_lose_no_more_to_rounding_than_each_does_alone(bend):
    generator = torch.Generator().manual_seed(6)
    weight, bias = torch.randn(96, 256, generator=generator), torch.randn(96, generator=generator)
    x = bend(torch.randn(40, 256, generator=generator)) * torch.logspace(-3, 3, 40)[:, None]
    want = x @ weight.T
    try:
        product = module.fbgemm_int8(weight, bias)
    except module.NotHere as reason:
        pytest.skip(str(reason))
    size = want.norm(dim=1).clamp(min=1e-30)
    alone, together = (
        ((got - bias - want).norm(dim=1) / size).median()
        for got in (torch.cat([product(one) for one in x.split(1)]), product(x))
    )
    assert together <= 1.1 * alone + 1e-6


@pytest.mark.parametrize("rows", [1, 5])
def test_where_pairs_of_products_overflow_vectors_get_seven_bits(monkeypatch, rows):
    needed = module.needs_seven_bits()  # as it is here
    generator = torch.Generator().manual_seed(6)
    x, weight = torch.rand(rows, 64, generator=generator), torch.rand(96, 64, generator=generator)
    want = x @ weight.T  # large numbers of one sign, whose sums overflow first
    errors = {}
    for seven_bits in (False, True):
        monkeypatch.setattr(module, "needs_seven_bits", lambda bits=seven_bits: bits)
        try:
            errors[seven_bits] = error(module.fbgemm_int8(weight, torch.zeros(96))(x), want)
        except module.NotHere as reason:
            pytest.skip(str(reason))
    assert errors[True] < 0.01 and (errors[False] > 0.01) == needed


def test_the_dtype_that_torch_makes_tensors_with_changes_no_verdict():
    needed = module.needs_seven_bits()
    module.needs_seven_bits.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert module.needs_seven_bits() == needed
    except module.NotHere as reason:
        pytest.skip(str(reason))
    finally:
        torch.set_default_dtype(torch.float32)


def test_unknown_weights_and_other_dtypes_are_refused(model):
    with pytest.raises(ValueError, match="int4.*choose one of float32, float16, bfloat16, int8"):
        fast(model, "int4")
    with pytest.raises(ValueError, match="starts from float32"):
        fast(model.half())
    with pytest.raises(ValueError, match="starts from float32"):
        fast(model.to("meta"))


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here")
def test_off_the_cpu(model, monkeypatch, tmp_path):
    """Made fast on the meta device, as on a GPU, and then brought here to compute: one block, for g++ is slow."""
    model = GPT2(dataclasses.replace(model.config, n_layer=1)).eval()
    shake(model)
    # the usual folder may hold code for another processor
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
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
def test_off_the_cpu_the_weights_are_a_copy_in_the_dtype(model, weights, dtype):
    original = copy.deepcopy(model).to("meta")
    quick = fast(original, weights)
    assert {p.dtype for p in quick.parameters()} == {dtype}
    assert {p.dtype for p in original.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="int8 is made for CPUs"):
        fast(original, "int8")
