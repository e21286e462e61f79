"""The imitation of another processor reaches every product, is as small as it says and isn't noticed otherwise."""

import importlib
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import torch
import torch.nn.functional as F
from jitter import MOST, jitter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from torch.utils.flop_counter import FlopCounterMode

from course.exercise import exercises
from course.source import ROOT
from course.verdicts import examine

fast = importlib.import_module("gpt2lib.fast")  # the package's own `fast` is a function
pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("JITTER")), reason="these switch it on and off themselves"),
    pytest.mark.skipif(
        not hasattr(torch.library, "get_kernel"), reason="this torch can't hand out its kernels"
    ),
]


def positive(*shape: int) -> torch.Tensor:
    """Return random numbers of which no sums cancel."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.1


A, B, BIAS = positive(3, 6, 8), positive(3, 8, 4), positive(4)
IMAGE, KERNEL, MASK = positive(1, 3, 9, 9), positive(3, 3, 3, 3), torch.ones(6, 6, dtype=torch.bool).tril()
LSTM = torch.nn.LSTM(8, 5)
FORWARD = {
    "matrices": lambda: A @ B,
    "vector and matrix": lambda: A[0, 0] @ B[0],
    "matrix and vector": lambda: A[0] @ B[0, :, 0],
    "vectors": lambda: A[0, 0] @ B[0, :, 0],
    "mm": lambda: torch.mm(A[0], B[0]),
    "mm into a tensor": lambda: torch.mm(A[0], B[0], out=torch.empty(6, 4)),
    "bmm": lambda: torch.bmm(A, B),
    "mv": lambda: torch.mv(A[0], B[0, :, 0]),
    "addmm": lambda: torch.addmm(BIAS, A[0], B[0], beta=0.5, alpha=2),
    "addmm in place": lambda: torch.ones(6, 4).addmm_(A[0], B[0]),
    "addmv": lambda: torch.addmv(torch.ones(6), A[0], B[0, :, 0]),
    "addbmm": lambda: torch.addbmm(torch.ones(6, 4), A, B),
    "baddbmm": lambda: torch.baddbmm(torch.ones(3, 6, 4), A, B),
    "linear": lambda: F.linear(A, B[0].T, BIAS),
    "linear of a matrix": lambda: F.linear(A[0], B[0].T, BIAS),
    "linear without a bias": lambda: F.linear(A, B[0].T),
    "float64": lambda: F.linear(A.double(), B[0].T.double()),
    "complex": lambda: A.to(torch.complex64) @ B.to(torch.complex64),
    "einsum": lambda: torch.einsum("bij,bjk->bik", A, B),
    "tensordot": lambda: torch.tensordot(A[0], B[0], 1),
    "attention": lambda: F.scaled_dot_product_attention(A[None], A[None], A[None]),
    "causal attention": lambda: F.scaled_dot_product_attention(A[None], A[None], A[None], is_causal=True),
    "attention with a mask": lambda: F.scaled_dot_product_attention(A[None], A[None], A[None], MASK),
    "conv1d": lambda: F.conv1d(IMAGE[0, :, 0], KERNEL[..., 0]),
    "conv2d": lambda: F.conv2d(IMAGE, KERNEL),
    "conv_transpose2d": lambda: F.conv_transpose2d(IMAGE, KERNEL),
    "lstm": lambda: LSTM(A)[0].detach(),
    "compiled": lambda: torch.compile(torch.matmul, backend="aot_eager")(A, B),
    "vmap": lambda: torch.vmap(torch.mv, (None, 0))(A[0], B[:, :, 0]),
    "inference mode": torch.inference_mode()(lambda: A @ B),
}
# Of the ways to multiply in gpt2lib.fast those whose results aren't rounded to 16 bits.
WAYS = "plain plain_float16 plain_int8 onednn fbgemm_float16 fbgemm_int8 float32_in_parts".split()
# How far off results may be, in units of MOST. Within an operator of several steps, their deviations add up.
BOUNDS = {torch.float32: 3.0, torch.float64: 3 * 2.0**-29}


def off(got: torch.Tensor, want: torch.Tensor) -> float:
    """Return the largest relative difference."""
    return ((got - want).abs() / want.abs()).max().item()


def check(product, bound: float = 0.0) -> None:
    """Call a product with the jitter and without; bound is how far off it may be, 0 for what suits its dtype."""
    want = product()
    with jitter(1):
        results = [product() for _ in range(5)]
    assert not all(torch.equal(result, results[0]) for result in results)
    bound = bound or MOST * BOUNDS[want.real.dtype if want.is_complex() else want.dtype]
    assert max(off(result, want) for result in results) <= bound
    assert torch.equal(product(), want)  # it is over


@pytest.mark.parametrize("name", FORWARD)
def test_every_product_is_a_little_off_another_time_differently(name):
    check(FORWARD[name])


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 400])
@pytest.mark.parametrize("way", WAYS)
def test_every_product_of_a_fast_model_is_a_little_off(way, rows):
    try:
        product = getattr(fast, way)(positive(16, 64), torch.zeros(16))
        product(positive(rows, 64))
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        pytest.skip(f"this processor or this torch doesn't have it: {error}")
    check(lambda: product(positive(rows, 64)), 2**-6)


BACKWARD = {
    "matrices": lambda a: a @ B,
    "linear": lambda a: F.linear(a, B[0].T, BIAS),
    "attention": lambda a: F.scaled_dot_product_attention(a[None], A[None], A[None]),
    "conv1d": lambda a: F.conv1d(a, positive(2, 6, 3)),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_are_a_little_off(name):
    def gradient():
        a = A.clone().requires_grad_()
        return torch.autograd.grad(BACKWARD[name](a).square().sum(), a)[0]

    check(gradient, 2**-10)  # gradients are differences


def test_in_16_bits_two_processors_give_the_same():
    for dtype in (torch.float16, torch.bfloat16):
        a, b = A.to(dtype), B.to(dtype)
        want = a @ b
        with jitter(1):
            assert torch.equal(a @ b, want)


def test_what_is_no_product_stays_as_it_is():
    ids, tensors = (
        torch.tensor([[1, 2], [3, 4]]),
        (A + 1, A * 3, A.sum(-1), A.softmax(-1), F.layer_norm(A, (8,))),
    )
    with jitter(1):
        again = (A + 1, A * 3, A.sum(-1), A.softmax(-1), F.layer_norm(A, (8,)))
        assert torch.equal(ids @ ids, torch.tensor([[7, 10], [15, 22]]))
    assert all(map(torch.equal, tensors, again))


def test_a_seed_gives_the_same_and_torchs_random_numbers_go_on():
    torch.manual_seed(0)
    want = torch.rand(3)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        with jitter(seed):
            results.append([A @ B for _ in range(3)])
            assert torch.equal(torch.rand(3), want)
    assert all(map(torch.equal, results[0], results[1])) and not torch.equal(results[0][0], results[2][0])


def test_flops_and_hooks_are_counted_as_ever():
    layer, met = torch.nn.Linear(8, 4), []
    layer.register_forward_hook(lambda *call: met.append(call))
    with jitter(1), FlopCounterMode(display=False) as counter:
        layer(A)
    assert counter.get_total_flops() == 2 * 18 * 8 * 4 and len(met) == 1


def test_a_notebook_and_the_tests_themselves_run_under_it(tmp_path):
    """In another process, as `make jitter` does; without JITTER the same notebook and test fail."""
    code = "import torch\n\na, b = torch.ones(9, 9), torch.ones(9, 9)\nassert not torch.equal(a @ b, a @ b)"
    cells = [
        new_code_cell(code),
        new_code_cell(
            "'jitter' in dir() or 'start' in dir()",
            execution_count=2,
            outputs=[new_output("execute_result", {"text/plain": "False"}, execution_count=2)],
        ),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "some.ipynb")
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    (tmp_path / "test_some.py").write_text(f"def test_some():\n{lines}")
    for name in ("conftest.py", "tests/jitter.py", "tests/nbval_sanitize.cfg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\n")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    for seed, summary in (("1", "3 passed"), ("", "2 failed, 1 passed")):
        environment = os.environ | {"JITTER": seed} if seed else os.environ
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert summary in done.stdout, done.stdout


@pytest.mark.parametrize("number", exercises())
def test_right_answers_are_right_on_another_processor(number):
    exercise = exercises()[number]
    with jitter(1):
        refused = [
            answer.__name__ for answer in exercise.right_answers() if not examine(exercise, answer).passed
        ]
    assert refused == []
