"""The same GPT-2, made quick: products that suit the processor. Built in chapter 10."""

import copy
import math
import platform
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from gpt2lib.attention import causal_mask, merge_heads
from gpt2lib.embeddings import embed
from gpt2lib.model import GPT2, Block, check_tokens
from gpt2lib.training import keep_freed_memory

if TYPE_CHECKING:
    from gpt2lib.cache import KVCache, LayerCache


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers from -127 to 127, and what one unit is worth in each row.

    weight (N, K) -> int8 (N, K), float32 (N,). numbers * scale[:, None] is off by half a scale at most.
    A row of zeros has the scale 1. Source: Dettmers et al. 2022, section 2.1 ("absmax").
    """
    scale = weight.float().abs().amax(dim=1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale[:, None]).round().to(torch.int8), scale


def quantized_linear(
    x: torch.Tensor, numbers: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Return x @ W.T + bias for the W whose row n is numbers[n] * scale[n], without making W.

    x (M, K) float32 or bfloat16, numbers int8 (N, K), scale and bias float32 (N,) -> float32 (M, N).
    The numbers are exact in the dtype of x, in which the product is made. (float16 would not do: the
    sums, not yet scaled, can pass its end.)
    """
    return torch.addcmul(bias, F.linear(x, numbers.to(x.dtype)), scale)


Product = Callable[[torch.Tensor], torch.Tensor]  # x (..., K) -> about x @ weight.T + bias (..., N)
Maker = Callable[[torch.Tensor, torch.Tensor], Product]  # weight (N, K), bias (N,) -> a product

NEAR = 0.0125  # how far the results for a vector may be off, as a mean, relative to their size


def is_near(product: Product, x: torch.Tensor, exact: torch.Tensor, bias: torch.Tensor) -> bool:
    """Tell whether a product gives about exact + bias, for single vectors and for several at once.

    x (M, K) with M >= 2, exact (M, N): the first half goes in one by one, the other together.
    """
    half = len(x) // 2
    close = torch.cat([*map(product, x[:half].split(1)), product(x[half:])]) - bias
    errors = (close - exact).norm(dim=1) / exact.norm(dim=1).clamp(min=1e-30)
    return bool(errors[:half].mean() <= NEAR and errors[half:].mean() <= NEAR)


def first_that_suits(
    makers: tuple[Maker, ...], weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor
) -> Product:
    """Return the product of the first maker that this torch and this processor have and that is near enough.

    x (M, K) are two or more vectors of the kind that the weight will meet. The last maker is not tried; it
    must use public operators only.
    """
    exact = F.linear(x, weight)
    for make in makers[:-1]:
        try:
            product = make(weight, bias)
            if is_near(product, x, exact, bias):
                return product
        except (AttributeError, NotImplementedError, RuntimeError, TypeError):
            continue
    return makers[-1](weight, bias)


def plain(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply as nn.Linear does."""
    return lambda x: F.linear(x, weight, bias)


def plain_float16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Keep float16 weights and make them float32 for each product."""
    weight = weight.half()
    return lambda x: F.linear(x, weight.float(), bias)


def plain_bfloat16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply in bfloat16 as nn.Linear does. The results are bfloat16."""
    weight, bias = weight.bfloat16(), bias.bfloat16()
    return lambda x: F.linear(x.bfloat16(), weight, bias)


def plain_int8(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Keep int8 weights and make them float32 for each product."""
    numbers, scale = quantize_rows(weight)
    return lambda x: quantized_linear(x, numbers, scale, bias)


def onednn(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply with oneDNN, in the dtype of the weight. A private operator of torch.

    torch takes MKL for float32. On many rows oneDNN is about twice as fast on AMD's processors, and no less
    precise.
    """
    multiply = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: multiply(x, weight, bias, "none", [], "")


def onednn_bfloat16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply in bfloat16, with the weight in the order that oneDNN reads fastest. Private operators.

    The results are bfloat16.
    """
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), 1)
    multiply = onednn(packed, bias.bfloat16())
    return lambda x: multiply(x.bfloat16())


def fbgemm_float16(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply float32 rows with float16 weights, as FBGEMM does. Private operators of torch."""
    packed = torch.ops.quantized.linear_prepack_fp16(weight.clone(), bias)  # it may write into its argument
    multiply = torch.ops.quantized.linear_dynamic_fp16.default
    return lambda x: multiply(x, packed)


def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself, as far as torch knows. Private operators."""
    try:
        if platform.machine() in ("x86_64", "AMD64"):
            return torch.cpu._is_avx512_bf16_supported()
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # on x86 also true where oneDNN imitates it
    except (AttributeError, RuntimeError):
        return False


def fbgemm_int8(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply vectors in one byte with int8 weights, as FBGEMM does. Private operators of torch.

    FBGEMM lets the smallest of all the numbers that it is given be 0 and the largest 255 (and keeps 0
    between them). For one vector that is as it should be; of several each is stretched to 0..1 first.
    """
    numbers, scale = quantize_rows(weight)
    with warnings.catch_warnings():  # torch wants to give these tensors up; the next way is tried then
        warnings.simplefilter("ignore")
        stored = torch._make_per_channel_quantized_tensor(
            numbers.contiguous(), scale.double(), torch.zeros(len(scale), dtype=torch.int64), 0
        )
    packed = torch.ops.quantized.linear_prepack(stored, bias)
    multiply = torch.ops.quantized.linear_dynamic.default
    sums = numbers.sum(dim=1) * scale  # what a row of ones gives, without the bias

    def product(x: torch.Tensor) -> torch.Tensor:
        if x.numel() == x.shape[-1]:
            return multiply(x, packed)
        low = x.amin(dim=-1, keepdim=True)
        span = x.amax(dim=-1, keepdim=True) - low
        span = torch.where(span > 0, span, 1.0)
        y = multiply((x - low).div_(span), packed).sub_(bias)
        return y.mul_(span).addcmul_(low, sums).add_(bias)

    return product


def aten_int8(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply bfloat16 rows with int8 weights. A private operator of torch.

    It makes the weights bfloat16 inside the processor, anew for every four rows or so. Many rows are
    worth a copy of the weights in the dtype that the processor is quick at.
    """
    numbers, scale = quantize_rows(weight)
    numbers = numbers.contiguous()  # row after row, also where the weight came from a file transposed
    multiply, ones = torch.ops.aten._weight_int8pack_mm.default, torch.ones_like(scale).bfloat16()
    many = torch.bfloat16 if multiplies_bfloat16() else torch.float32

    def product(x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(0, -2)
        if len(rows) > 16:
            return quantized_linear(x.to(many), numbers, scale, bias)
        return torch.addcmul(bias, multiply(rows.bfloat16(), numbers, ones), scale).view(*x.shape[:-1], -1)

    return product


def float32_in_parts(weight: torch.Tensor, bias: torch.Tensor) -> Product:
    """Multiply one row in parts, many with oneDNN.

    A matrix-vector product runs on one core, but a batch of them on all: so the weight is seen as a
    batch of parts.
    """
    weight = weight.contiguous()
    N, K = weight.shape
    least = 2 * torch.get_num_threads()
    parts = min((n for n in range(1, 257) if N % n == 0), key=lambda n: (n < least, abs(n - least)))
    blocks, offsets = weight.view(parts, N // parts, K), bias.view(parts, -1, 1)
    many = first_that_suits((onednn, plain), weight, bias, weight.new_ones(4, K))

    def product(x: torch.Tensor) -> torch.Tensor:
        if x.numel() > K:
            return many(x)
        column = x.reshape(1, K).t().expand(parts, K, 1)  # of strides that the quick routine takes
        return torch.baddbmm(offsets, blocks, column).view(*x.shape[:-1], N)

    return product


FLOAT16 = (fbgemm_float16, plain_float16, plain)  # 11 bits of precision; a weight may be too large for it
MAKERS: dict[str, tuple[Maker, ...]] = {  # what the weights are stored as -> ways to multiply, the best first
    "float32": (float32_in_parts, plain),
    "float16": FLOAT16,
    "bfloat16": (onednn_bfloat16, plain_bfloat16),  # 8 bits of precision, for the vectors too
    "int8": (fbgemm_int8, aten_int8, plain_int8, *FLOAT16),
}


def shortlisted(rough: Product, weight: torch.Tensor, most: int = 64) -> Product:
    """Make products roughly, and the `most` largest of each row once more, exactly.

    rough gives about x @ weight.T; weight (N, K) is float32.
    """

    def product(x: torch.Tensor) -> torch.Tensor:
        y = rough(x)
        best = y.topk(min(most, len(weight))).indices
        return y.scatter_(-1, best, (F.embedding(best, weight) @ x[..., None]).squeeze(-1))

    return product


def vectors_met(model: GPT2) -> dict[nn.Module, torch.Tensor]:
    """Return the vectors (M, K) that each matrix of a model is multiplied with as it reads 64 random tokens.

    Those of `wte`, which makes the logits, stand under `ln_f`.
    """
    met = {}

    def remember(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        met[module] = (output if module is model.ln_f else inputs[0]).flatten(0, -2)

    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(remember) for layer in (*layers, model.ln_f)]
    size = (2, min(32, model.config.n_positions))
    tokens = torch.randint(model.config.vocab_size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return met


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


class FastBlock(nn.Module):
    """A Block for inference whose matrices are products, in one function: for one token every call counts."""

    def __init__(self, block: Block, prepare: Callable[[nn.Linear], Product], in_bfloat16: bool):
        """Prepare the four matrices; many tokens attend in bfloat16 if in_bfloat16, else in float32."""
        super().__init__()
        self.n_head, self.in_bfloat16 = block.attn.n_head, in_bfloat16
        self.norms = [
            (norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps)
            for norm in (block.ln_1, block.ln_2)
        ]
        linears = (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)
        self.products = [prepare(linear) for linear in linears]

    def forward(self, x: torch.Tensor, cache: "LayerCache | None" = None) -> torch.Tensor:
        """Return the residual stream after this block, as `Block.forward` does.

        The cache may hold any floating dtype that the keys and values fit into.
        """
        B, T, _ = x.shape
        ln_1, ln_2 = self.norms
        make_qkv, gather, widen, bring_back = self.products
        qkv = make_qkv(F.layer_norm(x, *ln_1)).float()
        q, k, v = qkv.view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        if cache is not None:
            kept = cache.k.dtype
            k, v = cache.append(k.to(kept), v.to(kept))  # (B, H, T, D) -> (B, H, S, D)
        x = x + gather(merge_heads(self.attend(q, k, v)))
        return x + bring_back(F.gelu(widen(F.layer_norm(x, *ln_2)), approximate="tanh"))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return what each query gathers: (B, H, T, D), (B, H, S, D) twice -> (B, H, T, D)."""
        T, S = q.shape[2], k.shape[2]
        if T > 32 and self.in_bfloat16:  # for fewer it would be slower
            return attend_in_bfloat16(q, k, v)
        mask = None if T in (1, S) else causal_mask(T, S)
        return F.scaled_dot_product_attention(q, k.float(), v.float(), mask, is_causal=T == S)


class FastGPT2(nn.Module):
    """A GPT2 for inference whose matrix products are made for the processor; called like GPT2."""

    @torch.autocast("cpu", enabled=False)
    def __init__(self, model: GPT2, weights: str):
        """Prepare every matrix of model; embeddings and LayerNorms are shared with it."""
        super().__init__()
        met = vectors_met(model)

        def prepare(linear: nn.Linear) -> Product:
            weight, bias = linear.weight.detach(), linear.bias.detach()
            return first_that_suits(MAKERS[weights], weight, bias, met[linear])

        short = weights in ("bfloat16", "int8")
        in_bfloat16 = weights == "int8" and multiplies_bfloat16()
        self.config, self.wte, self.wpe, self.ln_f = model.config, model.wte, model.wpe, model.ln_f
        self.h = nn.ModuleList(FastBlock(block, prepare, in_bfloat16) for block in model.h)
        wte = model.wte.weight.detach()
        makers = MAKERS["int8" if short else weights]
        product = first_that_suits(makers, wte, wte.new_zeros(len(wte)), met[model.ln_f])
        self.head = shortlisted(product, wte) if short else product
        self.cache_dtype = torch.float32  # what `generate` opens a cache with
        if weights != "float32":
            with torch.no_grad():
                largest = max(c(met[c]).abs().max() for c in (block.attn.c_attn for block in model.h))
            if largest < 1000:  # float16 ends at 65504; other texts may have more
                self.cache_dtype = torch.float16

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)  # the dtypes are chosen already
    def forward(
        self, tokens: torch.Tensor, cache: "KVCache | None" = None, *, last_only: bool = False
    ) -> torch.Tensor:
        """Return the logits of the token that follows each token, as `GPT2.forward` does."""
        start = 0 if cache is None else cache.length
        check_tokens(tokens, self.config, start)
        x = embed(tokens, self.wte.weight, self.wpe.weight, start)
        for i, block in enumerate(self.h):
            x = block(x, None if cache is None else cache[i])
        return self.head(self.ln_f(x[:, -1:] if last_only else x))


def fast(model: GPT2, weights: str = "float32") -> nn.Module:
    """Return a model that is called like `model` and is quicker; for inference only.

    weights is what the matrices are stored as: float32 (exact to rounding), float16 (nearly), bfloat16
    or int8. On a CPU the products are chosen for it and for torch's present number of threads; a matrix
    that int8 would spoil becomes float16. bfloat16 and int8 make the logits in int8, and the 64 largest
    once more in float32. `cache_dtype` of the result is what its cache should hold; float32 will do, too.
    Elsewhere the model is copied in this dtype and compiled. Later changes to `model` may or may not show;
    save and move that one. Raises ValueError for other weights, for a model that is not float32, and for
    int8 beside a CPU.
    """
    if weights not in MAKERS:
        raise ValueError(f"weights is {weights!r}; choose one of {', '.join(MAKERS)}")
    wte = model.wte.weight
    if wte.dtype != torch.float32:
        raise ValueError(f"the model is {wte.dtype}, but fast starts from float32; load it as float32")
    if wte.device.type == "cpu":
        keep_freed_memory()  # the large tensors of a long prompt come and go
        return FastGPT2(model, weights).eval()
    if weights == "int8":
        raise ValueError(f"int8 is made for CPUs and the model is on {wte.device}; choose bfloat16")
    quick = copy.deepcopy(model).to(getattr(torch, weights))
    quick.compile(dynamic=True)
    return quick
