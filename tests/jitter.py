"""Another processor, imitated: every product of matrices comes out a little different each time.

With JITTER=SEED in the environment, conftest.py switches it on in pytest's own processes and in the notebooks'
kernels. What passes under it leans neither on bitwise equality nor on a digit or a near tie that another
processor would round the other way.
"""

import contextlib
import os
import random
import re
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

MOST = 2.0**-21  # four units in the last place of a float32
STOCK = 2**20  # random factors; each product takes a stretch of them, since drawing new ones would be slow
PRODUCTS = re.compile(  # what matmul, linear, einsum, attention, convolutions and all their gradients end in
    r"aten::((addmm|addmv|baddbmm)_?|bmm|mm|_addmm_activation|_scaled_mm\w*)(\.out)?"
    r"|aten::(v?dot|convolution(_backward)?|mkldnn_rnn_layer(_backward)?)"
    r"|aten::_scaled_dot_product_flash_attention_for_cpu(_backward)?"
    r"|aten::(_weight_int\dpack_mm(_for_cpu)?|_dyn_quant_matmul_4bit|fbgemm_linear_\w+_activation)"
    r"|mkl::_mkl_linear|mkldnn::_(linear|convolution)\w*_pointwise_?(\.binary)?"
    r"|onednn::(q(linear|conv)\w*_pointwise|linear\w*_dynamic_fp16)(\.\w+)?"
    r"|quantized::(linear|conv)\w*_dynamic(_fp16)?|_quantized::(linear_dynamic|wrapped_\w+_linear\w*)"
)


class Factors:
    """Random factors near 1, by a generator of their own."""

    def __init__(self, seed: int):
        """Set the seed; a stock is made when a dtype is first met."""
        self.random, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.stocks: dict[torch.dtype, torch.Tensor] = {}

    def stock(self, dtype: torch.dtype) -> torch.Tensor:
        """Return factors for results of a dtype: (STOCK,).

        In float32 they are off by up to 2**-21, in float64 by as many units in the last place. In 16 bits
        they are all 1, since what two processors add up differently is then rounded to the same number.
        """
        if dtype not in self.stocks:
            off = 2 * torch.rand(STOCK, generator=self.generator, dtype=torch.float64, device="cpu") - 1
            off *= min(MOST, 4 * torch.finfo(dtype).eps)
            self.stocks[dtype] = (1 + off).to(dtype)
        return self.stocks[dtype]

    def shake(self, result: torch.Tensor) -> None:
        """Multiply a result with factors, other ones each time, in place."""
        stock = self.stock(result.real.dtype if result.is_complex() else result.dtype)
        begin = self.random.randrange(STOCK)
        end = begin + result.numel()
        if end > STOCK:
            stock = stock.repeat(end // STOCK + 1)
        result.mul_(stock[begin:end].view(result.shape))


def shaken(factors: Factors, kernel, keys, *arguments, **options):
    """Call a kernel of torch's, shake what it returns and return that."""
    results = kernel.call_boxed(keys, *arguments, **options)
    for result in results if isinstance(results, tuple) else (results,):
        if isinstance(result, torch.Tensor) and (result.is_floating_point() or result.is_complex()):
            factors.shake(result)
    return results


@contextlib.contextmanager
def jitter(seed: int) -> Iterator[None]:
    """Let every product of matrices on the CPU come out a little different, those of gradients too.

    It happens in torch's kernels, so autograd, autocast, hooks, modes and torch's random numbers don't notice.
    """
    factors = Factors(seed)
    with contextlib.ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch reports that kernels are replaced
            for name in filter(PRODUCTS.fullmatch, torch._C._dispatch_get_all_op_names()):
                library = stack.enter_context(torch.library._scoped_library(name.split("::")[0], "IMPL"))
                for key in ("CPU", "MkldnnCPU"):  # the latter where the weights are in oneDNN's own order
                    if torch._C._dispatch_has_computed_kernel_for_dispatch_key(name, key):
                        kernel = torch.library.get_kernel(name, torch._C._parse_dispatch_key(key))
                        replacement = partial(shaken, factors, kernel)
                        library.impl(name.split("::")[1], replacement, key, with_keyset=True)
        yield


FOR_GOOD = contextlib.ExitStack()


def start() -> None:
    """Switch it on for the rest of this process."""
    FOR_GOOD.enter_context(jitter(int(os.environ["JITTER"])))


def write_start_up(folder: Path) -> None:
    """Make a folder for IPYTHONDIR whose start-up file switches it on in every kernel."""
    here = str(Path(__file__).parent)
    code = f"import sys\n\nsys.path.insert(0, {here!r})\nfrom jitter import start\n\nstart()\n"
    path = folder / "profile_default" / "startup" / "first.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"{code}sys.path.remove({here!r})\ndel sys, start\n", encoding="utf-8")
