"""The exercises of chapter 03: scores, masks, heads, and the attention module."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from course.exercise import Exercise, Mistake

INF = math.inf


def draw(*shape, seed=0):
    """Return normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def triangle(T, S, diagonal=0):
    """Return the mask of T new among S seen tokens, its edge moved by `diagonal`."""
    return torch.ones(T, S, dtype=torch.bool).tril(S - T + diagonal)


# --- 3.1 attention_scores ----------------------------------------------------------------------------


def score_cases():
    """One query and two keys; then H = 3, T = 4, S = 5, D = 2."""
    return [
        (torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0], [0.0, 1.0]]]])),
        (draw(2, 3, 4, 2), draw(2, 3, 5, 2, seed=1)),
        (draw(1, 2, 3, 9, seed=2), draw(1, 2, 3, 9, seed=3)),
    ]


def dots(q, k):
    return q @ k.transpose(-2, -1)


def scores_einsum(q, k):
    return torch.einsum("bhtd,bhsd->bhts", q, k) * q.size(-1) ** -0.5


def scores_loops(q, k):
    out = torch.zeros(*q.shape[:3], k.shape[2])
    for t in range(q.shape[2]):
        for s in range(k.shape[2]):
            out[:, :, t, s] = (q[:, :, t] * k[:, :, s]).sum(-1) / math.sqrt(q.shape[3])
    return out


def scores_scale_first(q, k):
    return (q.double() / q.shape[-1] ** 0.5).matmul(k.double().mT)


# --- 3.2 causal_mask -----------------------------------------------------------------------------------


def mask_cases():
    """Two of three, one new token, a square, many seen before, one token."""
    return [(2, 3), (1, 4), (4, 4), (3, 7), (1, 1)]


def mask_by_comparison(T, S, device=None):
    query = torch.arange(S - T, S, device=device)[:, None]
    return torch.arange(S, device=device)[None, :] <= query


def mask_by_loops(T, S, device=None):
    mask = torch.zeros(T, S, dtype=torch.bool, device=device)
    for t in range(T):
        mask[t, : S - T + t + 1] = True
    return mask


def mask_by_last_rows(T, S, device=None):
    return torch.ones(S, S, dtype=torch.bool, device=device).tril()[S - T :]


def additive_mask(T, S, device=None):
    return torch.zeros(T, S).masked_fill(~triangle(T, S), -INF)


# --- 3.3 masked_softmax --------------------------------------------------------------------------------


def softmax_cases():
    """A small square with round scores; then more heads than one and T < S."""
    small = torch.tensor([[[[1.0, 2.0], [0.0, 1.0]]]])
    return [(small, triangle(2, 2)), (2 * draw(2, 3, 4, 4), triangle(4, 4)), (draw(2, 2, 3, 5, seed=4), triangle(3, 5))]


def mask_after(scores, mask):
    return scores.softmax(-1) * mask


def mask_after_renormalised_columns(scores, mask):
    weights = scores.softmax(-1) * mask
    return weights / weights.sum(-2, keepdim=True)


def mask_by_zero(scores, mask):
    return (scores * mask).softmax(-1)


def mask_inverted(scores, mask):
    return scores.masked_fill(mask, -1e9).softmax(-1)


def mask_forgotten(scores, mask):
    return scores.softmax(-1)


def softmax_over_queries(scores, mask):
    return scores.masked_fill(~mask, -INF).softmax(-2)


def softmax_over_heads(scores, mask):
    return scores.masked_fill(~mask, -1e9).softmax(1)


def small_penalty(scores, mask):
    return (scores - (~mask).float()).softmax(-1)


def no_softmax(scores, mask):
    kept = scores * mask
    return kept / kept.sum(-1, keepdim=True)


def softmax_by_hand(scores, mask):
    scores = scores + torch.where(mask, 0.0, -INF)
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_then_renormalise(scores, mask):
    weights = scores.double().softmax(-1) * mask
    return weights / weights.sum(-1, keepdim=True)


def softmax_row_by_row(scores, mask):
    out = torch.zeros_like(scores)
    for t in range(scores.shape[-2]):
        out[..., t, mask[t]] = scores[..., t, mask[t]].softmax(-1)
    return out


# --- 3.4 attend ----------------------------------------------------------------------------------------


def attend_cases():
    """Two tokens, one head; then no mask, a square, and new tokens after seen ones."""
    small = (
        torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]]),
        torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]]),
        torch.tensor([[[[1.0, 0.0], [0.0, 10.0]]]]),
        triangle(2, 2),
    )

    def case(T, S, seed, mask):
        return draw(2, 3, T, 5, seed=seed), draw(2, 3, S, 5, seed=seed + 1), draw(2, 3, S, 5, seed=seed + 2), mask

    return [small, case(4, 4, 10, triangle(4, 4)), case(3, 6, 20, triangle(3, 6)), case(4, 6, 30, None), case(1, 6, 40, None)]


def make_attend(scale="head", where="before", fill=-INF, dim=-1, use_mask=True, invert=False, values="v", width=1):
    """Return an `attend` with the asked-for slips in it."""

    def attend(q, k, v, mask=None):
        H, D = q.shape[1], q.shape[-1]
        scores = dots(q, k) / {"head": D**0.5, "none": 1.0, "model": (H * D) ** 0.5, "full": D}[scale]
        if mask is not None and use_mask:
            mask = ~mask if invert else mask
            if where == "before":
                scores = scores * mask if fill == 0 else scores.masked_fill(~mask, fill)
        weights = scores.softmax(dim)
        if mask is not None and use_mask and where == "after":
            weights = weights * mask
        return weights @ {"v": v, "k": k}[values]

    return attend


def attend_sdpa(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attend_einsum(q, k, v, mask=None):
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / k.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -INF)
    return torch.einsum("bhts,bhsd->bhtd", torch.softmax(scores, -1), v)


def attend_loops(q, k, v, mask=None):
    out = torch.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for t in range(q.shape[2]):
                allowed = slice(None) if mask is None else mask[t]
                weights = (k[b, h, allowed] @ q[b, h, t] / math.sqrt(q.shape[-1])).softmax(0)
                out[b, h, t] = weights @ v[b, h, allowed]
    return out


def attend_double(q, k, v, mask=None):
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool) if mask is None else mask
    scores = (q.double() * q.shape[-1] ** -0.5) @ k.double().transpose(2, 3)
    e = scores.exp() * mask
    return (e / e.sum(-1, keepdim=True)) @ v.double()


# --- 3.5 split_heads and 3.6 merge_heads -------------------------------------------------------------------


def split_cases():
    """Two tokens of four numbers; then T, H and D all different."""
    return [(torch.arange(8.0).view(1, 2, 4), 2), (draw(2, 5, 12), 3), (draw(3, 4, 8), 8), (draw(2, 3, 6), 1)]


def split_by_view(x, n):
    return x.reshape(x.shape[0], n, x.shape[1], -1)


def split_untransposed(x, n):
    return x.reshape(*x.shape[:2], n, -1)


def split_interleaved(x, n):
    B, T, C = x.shape
    return x.reshape(B, T, C // n, n).permute(0, 3, 1, 2)


def split_into_width(x, n):
    B, T, C = x.shape
    return x.reshape(B, T, C // n, n).transpose(1, 2)


def split_heads_first(x, n):
    return x.reshape(*x.shape[:2], n, -1).permute(2, 0, 1, 3)


def split_swapped(x, n):
    return x.reshape(*x.shape[:2], n, -1).permute(0, 2, 3, 1)


def split_by_chunks(x, n):
    return torch.stack(x.chunk(n, dim=-1), dim=1)


def split_by_unflatten(x, n):
    return x.unflatten(-1, (n, -1)).permute(0, 2, 1, 3).contiguous()


def split_by_loops(x, n):
    D = x.shape[-1] // n
    out = x.new_empty(x.shape[0], n, x.shape[1], D)
    for h in range(n):
        out[:, h] = x[:, :, h * D : (h + 1) * D]
    return out


def merge_cases():
    """Two heads, three tokens, two numbers; then all sizes different."""
    return [(torch.arange(12.0).view(1, 2, 3, 2),), (draw(2, 3, 5, 4),), (draw(1, 6, 2, 3),)]


def merge_by_reshape(x):
    return x.reshape(x.shape[0], x.shape[2], -1)


def merge_interleaved(x):
    return x.permute(0, 2, 3, 1).flatten(2)


def merge_sums(x):
    return x.sum(1)


def merge_stays(x):
    return x.transpose(1, 2)


def merge_scrambled(x):
    return x.transpose(2, 3).reshape(x.shape[0], x.shape[2], -1)


def merge_by_cat(x):
    return torch.cat(list(x.unbind(1)), dim=-1)


def merge_by_permute(x):
    B, H, T, D = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, H * D)


def merge_by_loops(x):
    B, H, T, D = x.shape
    out = x.new_empty(B, T, H * D)
    for h in range(H):
        out[..., h * D : (h + 1) * D] = x[:, h]
    return out


# --- 3.7 CausalSelfAttention ---------------------------------------------------------------------------------


class Appending:
    """Stand in for the cache of chapter 07: it keeps all keys and values."""

    def __init__(self):
        self.k = self.v = None

    def append(self, k, v):
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


def filled(answer, n_embd, n_head):
    """Return the module with seeded random weights, biases too, filled in by name."""
    module = answer(SimpleNamespace(n_embd=n_embd, n_head=n_head))
    with torch.no_grad():
        for i, name in enumerate(("c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias")):
            parameter = module.get_parameter(name)
            parameter.copy_(0.5 * draw(*parameter.shape, seed=i))
    return module


def run_module(answer, n_embd, n_head, steps):
    """Return the outputs for a text read in steps (None: in one go, without a cache)."""
    module = filled(answer, n_embd, n_head)
    T = 6 if steps is None else sum(steps)
    x = draw(2, T, n_embd, seed=9)
    with torch.no_grad():
        if steps is None:
            return [module(x)]
        cache, outputs = Appending(), []
        for part in x.split(list(steps), dim=1):
            outputs.append(module(part, cache))
        return [*outputs, {"keys": cache.k, "values": cache.v}]


def module_cases():
    """Without a cache; then in one go, token by token, and in chunks with one."""
    return [(6, 3, None), (6, 3, (5,)), (6, 3, (2, 1, 1)), (6, 3, (3, 2, 2)), (8, 2, None)]


class Attention(torch.nn.Module):
    """A right answer made of parts that can be exchanged one by one."""

    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = torch.nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = torch.nn.Linear(config.n_embd, config.n_embd)

    def qkv(self, x):
        return self.c_attn(x).chunk(3, dim=-1)

    def split(self, x):
        return split_by_chunks(x, self.n_head)

    def merge(self, x):
        return merge_by_cat(x)

    def mask(self, T, S):
        return triangle(T, S)

    def mix(self, q, k, v):
        return attend_sdpa(q, k, v, self.mask(q.shape[2], k.shape[2]))

    def ask(self, cache, q, k, v):
        return cache.append(k, v)

    def forward(self, x, cache=None):
        q, k, v = (self.split(part) for part in self.qkv(x))
        if cache is not None:
            k, v = self.ask(cache, q, k, v)
        return self.c_proj(self.merge(self.mix(q, k, v)))


def variant(**parts):
    """Return the right module with some of its parts exchanged."""
    return type("CausalSelfAttention", (Attention,), parts)


def mixing(**slips):
    """Return a variant whose `attend` has these slips."""
    attend = make_attend(**slips)
    return variant(mix=lambda self, q, k, v: attend(q, k, v, self.mask(q.shape[2], k.shape[2])))


def qkv_sliced(self, x):
    weights, biases = self.c_attn.weight.chunk(3), self.c_attn.bias.chunk(3)
    return [F.linear(x, w, b) for w, b in zip(weights, biases)]


def qkv_interleaved(self, x):
    B, T, C = x.shape
    parts = self.c_attn(x).view(B, T, self.n_head, 3, C // self.n_head)
    return [parts[:, :, :, i].reshape(B, T, C) for i in range(3)]


def qkv_order(self, x):
    k, q, v = self.c_attn(x).chunk(3, dim=-1)
    return q, k, v


def mask_only_without_past(self, T, S):
    return triangle(T, S) if T == S else torch.ones(T, S, dtype=torch.bool)


def mask_top_left(self, T, S):
    return torch.ones(T, S, dtype=torch.bool).tril()


def forward_without_projection(self, x, cache=None):
    q, k, v = (self.split(part) for part in self.qkv(x))
    if cache is not None:
        k, v = cache.append(k, v)
    return self.merge(self.mix(q, k, v))


def forward_ignores_result(self, x, cache=None):
    q, k, v = (self.split(part) for part in self.qkv(x))
    if cache is not None:
        cache.append(k, v)
    return self.c_proj(self.merge(self.mix(q, k, v)))


def forward_per_head(self, x, cache=None):
    q, k, v = self.c_attn(x).chunk(3, dim=-1)
    B, T, C = x.shape
    q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))
    if cache is not None:
        k, v = cache.append(k, v)
    heads = []
    for h in range(self.n_head):
        scores = q[:, h] @ k[:, h].mT / math.sqrt(C // self.n_head)
        scores[:, ~triangle(T, k.shape[2])] = -INF
        heads.append(scores.softmax(-1) @ v[:, h])
    return self.c_proj(torch.cat(heads, dim=-1))


def merged_by_einsum(self, x):
    eye = torch.eye(x.shape[1] * x.shape[3]).view(x.shape[1], x.shape[3], -1)
    return torch.einsum("bhtd,hdc->btc", x, eye)


COLUMNS = "each column of your weights sums to 1: the softmax runs over the queries. It should run over the keys, so that each row sums to 1."

EXERCISES = [
    Exercise(
        number="3.1",
        name="attention_scores",
        level=1,
        minutes=5,
        done="every query knows how well every key matches it.",
        hints=(
            "All dot products at once are a matrix product: queries as rows, keys as columns.",
            "k has its keys as rows. k.transpose(-2, -1) turns its last two dimensions around.",
            "Divide by the square root of q.shape[-1], the width of a head.",
        ),
        cases=score_cases,
        mistakes=[
            Mistake("A01", dots, "the scores are not scaled. Divide them by the square root of D.", 3),
            Mistake("A02", lambda q, k: dots(q, k) / (q.shape[1] * q.shape[-1]) ** 0.5, "you divide by the square root of the model's width C. It is the width of one head, D, that counts.", 3),
            Mistake("by-d", lambda q, k: dots(q, k) / q.shape[-1], "you divide by D. It is the square root of D: variance D means a standard deviation of sqrt(D).", 3),
            Mistake("times", lambda q, k: dots(q, k) * q.shape[-1] ** 0.5, "you multiply by the square root of D. Divide: the scores are to get smaller.", 3),
            Mistake("swapped", lambda q, k: dots(k, q) / q.shape[-1] ** 0.5, "your table is transposed: keys are its rows. Row t should belong to query t.", 1),
            Mistake("normed", lambda q, k: F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT, "you compute the cosine: the vectors' lengths are gone. GPT-2 uses the plain dot product, divided by sqrt(D).", 1),
            Mistake("softmaxed", lambda q, k: (dots(q, k) / q.shape[-1] ** 0.5).softmax(-1), "you have taken the softmax already. Return the scores; the mask must come before the softmax.", 3),
            Mistake("by-t", lambda q, k: dots(q, k) / k.shape[-2] ** 0.5, "you divide by the square root of the number of keys. It is the width of a head, q.shape[-1], that counts.", 3),
        ],
        styles=[scores_einsum, scores_loops, scores_scale_first],
    ),
    Exercise(
        number="3.2",
        name="causal_mask",
        level=2,
        minutes=10,
        done="every token sees itself and what came before it, also when some tokens were read earlier.",
        hints=(
            "Write down the 3 x 3 mask by hand first: which of the three tokens may token 0 look at, which token 1, which token 2? "
            "torch.tril keeps that triangle of a matrix.",
            "With S > T the T rows are the newest tokens. Row 0 is then not position 0 but position S - T, so it sees S - T + 1 "
            "tokens. tril has an argument that moves the edge of the triangle.",
            "A matrix of ones, of shape (T, S) and dtype bool, and tril with diagonal=S - T. Don't forget the device.",
        ),
        cases=mask_cases,
        mistakes=[
            Mistake("no-self", lambda T, S, device=None: triangle(T, S, -1), "no token may look at itself in your mask. A token has to see itself too: its own word matters for what comes next.", 1),
            Mistake("A06", lambda T, S, device=None: triangle(T, S, 1), "each token sees exactly one token too many: the one that it is to predict. Move the diagonal by one.", 2),
            Mistake("A04", lambda T, S, device=None: torch.ones(T, S, dtype=torch.bool), "your mask hides nothing: every token sees the future. Keep the lower triangle.", 1),
            Mistake("ignores-seen", lambda T, S, device=None: torch.ones(T, S, dtype=torch.bool).tril(), "your mask is right where T = S, but with S > T the first row belongs to position S - T, not to position 0. The new tokens must see all the tokens read before them.", 2),
            Mistake("upside-down", lambda T, S, device=None: ~triangle(T, S), "your mask is True where it should be False. Here True means: may look.", 1),
            Mistake("backwards", lambda T, S, device=None: torch.ones(T, S, dtype=torch.bool).triu(S - T), "your tokens see themselves and the future. tril keeps the lower triangle, the past.", 1),
            Mistake("additive", additive_mask, "this is a mask to add to the scores, 0 and -inf. Return True and False.", 3),
            Mistake("square", lambda T, S, device=None: triangle(S, S), "you return a square of S x S. There is one row for each of the T new tokens: the last T rows.", 2),
            Mistake("floats", lambda T, S, device=None: triangle(T, S).float(), "your mask holds ones and zeros as floats. Give torch.ones dtype=torch.bool.", 3),
        ],
        styles=[mask_by_comparison, mask_by_loops, mask_by_last_rows],
    ),
    Exercise(
        number="3.3",
        name="masked_softmax",
        level=2,
        minutes=10,
        done="each token spreads exactly 1 over what it may see.",
        hints=(
            "What must a score be, for e to the score to be 0?",
            "scores.masked_fill(where, value) replaces the scores where `where` is True. The mask is True where the token MAY look.",
            "Fill ~mask with -inf first, then take the softmax over the last dimension, the keys.",
        ),
        cases=softmax_cases,
        mistakes=[
            Mistake("A08", mask_after, "your rows sum to less than 1: the mask comes after the softmax, and the weight of the future is lost. Put -inf into the scores before the softmax.", 1),
            Mistake("A09", mask_by_zero, "the future still gets weight: you multiply its scores by 0, and e to the 0 is 1. Set them to -inf.", 1),
            Mistake("A04", mask_forgotten, "the mask is not used, so every token sees the future. Fill its False places with -inf.", 2),
            Mistake("inverted", mask_inverted, "you hide what may be seen and show what may not. The mask is True where the token may look, so fill ~mask.", 2),
            Mistake("A11", softmax_over_queries, COLUMNS, 3),
            Mistake("A11-heads", softmax_over_heads, "your softmax runs over the heads, dimension 1. It should run over the keys, the last one.", 3),
            Mistake("small-penalty", small_penalty, "you make the future's scores smaller, but not small enough: it keeps some weight. Use -inf.", 1),
            Mistake("no-softmax", no_softmax, "you divide the scores by their sum. A softmax divides e to the scores by their sum, so that no weight is negative.", 3),
            Mistake("columns-renormalised", mask_after_renormalised_columns, "you mask after the softmax and then make each column sum to 1. Rows must sum to 1; -inf before the softmax does it.", 1),
        ],
        styles=[softmax_by_hand, softmax_then_renormalise, softmax_row_by_row],
    ),
    Exercise(
        number="3.4",
        name="attend",
        level=2,
        minutes=10,
        done="this is the formula at the heart of every transformer.",
        hints=(
            "You have written its parts: attention_scores, then masked_softmax, then a product with v.",
            "If mask is None, take the softmax of the scores as they are.",
            "weights @ v: (B, H, T, S) @ (B, H, S, D). Row t of the result is the average of the values with the weights of row t.",
        ),
        cases=attend_cases,
        mistakes=[
            Mistake("A01", make_attend(scale="none"), "the scores are not scaled. Divide them by the square root of D before the softmax.", 1),
            Mistake("A02", make_attend(scale="model"), "you scale by the square root of H * D. The width of one head counts, q.shape[-1].", 1),
            Mistake("by-d", make_attend(scale="full"), "you divide the scores by D, not by its square root.", 1),
            Mistake("A04", make_attend(use_mask=False), "the mask is not used: every token sees the future.", 1),
            Mistake("A08", make_attend(where="after"), "you mask after the softmax, so the rows sum to less than 1. Put -inf into the scores before it.", 1),
            Mistake("A09", make_attend(fill=0), "you multiply scores by 0 where they should be -inf: e to the 0 is 1, so the future still counts.", 1),
            Mistake("A11", lambda q, k, v, mask=None: make_attend(dim=-2)(q, k, v, mask), COLUMNS, 1),
            Mistake("inverted", make_attend(invert=True, fill=-1e9), "you hide what may be seen. The mask is True where the token may look.", 1),
            Mistake("keys-averaged", make_attend(values="k"), "you average the keys. The keys are for finding; what is taken home are the values, v.", 3),
            Mistake("A11-heads", make_attend(dim=1, fill=-1e9), "your softmax runs over the heads. It should run over the keys, the last dimension.", 1),
        ],
        styles=[attend_sdpa, attend_einsum, attend_loops, attend_double],
    ),
    Exercise(
        number="3.5",
        name="split_heads",
        level=2,
        minutes=10,
        done="each head has its own D channels of every token.",
        hints=(
            "Two steps: cut the last dimension C into (H, D), then bring the heads in front of the tokens.",
            "x.view(B, T, n_head, C // n_head) cuts. Which two dimensions have to change places then?",
            "transpose(1, 2) turns (B, T, H, D) into (B, H, T, D).",
        ),
        cases=split_cases,
        mistakes=[
            Mistake("A13", split_by_view, "the shape is right, but your heads hold pieces of the text: head 0 has the first tokens, and the future leaks. Cut the last dimension first, then transpose.", 1),
            Mistake("not-transposed", split_untransposed, "the tokens stand before the heads: (B, T, H, D). Transpose dimensions 1 and 2.", 2),
            Mistake("interleaved", split_interleaved, "head h gets every H-th number of a token. It should get D neighbors: cut C into (H, D), not into (D, H).", 2),
            Mistake("width-as-heads", split_into_width, "you made D heads of width H. Cut C into (n_head, C // n_head).", 2),
            Mistake("heads-first", split_heads_first, "the heads stand before the batch. The order is (B, H, T, D).", 3),
            Mistake("d-before-t", split_swapped, "the last two dimensions are swapped: (B, H, D, T). The order is (B, H, T, D).", 3),
        ],
        styles=[split_by_chunks, split_by_unflatten, split_by_loops],
    ),
    Exercise(
        number="3.6",
        name="merge_heads",
        level=2,
        minutes=10,
        done="the heads' findings stand side by side again.",
        hints=(
            "The two steps of split_heads, backwards: first the tokens in front of the heads, then H and D become one dimension.",
            "After transpose(1, 2) the shape is (B, T, H, D).",
            "flatten(2) joins all dimensions from the third on. (view needs .contiguous() first.)",
        ),
        cases=merge_cases,
        mistakes=[
            Mistake("A14", merge_by_reshape, "the shape is right, but the tokens are scrambled: you joined without bringing the tokens in front of the heads. transpose(1, 2) first.", 1),
            Mistake("interleaved", merge_interleaved, "the numbers of the heads are interleaved. Each head's D numbers must stay together: (B, T, H, D), then join.", 2),
            Mistake("summed", merge_sums, "you add the heads up. They stand side by side: C = H * D numbers for each token.", 1),
            Mistake("not-joined", merge_stays, "the heads are still a dimension of their own. Join the last two.", 3),
            Mistake("wrong-transpose", merge_scrambled, "you swapped T and D. It is H and T, dimensions 1 and 2, that change places.", 2),
        ],
        styles=[merge_by_cat, merge_by_permute, merge_by_loops],
    ),
    Exercise(
        number="3.7",
        name="CausalSelfAttention",
        level=3,
        minutes=20,
        done="tokens can talk to each other: this is GPT-2's attn, weights and all.",
        hints=(
            "self.c_attn(x) has 3C numbers for each token: chunk(3, dim=-1) gives q, k and v. Split the heads of each.",
            "After the cache has given back all keys, T = q.shape[2] and S = k.shape[2] may differ. causal_mask(T, S) is made for that.",
            "In the end: merge_heads, then self.c_proj. is_causal=True of the fused form is right only where T equals S.",
        ),
        cases=module_cases,
        run=run_module,
        arguments=("n_embd", "n_head", "steps"),
        mistakes=[
            Mistake("A01", mixing(scale="none"), "the scores are not scaled by the square root of D.", 2),
            Mistake("A02", mixing(scale="model"), "you scale by the square root of C. Each head is D = C / H wide.", 2),
            Mistake("A04", mixing(use_mask=False), "there is no mask: every token sees the future.", 2),
            Mistake("A06", variant(mask=lambda self, T, S: triangle(T, S, 1)), "each token sees one token of the future.", 2),
            Mistake("A08", mixing(where="after"), "you mask after the softmax, so the rows sum to less than 1.", 2),
            Mistake("A09", mixing(fill=0), "you multiply scores by 0 where they should be -inf.", 2),
            Mistake("A11", mixing(dim=-2), COLUMNS, 2),
            Mistake("A13", variant(split=lambda self, x: split_by_view(x, self.n_head)), "your heads hold pieces of the text, not of the channels. Use split_heads.", 1),
            Mistake("A14", variant(merge=lambda self, x: merge_by_reshape(x)), "the tokens are scrambled where the heads are merged. Use merge_heads.", 3),
            Mistake("A16", variant(forward=forward_without_projection), "c_proj is missing. The heads' findings must go through it at the end.", 3),
            Mistake("K05", variant(mask=mask_only_without_past), "with a cache you use no mask, so several new tokens see each other's future. causal_mask(T, S) is right in both cases.", 2),
            Mistake("mask-top-left", variant(mask=mask_top_left), "with a cache your mask starts at position 0, so new tokens do not see what was read before. Its first row belongs to position S - T.", 2),
            Mistake("cache-unused", variant(forward=forward_ignores_result), "you add to the cache but go on with the new keys and values alone. append returns all of them.", 2),
            Mistake("K02", variant(ask=lambda self, cache, q, k, v: cache.append(q, v)), "you put q into the cache. Keys and values are kept: k and v.", 2),
            Mistake("qkv-order", variant(qkv=qkv_order), "you take the first third for k. The order in c_attn is q, k, v.", 1),
            Mistake("qkv-per-head", variant(qkv=qkv_interleaved), "you cut c_attn's output by heads first. All of q comes first, then all of k, then all of v.", 1),
        ],
        styles=[
            variant(qkv=qkv_sliced),
            variant(forward=forward_per_head),
            variant(merge=merged_by_einsum, split=lambda self, x: split_by_loops(x, self.n_head)),
            variant(mix=lambda self, q, k, v: attend_double(q, k, v, self.mask(q.shape[2], k.shape[2])).float()),
        ],
    ),
]
