"""The same GPT-2, made quick: products that suit the processor. Built in chapter 10."""

import copy
import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from textwrap import shorten
from time import perf_counter
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from gpt2lib.attention import causal_mask, merge_heads
from gpt2lib.cache import KVCache
from gpt2lib.config import GPT2Config
from gpt2lib.embeddings import embed
from gpt2lib.model import GPT2, Block, check_tokens

if TYPE_CHECKING:
    from gpt2lib.cache import LayerCache


def product_in_parts(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, parts: int) -> torch.Tensor:
    """Return x @ weight.T + bias as a batch of `parts` products.

    x (M, K), weight (N, K) contiguous, bias (N,) -> (M, N). parts divides N.
    """
    blocks = weight.view(parts, -1, weight.shape[1])
    columns = x.T.expand(parts, -1, -1)
    y = torch.baddbmm(bias.view(parts, -1, 1), blocks, columns)
    return y.reshape(len(weight), len(x)).T


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers from -127 to 127, and the scale of each row.

    weight (N, K) -> int8 (N, K), float32 (N,). numbers * scale[:, None] differs from weight by at most half a
    scale. A row of zeros has the scale 1. Source: Dettmers et al. 2022, section 2.1 ("absmax").
    """
    scale = weight.float().abs().amax(dim=1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale[:, None]).round().to(torch.int8), scale


def quantized_linear(
    x: torch.Tensor, numbers: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Return x @ W.T + bias for the W whose row n is numbers[n] * scale[n], scaling only the results.

    x (M, K) float32 or bfloat16, numbers int8 (N, K), scale and bias float32 (N,) -> float32 (M, N).
    The numbers are exact in the dtype of x, in which the product is made. (float16 would overflow on the
    unscaled sums.)
    """
    return torch.addcmul(bias, F.linear(x, numbers.to(x.dtype)), scale)


# What a way to multiply is, and operators of torch that have no public name
Product = Callable[[torch.Tensor], torch.Tensor]  # float x (..., K) -> about x @ weight.T + bias (..., N)
Maker = Callable[[torch.Tensor, torch.Tensor], Product]  # weight (N, K), bias (N,) -> a product


class NotHere(RuntimeError):
    """This torch, or this processor, has no such operator."""


def private_operator(name: str) -> Callable[..., torch.Tensor]:
    """Return an operator of torch that has no public name, such as "ops.mkldnn._linear_pointwise.default".

    Raises NotHere if this torch doesn't have it; calling it does if it doesn't run on this processor.
    """
    try:
        call = attrgetter(name)(torch)
    except AttributeError:
        raise NotHere(f"this torch has no torch.{name}") from None

    def operate(*arguments):
        try:
            return call(*arguments)
        except RuntimeError as error:
            if "can't allocate memory" in str(error):
                raise
            raise NotHere(f"{str(error).splitlines()[0]} ({name})") from error

    return operate


# Makers: one for each routine that torch carries, and one for yours
def plain(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply as nn.Linear does."""
    return lambda x: F.linear(x.float(), weight, bias)


def plain_float16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Keep float16 weights and make them float32 for each product."""
    weight = weight.half()
    return lambda x: F.linear(x.float(), weight.float(), bias)


def plain_bfloat16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply in bfloat16 as nn.Linear does. The results are bfloat16."""
    weight, bias = weight.bfloat16(), bias.bfloat16()
    return lambda x: F.linear(x.bfloat16(), weight, bias)


def plain_int8(weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype = torch.float32) -> Product:
    """Keep int8 weights and give them the dtype of the vectors for each product."""
    numbers, scale = quantize_rows(weight)

    def product(x: torch.Tensor) -> torch.Tensor:
        y = quantized_linear(x.flatten(0, -2).to(dtype), numbers, scale, bias)
        return y.view(*x.shape[:-1], -1)

    return product


def int8_as_bfloat16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Keep int8 weights and multiply in bfloat16, for processors that are quick at it."""
    return plain_int8(weight, bias, torch.bfloat16)


def onednn(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply with oneDNN, in float32 and as precisely as MKL, which torch takes. A private operator."""
    multiply = private_operator("ops.mkldnn._linear_pointwise.default")
    return lambda x: multiply(x.float(), weight, bias, "none", [], "")


def onednn_bfloat16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply in bfloat16, with the weight in the order that oneDNN reads fastest. Private operators.

    The results are bfloat16.
    """
    multiply = private_operator("ops.mkldnn._linear_pointwise.default")
    packed = private_operator("ops.mkldnn._reorder_linear_weight")(weight.bfloat16(), 1)
    bias = bias.bfloat16()
    return lambda x: multiply(x.bfloat16(), packed, bias, "none", [], "")


def float32_in_parts(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply a few vectors in parts: see the weight as a batch of smaller ones. Many go the plain way.

    Some routines multiply a matrix with a single vector on one core only, but a batch on all of them.
    """
    weight = weight.contiguous()
    N, K = weight.shape
    least = 2 * torch.get_num_threads()
    parts = min((n for n in range(1, 257) if N % n == 0), key=lambda n: (n < least, abs(n - least)))

    def product(x: torch.Tensor) -> torch.Tensor:
        if x.numel() >= MANY * K:
            return F.linear(x.float(), weight, bias)
        y = product_in_parts(x.float().reshape(-1, K), weight, bias, parts)
        return y.reshape(*x.shape[:-1], N)

    return product


# An int8 product by FBGEMM, a library that comes with torch
def by_fbgemm(numbers: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> Callable:
    """Return FBGEMM's product of float x (M, K) with int8 rows: (x, whether x gets 7 bits) -> (M, N)."""
    multiply = private_operator("ops.quantized.linear_dynamic.default")
    # torch has deprecated these tensors; once they are gone, the next maker is used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = private_operator("_make_per_channel_quantized_tensor")(
            numbers.contiguous(), scale.double(), torch.zeros(len(scale), dtype=torch.int64), 0
        )
    packed = private_operator("ops.quantized.linear_prepack")(stored, bias)
    return lambda x, seven_bits: multiply(x, packed, seven_bits)


@lru_cache
def needs_seven_bits() -> bool:
    """Tell whether FBGEMM adds pairs of products in 16 bits here, where two large ones overflow.

    It does on processors without VNNI, which was made for such sums.
    """
    largest = torch.full((32, 64), 127, dtype=torch.int8)
    ones, zeros = (torch.full((32,), value, dtype=torch.float32) for value in (1, 0))
    sums = by_fbgemm(largest, ones, zeros)(torch.ones(1, 64, dtype=torch.float32), False)
    return bool((sums < 0.99 * 64 * 127).any())


def fbgemm_int8(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply vectors in one byte with int8 weights, as FBGEMM does. Private operators of torch.

    FBGEMM maps the smallest of all the numbers that it's given to 0 and the largest to 255, or to 127 where
    it `needs_seven_bits`, and moves both a little to let 0 fall on a whole number. For one vector that's
    just right: most of what a GELU returns is close to 0. Of several, each is turned into such whole
    numbers here, which FBGEMM then keeps.
    """
    numbers, scale = quantize_rows(weight)
    multiply, seven_bits = by_fbgemm(numbers, scale, bias), needs_seven_bits()
    most = 127 if seven_bits else 255
    sums = numbers.sum(dim=1) * scale  # what a row of ones gives, without the bias

    def product(x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        if x.numel() == x.shape[-1]:
            return multiply(x, seven_bits)
        low = x.amin(dim=-1, keepdim=True).clamp(max=0)
        high = x.amax(dim=-1, keepdim=True).clamp(min=0)
        unit = torch.where(high > low, (high - low) / most, 1.0)
        zero = (-low / unit).round()
        y = multiply((x / unit).add_(zero).round_().clamp_(0, most), seven_bits).sub_(bias)
        return y.addcmul_(zero, sums, value=-1).mul_(unit).add_(bias)

    return product


def fbgemm_8_bits(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply as fbgemm_int8 where vectors get 8 bits; 7 are too coarse for what `fast` promises."""
    if needs_seven_bits():
        raise NotHere("FBGEMM would give vectors only 7 bits on this processor")
    return fbgemm_int8(weight, bias)


# An int8 product of torch's own
def aten_int8(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply bfloat16 rows with int8 weights. A private operator of torch.

    It makes the weights bfloat16 inside the processor, again for every four rows or so.
    """
    numbers, scale = quantize_rows(weight)
    numbers = numbers.contiguous()  # row after row, whatever the layout of the weight
    multiply = private_operator("ops.aten._weight_int8pack_mm.default")
    ones = torch.ones_like(scale).bfloat16()

    def product(x: torch.Tensor) -> torch.Tensor:
        y = multiply(x.flatten(0, -2).bfloat16(), numbers, ones)
        return torch.addcmul(bias, y, scale).view(*x.shape[:-1], -1)

    return product


# A float16 product by FBGEMM
def fbgemm_float16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply float32 rows with float16 weights, as FBGEMM does. Private operators of torch."""
    multiply = private_operator("ops.quantized.linear_dynamic_fp16.default")
    # packing may write into its argument, so it gets a copy
    packed = private_operator("ops.quantized.linear_prepack_fp16")(weight.clone(), bias)
    return lambda x: multiply(x.float(), packed)


# One vector, a few and many, each by a product of their own
def by_rows(one: Product, few: Product, many: Product) -> Product:
    """Return a product that leaves one vector, a few and many of them to a product each, as ROWS has them."""
    if one is few is many:
        return one

    def product(x: torch.Tensor) -> torch.Tensor:
        rows = x.numel() // x.shape[-1]
        return (one if rows == 1 else few if rows < MANY else many)(x)

    return product


# What it takes to be chosen, and candidates that take turns on the clock
NEAR = 0.0125  # how far the results for a vector may be off, as a mean, relative to their size
EXACT = 0.001  # up to here rounding changes no text worth mentioning: float16 is below, bfloat16 above
ROWS = (1, 8, 256)  # how many vectors at a time the products are timed with
MANY = 45  # from how many vectors on they are many; between 8 and 256
CLEARLY = 1.1  # how many times as fast a product must be to beat one that is more exact, or there already
SAMPLE = 4096  # rows of a weight that are enough to time a product


@dataclass
class Trial:
    """What came of trying one way to multiply one kind of matrix, or one way to attend."""

    what: str  # the kind of matrix, or "attention"
    way: str  # the name of its maker
    error: float = math.nan  # of the results, relative to their size
    seconds: tuple[float, ...] = ()  # for each of ROWS; empty if this way doesn't run here
    verdict: str = ""  # whether it was taken, or why not
    taken: tuple[int, ...] = ()  # by how many matrices of the kind, for each of ROWS


def error_of(product: Product, x: torch.Tensor, exact: torch.Tensor, bias: torch.Tensor) -> float:
    """Return how far a product is from exact + bias, relative to the size of exact, as a mean over vectors.

    x (M, K) with M >= 2, exact (M, N). Some vectors go in one by one and the others together; the larger
    of the two means counts.
    """
    alone = min(16, len(x) // 2)
    close = torch.cat([*map(product, x[:alone].split(1)), product(x[alone:])]) - bias
    errors = (close - exact).norm(dim=1) / exact.norm(dim=1).clamp(min=1e-30)
    return torch.stack([errors[:alone].mean(), errors[alone:].mean()]).max().item()  # NaN if one is


Key = tuple[str, str]  # what is tried, and in which way


def seconds_in_turns(
    calls: dict[Key, Callable[[], object]], before: Callable[[], object], rounds: int = 7
) -> dict[Key, float]:
    """Return the fewest seconds that each call took: a program beside it makes a call slower, never faster.

    They take turns, and `before` is called before each round. A way drops out if both its first two calls
    took more than twice as long as the fastest one for the same thing; "plain" stays. On a machine so slow or
    busy that half a second has passed, three rounds must do.
    """
    began, times = perf_counter(), {key: [] for key in calls}
    for number in range(1 + rounds):  # the first round counts for nothing else: much is only set up then
        if number > 3 and perf_counter() - began > 0.5:
            break
        before()
        best = {}
        for (what, _), seconds in times.items():
            best[what] = min([*seconds, best.get(what, math.inf)])
        for (what, way), call in calls.items():
            if number < 2 or way == "plain" or min(times[what, way]) <= 2 * best[what]:
                start = perf_counter()
                call()
                times[what, way].append(perf_counter() - start)
    return {key: min(seconds[1:]) for key, seconds in times.items()}


# What is tried for each kind of weights, and who wins
FLOAT16 = (fbgemm_float16, plain_float16)  # 11 bits of precision; a weight may be too large for it
BFLOAT16 = (onednn_bfloat16, plain_bfloat16)  # 8 bits of precision, for the vectors too
INT8 = (fbgemm_8_bits, aten_int8, plain_int8, int8_as_bfloat16)


@dataclass(frozen=True)
class Kind:
    """What a name for the weights of a fast model stands for."""

    makers: tuple[Maker, ...]  # ways to multiply in the blocks; the plain one is always tried, too
    head: tuple[Maker, ...]  # ways to make the logits
    shortlist: bool = False  # whether the largest logits are made once more in float32
    cache_dtype: torch.dtype = torch.float16  # of the keys and values, if they fit
    bfloat16_attention: bool = False  # whether many tokens may attend in bfloat16


KINDS = {
    "float32": Kind((float32_in_parts, onednn), (float32_in_parts, onednn), cache_dtype=torch.float32),
    "float16": Kind(FLOAT16, FLOAT16),
    "bfloat16": Kind(BFLOAT16, INT8, shortlist=True),
    "int8": Kind(
        (*INT8, *FLOAT16, onednn_bfloat16), (*INT8, *FLOAT16), shortlist=True, bfloat16_attention=True
    ),
}


Matrix = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # weight (N, K), bias (N,), the x (M, K) it meets


def try_ways(
    matrices: dict[str, Matrix], makers: dict[str, tuple[Maker, ...]], before: Callable[[], object]
) -> list[Trial]:
    """Try each way to multiply, and the plain one, with one matrix of each kind; only NotHere is caught.

    Of a weight the first SAMPLE rows are used, and each way gets a copy, so that none finds in the chip's
    cache what another has read. `before` is called before each round of `seconds_in_turns`.
    """
    trials, products = {}, {}
    for what, (weight, bias, x) in matrices.items():
        weight, bias = weight[:SAMPLE], bias[:SAMPLE]
        exact = F.linear(x, weight)
        for make in (*makers[what], plain):
            key = what, make.__name__
            try:
                product = make(weight.clone(), bias)
                trials[key] = Trial(*key, error_of(product, x, exact, bias))
                products[key] = product
            except NotHere as reason:
                trials[key] = Trial(*key, verdict=f"not here: {shorten(str(reason), 60, placeholder=' …')}")
    for rows in ROWS:
        some = {what: x.repeat(-(-rows // len(x)), 1)[:rows] for what, (_, _, x) in matrices.items()}
        calls = {key: partial(product, some[key[0]]) for key, product in products.items()}
        for key, seconds in seconds_in_turns(calls, before).items():
            trials[key].seconds += (seconds,)
    return list(trials.values())


def choose(
    matrices: list[Matrix],
    makers: tuple[Maker, ...],
    trials: list[Trial],
    finish: Callable[[Product], Product] = lambda product: product,
) -> list[Product]:
    """Return the most exact of the fast products that are near enough, for each matrix of one kind.

    trials are those of `try_ways` for this kind, and get their verdicts here. One row, a few and many may
    go different ways. Fast is what isn't clearly slower than the fastest. Of those, a form of the weights
    that is there already comes first; the plain product needs nothing stored. finish is applied to
    products that are off by more than EXACT.
    """
    make = {each.__name__: each for each in makers}
    timed = {trial.way: trial.seconds for trial in trials if trial.seconds}
    chosen, taken = [], Counter()
    for weight, bias, x in matrices:
        exact = F.linear(x, weight)
        tried, errors = {"plain": plain(weight, bias)}, {"plain": 0.0}
        picked = ["plain"]  # that's there already, whether it's taken or not
        for i in range(len(ROWS)):
            good, latest = [], math.inf
            for seconds, way in sorted((times[i], way) for way, times in timed.items()):
                if seconds > latest:
                    break
                if way not in tried:
                    product = make[way](weight, bias)
                    errors[way] = error_of(product, x, exact, bias)
                    tried[way] = product if errors[way] <= EXACT else finish(product)
                if errors[way] <= NEAR:
                    off = round(errors[way], 4)  # what's smaller is the order of the sums
                    good.append((way not in picked, off, seconds, way))
                    latest = min(latest, CLEARLY * seconds)
            picked.append(min(good)[-1])
            taken[picked[-1], i] += 1
        chosen.append(by_rows(*(tried[way] for way in picked[1:])))
    for trial in trials:
        trial.taken = tuple(taken[trial.way, i] for i in range(len(ROWS)))
        places = [
            f"{ROWS[i]} row{'s' * (ROWS[i] > 1)}" + f" in {n} of {len(matrices)}" * (n < len(matrices))
            for (way, i), n in sorted(taken.items())
            if way == trial.way
        ]
        if places:
            trial.verdict = "taken for " + ", ".join(places)
        elif trial.seconds:
            far = not trial.error <= NEAR
            trial.verdict = f"off by more than {NEAR:.2%}" if far else "not chosen"
    return chosen


def shortlisted(rough: Product, weight: torch.Tensor, most: int = 64) -> Product:
    """Make products roughly, and the `most` largest of each row once more, exactly.

    rough gives about x @ weight.T; weight (N, K) is float32.
    """

    def product(x: torch.Tensor) -> torch.Tensor:
        y = rough(x).float()
        best = y.topk(min(most, len(weight))).indices
        return y.scatter_(-1, best, (F.embedding(best, weight) @ x[..., None]).squeeze(-1))

    return product


# Attention in bfloat16: 128 queries at a time, so that most of their future is never computed
MANY_QUERIES = 128  # from which on it can pay to attend in bfloat16


def attend_in_bfloat16(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int = 128) -> torch.Tensor:
    """Let the newest tokens attend to all seen ones up to themselves, `rows` queries at a time.

    q (B, H, T, D), k and v (B, H, S, D) with T <= S, float32 -> float32 (B, H, T, D).
    """
    T, S = q.shape[2], k.shape[2]
    q, k, v = (q / math.sqrt(q.shape[-1])).bfloat16(), k.bfloat16(), v.bfloat16()
    future = ~causal_mask(rows, rows)
    parts = []
    for begin in range(0, T, rows):
        part = q[:, :, begin : begin + rows]
        n = part.shape[2]
        seen = S - T + begin + n  # what the last query of the part may look at
        scores = part @ k[:, :, :seen].transpose(-2, -1)
        scores[..., seen - n :].masked_fill_(future[:n, :n], -math.inf)
        parts.append(scores.softmax(dim=-1) @ v[:, :, :seen])
    return torch.cat(parts, dim=2).float()


def try_attention(config: GPT2Config) -> list[Trial]:
    """Try both ways to attend with many tokens. bfloat16 is taken if it is clearly faster and near enough."""
    T, D = min(2 * MANY_QUERIES, config.n_positions), config.n_embd // config.n_head
    if T < MANY_QUERIES:
        return []
    q, k, v = torch.randn(3, 1, config.n_head, T, D, generator=torch.Generator().manual_seed(0))
    what, ways = (
        f"attention, {T}",
        {
            "float32": lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            "bfloat16": lambda: attend_in_bfloat16(q, k, v),
        },
    )
    exact, close = (attend() for attend in ways.values())
    error = ((close - exact).norm() / exact.norm()).item()
    calls = {(what, way): attend for way, attend in ways.items()}
    plain, quick = seconds_in_turns(calls, before=lambda: None).values()
    taken = error <= NEAR and quick * CLEARLY < plain
    return [
        Trial(what, "float32", 0.0, (plain,), f"taken below {MANY_QUERIES}" if taken else "taken"),
        Trial(what, "bfloat16", error, (quick,), "taken" if taken else "not chosen"),
    ]


# A block in one function: for one token, every Python call counts
MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # of a block, in the order of their use


def norm_of(layer: nn.LayerNorm) -> tuple:
    """Return what F.layer_norm takes after x to do what a layer does."""
    return layer.normalized_shape, layer.weight.detach(), layer.bias.detach(), layer.eps


class FastBlock(nn.Module):
    """A Block for inference, in one function: when decoding one token, every Python call costs.

    `products` stand in for the matrices, in the order of MATRICES. Many tokens attend in bfloat16 if
    `in_bfloat16` is set, else in float32.
    """

    def __init__(self, block: Block, products: list[Product]):
        super().__init__()
        self.n_head, self.products, self.in_bfloat16 = block.attn.n_head, products, False
        self.norms = norm_of(block.ln_1), norm_of(block.ln_2)

    def forward(self, x: torch.Tensor, cache: "LayerCache | None" = None) -> torch.Tensor:
        """Return the residual stream after this block, as `Block.forward` does.

        The cache may hold any floating dtype that the keys and values fit into.
        """
        B, T, _ = x.shape
        ln_1, ln_2 = self.norms
        make_qkv, mix_heads, widen, narrow = self.products
        qkv = make_qkv(F.layer_norm(x, *ln_1)).float()
        q, k, v = qkv.view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        if cache is not None:
            kept = cache.append(k.to(cache.k.dtype), v.to(cache.v.dtype))  # (B, H, T, D) -> (B, H, S, D)
            if cache.length > T:  # else k and v are all there is, and not rounded yet
                k, v = kept
        x = x + mix_heads(merge_heads(self.attend(q, k, v)))
        return x + narrow(F.gelu(widen(F.layer_norm(x, *ln_2)), approximate="tanh"))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return what each query gathers: (B, H, T, D), (B, H, S, D) twice -> (B, H, T, D)."""
        T, S = q.shape[2], k.shape[2]
        if T >= MANY_QUERIES and self.in_bfloat16:
            return attend_in_bfloat16(q, k, v)
        mask = None if T in (1, S) else causal_mask(T, S)
        return F.scaled_dot_product_attention(q, k.float(), v.float(), mask, is_causal=T == S)


def remembering(product: Product, met: list[torch.Tensor]) -> Product:
    """Return a product that also adds the vectors (M, K) that it is called with to `met`."""

    def remember(x: torch.Tensor) -> torch.Tensor:
        met.append(x.flatten(0, -2))
        return product(x)

    return remember


def read_through(weights: list[torch.Tensor], most: int = 2**27) -> None:
    """Read weights of at most `most` bytes, so that the chip's cache holds them and nothing older."""
    for weight in weights:
        most -= weight.nbytes
        if most >= 0:
            weight.sum()


# The model itself
class FastGPT2(nn.Module):
    """A GPT2 for inference whose matrix products are made for the processor; called like GPT2.

    It stays as it was made: moving, converting, saving, loading and pickling it raise TypeError, and a
    copy of it is itself. `trials` has what was tried while it was made, and `report` says it in a table.
    """

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def __init__(self, model: GPT2, weights: str):
        """Prepare every matrix of model; the memory of embeddings and LayerNorms is shared with it."""
        super().__init__()
        kind, self.config, self._cache_dtype = KINDS[weights], model.config, torch.float32
        self.wte = nn.Embedding.from_pretrained(model.wte.weight.detach())
        self.wpe = nn.Embedding.from_pretrained(model.wpe.weight.detach())
        self.ln_f = norm_of(model.ln_f)
        wte = self.wte.weight.detach()
        layers = [block.get_submodule(name) for block in model.h for name in MATRICES]
        matrices = [(layer.weight.detach(), layer.bias.detach()) for layer in layers]
        matrices.append((wte, wte.new_zeros(len(wte))))  # the head

        met = []  # the vectors that each matrix meets, as the model reads 64 random tokens
        *products, self.head = [remembering(plain(*matrix), met) for matrix in matrices]
        self.h = nn.ModuleList(
            FastBlock(block, products[4 * i : 4 * i + 4]) for i, block in enumerate(model.h)
        )
        size = (2, min(32, model.config.n_positions))
        self(torch.randint(model.config.vocab_size, size, generator=torch.Generator().manual_seed(0)))
        matrices = [(*matrix, x) for matrix, x in zip(matrices, met)]

        self._choose_products(kind, matrices)
        if any(trial.way == "bfloat16" and trial.verdict == "taken" for trial in self.trials):
            for block in self.h:
                block.in_bfloat16 = True
        largest = max(F.linear(x, weight, bias).abs().max() for weight, bias, x in matrices[:-1:4])
        if largest < 1000:  # float16 overflows above 65504; this leaves headroom for other texts
            self._cache_dtype = kind.cache_dtype

    def _choose_products(self, kind: Kind, matrices: list[Matrix]) -> None:
        """Try all ways, and give each block, and the head, the fastest products that are near enough."""
        same = {name: matrices[i:-1:4] for i, name in enumerate(MATRICES)} | {"wte": matrices[-1:]}
        makers = dict.fromkeys(MATRICES, kind.makers) | {"wte": kind.head}
        middle = {name: alike[len(alike) // 2] for name, alike in same.items()}
        began = perf_counter()
        self.trials = try_ways(middle, makers, partial(read_through, [weight for weight, _, _ in matrices]))
        if kind.bfloat16_attention:
            self.trials += try_attention(self.config)
        self.seconds_tried = perf_counter() - began

        trials = {name: [trial for trial in self.trials if trial.what == name] for name in same}
        for i, name in enumerate(MATRICES):
            for block, product in zip(self.h, choose(same[name], makers[name], trials[name])):
                block.products[i] = product
        finish = partial(shortlisted, weight=self.wte.weight.detach()) if kind.shortlist else lambda p: p
        [self.head] = choose(same["wte"], kind.head, trials["wte"], finish)

    @property
    def report(self) -> str:
        """Return what was tried as a table: microseconds for each number of rows, error, verdict."""
        heads = "".join(f"{n:>4} row{'s' if n > 1 else ' '} " for n in ROWS)
        lines = [" " * 34 + heads + "    error"]
        for trial in self.trials:
            times = "".join(f"{1e6 * seconds:7.0f} µs" for seconds in trial.seconds)
            error = f"{trial.error:.2%}" if trial.seconds else ""
            width = 10 * len(ROWS)
            lines.append(f"{trial.what:16}{trial.way:18}{times:>{width}}{error:>9}  {trial.verdict}")
        return "\n".join([*lines, f"Trying took {self.seconds_tried:.1f} seconds."])

    def new_cache(self, batch_size: int = 1, max_length: int | None = None) -> KVCache:
        """Return an empty cache for batch_size texts of at most max_length tokens, as `GPT2.new_cache` does.

        It holds the dtype that suits the weights; any other floating dtype will do, too.
        """
        return KVCache(self.config, batch_size, max_length=max_length, dtype=self._cache_dtype)

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)  # the dtypes are chosen already
    def forward(
        self, tokens: torch.Tensor, cache: "KVCache | None" = None, *, last_only: bool = False
    ) -> torch.Tensor:
        """Return the logits of the token that follows each token, as `GPT2.forward` does."""
        start = 0 if cache is None else cache.length
        check_tokens(tokens, self.config, cache)
        x = embed(tokens, self.wte.weight, self.wpe.weight, start)
        for i, block in enumerate(self.h):
            x = block(x, None if cache is None else cache[i])
        return self.head(F.layer_norm(x[:, -1:] if last_only else x, *self.ln_f))

    def __deepcopy__(self, memo: dict) -> "FastGPT2":
        """Return the model itself: nothing in it changes."""
        return self

    def __copy__(self) -> "FastGPT2":
        return self

    def _refuse(self, *arguments, **options):
        raise TypeError(
            "a fast model stays as it was made: its products fit this processor and this dtype. Move, "
            "convert, save, load or pickle the GPT2 that it was made from, and call fast on that again"
        )

    state_dict = load_state_dict = __reduce_ex__ = _refuse

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "FastGPT2":
        """Refuse to move or convert the model, unless nothing would change: `.to("cpu")`, `.float()`."""
        before = self.wte.weight.detach()[:1]
        after = fn(before)
        return self if (after.dtype, after.device) == (before.dtype, before.device) else self._refuse()


def fast(model: GPT2, weights: str = "float32") -> nn.Module:
    """Return a model that is called like `model` and is quicker; for inference only.

    weights is what the matrices are stored as: float32 (exact to rounding), float16 (nearly), bfloat16 or
    int8. On a CPU each way to multiply is tried and timed here, with torch's present number of threads. Of
    those whose results are near enough, the fastest is taken, or a more exact one that is nearly as fast;
    `print(fast(model, "int8").report)` shows what was tried. The plain float32 product is always among them,
    so a matrix that is no faster in short weights, or that they would spoil, stays as it is. Where logits
    are made in int8, the 64 largest are made once more in float32. Long prompts are quicker after
    `gpt2lib.memory.keep_freed_memory()`, which changes the whole process. Elsewhere than on a CPU the model
    is copied in this dtype and compiled.

    Later changes to `model` may or may not show; save and move that one. Raises ValueError for other
    weights, for a model that is not float32, and for int8 on anything but a CPU; TypeError for anything but
    a GPT2, such as one that is wrapped or fast already.
    """
    if weights not in KINDS:
        raise ValueError(f"weights is {weights!r}; choose one of {', '.join(KINDS)}")
    if isinstance(model, FastGPT2):
        raise TypeError("this model is fast already; pass the GPT2 that it was made from")
    if not isinstance(model, GPT2):
        wrappers = ("_orig_mod", "module")  # torch.compile's; DistributedDataParallel's and others'
        inside = [name for name in wrappers if isinstance(getattr(model, name, None), nn.Module)]
        advice = f"pass what is inside it, model.{inside[0]}" if inside else "pass a GPT2"
        raise TypeError(f"fast takes a GPT2, but this is a {type(model).__name__}; {advice}")
    wte = model.wte.weight
    if wte.dtype != torch.float32:
        raise ValueError(f"the model is {wte.dtype}, but fast starts from float32; load it as float32")
    if wte.device.type == "cpu":
        return FastGPT2(model, weights).eval()
    if weights == "int8":
        raise ValueError(f"int8 is made for CPUs and the model is on {wte.device}; choose bfloat16")
    quick = copy.deepcopy(model).to(getattr(torch, weights))
    quick.compile(dynamic=True)
    return quick
