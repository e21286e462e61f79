"""The exercises of chapter 05: LayerNorm, the block, the stack, its size, its start, its checkpoint."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config


def draw(*shape, seed=0):
    """Return normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- 5.1 layer_norm ----------------------------------------------------------------------------------


def norm_cases():
    """One vector of four; then batches with gains, biases, and an eps that shows."""
    return [
        (
            torch.tensor([1.0, 2.0, 3.0, 6.0]),
            torch.tensor([1.0, 1.0, 2.0, 1.0]),
            torch.tensor([0.0, 0.5, 0.0, 0.0]),
            0.1,
        ),
        (draw(2, 3, 4), 1 + draw(4, seed=1), draw(4, seed=2), 0.1),
        (0.03 * draw(3, 5, seed=3), draw(5, seed=4), draw(5, seed=5), 1e-3),
        (3 + draw(4, 4, 4, seed=6), draw(4, seed=7), draw(4, seed=8), 1e-5),
    ]


def make_norm(
    dim=-1, unbiased=False, eps_at="root", gain=True, shift=True, center=True, order="scale-shift", root=True
):
    """Return a LayerNorm with the asked-for slips in it."""

    def layer_norm(x, weight, bias, eps):
        mean = x.mean(dim, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim, keepdim=True)
        if unbiased:
            variance = x.var(dim, keepdim=True)
        if not center:
            mean, variance = 0.0, (x**2).mean(dim, keepdim=True)
        if not root:
            y = (x - mean) / (variance + eps)
        elif eps_at == "root":
            y = (x - mean) / torch.sqrt(variance + eps)
        else:
            y = (x - mean) / (variance.sqrt() + (eps if eps_at == "outside" else 0.0))
        weight, bias = weight if gain else 1.0, bias if shift else 0.0
        return (y + bias) * weight if order == "shift-scale" else y * weight + bias

    return layer_norm


def norm_fused(x, weight, bias, eps):
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def norm_module(x, weight, bias, eps):
    module = nn.LayerNorm(x.shape[-1], eps=eps).requires_grad_(False)
    module.weight.copy_(weight)
    module.bias.copy_(bias)
    return module(x)


def norm_by_moments(x, weight, bias, eps):
    x = x.double()
    mean, square = x.mean(-1, keepdim=True), (x * x).mean(-1, keepdim=True)
    return torch.addcmul(bias.double(), (x - mean) * (square - mean**2 + eps).rsqrt(), weight.double())


def norm_by_squares(x, weight, bias, eps):
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean**2
    return weight * (x - mean) / torch.sqrt(variance + eps) + bias


def norm_by_loops(x, weight, bias, eps):
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        d = row - row.sum() / len(row)
        rows.append(d / (d.dot(d) / len(row) + eps) ** 0.5 * weight + bias)
    return torch.stack(rows).view_as(x)


# --- small parts for 5.2 and 5.5 -----------------------------------------------------------------------


class Layer(nn.Module):
    """Stand in for attention or the MLP: a matrix and a bend, and a note of the cache it was given."""

    def __init__(self, width, seed):
        super().__init__()
        self.matrix = nn.Parameter(0.7 * draw(width, width, seed=seed))
        self.seen = []

    def forward(self, x, cache=None):
        self.seen.append(cache)
        return torch.tanh(x @ self.matrix)


def run_block(answer, x, cache):
    """Return what a block does with layers that stand in for attention and MLP."""
    C = x.shape[-1]
    block = answer(GPT2Config(n_embd=C, n_head=2, vocab_size=9, n_positions=9, layer_norm_epsilon=0.1))
    block.attn, block.mlp = Layer(C, 1), Layer(C, 2)
    with torch.no_grad():
        for i, norm in enumerate((block.ln_1, block.ln_2)):
            norm.weight.copy_(1 + 0.5 * draw(C, seed=3 + i))
            norm.bias.copy_(0.5 * draw(C, seed=5 + i))
        y = block(x) if cache is None else block(x, cache)
    return {"result": y, "cache given to attn": block.attn.seen, "cache given to mlp": block.mlp.seen}


class Parts(nn.Module):
    """The parts of a block, as the checkpoint names them."""

    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = nn.Identity()
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = nn.Identity()


def block_of(forward):
    """Return a block with this forward."""
    return type("Block", (Parts,), {"forward": forward})


def cache_to_mlp(self, x, cache=None):
    x = x + self.attn(self.ln_1(x), cache)
    return x + self.mlp(self.ln_2(x), cache)


def no_residual(self, x, cache=None):
    return self.mlp(self.ln_2(self.attn(self.ln_1(x), cache)))


def norms_exchanged(self, x, cache=None):
    x = x + self.attn(self.ln_2(x), cache)
    return x + self.mlp(self.ln_1(x))


def post_norm(self, x, cache=None):
    x = self.ln_1(x + self.attn(x, cache))
    return self.ln_2(x + self.mlp(x))


def no_second_residual(self, x, cache=None):
    x = x + self.attn(self.ln_1(x), cache)
    return self.mlp(self.ln_2(x))


def no_first_residual(self, x, cache=None):
    x = self.attn(self.ln_1(x), cache)
    return x + self.mlp(self.ln_2(x))


def parallel(self, x, cache=None):
    return x + self.attn(self.ln_1(x), cache) + self.mlp(self.ln_2(x))


def old_stream(self, x, cache=None):
    y = x + self.attn(self.ln_1(x), cache)
    return x + self.mlp(self.ln_2(y))


def normed_stream(self, x, cache=None):
    x = self.ln_1(x)
    x = x + self.attn(x, cache)
    x = self.ln_2(x)
    return x + self.mlp(x)


def one_norm(self, x, cache=None):
    x = x + self.attn(self.ln_1(x), cache)
    return x + self.mlp(self.ln_1(x))


def no_norms(self, x, cache=None):
    x = x + self.attn(x, cache)
    return x + self.mlp(x)


def drops_cache(self, x, cache=None):
    x = x + self.attn(self.ln_1(x))
    return x + self.mlp(self.ln_2(x))


def with_norms(first, second):
    """Return a forward in which these norms stand before attention and before the MLP."""

    def forward(self, x, cache=None):
        x = x + self.attn(first(self, x), cache)
        return x + self.mlp(second(self, x))

    return forward


def normed_stream_at(first, second):
    """Return a forward that normalizes the stream itself before attention, before the MLP, or not."""

    def forward(self, x, cache=None):
        norm = self.ln_1(x)
        x = (norm if first else x) + self.attn(norm, cache)
        norm = self.ln_2(x)
        return (norm if second else x) + self.mlp(norm)

    return forward


def mlp_first_with_ln_1(self, x, cache=None):
    x = x + self.mlp(self.ln_1(x))
    return x + self.attn(self.ln_2(x), cache)


def one_addition(self, x, cache=None):
    return x + self.mlp(self.ln_2(self.attn(self.ln_1(x), cache)))


def mlp_reads_attention(self, x, cache=None):
    gathered = self.attn(self.ln_1(x), cache)
    return x + gathered + self.mlp(self.ln_2(gathered))


def without_x(self, x, cache=None):
    gathered = self.attn(self.ln_1(x), cache)
    return gathered + self.mlp(self.ln_2(x + gathered))


def first_text_only(self, x, cache=None):
    x = x + self.attn(self.ln_1(x), cache)[0]
    return x + self.mlp(self.ln_2(x))


def no_return(self, x, cache=None):
    block_in_steps(self, x, cache)


def mlp_first(self, x, cache=None):
    x = x + self.mlp(self.ln_2(x))
    return x + self.attn(self.ln_1(x), cache)


def block_in_steps(self, x, cache=None):
    a = self.attn(self.ln_1(x), cache)
    h = torch.add(a, x)
    m = self.mlp(self.ln_2(h))
    return m + h


def block_by_loop(self, x, cache=None):
    for norm, layer, more in ((self.ln_1, self.attn, (cache,)), (self.ln_2, self.mlp, ())):
        x = x + layer(norm(x), *more)
    return x


def block_by_hand(self, x, cache=None):
    first = norm_by_moments(x, self.ln_1.weight, self.ln_1.bias, self.ln_1.eps).float()
    x = x + self.attn(first, cache=cache)
    return x + self.mlp(norm_fused(x, self.ln_2.weight, self.ln_2.bias, self.ln_2.eps))


# --- 5.3 parameter_count ---------------------------------------------------------------------------------


def count_cases():
    """GPT-2 small, then sizes that have nothing in common."""
    return [
        (GPT2Config(),),
        (GPT2Config(vocab_size=11, n_positions=7, n_embd=6, n_layer=2, n_head=3),),
        (GPT2Config(vocab_size=300, n_positions=50, n_embd=8, n_layer=5, n_head=1),),
    ]


def make_count(
    head=0, tokens=1, positions=1, biases=1, norms=4, final=2, layers=None, masks=0, mlp=4, squares=0, more=0
):
    """Return a count with the asked-for slips in it: squares more C * C and `more` C in each block."""

    def parameter_count(config):
        C, V, N, L = config.n_embd, config.vocab_size, config.n_positions, layers or config.n_layer
        block = norms * C + 4 * C * C + 2 * mlp * C * C + biases * (4 * C + mlp * C + C) + masks * N * N
        block += squares * C * C + more * C
        return (tokens + head) * V * C + positions * N * C + L * block + final * C

    return parameter_count


def count_with(**sizes):
    """Return a count that takes some sizes for granted."""
    return lambda config: make_count()(replace(config, **sizes))


def count_of_each_head(config):
    C, H, L = config.n_embd, config.n_head, config.n_layer
    return make_count()(config) + L * (H - 1) * (3 * C * C + 3 * C)


def count_times_tensors(config):
    C, L = config.n_embd, config.n_layer
    block = 4 * 4 * C + 2 * (12 * C * C + 9 * C)
    return (config.vocab_size + config.n_positions) * C + L * block + 2 * 2 * C


def count_all_times_layers(config):
    return config.n_layer * make_count()(config)


def count_tables_times_layers(config):
    C, L = config.n_embd, config.n_layer
    return make_count()(config) + (L - 1) * (config.vocab_size + config.n_positions) * C


def count_by_loop(config):
    C, total = config.n_embd, (config.vocab_size + config.n_positions) * config.n_embd
    for _ in range(config.n_layer):
        for rows, columns in ((C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)):
            total += rows * columns + columns
        total += 2 * (C + C)
    return total + C + C


def count_by_formula(c):
    return c.n_embd * (c.vocab_size + c.n_positions + 2 + c.n_layer * (12 * c.n_embd + 13))


def count_by_tensors(c):
    C = c.n_embd
    shapes = [(c.vocab_size, C), (c.n_positions, C), (C,), (C,)]
    block = [(C,)] * 4 + [(3 * C, C), (3 * C,), (C, C), (C,), (4 * C, C), (4 * C,), (C, 4 * C), (C,)]
    return sum(torch.Size(shape).numel() for shape in shapes + block * c.n_layer)


# --- 5.4 initial_std -----------------------------------------------------------------------------------


def std_cases():
    """One matrix of each kind, biases and gains, for two depths."""
    names = [
        "h.0.attn.c_proj.weight", "wte.weight", "wpe.weight", "h.3.ln_1.weight", "h.3.ln_2.bias", "ln_f.weight", "ln_f.bias",
        "h.1.attn.c_attn.weight", "h.1.attn.c_attn.bias", "h.2.attn.c_proj.bias", "h.4.mlp.c_fc.weight", "h.11.mlp.c_proj.weight",
        "h.4.mlp.c_fc.bias", "h.10.mlp.c_proj.bias",
    ]  # fmt: skip
    return [(name, 12) for name in names] + [(name, 3) for name in names]


def make_std(residual=lambda L: math.sqrt(2 * L), gain=0.0, bias=0.0, which="c_proj", std=0.02, final="ln_"):
    """Return a rule with the asked-for slips in it."""

    def initial_std(name, n_layer):
        if name.endswith("bias"):
            return std if bias else 0.0
        if final in name:
            return gain
        return std / residual(n_layer) if which in name else std

    return initial_std


def std_by_parts(name, n_layer):
    *_, layer, kind = name.split(".")
    if kind == "bias" or layer.startswith("ln"):
        return 0
    return 0.02 * (2 * n_layer) ** -0.5 if layer == "c_proj" else 0.02


def std_by_table(name, n_layer):
    table = {"wte": 0.02, "wpe": 0.02, "c_attn": 0.02, "c_fc": 0.02, "c_proj": 0.02 / math.sqrt(2 * n_layer)}
    layer, kind = name.split(".")[-2:]
    return table.get(layer, 0.0) if kind == "weight" else 0.0


def std_by_tensor(name, n_layer):
    if "ln_" in name or "bias" in name:
        return torch.tensor(0.0)
    return torch.tensor(0.02) / (torch.tensor(2.0 * n_layer).sqrt() if "c_proj" in name else 1)


# --- 5.5 GPT2 --------------------------------------------------------------------------------------------


class FakeBlock(nn.Module):
    """Stand in for a block: it mixes channels and earlier tokens, and notes the cache it was given."""

    def __init__(self, width, seed):
        super().__init__()
        self.matrix, self.seen = 0.6 * draw(width, width, seed=seed), []

    def forward(self, x, cache=None):
        self.seen.append(cache)
        return x + torch.tanh(x.cumsum(1) @ self.matrix)


@dataclass(frozen=True)
class FakeCache:
    """Stand in for the cache of chapter 07: a length and one part for each layer."""

    length: int

    def __getitem__(self, layer):
        return f"layer {layer}"


def run_model(answer, T, length, last_only):
    """Return the logits of a model whose blocks are stand-ins, and the caches that they were given."""
    config = GPT2Config(vocab_size=13, n_positions=9, n_embd=6, n_layer=3, n_head=2, layer_norm_epsilon=0.1)
    model = answer(config)
    model.h = nn.ModuleList(FakeBlock(6, seed) for seed in range(3))
    with torch.no_grad():
        for i, name in enumerate(("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")):
            parameter = model.get_parameter(name)
            parameter.copy_(draw(*parameter.shape, seed=10 + i))
        tokens = torch.randint(13, (2, T), generator=torch.Generator().manual_seed(T))
        cache = None if length is None else FakeCache(length)
        options = {"last_only": True} if last_only else {}
        logits = model(tokens, cache, **options)
    return {"logits": logits, "caches": [block.seen for block in model.h]}


def model_cases():
    """Without a cache; the last position only; with a cache that is empty, and one that is not."""
    return [(4, None, False), (5, None, True), (4, 0, False), (2, 5, False), (1, 7, True)]


class Stack(nn.Module):
    """A right GPT2 made of parts that can be exchanged one by one."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList()
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    def positions(self, tokens, start):
        return torch.arange(start, start + tokens.shape[1])

    def start(self, cache):
        return 0 if cache is None else cache.length

    def layer_cache(self, cache, i):
        return None if cache is None else cache[i]

    def blocks(self):
        return list(self.h)

    def step(self, block, x, layer_cache):
        return block(x, layer_cache)

    def embed(self, tokens, start):
        return self.wte(tokens) + self.wpe(self.positions(tokens, start))

    def choose(self, x, last_only):
        return x[:, -1:] if last_only else x

    def head(self, x):
        return x @ self.wte.weight.T

    def final(self, x):
        return self.ln_f(x)

    def forward(self, tokens, cache=None, *, last_only=False):
        x = self.embed(tokens, self.start(cache))
        for i, block in enumerate(self.blocks()):
            x = self.step(block, x, self.layer_cache(cache, i))
        return self.head(self.final(self.choose(x, last_only)))


def stack(**parts):
    """Return the right model with some of its parts exchanged."""
    return type("GPT2", (Stack,), parts)


def forward_flat(self, tokens, cache=None, *, last_only=False):
    start = cache.length if cache is not None else 0
    x = F.embedding(tokens, self.wte.weight) + self.wpe.weight[start : start + tokens.size(1)]
    layers = [None] * len(self.h) if cache is None else [cache[i] for i in range(len(self.h))]
    for block, layer in zip(self.h, layers):
        x = block(x, cache=layer)
    logits = F.linear(self.ln_f(x), self.wte.weight)
    return logits[:, -1, None] if last_only else logits


def forward_einsum(self, tokens, cache=None, *, last_only=False):
    one_hot = F.one_hot(tokens, self.wte.num_embeddings).float()
    x = one_hot @ self.wte.weight
    for t in range(tokens.shape[1]):
        x[:, t] += self.wpe.weight[t + (cache.length if cache else 0)]
    for i in range(len(self.h)):
        x = self.h[i](x, cache[i] if cache else None)
    if last_only:
        x = x[:, [-1]]
    return torch.einsum(
        "btc,vc->btv", norm_by_moments(x, self.ln_f.weight, self.ln_f.bias, 0.1).float(), self.wte.weight
    )


def discarded(self, block, x, layer_cache):
    block(x, layer_cache)
    return x


def norm_unless(last):
    """Return a model that leaves ln_f out when last_only is this."""

    def choose(self, x, last_only):
        x = Stack.choose(self, x, last_only)
        return x if last_only == last else self.ln_f(x)

    return stack(choose=choose, final=lambda self, x: x)


def no_logits(self, tokens, cache=None, *, last_only=False):
    Stack.forward(self, tokens, cache, last_only=last_only)


def first_block_only(self, tokens, cache=None, *, last_only=False):
    x = self.h[0](self.embed(tokens, self.start(cache)), self.layer_cache(cache, 0))
    return self.head(self.final(self.choose(x, last_only)))


def last_before_blocks(self, tokens, cache=None, *, last_only=False):
    x = self.choose(self.embed(tokens, self.start(cache)), last_only)
    for i, block in enumerate(self.h):
        x = block(x, self.layer_cache(cache, i))
    return self.head(self.final(x))


def always_last_with_cache(self, tokens, cache=None, *, last_only=False):
    return Stack.forward(self, tokens, cache, last_only=last_only or cache is not None)


def newest_only(self, tokens, cache=None, *, last_only=False):
    return Stack.forward(self, tokens if cache is None else tokens[:, -1:], cache, last_only=last_only)


def empty_is_none(self, tokens, cache=None, *, last_only=False):
    return Stack.forward(self, tokens, cache if cache and cache.length else None, last_only=last_only)


def random_head(self, x):
    return x @ draw(x.shape[-1], self.config.vocab_size, seed=77)


# --- 5.6 rename_weight ---------------------------------------------------------------------------------


def rename_cases():
    """A matrix, the square one, biases, masks, with and without the prefix."""
    return [
        ("transformer.h.0.mlp.c_fc.weight", draw(2, 8)),
        ("h.1.attn.c_proj.weight", draw(3, 3, seed=1)),
        ("transformer.h.11.attn.c_attn.bias", draw(6, seed=2)),
        ("transformer.h.10.attn.bias", draw(1, 1, 4, 4, seed=3)),
        ("h.3.attn.masked_bias", torch.tensor(-1e4)),
        ("transformer.wte.weight", draw(5, 2, seed=4)),
        ("lm_head.weight", draw(5, 2, seed=5)),
        ("transformer.h.2.mlp.c_proj.weight", draw(8, 2, seed=6)),
        ("h.11.attn.c_attn.weight", draw(2, 6, seed=7)),
        ("transformer.h.2.attn.c_proj.bias", draw(2, seed=8)),
        ("wpe.weight", draw(4, 2, seed=9)),
        ("transformer.ln_f.bias", draw(2, seed=10)),
    ]


def make_rename(
    prefix=True, masks="drop", transposed=("c_attn", "c_proj", "c_fc"), square=True, all_2d=False
):
    """Return a renaming with the asked-for slips in it."""

    def rename_weight(stored, weight):
        name = stored.removeprefix("transformer.") if prefix else stored
        if masks == "drop" and name.endswith((".attn.bias", ".attn.masked_bias")):
            return None
        if masks == "only-bias" and name.endswith(".attn.bias"):
            return None
        if masks == "too-many" and name.endswith(("attn.bias", "attn.masked_bias")):
            return None
        turn = name.endswith(tuple(f"{layer}.weight" for layer in transposed))
        turn = turn or (all_2d and weight.ndim == 2)
        if not square and weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
            turn = False
        return name, weight.T if turn else weight

    return rename_weight


def rename_by_split(stored, weight):
    parts = stored.split(".")
    if parts[0] == "transformer":
        parts = parts[1:]
    if parts[-2] == "attn":
        return None
    if parts[-1] == "weight" and parts[-2].startswith("c_"):
        weight = weight.transpose(0, 1).contiguous()
    return ".".join(parts), weight


def rename_by_replace(stored, weight):
    name = stored.replace("transformer.", "", 1)
    if "masked_bias" in name or ".attn.bias" in name:
        return None
    linear = any(part in name for part in ("c_attn", "c_proj", "c_fc")) and "bias" not in name
    return name, torch.einsum("ij->ji", weight) if linear else weight


def rename_by_regex(stored, weight):
    import re

    name = re.sub(r"^transformer\.", "", stored)
    if re.search(r"\.attn\.(masked_)?bias$", name):
        return None
    return [name, weight.permute(1, 0).clone() if re.search(r"c_\w+\.weight$", name) else weight.clone()]


def rename_after(cut, turn_by_ours=True):
    """Return a renaming that makes our name in its own way, and looks at it, or at the stored one, to turn."""

    def rename_weight(stored, weight):
        renamed = make_rename()(stored, weight)
        if renamed is None:
            return None
        name = cut(stored)
        return name, make_rename()(name, weight)[1] if turn_by_ours else renamed[1]

    return rename_weight


def rename_but(stored_name, name, turn):
    """Return a renaming that treats one tensor in its own way."""

    def rename_weight(stored, weight):
        return (name, turn(weight)) if stored.endswith(stored_name) else make_rename()(stored, weight)

    return rename_weight


def make_norm_by(above, below):
    """Return a LayerNorm that divides one thing by another: above(x, eps) / below(x, eps)."""
    return lambda x, weight, bias, eps: above(x, eps) / below(x, eps) * weight + bias


def norm_after_the_layer(self, x, cache=None):
    x = x + self.ln_1(self.attn(x, cache))
    return x + self.ln_2(self.mlp(x))


def counts_x_twice(self, x, cache=None):
    y = x + self.attn(self.ln_1(x), cache)
    return x + y + self.mlp(self.ln_2(y))


def count_without_brackets(config):
    C = config.n_embd
    tables = (config.vocab_size + config.n_positions) * C
    return tables + config.n_layer * 4 * C + 12 * C * C + 9 * C + 2 * C


def std_of_biases_too(name, n_layer):
    if name.endswith("c_proj.bias"):
        return 0.02 / math.sqrt(2 * n_layer)
    return make_std()(name, n_layer)


def std_by(rule):
    """Return a rule that is right but for the names that `rule(name, n_layer)` has a number for."""

    def initial_std(name, n_layer):
        other = rule(name, n_layer)
        return make_std()(name, n_layer) if other is None else other

    return initial_std


def of_own_layer(name, n_layer):
    return 0.02 / math.sqrt(2 * (int(name.split(".")[1]) + 1)) if name.endswith("c_proj.weight") else None


def not_updated():
    """A model whose blocks all read the embeddings; the last one's result counts."""

    def forward(self, tokens, cache=None, *, last_only=False):
        x = self.embed(tokens, self.start(cache))
        for i, block in enumerate(self.h):
            y = block(x, self.layer_cache(cache, i))
        return self.head(self.final(self.choose(y, last_only)))

    return stack(forward=forward)


def rename_by(turn):
    """Return a renaming that turns matrices in its own way."""

    def rename_weight(stored, weight):
        renamed = make_rename(transposed=())(stored, weight)
        if renamed is None:
            return None
        name, weight = renamed
        linear = any(layer in name for layer in ("c_attn", "c_proj", "c_fc")) and name.endswith("weight")
        return name, turn(weight) if linear else weight

    return rename_weight


EXERCISES = [
    Exercise(
        number="5.1",
        name="layer_norm",
        differentiable=True,
        level=2,
        minutes=10,
        done="every vector can be brought into range, whatever came before.",
        hints=(
            "Mean and variance belong to each vector on its own: over the last dimension, with keepdim=True.",
            "var has an argument `correction`. 1 divides by C - 1, 0 divides by C.",
            "(x - mean) / sqrt(variance + eps), then times weight, then plus bias.",
        ),
        cases=norm_cases,
        mistakes=[
            Mistake(
                "N01",
                make_norm(eps_at="outside"),
                "you add eps to the standard deviation. It is added to the variance, under the root.",
                3,
            ),
            Mistake(
                "N02",
                make_norm(unbiased=True),
                "your variance divides by C - 1. LayerNorm divides by C: pass correction=0 to var.",
                2,
            ),
            Mistake(
                "N04",
                make_norm(gain=False, shift=False),
                "gain and bias are missing. Multiply by weight and add bias at the end.",
                3,
            ),
            Mistake(
                "no-gain",
                make_norm(gain=False),
                "the gain is missing. Multiply by weight before you add bias.",
                3,
            ),
            Mistake("no-bias", make_norm(shift=False), "the bias is missing. Add it at the end.", 3),
            Mistake(
                "no-eps",
                make_norm(eps_at="nowhere"),
                "eps is not used. Add it to the variance, under the root.",
                3,
            ),
            Mistake(
                "rms",
                make_norm(center=False),
                "you don't subtract the mean. (That is RMSNorm, which came later.)",
                3,
            ),
            Mistake(
                "wrong-dim",
                lambda x, weight, bias, eps: make_norm(dim=0 if x.ndim > 1 else -1)(x, weight, bias, eps),
                "you take mean and variance over the first dimension. Each vector is normalized by itself, over the last.",
                1,
            ),
            Mistake("no-root", make_norm(root=False), "you divide by the variance. Divide by its root.", 3),
            Mistake(
                "shift-first",
                make_norm(order="shift-scale"),
                "you add the bias before the gain is applied. First times weight, then plus bias.",
                3,
            ),
            Mistake(
                "whole-tensor",
                lambda x, weight, bias, eps: (
                    (x - x.mean()) / torch.sqrt(x.var(correction=0) + eps) * weight + bias
                ),
                "you take one mean and one variance of the whole tensor. Each vector has its own: dim=-1, keepdim=True.",
                1,
            ),
            Mistake(
                "std-plus-eps",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True), lambda x, eps: x.std(-1, keepdim=True) + eps
                ),
                "two slips at once: x.std divides by C - 1, and eps is added after the root. Take the variance with correction=0, add eps, then take the root.",
                2,
            ),
            Mistake(
                "its-own-eps",
                lambda x, weight, bias, eps: F.layer_norm(x, x.shape[-1:], weight, bias),
                "you use 1e-5 whatever eps is. Use the eps that you are given.",
                3,
            ),
            Mistake(
                "mean-kept",
                make_norm_by(
                    lambda x, eps: x, lambda x, eps: (x.var(-1, correction=0, keepdim=True) + eps).sqrt()
                ),
                "you divide by the spread but never take the mean away. Subtract it first: (x - mean) / ...",
                3,
            ),
            Mistake(
                "gain-and-bias-exchanged",
                lambda x, weight, bias, eps: F.layer_norm(x, x.shape[-1:], bias, weight, eps),
                "weight and bias have changed places. Multiply by weight, then add bias.",
                3,
            ),
            Mistake(
                "missing-bracket",
                lambda x, weight, bias, eps: (
                    (x - x.mean(-1, keepdim=True) / (x.var(-1, correction=0, keepdim=True) + eps).sqrt())
                    * weight
                    + bias
                ),
                "/ goes before -, so the mean alone is divided. Put brackets around x - mean.",
                3,
            ),
            Mistake(
                "variance-of-all",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: (x.var(correction=0) + eps).sqrt(),
                ),
                "your mean is each vector's own, but your variance is that of all numbers. Take both over the last dimension.",
                1,
            ),
            Mistake(
                "std-plus-eps",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True), lambda x, eps: x.std(-1, keepdim=True)
                ),
                "two slips at once: x.std divides by C - 1, and eps is not used. Take the variance with correction=0, add eps, then take the root.",
                2,
            ),
            Mistake(
                "std-plus-eps",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: (x.std(-1, keepdim=True, correction=0) + eps).sqrt(),
                ),
                "you take the root twice: x.std is a root already. Take the root of the variance plus eps.",
                3,
            ),
            Mistake(
                "whole-tensor",
                lambda x, weight, bias, eps: (x - x.mean()) / torch.sqrt(x.var() + eps) * weight + bias,
                "you take one mean and one variance of the whole tensor, and var divides by one less than there are numbers. Each vector has its own: dim=-1, keepdim=True, correction=0.",
                1,
            ),
            Mistake(
                "rms",
                make_norm(center=False, shift=False),
                "this is RMSNorm, which came later: no mean, no bias. Subtract the mean first, and add bias at the end.",
                3,
            ),
            Mistake(
                "its-own-eps",
                lambda x, weight, bias, eps: F.layer_norm(x, x.shape[-1:], weight, bias, 0.1),
                "you use 0.1 whatever eps is. Use the eps that you are given.",
                3,
            ),
            Mistake(
                "missing-bracket",
                lambda x, weight, bias, eps: (
                    x
                    - x.mean(-1, keepdim=True) / (x.var(-1, correction=0, keepdim=True) + eps).sqrt() * weight
                    + bias
                ),
                "/ and * go before -, so the mean alone is divided and multiplied. Put brackets around x - mean.",
                3,
            ),
            Mistake(
                "missing-bracket",
                lambda x, weight, bias, eps: (
                    (x - x.mean(-1, keepdim=True))
                    / ((x.var(-1, correction=0, keepdim=True) + eps).sqrt() * weight)
                    + bias
                ),
                "you divide by the gain. Divide by the root first, then multiply by weight.",
                3,
            ),
            Mistake(
                "sum-of-squares",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: (((x - x.mean(-1, keepdim=True)) ** 2).sum(-1, keepdim=True) + eps).sqrt(),
                ),
                "your variance is the sum of the squares. It is their mean: divide by C.",
                2,
            ),
            Mistake(
                "square-of-the-mean",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: ((x - x.mean(-1, keepdim=True)).mean(-1, keepdim=True) ** 2 + eps).sqrt(),
                ),
                "you take the mean before you square, and deviations have mean 0. Square first, then take the mean.",
                2,
            ),
            Mistake(
                "squares-of-x",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: ((x**2).mean(-1, keepdim=True) + eps).sqrt(),
                ),
                "your variance is the mean of x squared. Subtract the mean before you square.",
                2,
            ),
            Mistake(
                "always-4",
                make_norm_by(
                    lambda x, eps: x - x.mean(-1, keepdim=True),
                    lambda x, eps: (
                        ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1, keepdim=True) / 4 + eps
                    ).sqrt(),
                ),
                "your variance divides by 4, which is right for the example only. Divide by C, or take the mean.",
                2,
            ),
            Mistake(
                "always-4",
                make_norm_by(
                    lambda x, eps: x - x.sum(-1, keepdim=True) / len(x),
                    lambda x, eps: (
                        ((x - x.sum(-1, keepdim=True) / len(x)) ** 2).sum(-1, keepdim=True) / len(x) + eps
                    ).sqrt(),
                ),
                "len(x) is the first size of x, which is C for a single vector only. Divide by x.shape[-1], or take the mean.",
                1,
            ),
            Mistake(
                "wrong-dim",
                lambda x, weight, bias, eps: make_norm(dim=tuple(range(x.ndim - 1)))(x, weight, bias, eps),
                "you take mean and variance of each channel, over all vectors. Each vector is normalized by itself, over the last dimension.",
                1,
            ),
            Mistake(
                "matrix-product",
                lambda x, weight, bias, eps: make_norm(gain=False, shift=False)(x, 1, 0, eps) @ weight + bias,
                "@ adds the products up, so one number is left of each vector. Each channel has its own gain: multiply with *.",
                3,
            ),
        ],
        styles=[norm_fused, norm_module, norm_by_moments, norm_by_squares, norm_by_loops],
    ),
    Exercise(
        number="5.2",
        name="Block",
        level=2,
        minutes=10,
        done="this is the unit that GPT-2 repeats twelve times.",
        hints=(
            "x + f(norm(x)), twice. The first f is self.attn, the second self.mlp.",
            "The second line reads the x that the first line made.",
            "x = x + self.attn(self.ln_1(x), cache), and the same with ln_2 and mlp, without a cache.",
        ),
        cases=lambda: [(draw(2, 3, 4, seed=9), None), (draw(1, 2, 6, seed=9), "a layer's cache")],
        run=run_block,
        arguments=("x", "cache"),
        mistakes=[
            Mistake(
                "N08",
                block_of(post_norm),
                "you normalize after the addition, as the original transformer did. GPT-2 normalizes before each layer: x + f(ln(x)).",
                1,
            ),
            Mistake(
                "cache-to-mlp",
                block_of(cache_to_mlp),
                "you hand the cache to the MLP too. It works on each token by itself and takes x alone; only "
                "attention has keys and values to keep.",
                3,
            ),
            Mistake(
                "no-residual",
                block_of(no_residual),
                "neither layer's result is added to the stream: each replaces it. Both are x + f(norm(x)).",
                1,
            ),
            Mistake(
                "norms-exchanged",
                block_of(norms_exchanged),
                "ln_1 and ln_2 are in each other's place. ln_1 stands before attention, ln_2 before the MLP.",
                3,
            ),
            Mistake(
                "N10-mlp",
                block_of(no_second_residual),
                "the MLP's result replaces the stream. It is added to it: x + ....",
                1,
            ),
            Mistake(
                "N10-attn",
                block_of(no_first_residual),
                "attention's result replaces the stream. It is added to it: x + ....",
                1,
            ),
            Mistake(
                "parallel",
                block_of(parallel),
                "attention and MLP both read the old x. The MLP must read the stream after attention has added to it.",
                2,
            ),
            Mistake(
                "N10-old",
                block_of(old_stream),
                "the MLP's result is added to the old x, so what attention found is lost.",
                2,
            ),
            Mistake(
                "normed-stream",
                block_of(normed_stream),
                "you normalize the stream itself. Only the copy that goes into the layer is normalized.",
                1,
            ),
            Mistake("one-norm", block_of(one_norm), "you use ln_1 twice. The MLP has its own: ln_2.", 3),
            Mistake(
                "no-norm", block_of(no_norms), "there is no normalization. Each layer reads ln(x), not x.", 1
            ),
            Mistake(
                "no-cache",
                block_of(drops_cache),
                "the cache is not handed on to attention. Pass it as the second argument: self.attn(..., cache).",
                3,
            ),
            Mistake(
                "mlp-first",
                block_of(mlp_first),
                "the MLP comes first. First attention gathers, then the MLP works on it.",
                1,
            ),
            Mistake(
                "norm-after",
                block_of(norm_after_the_layer),
                "you normalize what a layer returns. Normalize what it reads: x + attn(ln_1(x)).",
                1,
            ),
            Mistake(
                "attention-alone",
                block_of(lambda self, x, cache=None: x + self.attn(self.ln_1(x), cache)),
                "the second half is missing: x + mlp(ln_2(x)) with the new x.",
                3,
            ),
            Mistake(
                "counts-x-twice",
                block_of(counts_x_twice),
                "x goes in once too often: the sum already has it. Each layer adds its own result, once.",
                2,
            ),
            Mistake(
                "one-norm",
                block_of(with_norms(lambda self, x: self.ln_2(x), lambda self, x: self.ln_2(x))),
                "you use ln_2 twice. Attention has its own: ln_1.",
                3,
            ),
            Mistake(
                "no-norm",
                block_of(with_norms(lambda self, x: self.ln_1(x), lambda self, x: x)),
                "the MLP reads the stream as it is. It reads ln_2(x).",
                3,
            ),
            Mistake(
                "no-norm",
                block_of(with_norms(lambda self, x: x, lambda self, x: self.ln_2(x))),
                "attention reads the stream as it is. It reads ln_1(x).",
                3,
            ),
            Mistake(
                "normed-stream",
                block_of(normed_stream_at(True, False)),
                "attention's result is added to the normalized copy. Add it to x itself; only what attention reads is normalized.",
                1,
            ),
            Mistake(
                "normed-stream",
                block_of(normed_stream_at(False, True)),
                "the MLP's result is added to the normalized copy. Add it to x itself; only what the MLP reads is normalized.",
                1,
            ),
            Mistake(
                "mlp-first",
                block_of(mlp_first_with_ln_1),
                "the MLP comes first, with the norm of attention. First attention gathers, then the MLP works on it.",
                1,
            ),
            Mistake(
                "mlp-alone",
                block_of(lambda self, x, cache=None: x + self.mlp(self.ln_2(x))),
                "the first half is missing: x + attn(ln_1(x), cache). The MLP reads the stream after it.",
                3,
            ),
            Mistake(
                "one-addition",
                block_of(one_addition),
                "you add once, after both layers. Attention's result is added to the stream by itself, and the MLP reads the sum.",
                1,
            ),
            Mistake(
                "mlp-reads-attention",
                block_of(mlp_reads_attention),
                "the MLP reads only what attention found. It reads the whole stream after attention has added to it.",
                2,
            ),
            Mistake(
                "without-x",
                block_of(without_x),
                "x itself is missing from the sum. A block returns x, plus what attention adds, plus what the MLP adds.",
                1,
            ),
            Mistake(
                "first-text-only",
                block_of(first_text_only),
                "with [0] you add the first text's result to every text of the batch. Attention returns one tensor here: add all of it.",
                3,
            ),
            Mistake(
                "tuple",
                block_of(lambda self, x, cache=None: (block_in_steps(self, x, cache), cache)),
                "you return the cache as well. Return x alone: the cache notes by itself what it is given.",
                3,
            ),
            Mistake(
                "no-return",
                block_of(no_return),
                "forward returns None. Return x at its end.",
                3,
            ),
        ],
        styles=[block_of(block_in_steps), block_of(block_by_loop), block_of(block_by_hand)],
    ),
    Exercise(
        number="5.3",
        name="parameter_count",
        level=1,
        minutes=10,
        done="you can account for every single number of GPT-2.",
        hints=(
            "Add up the table, row by row. The rows of a block count n_layer times.",
            "There is no output matrix: the head is wte.",
            "Per block: 4C + (3C² + 3C) + (C² + C) + (4C² + 4C) + (4C² + C).",
        ),
        cases=count_cases,
        mistakes=[
            Mistake(
                "H01",
                make_count(head=1),
                "you count an output matrix. The head is wte itself: GPT-2 ties them.",
                2,
            ),
            Mistake(
                "no-positions",
                make_count(positions=0),
                "wpe is missing. It has n_positions times C numbers.",
                1,
            ),
            Mistake(
                "no-biases",
                make_count(biases=0),
                "the biases of the linear layers are missing. Each has as many numbers as its layer has outputs.",
                3,
            ),
            Mistake(
                "no-norms",
                make_count(norms=0, final=0),
                "the gains and biases of LayerNorm are missing. There are 4C in each block, and 2C in ln_f.",
                1,
            ),
            Mistake("no-ln-f", make_count(final=0), "ln_f is missing. It has a gain and a bias, 2C.", 1),
            Mistake(
                "N13",
                make_count(layers=1),
                "you count one block. There are n_layer of them, each with its own weights.",
                1,
            ),
            Mistake(
                "gains-only",
                make_count(norms=2, final=1),
                "each LayerNorm has C numbers in yours. It has a gain and a bias, 2C.",
                1,
            ),
            Mistake(
                "mask-counted",
                make_count(masks=1),
                "you count the mask. It is computed and not a parameter.",
                1,
            ),
            Mistake(
                "mlp-thrice", make_count(mlp=3), "the MLP is 4C wide, not 3C. (3C is the width of c_attn.)", 3
            ),
            Mistake(
                "one-norm",
                make_count(norms=2),
                "each block lacks 2C. Either you count one LayerNorm, where there are two of 2C each, or c_attn's bias has C numbers in yours, where it has 3C.",
                3,
            ),
            Mistake(
                "norms-of-blocks",
                make_count(norms=0),
                "each block lacks 4C. Either its two LayerNorms are missing, with a gain and a bias each, or the biases of attention, 3C and C.",
                3,
            ),
            Mistake(
                "always-12-layers",
                make_count(layers=12),
                "you count 12 layers whatever the config says. Take config.n_layer.",
                1,
            ),
            Mistake(
                "a-constant",
                lambda config: 124_439_808,
                "this is the number for GPT-2 small. Compute it from the sizes in config.",
                1,
            ),
            Mistake(
                "final-norm-in-each",
                make_count(norms=6, final=0),
                "you count ln_f in each block. It stands once, after the last one.",
                1,
            ),
            Mistake(
                "missing-bracket",
                count_without_brackets,
                "the number of layers multiplies the first term of the block alone. Put brackets around the whole block.",
                3,
            ),
            Mistake(
                "no-tokens", make_count(tokens=0), "wte is missing. It has vocab_size times C numbers.", 1
            ),
            Mistake(
                "a-constant",
                count_with(n_positions=1024),
                "you count 1024 positions whatever the config says. Take config.n_positions.",
                1,
            ),
            Mistake(
                "a-constant",
                count_with(vocab_size=50257),
                "you count 50257 tokens whatever the config says. Take config.vocab_size.",
                1,
            ),
            Mistake(
                "a-constant",
                count_with(n_embd=768),
                "your width is 768 whatever the config says. Take config.n_embd.",
                1,
            ),
            Mistake(
                "heads-for-layers",
                lambda config: make_count(layers=config.n_head)(config),
                "you count n_head blocks. GPT-2 small has 12 of either, so it does not show there: take n_layer.",
                1,
            ),
            Mistake(
                "heads-counted",
                count_of_each_head,
                "you count c_attn once for each head. One c_attn makes the queries, keys and values of all heads.",
                3,
            ),
            Mistake(
                "c-attn",
                make_count(squares=-2, more=-2),
                "c_attn has one part in yours. It makes queries, keys and values: C · 3C + 3C.",
                3,
            ),
            Mistake(
                "A16",
                make_count(squares=-1, more=-1),
                "attention's c_proj is missing in each block. It has C · C + C numbers.",
                3,
            ),
            Mistake(
                "mlp-c-proj",
                make_count(squares=-4, more=-1),
                "the MLP's c_proj is missing in each block. It has 4C · C + C numbers.",
                3,
            ),
            Mistake(
                "bias-sizes",
                make_count(more=-3),
                "each block lacks 3C. A bias has as many numbers as its layer has outputs: 4C in c_fc.",
                3,
            ),
            Mistake(
                "bias-sizes",
                make_count(more=3),
                "each block has 3C too many. A bias has as many numbers as its layer has outputs: C in the MLP's c_proj.",
                3,
            ),
            Mistake(
                "no-biases",
                make_count(more=-5),
                "the biases of the MLP are missing in each block. There are 4C in c_fc and C in c_proj.",
                3,
            ),
            Mistake(
                "no-biases",
                make_count(biases=0, norms=0, final=0),
                "you count matrices only. Linear layers have biases too, and LayerNorm has a gain and a bias.",
                3,
            ),
            Mistake(
                "no-biases",
                make_count(biases=0, norms=0),
                "in the blocks you count matrices only. Linear layers have biases too, and LayerNorm has a gain and a bias.",
                3,
            ),
            Mistake(
                "gains-only", make_count(final=1), "ln_f lacks C numbers. It has a gain and a bias, 2C.", 1
            ),
            Mistake(
                "final-norm-in-each",
                make_count(norms=6),
                "each block has 2C too many. It has two LayerNorms; ln_f stands once, after the last block.",
                1,
            ),
            Mistake(
                "times-tensors",
                count_times_tensors,
                "you multiply the numbers of a row by its tensors. The last column holds all numbers of the row already.",
                1,
            ),
            Mistake(
                "tensors",
                lambda config: 4 + 12 * config.n_layer,
                "you count the tensors. Count the numbers in them: the last column.",
                1,
            ),
            Mistake(
                "missing-bracket",
                count_all_times_layers,
                "you multiply everything by n_layer. The embeddings and ln_f stand once.",
                1,
            ),
            Mistake(
                "missing-bracket",
                count_tables_times_layers,
                "you count wte and wpe once for each layer. They stand once, before the first block.",
                1,
            ),
        ],
        styles=[count_by_loop, count_by_formula, count_by_tensors],
    ),
    Exercise(
        number="5.4",
        name="initial_std",
        level=2,
        minutes=10,
        done="a fresh model of any depth starts with numbers of a sane size.",
        hints=(
            "name.endswith('bias') finds the biases; 'ln_' in the name finds LayerNorm.",
            "Both c_proj of a block count, that of attention and that of the MLP, but only their weights.",
            "0.02 / math.sqrt(2 * n_layer) for names that end in c_proj.weight.",
        ),
        cases=std_cases,
        mistakes=[
            Mistake(
                "not-scaled",
                make_std(residual=lambda L: 1.0),
                "c_proj gets 0.02 like the others. It writes to the stream, so divide by the square root of 2 * n_layer.",
                3,
            ),
            Mistake(
                "once-a-block",
                make_std(residual=lambda L: math.sqrt(L)),
                "you divide by the square root of n_layer. Each block writes twice: 2 * n_layer.",
                3,
            ),
            Mistake(
                "no-root",
                make_std(residual=lambda L: 2 * L),
                "you divide by 2 * n_layer. Variances add up, so it is the root that counts.",
                3,
            ),
            Mistake(
                "gains-random",
                make_std(gain=0.02),
                "LayerNorm's gains get random values. They are constants (1), so their standard deviation is 0.",
                1,
            ),
            Mistake("biases-random", make_std(bias=1), "biases get random values. They start at 0.", 1),
            Mistake(
                "attn-only",
                make_std(which="attn.c_proj"),
                "only attention's c_proj is scaled. The MLP's writes to the stream too.",
                2,
            ),
            Mistake(
                "all-c",
                make_std(which=".c_"),
                "all linear layers are scaled. Only the two that write to the stream are, both called c_proj.",
                2,
            ),
            Mistake(
                "ln-f-forgotten",
                make_std(final=".ln_"),
                "ln_f is taken for a matrix. It is a LayerNorm too.",
                1,
            ),
            Mistake(
                "every-weight",
                make_std(residual=lambda L: 1.0, gain=0.02),
                "every `weight` gets 0.02 in yours. The c_proj matrices get less, and the gains of LayerNorm are not drawn at all: 0.",
                1,
            ),
            Mistake(
                "gains-of-1",
                make_std(gain=1.0),
                "the gains are 1, but not drawn: their standard deviation is 0. GPT2 adds the 1 itself.",
                1,
            ),
            Mistake(
                "bias-of-c-proj",
                std_of_biases_too,
                "you scale the biases of c_proj too. Biases start at 0, all of them.",
                2,
            ),
            Mistake(
                "multiplied",
                make_std(residual=lambda L: 1 / math.sqrt(2 * L)),
                "you multiply by the root of 2L, so deep models start with larger weights. Divide by it.",
                3,
            ),
            Mistake(
                "mlp-only",
                make_std(which="mlp.c_proj"),
                "the c_proj of attention adds to the stream too. Scale both.",
                2,
            ),
            Mistake(
                "always-24",
                make_std(residual=lambda L: math.sqrt(24)),
                "you divide by the root of 24, which is right for 12 layers. Take 2 * n_layer.",
                3,
            ),
            Mistake(
                "root-of-2-times-L",
                make_std(residual=lambda L: math.sqrt(2) / L),
                "/ and * go from left to right, so you multiply by L. Put the whole of 2 * n_layer under the root.",
                3,
            ),
            Mistake(
                "root-of-2-times-L",
                make_std(residual=lambda L: math.sqrt(2) * L),
                "L stands outside your root. Put the whole of 2 * n_layer under it.",
                3,
            ),
            Mistake(
                "variances",
                make_std(residual=lambda L: 2 * L, std=0.0004),
                "these are variances. The standard deviation is wanted: 0.02 and 0.02 / sqrt(2L).",
                3,
            ),
            Mistake(
                "root-of-2-times-L",
                make_std(residual=lambda L: 2 * math.sqrt(L)),
                "the 2 stands outside your root. Put the whole of 2 * n_layer under it.",
                3,
            ),
            Mistake(
                "no-0.02",
                std_by(lambda name, L: 1 / math.sqrt(2 * L) if name.endswith("c_proj.weight") else None),
                "your c_proj starts at 1 / sqrt(2L). The 0.02 of the other matrices stands above the line.",
                3,
            ),
            Mistake(
                "biases-random",
                std_by(lambda name, L: 0.02 if ".c_" in name and name.endswith("bias") else None),
                "the biases of the linear layers get random values. All biases start at 0.",
                1,
            ),
            Mistake(
                "biases-random",
                std_by(
                    lambda name, L: (
                        make_std()(name.replace("bias", "weight"), L)
                        if ".c_" in name and name.endswith("bias")
                        else None
                    )
                ),
                "the biases of the linear layers get random values, as their weights do. All biases start at 0.",
                1,
            ),
            Mistake(
                "norms-of-blocks",
                std_by(lambda name, L: 0.02 if ".ln_" in name and name.endswith("weight") else None),
                "the gains in the blocks get random values. Their names have ln_ in the middle: h.3.ln_1.weight.",
                1,
            ),
            Mistake(
                "every-weight",
                lambda name, L: 0.02,
                "you return 0.02 for every name. Biases and gains are constants, and c_proj gets less.",
                1,
            ),
            Mistake(
                "all-c",
                make_std(which=""),
                "you scale every matrix. Only the two that write to the stream are scaled, both called c_proj.",
                2,
            ),
            Mistake(
                "all-c",
                make_std(which="attn"),
                "you scale both matrices of attention. Scale those that write to the stream, both called c_proj, also the MLP's.",
                2,
            ),
            Mistake(
                "wpe",
                std_by(lambda name, L: 0.01 if name == "wpe.weight" else None),
                "wpe gets 0.01 in yours. Here all matrices but c_proj get 0.02.",
                3,
            ),
            Mistake(
                "own-layer",
                std_by(of_own_layer),
                "you take the number in the name for the number of layers. All 2 * n_layer additions count, whichever block it is.",
                3,
            ),
        ],
        styles=[std_by_parts, std_by_table, std_by_tensor],
    ),
    Exercise(
        number="5.5",
        name="GPT2",
        level=3,
        minutes=20,
        done="this is GPT-2, all of it.",
        hints=(
            "start = 0 without a cache, cache.length with one. embed(tokens, self.wte.weight, self.wpe.weight, start).",
            "Each block gets its own part of the cache: cache[i], or None.",
            "After the blocks: x[:, -1:] if last_only, then self.ln_f, then unembed with self.wte.weight.",
        ),
        cases=model_cases,
        run=run_model,
        arguments=("T", "cache length", "last_only"),
        mistakes=[
            Mistake(
                "K01",
                stack(start=lambda self, cache: 0),
                "with a cache your positions start at 0 again. The new tokens stand after those in it: start at cache.length.",
                1,
            ),
            Mistake(
                "E01",
                stack(positions=lambda self, tokens, start: torch.arange(tokens.shape[1]) + start + 1),
                "your positions start at 1. The first one is 0.",
                1,
            ),
            Mistake(
                "E04",
                stack(embed=lambda self, tokens, start: self.wte(tokens)),
                "the positions are missing. Use embed, which adds wpe.",
                1,
            ),
            Mistake(
                "N14",
                stack(final=lambda self, x: x),
                "ln_f is missing. Normalize the stream before it goes to the head.",
                3,
            ),
            Mistake(
                "K07",
                stack(layer_cache=lambda self, cache, i: None if cache is None else cache[0]),
                "all blocks share the cache of layer 0. Block i gets cache[i].",
                2,
            ),
            Mistake(
                "whole-cache",
                stack(layer_cache=lambda self, cache, i: cache),
                "each block gets the whole cache. It wants its own part, cache[i].",
                2,
            ),
            Mistake(
                "no-cache",
                stack(layer_cache=lambda self, cache, i: None),
                "the blocks get no cache. Block i gets cache[i] where there is one.",
                2,
            ),
            Mistake(
                "N13",
                stack(blocks=lambda self: [self.h[0]] * len(self.h)),
                "you use the first block again and again. Go through self.h.",
                2,
            ),
            Mistake(
                "skips-last",
                stack(blocks=lambda self: list(self.h)[:-1]),
                "the last block is not used. Go through all of self.h.",
                2,
            ),
            Mistake(
                "backwards",
                stack(
                    blocks=lambda self: list(self.h)[::-1],
                    layer_cache=lambda self, cache, i: None if cache is None else cache[len(self.h) - 1 - i],
                ),
                "you go through the blocks from the top. The first in self.h comes first.",
                2,
            ),
            Mistake(
                "H01",
                stack(head=random_head),
                "your head is a matrix of its own. The logits reuse wte: unembed(x, self.wte.weight).",
                3,
            ),
            Mistake(
                "last-ignored",
                stack(choose=lambda self, x, last_only: x),
                "last_only is not used. With it, only the last position is unembedded, and the result has shape (B, 1, V).",
                3,
            ),
            Mistake(
                "first-row",
                stack(choose=lambda self, x, last_only: x[:, :1] if last_only else x),
                "with last_only you keep the first position. It is the last one that predicts the next token.",
                3,
            ),
            Mistake(
                "one-axis-lost",
                stack(choose=lambda self, x, last_only: x[:, -1] if last_only else x),
                "with last_only your result has lost an axis. Keep it: x[:, -1:] is (B, 1, C), x[:, -1] is (B, C).",
                3,
            ),
            Mistake(
                "softmaxed",
                stack(head=lambda self, x: Stack.head(self, x).softmax(-1)),
                "you return probabilities. Return the logits; sampling and the loss take the softmax themselves.",
                3,
            ),
            Mistake(
                "most-likely",
                stack(head=lambda self, x: Stack.head(self, x).argmax(-1)),
                "you return the most likely tokens. Return the logits, a number for each token of the vocabulary.",
                3,
            ),
            Mistake(
                "no-unembed",
                stack(head=lambda self, x: x),
                "you return the vectors. The last step is missing: unembed, which gives a number for each token of the vocabulary.",
                3,
            ),
            Mistake(
                "norm-first",
                stack(
                    embed=lambda self, tokens, start: self.ln_f(Stack.embed(self, tokens, start)),
                    final=lambda self, x: x,
                ),
                "ln_f comes after the last block, not before the first.",
                3,
            ),
            Mistake(
                "always-last",
                stack(choose=lambda self, x, last_only: x[:, -1:]),
                "you return the last position every time. Do so only if last_only is True.",
                3,
            ),
            Mistake(
                "not-updated",
                not_updated(),
                "every block reads the embeddings, since x is never replaced. Write x = block(x, ...).",
                2,
            ),
            Mistake(
                "no-blocks",
                stack(blocks=lambda self: []),
                "no block is used. Each one reads x and returns the new x.",
                2,
            ),
            Mistake(
                "not-updated",
                stack(step=discarded),
                "what the blocks return is thrown away, so x stays the embedding. Write x = block(x, ...).",
                2,
            ),
            Mistake(
                "added-twice",
                stack(step=lambda self, block, x, layer_cache: x + block(x, layer_cache)),
                "you add what a block returns to the stream. A block has added to it already: x = block(x, ...).",
                2,
            ),
            Mistake(
                "norm-in-each",
                stack(
                    step=lambda self, block, x, layer_cache: self.ln_f(block(x, layer_cache)),
                    final=lambda self, x: x,
                ),
                "ln_f comes after every block. It comes once, after the last: look at the indentation.",
                3,
            ),
            Mistake(
                "first-block-only",
                stack(forward=first_block_only),
                "only the first block is used. Go through all of self.h before you return.",
                2,
            ),
            Mistake(
                "backwards",
                stack(blocks=lambda self: list(self.h)[::-1]),
                "you go through the blocks from the top, and they get each other's cache. The first in self.h comes first, with cache[0].",
                2,
            ),
            Mistake(
                "K07",
                stack(layer_cache=lambda self, cache, i: None if cache is None else cache[i + 1]),
                "each block gets the cache of the next one. Block i gets cache[i], and i starts at 0.",
                2,
            ),
            Mistake(
                "last-too-early",
                stack(forward=last_before_blocks),
                "with last_only you drop the other tokens before the blocks, so attention cannot see them. Choose the last position after the blocks.",
                3,
            ),
            Mistake(
                "always-last",
                stack(forward=always_last_with_cache),
                "with a cache you return the last position only. Do so only if last_only is True.",
                3,
            ),
            Mistake(
                "last-text",
                stack(choose=lambda self, x, last_only: x[-1:] if last_only else x),
                "x[-1:] is the last text of the batch. The last position of every text is x[:, -1:].",
                3,
            ),
            Mistake(
                "empty-cache",
                stack(forward=empty_is_none),
                "a cache that is still empty is not handed on, so it never fills. Look whether cache is None, not at its length.",
                2,
            ),
            Mistake(
                "newest-only",
                stack(forward=newest_only),
                "with a cache you read only the last token. All of `tokens` are new, and there may be several.",
                1,
            ),
            Mistake(
                "no-cache",
                stack(start=lambda self, cache: 0, layer_cache=lambda self, cache, i: None),
                "the cache is not used. The positions start at cache.length, and block i gets cache[i].",
                1,
            ),
            Mistake(
                "no-cache",
                stack(
                    start=lambda self, cache: 0,
                    layer_cache=lambda self, cache, i: None,
                    choose=lambda self, x, last_only: x,
                ),
                "neither cache nor last_only is used. The positions start at cache.length, block i gets cache[i], and last_only leaves the last position.",
                1,
            ),
            Mistake(
                "whole-cache",
                stack(start=lambda self, cache: 0, layer_cache=lambda self, cache, i: cache),
                "each block gets the whole cache, and the positions start at 0. Block i wants cache[i], and the first position is cache.length.",
                1,
            ),
            Mistake(
                "N14",
                norm_unless(True),
                "with last_only ln_f is left out. The last position is normalized too before it goes to the head.",
                3,
            ),
            Mistake(
                "N14",
                norm_unless(False),
                "ln_f is used with last_only alone. Normalize in either case before the head.",
                3,
            ),
            Mistake(
                "tuple",
                stack(head=lambda self, x: (Stack.head(self, x), None)),
                "you return two things. Return the logits alone; chapter 08 computes the loss from them.",
                3,
            ),
            Mistake(
                "no-return",
                stack(forward=no_logits),
                "forward returns None. Return the logits at its end.",
                3,
            ),
        ],
        styles=[stack(), stack(forward=forward_flat), stack(forward=forward_einsum)],
    ),
    Exercise(
        number="5.6",
        name="rename_weight",
        level=2,
        minutes=15,
        done="published weights fit into your model.",
        hints=(
            "str.removeprefix takes 'transformer.' away where it is there.",
            "The masks end in .attn.bias and .attn.masked_bias, with the dot in front. Without it, c_attn.bias ends so too.",
            "Transpose where the name ends in one of c_attn.weight, c_proj.weight, c_fc.weight. wte and wpe stay as they are.",
        ),
        cases=rename_cases,
        mistakes=[
            Mistake(
                "H03",
                make_rename(transposed=()),
                "the weights are not transposed. Conv1D stores (in, out), nn.Linear wants (out, in).",
                3,
            ),
            Mistake(
                "H03-square",
                make_rename(square=False),
                "the square attn.c_proj.weight is not transposed. Its shape fits either way, and that is the trap.",
                3,
            ),
            Mistake(
                "transposes-all",
                make_rename(all_2d=True),
                "you transpose wte and wpe too. Only the linear layers, c_attn, c_proj and c_fc, are stored the other way.",
                3,
            ),
            Mistake(
                "H04-prefix",
                make_rename(prefix=False),
                "the prefix `transformer.` is still in the names. Take it away where it is.",
                1,
            ),
            Mistake(
                "masks-kept",
                make_rename(masks="keep"),
                "the masks come through. Return None for .attn.bias and .attn.masked_bias.",
                2,
            ),
            Mistake(
                "masked-bias",
                make_rename(masks="only-bias"),
                "masked_bias comes through. It belongs to the mask too.",
                2,
            ),
            Mistake(
                "drops-c-attn",
                make_rename(masks="too-many"),
                "you drop c_attn.bias as well, which is a parameter. Its name ends in attn.bias too: look for .attn.bias, with the dot.",
                2,
            ),
            Mistake(
                "mlp-not",
                make_rename(transposed=("c_attn", "c_proj")),
                "c_fc.weight is not transposed. The weights of all four linear layers are stored the other way.",
                3,
            ),
            Mistake(
                "exchanged",
                lambda stored, weight: (
                    (make_rename()(stored, weight) or [None])[::-1] if make_rename()(stored, weight) else None
                ),
                "you return the tensor first. Return the name, then the tensor.",
                1,
            ),
            Mistake(
                "reshaped",
                rename_by(lambda weight: weight.reshape(weight.shape[::-1])),
                "reshape keeps the order of the numbers and only cuts the rows elsewhere. Swap rows and columns: .T",
                3,
            ),
            Mistake(
                "prefix-always",
                rename_after(lambda stored: stored[len("transformer.") :]),
                "you cut 12 letters off every name, whether `transformer.` is there or not. removeprefix cuts only where it is.",
                1,
            ),
            Mistake(
                "prefix-always",
                rename_after(lambda stored: stored[len("transformer.") :], turn_by_ours=False),
                "you cut 12 letters off every name, whether `transformer.` is there or not. removeprefix cuts only where it is.",
                1,
            ),
            Mistake(
                "prefix-always",
                rename_after(lambda stored: stored.split(".", 1)[1]),
                "you cut every name at its first dot, whether `transformer.` stands there or not. removeprefix cuts only where it does.",
                1,
            ),
            Mistake(
                "prefix-of-blocks-only",
                rename_after(lambda stored: stored.replace("transformer.h.", "h.")),
                "`transformer.` stays before the names outside the blocks, like wte and ln_f. Take it away from all.",
                1,
            ),
            Mistake(
                "dot-left",
                rename_after(lambda stored: stored.removeprefix("transformer")),
                "your names begin with a dot. It belongs to the prefix: `transformer.`",
                1,
            ),
            Mistake(
                "none-inside",
                lambda stored, weight: (
                    make_rename()(stored, weight) or (stored.removeprefix("transformer."), None)
                ),
                "for a mask you return a name and None. Return None alone: the tensor is left out.",
                2,
            ),
            Mistake(
                "drops-every-bias-of-attn",
                lambda stored, weight: (
                    None if "attn" in stored and stored.endswith("bias") else make_rename()(stored, weight)
                ),
                "you leave out every bias of attention. Those of c_attn and c_proj are weights; the masks are called attn.bias and attn.masked_bias.",
                2,
            ),
            Mistake(
                "drops-the-head",
                lambda stored, weight: (
                    None if stored.startswith("lm_head") else make_rename()(stored, weight)
                ),
                "you leave out lm_head.weight. It is renamed like the others, and the reader looks whether it equals wte.",
                3,
            ),
            Mistake(
                "c-attn-not",
                make_rename(transposed=("c_proj", "c_fc")),
                "c_attn.weight is not transposed. The weights of all four linear layers are stored the other way.",
                3,
            ),
            Mistake(
                "example-only",
                make_rename(transposed=("c_fc",)),
                "only c_fc is transposed. The weights of c_attn and of both c_proj are stored in the same way.",
                3,
            ),
            Mistake(
                "example-only",
                make_rename(transposed=("c_proj",)),
                "only c_proj is transposed. The weights of c_attn and c_fc are stored in the same way.",
                3,
            ),
            Mistake(
                "c-proj-not",
                make_rename(transposed=("c_attn", "c_fc")),
                "neither c_proj is transposed. There are two in each block, in attention and in the MLP.",
                3,
            ),
            Mistake(
                "c-proj-not",
                make_rename(transposed=("c_attn", "attn.c_proj", "c_fc")),
                "the MLP's c_proj is not transposed. There are two in each block.",
                3,
            ),
            Mistake(
                "head-turned",
                rename_but("lm_head.weight", "lm_head.weight", lambda weight: weight.T),
                "you transpose lm_head.weight. It stays as it is: it has the shape of wte.",
                3,
            ),
            Mistake(
                "head-renamed",
                rename_but("lm_head.weight", "wte.weight", lambda weight: weight),
                "you call lm_head.weight wte.weight. It keeps its name, and the reader looks whether the two are equal.",
                3,
            ),
            Mistake(
                "transposes-all",
                rename_but("wte.weight", "wte.weight", lambda weight: weight.T),
                "you transpose wte too. Only the linear layers, c_attn, c_proj and c_fc, are stored the other way.",
                3,
            ),
            Mistake(
                "as-stored",
                lambda stored, weight: (
                    None if ".attn.bias" in stored or "masked" in stored else (stored, weight)
                ),
                "names and tensors come out as they are stored. Take `transformer.` away, and transpose the weights of the linear layers.",
                1,
            ),
            Mistake(
                "drops-every-bias",
                lambda stored, weight: None if stored.endswith("bias") else make_rename()(stored, weight),
                "you leave out every bias. Only .attn.bias and .attn.masked_bias are masks; the other biases are parameters.",
                2,
            ),
        ],
        styles=[rename_by_split, rename_by_replace, rename_by_regex],
    ),
]
