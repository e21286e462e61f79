"""The exercises of chapter 03: scores, masks, softmax, heads, and the module that joins them."""

import math
import warnings
from itertools import combinations
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config

A02_SAYS = (
    "you divide by the square root of the model's width C = H * D. Each head takes dot products over its "
    "own D numbers only, so divide by the square root of D, the last size of q."
)


def numbers(*shape, seed=0):
    """Return seeded random numbers of a shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lower(T, S):
    """Return the causal mask."""
    return torch.ones(T, S, dtype=torch.bool).tril(diagonal=S - T)


def swap(x):
    """Swap the last two axes."""
    return x.transpose(-2, -1)


# 3.1 attention_scores


def scores_cases():
    """Two queries and three keys of width 4; then texts, heads, and all sizes different."""
    q = torch.tensor([[1.0, 0.0, 2.0, 1.0], [0.0, 3.0, 1.0, -1.0]])
    k = torch.tensor([[1.0, 1.0, 0.0, 1.0], [2.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 4.0]])
    return [
        (q, k),
        (numbers(2, 3, 4, 5), numbers(2, 3, 6, 5, seed=1)),
        (numbers(7, 9), numbers(7, 9, seed=1)),
    ]


def scores_by_root_of(size):
    def scores(q, k):
        return q @ swap(k) / math.sqrt(size(q, k))

    return scores


def scores_unscaled(q, k):
    return q @ swap(k)


def scores_by_width(q, k):
    return q @ swap(k) / q.shape[-1]


def scores_times_root(q, k):
    return q @ swap(k) * math.sqrt(q.shape[-1])


def scores_softmaxed(q, k):
    return (q @ swap(k) / math.sqrt(q.shape[-1])).softmax(dim=-1)


def scores_bare_and_softmaxed(q, k):
    return (q @ swap(k)).softmax(dim=-1)


def scores_masked(diagonal):
    def scores(q, k):
        T, S = q.shape[-2], k.shape[-2]
        seen = torch.ones(T, S, dtype=torch.bool).tril(diagonal(T, S))
        return (q @ swap(k) / math.sqrt(q.shape[-1])).masked_fill(~seen, -math.inf)

    return scores


def scores_not_transposed(q, k):
    return q @ k / math.sqrt(q.shape[-1])


def product_turned(q, k):
    return k @ swap(q)


def product_of_all_axes_reversed(q, k):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return q @ k.T


def product_of_first_axes(q, k):
    return q @ k.transpose(0, 1)


def product_of_reshaped(q, k):
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def with_and_without_root(name, product, says, hint):
    """Return a mistake twice: in an answer that divides by the root of D, and in one that does not."""
    return [
        Mistake(name, lambda q, k: product(q, k) / math.sqrt(q.shape[-1]), says, hint),
        Mistake(name, product, says + " (Besides, the division by the square root of D is missing.)", hint),
    ]


def scores_of_directions(q, k):
    return F.normalize(q, dim=-1) @ swap(F.normalize(k, dim=-1))


def scores_by_einsum(q, k):
    return torch.einsum("...td,...sd->...ts", q, k) * q.size(-1) ** -0.5


def scores_with_small_q(q, k):
    return torch.matmul(q / math.sqrt(k.shape[-1]), k.mT)


def scores_by_broadcasting(q, k):
    return (q.double()[..., :, None, :] * k.double()[..., None, :, :]).sum(-1) / q.shape[-1] ** 0.5


def scores_by_loop(q, k):
    rows = [(q[..., t : t + 1, :] * k).sum(-1) for t in range(q.shape[-2])]
    return torch.stack(rows, dim=-2) / math.sqrt(q.shape[-1])


ATTENTION_SCORES = Exercise(
    number="3.1",
    name="attention_scores",
    level=1,
    minutes=5,
    done="every query is compared with every key, and the width of the head does not change the spread.",
    hints=(
        "The score of query t and key s is the dot product of two rows: row t of q and row s of k. A "
        "matrix product takes rows of the left matrix with columns of the right one.",
        "So k must lie on its side, its last two axes swapped: k.transpose(-2, -1). The axes before them "
        "(texts, heads) come along by themselves.",
        "Divide the product by the square root of D, and read D off q.shape. It is the size of the last "
        "axis, whatever stands before it.",
    ),
    cases=scores_cases,
    mistakes=[
        Mistake(
            "A01",
            scores_unscaled,
            "these are the bare dot products. Divide them by the square root of D, the last size of q.",
            3,
        ),
        Mistake(
            "A02",
            scores_by_root_of(lambda q, k: q.shape[-1] * (q.shape[-3] if q.ndim > 2 else 1)),
            A02_SAYS,
            3,
        ),
        Mistake(
            "by-number-of-queries",
            scores_by_root_of(lambda q, k: q.shape[-2]),
            "you divide by the square root of T, the number of queries. It should be the square root of D, "
            "the number of products that each score adds up.",
            3,
        ),
        Mistake(
            "by-number-of-keys",
            scores_by_root_of(lambda q, k: k.shape[-2]),
            "you divide by the square root of S, the number of keys. It should be the square root of D, the "
            "number of products that each score adds up.",
            3,
        ),
        Mistake(
            "first-axis",
            scores_by_root_of(lambda q, k: q.shape[0]),
            "you divide by the square root of q.shape[0], or len(q): the number of queries, or of texts "
            "where there are some. The width D is the last size: q.shape[-1].",
            3,
        ),
        Mistake(
            "second-axis",
            scores_by_root_of(lambda q, k: q.shape[1]),
            "you divide by the square root of q.shape[1], which is D only while there are no texts and heads "
            "before it. Count from the back: q.shape[-1].",
            3,
        ),
        Mistake(
            "no-root",
            scores_by_width,
            "you divide by D itself, which makes the scores too small. It should be the square root of D: a "
            "sum of D products spreads as sqrt(D), not as D.",
            3,
        ),
        Mistake(
            "times-root",
            scores_times_root,
            "you multiply by the square root of D, and the scores spread even more. Divide by it.",
            3,
        ),
        *with_and_without_root(
            "turned",
            product_turned,
            "your rows are the keys and your columns the queries. It should be one row for each query: q on "
            "the left, k transposed on the right.",
            2,
        ),
        Mistake(
            "softmaxed",
            scores_softmaxed,
            "your rows add up to 1: you have applied the softmax already. The scores alone are wanted here; "
            "the mask has to come between them and the softmax.",
            1,
        ),
        Mistake(
            "softmaxed",
            scores_bare_and_softmaxed,
            "your rows add up to 1: you have applied the softmax already, and to the bare dot products. The "
            "scores alone are wanted here: the dot products, divided by the square root of D.",
            3,
        ),
        *(
            Mistake(
                "masked",
                scores_masked(diagonal),
                "you have applied a mask already: some of your scores are -inf. All scores are wanted here; "
                "hiding some of them is the work of 3.2 and 3.3.",
                1,
            )
            for diagonal in (lambda T, S: 0, lambda T, S: S - T)
        ),
        Mistake(
            "A12",
            scores_not_transposed,
            "you multiply q with k as it is, which pairs numbers that have nothing to do with each other "
            "(and mostly does not even fit). Swap the last two axes of k first.",
            2,
        ),
        *with_and_without_root(
            "all-axes",
            product_of_all_axes_reversed,
            "k.T turns all axes round, which is right for one matrix and wrong as soon as there are texts "
            "and heads. Swap the last two axes only: k.transpose(-2, -1).",
            2,
        ),
        Mistake(
            "cosine",
            scores_of_directions,
            "you have divided by the lengths of q and k, so these are cosines. GPT-2 lets long vectors count "
            "for more: the dot product is divided by the square root of D and by nothing else.",
            1,
        ),
        *with_and_without_root(
            "A03-wrong-axes",
            product_of_first_axes,
            "you swap axes 0 and 1 of k. That is right for a matrix, but with texts and heads in front the "
            "last two have to be swapped: transpose(-2, -1).",
            2,
        ),
        Mistake(
            "A03-wrong-axes",
            lambda q, k: q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]),
            "you swap axes 1 and 2 of k, counted from the front. How many axes stand in front is not the "
            "same every time: count from the end, transpose(-2, -1).",
            2,
        ),
        *with_and_without_root(
            "reshaped",
            product_of_reshaped,
            "you bring k into the shape (D, S) with view or reshape, which keeps the order of its numbers "
            "and mixes those of different keys. Swap its last two axes: k.transpose(-2, -1).",
            2,
        ),
        Mistake(
            "by-a-fixed-root",
            lambda q, k: q @ k.mT / 8,
            "you divide by 8, which is the root of 64, GPT-2's D. Here D is another one: read it off "
            "q.shape[-1].",
            3,
        ),
        Mistake(
            "by-a-fixed-root",
            lambda q, k: q @ k.mT / 2,
            "you divide by 2, which is the root of the example's D and of no other. Read D off q.shape[-1].",
            3,
        ),
        Mistake(
            "root-rounded",
            scores_by_root_of(lambda q, k: math.isqrt(q.shape[-1]) ** 2),
            "you round the root of D down to a whole number, which is right only where the root is whole, "
            "as for D = 4. Divide by math.sqrt(D) as it is.",
            3,
        ),
        Mistake(
            "power-without-brackets",
            lambda q, k: q @ k.mT / q.shape[-1] ** 1 / 2,
            "** goes before /, so x / D ** 1 / 2 is x divided by D and then by 2. Write D ** 0.5, or "
            "math.sqrt(D).",
            3,
        ),
        Mistake(
            "power-without-brackets",
            lambda q, k: q @ k.mT / (q.shape[-1] ** 1 / 2),
            "you divide by D / 2: ** goes before /, so D ** 1 / 2 is half of D. Write D ** 0.5, or "
            "math.sqrt(D).",
            3,
        ),
        Mistake(
            "root-around-everything",
            lambda q, k: torch.sqrt(q @ k.mT / q.shape[-1]),
            "you take the root of the whole fraction, and the root of a negative dot product is NaN. Only D "
            "stands under the root.",
            3,
        ),
        Mistake(
            "whole-numbers",
            lambda q, k: q @ k.mT // math.sqrt(q.shape[-1]),
            "// rounds each score down to a whole number. Divide with /.",
            3,
        ),
    ],
    styles=[scores_by_einsum, scores_with_small_q, scores_by_broadcasting, scores_by_loop],
)


# 3.2 causal_mask


def mask_cases():
    """Wide (tokens already seen), one new token, square, wider, one token; on a device without numbers."""
    return [(2, 3), (1, 4), (4, 4), (3, 7), (1, 1), (2, 3, "meta")]


def tril_at(diagonal):
    def mask(T, S, device=None):
        return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=diagonal(T, S))

    return mask


def no_mask(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device)


def sees_the_future_only(diagonal):
    def mask(T, S, device=None):
        return torch.ones(T, S, dtype=torch.bool, device=device).triu(diagonal=diagonal(T, S))

    return mask


def sees_itself_and_the_future(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).triu(diagonal=S - T)


def float_mask(T, S, device=None):
    return torch.full((T, S), -math.inf, device=device).triu(diagonal=S - T + 1)


def ones_and_zeros(T, S, device=None):
    return torch.ones(T, S, device=device).tril(diagonal=S - T)


def whole_ones_and_zeros(T, S, device=None):
    return torch.ones(T, S, dtype=torch.int64, device=device).tril(diagonal=S - T)


def square(T, S, device=None):
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def keys_by_queries(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T).T


def sees_itself_only(diagonal):
    def mask(T, S, device=None):
        return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal(T, S)).triu(diagonal(T, S))

    return mask


def joined(before, new_first=False):
    """Return a mask made of a triangle for the new tokens and a block, `before`, for the others."""

    def mask(T, S, device=None):
        block = before(T, S - T, dtype=torch.bool, device=device)
        new = torch.ones(T, T, dtype=torch.bool, device=device).tril()
        return torch.cat([new, block] if new_first else [block, new], dim=1)

    return mask


def rows_reversed(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T).flip(0)


def corner_if_several(T, S, device=None):
    mask = torch.ones(T, S, dtype=torch.bool, device=device)
    return mask if T == 1 else mask.tril()


def mask_by_comparison(T, S, device=None):
    query = torch.arange(S - T, S, device=device)[:, None]
    return torch.arange(S, device=device)[None, :] <= query


def mask_by_loops(T, S, device=None):
    mask = torch.zeros(T, S, dtype=torch.bool, device=device)
    for t in range(T):
        mask[t, : S - T + t + 1] = True
    return mask


def mask_by_triu(T, S, device=None):
    return torch.triu(torch.ones(T, S), diagonal=S - T + 1).eq(0).to(device)


def mask_by_last_rows(T, S, device=None):
    return torch.ones(S, S, dtype=torch.bool, device=device).tril()[-T:]


def mask_by_joining(T, S, device=None):
    return joined(torch.ones)(T, S, device)


def mask_on_the_cpu(T, S, device=None):
    return lower(T, S)


def no_mask_if_longer(T, S, device=None):
    mask = torch.ones(T, S, dtype=torch.bool, device=device)
    return mask.tril() if T == S else mask


def run_mask(answer, T, S, device=None):
    """Return the mask; on another device, which has no numbers to compare, where it is."""
    if device is None:
        return answer(T, S)
    mask = answer(T, S, device=device)
    return {"shape": tuple(mask.shape), "device": mask.device.type}


CPU_TOO = " (Besides, you make the mask on the CPU, wherever it was asked for: pass `device` on.)"


def on_its_device_or_not(name, wrong, says, hint):
    """Return a mistake twice: in an answer that uses the device, and in one that does not."""
    return [
        Mistake(name, wrong, says, hint),
        Mistake(name, lambda T, S, device=None: wrong(T, S), says + CPU_TOO, hint),
    ]


MASK_MISTAKES = [
    (
        "A04",
        no_mask,
        "your mask lets every token look at every other one, as in BERT. A token of GPT-2 may look at "
        "itself and at what came before it, and at nothing after it.",
        1,
    ),
    (
        "no-self",
        tril_at(lambda T, S: S - T - 1),
        "no token may look at itself in your mask. A token has to see itself too: its own word "
        "matters for what comes next.",
        1,
    ),
    (
        "A06",
        tril_at(lambda T, S: S - T + 1),
        "each token sees exactly one token too many: the one that it is to predict. Move the "
        "diagonal by one.",
        2,
    ),
    (
        "ignores-seen",
        tril_at(lambda T, S: 0),
        "your mask is right where T = S, but with S > T the first row belongs to position S - T, "
        "not to position 0. The new tokens must see all the tokens read before them.",
        2,
    ),
    (
        "wrong-way",
        tril_at(lambda T, S: T - S),
        "with S > T your triangle has moved to the wrong side, and the first rows see fewer tokens "
        "instead of more. Row 0 sees the S - T tokens before it and itself.",
        2,
    ),
    (
        "upside-down",
        sees_the_future_only(lambda T, S: S - T + 1),
        "your mask is True where it should be False. Here True means: may look.",
        1,
    ),
    (
        "future",
        sees_itself_and_the_future,
        "your tokens see themselves and what comes after them. Keep the other triangle, the lower one.",
        1,
    ),
    (
        "itself-only",
        sees_itself_only(lambda T, S: S - T),
        "each token sees itself and nothing else in your mask. It should see the tokens before it as well.",
        1,
    ),
    (
        "float-mask",
        float_mask,
        "you return the mask in its other form, 0 and -inf, which is added to the scores. It would work "
        "there, but this library passes masks as bool: True where a token may look.",
        3,
    ),
    (
        "ones-and-zeros",
        ones_and_zeros,
        "the triangle is right, but it is made of the floats 1 and 0. Return True and False: give "
        "torch.ones a dtype.",
        3,
    ),
    (
        "ones-and-zeros",
        whole_ones_and_zeros,
        "the triangle is right, but it is made of the whole numbers 1 and 0, and ~1 is -2. Return True "
        "and False: give torch.ones another dtype.",
        3,
    ),
    (
        "square",
        square,
        "your mask is T x T. It needs a column for each of the S tokens that can be looked at: T x S.",
        2,
    ),
    (
        "keys-by-queries",
        keys_by_queries,
        "your mask has a column for each new token and a row for each token that can be looked at. It "
        "should be the other way round: row t says what new token t may look at.",
        1,
    ),
    (
        "upper-triangle",
        lambda T, S, device=None: torch.ones(T, S, dtype=torch.bool, device=device).triu(),
        "triu keeps the part above the diagonal, the future. Keep the part below it: tril, and mind S - T.",
        1,
    ),
    (
        "no-mask-after-the-first",
        no_mask_if_longer,
        "you hide nothing when S is larger than T. Among several new tokens the earlier ones must not see "
        "the later ones then either: tril with diagonal S - T.",
        2,
    ),
    (
        "upside-down",
        sees_the_future_only(lambda T, S: 1),
        "your mask is True for the tokens to hide, and here True means: may look. Besides, with S > T the "
        "first row belongs to position S - T, so the triangle has to move.",
        2,
    ),
    (
        "itself-only",
        sees_itself_only(lambda T, S: 0),
        "each row has a single True in your mask. A token should see all the tokens up to its own "
        "position, S - T + t in row t.",
        1,
    ),
    (
        "seen-hidden",
        joined(torch.zeros),
        "your new tokens see each other, but none of the S - T tokens read before them. Those columns are "
        "True in every row.",
        2,
    ),
    (
        "seen-at-the-end",
        joined(torch.ones, new_first=True),
        "you put the columns of the tokens read before at the right end. They are the first S - T columns, "
        "and the triangle comes after them.",
        2,
    ),
    (
        "rows-reversed",
        rows_reversed,
        "your rows stand in reverse order: the first sees the most. Row 0 is the oldest of the T new "
        "tokens and sees the fewest.",
        2,
    ),
    (
        "corner-if-several",
        corner_if_several,
        "your mask is right for one new token and for T = S. With several new ones after others the first "
        "row belongs to position S - T: move the diagonal by S - T, whatever T is.",
        2,
    ),
    (
        "by-T",
        tril_at(lambda T, S: T),
        "you move the triangle by T, the number of new tokens. It has to move by the number of those read "
        "before: S - T.",
        2,
    ),
]

CAUSAL_MASK = Exercise(
    number="3.2",
    name="causal_mask",
    level=2,
    minutes=10,
    done="every token sees itself and what came before it, also when some tokens were read earlier.",
    hints=(
        "Write down the 3 x 3 mask by hand first: which of the three tokens may token 0 look at, "
        "which token 1, which token 2? torch.tril keeps that triangle of a matrix.",
        "With S > T the T rows are the newest tokens. Row 0 is then not position 0 but position "
        "S - T, so it sees S - T + 1 tokens. tril has an argument that moves the edge of the triangle.",
        "Start from a matrix of True of shape (T, S), on the device that was asked for, and let "
        "tril(diagonal=...) cut it. With T = S the diagonal is 0, and each token read earlier moves it by 1.",
    ),
    cases=mask_cases,
    run=run_mask,
    mistakes=[
        *(same for mistake in MASK_MISTAKES for same in on_its_device_or_not(*mistake)),
        Mistake(
            "ignores-device",
            mask_on_the_cpu,
            "you make the mask on the CPU, wherever it was asked for. Pass `device` on to torch.ones.",
            3,
        ),
    ],
    styles=[mask_by_comparison, mask_by_loops, mask_by_triu, mask_by_last_rows, mask_by_joining],
)


# 3.3 masked_softmax


def softmax_cases():
    """A small triangle; a mask that is no triangle; texts and heads; new tokens after seen ones."""
    scores = torch.tensor([[1.0, 2.0, 3.0], [2.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
    gaps = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    return [
        (scores, lower(3, 3)),
        (3 * numbers(2, 5), gaps),
        (2 * numbers(2, 3, 4, 6), lower(4, 6)),
        (numbers(3, 2, 5, 5), lower(5, 5)),
    ]


def softmax_over(dim):
    def weights(scores, mask):
        return scores.masked_fill(~mask, -math.inf).softmax(dim=dim)

    return weights


def softmax_filled_with(number):
    def weights(scores, mask):
        return scores.masked_fill(~mask, number).softmax(dim=-1)

    return weights


def softmax_then_zeros(scores, mask):
    return scores.softmax(dim=-1) * mask


def softmax_then_infinity(scores, mask):
    return scores.softmax(dim=-1).masked_fill(~mask, -math.inf)


def softmax_unmasked(scores, mask):
    return scores.softmax(dim=-1)


def softmax_of_the_hidden(scores, mask):
    return scores.masked_fill(mask, -math.inf).softmax(dim=-1)


def softmax_forgotten(scores, mask):
    return scores.masked_fill(~mask, -math.inf)


def softmax_as_logarithm(scores, mask):
    return scores.masked_fill(~mask, -math.inf).log_softmax(dim=-1)


def softmax_without_exp(scores, mask):
    scores = scores * mask
    return scores / scores.sum(dim=-1, keepdim=True)


def softmax_not_divided(scores, mask):
    return scores.exp() * mask


def softmax_over_everything(scores, mask):
    weights = scores.exp() * mask
    return weights / weights.sum()


def softmax_scaled_again(scores, mask):
    return (scores / math.sqrt(scores.shape[-1])).masked_fill(~mask, -math.inf).softmax(dim=-1)


def softmax_by_where(scores, mask):
    return F.softmax(torch.where(mask, scores, torch.tensor(float("-inf"))), -1)


def softmax_by_adding(scores, mask):
    bias = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    return torch.softmax(scores + bias, dim=-1)


def softmax_by_hand(scores, mask):
    scores = scores.double() - scores.double().amax(dim=-1, keepdim=True)
    weights = scores.exp() * mask
    return weights / weights.sum(dim=-1, keepdim=True)


def softmax_renormalised(scores, mask):
    weights = scores.softmax(-1).masked_fill(mask.logical_not(), 0.0)
    return weights / weights.sum(-1, keepdim=True)


def columns_say(got, want):
    """Say what the rows and the columns of the weights add up to."""
    row = got.reshape(-1, got.shape[-1])[0].sum().item()
    return (
        f"each column of your weights adds up to 1, and the first row to {row:.2f}: your softmax runs over "
        f"the queries. It should run over the keys, so that each row adds up to 1: dim=-1."
    )


def heads_say(got, want):
    """Say what the rows of the weights add up to."""
    row = got.reshape(-1, got.shape[-1])[-1].sum().item()
    return (
        f"your softmax runs over the heads: the last row adds up to {row:.2f}, and the heads compete with "
        f"each other. It should run over the keys, the last axis: dim=-1."
    )


def row_sums_say(got, want):
    """Say what the rows of the weights add up to."""
    row = got.reshape(-1, got.shape[-1])[0].sum().item()
    return (
        f"the future has weight 0, but your first row adds up to {row:.2f}: you mask after the softmax, "
        f"which has already given weight away to the hidden tokens. Mask the scores first, with -inf, so "
        f"that each row adds up to 1."
    )


def softmax_divided_by_rows(scores, mask):
    weights = scores.masked_fill(~mask, -math.inf).exp()
    return weights / weights.sum(-1)


def softmax_renormalised_without_axis(scores, mask):
    weights = scores.softmax(-1) * mask
    return weights / weights.sum(-1)


def softmax_twice(scores, mask):
    return scores.softmax(-1).masked_fill(~mask, -math.inf).softmax(-1)


def softmax_of_zeros_then_zeros(scores, mask):
    return scores.masked_fill(~mask, 0.0).softmax(-1) * mask


def softmax_by_index(scores, mask):
    scores = scores.clone()
    scores[~mask] = -math.inf
    return scores.softmax(-1)


def run_softmax(answer, scores, mask):
    """Return the weights; raise ValueError if hidden ones are small, but not 0."""
    weights = answer(scores, mask)
    if isinstance(weights, torch.Tensor) and weights.shape == scores.shape:
        hidden = weights.masked_fill(mask, 0.0).max()
        if 0 < hidden < 1e-5:
            raise ValueError("its weights are tiny where the mask is False, and should be exactly 0")
    return weights


MASKED_SOFTMAX = Exercise(
    number="3.3",
    name="masked_softmax",
    level=2,
    minutes=10,
    done="each row adds up to 1, and what the mask hides has weight exactly 0.",
    hints=(
        "Two steps, and their order matters: hide first, then share out. What score does a hidden token "
        "need, so that exp(score) is exactly 0?",
        "scores.masked_fill(where, number) returns a copy of the scores with a number put in wherever "
        "`where` is True. The mask is True where a token MAY look, and the number should go where it may "
        "not: ~mask.",
        "The number is -inf (-math.inf, or float('-inf')). Then .softmax(dim=...) with the axis along which "
        "the weights of one query lie: the keys, which are the last axis.",
    ),
    cases=softmax_cases,
    run=run_softmax,
    mistakes=[
        Mistake("A08", softmax_then_zeros, row_sums_say, 1),
        Mistake(
            "A08",
            softmax_then_infinity,
            "you put -inf into the weights, after the softmax, and a weight of -inf makes no sense. The -inf "
            "belongs into the scores, before the softmax, which turns it into 0.",
            1,
        ),
        Mistake(
            "A09",
            softmax_filled_with(0.0),
            "you give hidden tokens the score 0, and exp(0) = 1, so they still get weight. They need the "
            "score -inf: exp(-inf) is 0.",
            1,
        ),
        Mistake("A11", softmax_over(-2), columns_say, 3),
        Mistake("A11", softmax_over(1), heads_say, 3),
        Mistake(
            "A11",
            softmax_over(0),
            "your softmax runs over the first axis, which is not the keys. It should run over the last axis, "
            "so that each row adds up to 1: dim=-1.",
            3,
        ),
        Mistake(
            "A04",
            softmax_unmasked,
            "your weights are those without a mask: hidden tokens get their full share. Put -inf into the "
            "scores wherever the mask is False, and go on with what masked_fill returns: a masked copy.",
            2,
        ),
        Mistake(
            "upside-down",
            softmax_of_the_hidden,
            "you hide what may be seen and show what must be hidden. The mask is True where a token may "
            "look, and masked_fill fills where its argument is True: use ~mask.",
            2,
        ),
        Mistake(
            "plus-inf",
            softmax_filled_with(math.inf),
            "you fill with +inf, and inf / inf is NaN. A hidden token needs the lowest score there is: -inf.",
            3,
        ),
        Mistake(
            "no-softmax",
            softmax_forgotten,
            "these are the masked scores, and the softmax is still missing. It turns each row into weights "
            "that add up to 1.",
            3,
        ),
        Mistake(
            "logarithm",
            softmax_as_logarithm,
            "these are the logarithms of the weights (log_softmax). The weights themselves are wanted: "
            "softmax.",
            3,
        ),
        Mistake(
            "no-exp",
            softmax_without_exp,
            "you divide each score by the sum of its row, and negative scores make a mess of that. Softmax "
            "takes exp of every score first: all are positive then, and the ratios depend on differences "
            "only.",
            3,
        ),
        Mistake(
            "not-divided",
            softmax_not_divided,
            "you have taken exp of the scores but not divided by the sum of each row. The weights of one "
            "query must add up to 1.",
            3,
        ),
        Mistake(
            "one-sum",
            softmax_over_everything,
            "all your weights together add up to 1. Each row must do so on its own: sum(dim=-1, "
            "keepdim=True).",
            3,
        ),
        Mistake(
            "scaled-again",
            softmax_scaled_again,
            "you divide the scores once more before the softmax. They come in scaled already: only the mask "
            "and the softmax are wanted here.",
            1,
        ),
        *(
            Mistake(
                "filled-with-a-small-number",
                softmax_filled_with(number),
                "a finite number in the place of -inf: hidden tokens keep a little weight, and where the "
                "scores themselves are low they keep all of it. Only -inf gives weight 0 every time.",
                2,
            )
            for number in (-1.0, -10.0, -20.0, -50.0, -100.0)
        ),
        Mistake(
            "filled-with-a-small-number",
            lambda scores, mask: (scores - 100 * ~mask).softmax(-1),
            "you take a finite number off the hidden scores, and they keep a little weight. Only -inf gives "
            "weight 0 every time.",
            2,
        ),
        Mistake(
            "plus-a-large-number",
            softmax_filled_with(1e9),
            "you fill with a large positive number, and the hidden tokens take all the weight. A hidden "
            "token needs the lowest score there is: -inf.",
            3,
        ),
        Mistake(
            "mask-as-numbers",
            lambda scores, mask: (scores + mask).softmax(-1),
            "you add the mask to the scores, as 1 and 0, and that hides nothing. Put -inf wherever the "
            "mask is False: masked_fill(~mask, -math.inf).",
            2,
        ),
        Mistake(
            "softmax-twice",
            softmax_twice,
            "you take the softmax of something that has been through a softmax, and the weights come out too "
            "even. Mask the scores as they come in, then one softmax.",
            1,
        ),
        Mistake(
            "A09",
            softmax_of_zeros_then_zeros,
            "you give hidden tokens the score 0, and exp(0) = 1, so they take weight away; setting their "
            "weights to 0 afterwards does not give it back. They need the score -inf: exp(-inf) is 0.",
            1,
        ),
        Mistake(
            "upside-down",
            lambda scores, mask: scores.masked_fill(mask, 0.0).softmax(-1),
            "you put a 0 in the place of the scores that may be seen. masked_fill fills where its argument "
            "is True, so it takes ~mask; and what hides is -inf, for exp(0) is 1.",
            2,
        ),
        Mistake(
            "upside-down",
            lambda scores, mask: scores.softmax(-1) * ~mask,
            "you keep the weights of the hidden tokens and delete the others. The mask is True where a token "
            "may look; and it has to act on the scores, with -inf, before the softmax.",
            1,
        ),
        *(
            Mistake(
                name,
                wrong,
                says + " Besides, your softmax runs over the queries: it should run over the keys, dim=-1.",
                hint,
            )
            for name, wrong, says, hint in (
                (
                    "A08",
                    lambda scores, mask: scores.softmax(-2) * mask,
                    "you mask after the softmax, so hidden tokens have taken weight away from the others.",
                    1,
                ),
                (
                    "A09",
                    lambda scores, mask: scores.masked_fill(~mask, 0.0).softmax(-2),
                    "you give hidden tokens the score 0, and exp(0) = 1, so they still get weight.",
                    1,
                ),
                (
                    "A04",
                    lambda scores, mask: scores.softmax(-2),
                    "your weights are those without a mask.",
                    2,
                ),
                (
                    "upside-down",
                    lambda scores, mask: scores.masked_fill(mask, -math.inf).softmax(-2),
                    "you hide what may be seen and show what must be hidden: use ~mask.",
                    2,
                ),
            )
        ),
        Mistake(
            "zero-times-infinity",
            lambda scores, mask: (scores + (~mask) * -math.inf).softmax(-1),
            "0 * -inf is NaN, so your product is NaN where nothing is hidden. Write -inf only where the "
            "mask is False: masked_fill(~mask, -math.inf).",
            2,
        ),
        Mistake(
            "lost-axis",
            softmax_divided_by_rows,
            "your sums have lost the last axis, so they line up with the columns. Keep it: sum(dim=-1, "
            "keepdim=True).",
            3,
        ),
        Mistake(
            "lost-axis",
            softmax_renormalised_without_axis,
            "your sums have lost the last axis, so they line up with the columns. Keep it, sum(dim=-1, "
            "keepdim=True), or mask before the softmax, which needs no second division.",
            3,
        ),
        Mistake(
            "index-from-the-front",
            softmax_by_index,
            "s[~mask] counts the mask's axes from the front, and with texts and heads there the shapes "
            "differ. masked_fill lines them up from the end: scores.masked_fill(~mask, -math.inf).",
            2,
        ),
        *(
            Mistake(
                "a-mask-of-its-own",
                lambda scores, mask, own=own: softmax_filled_with(-math.inf)(scores, own(*mask.shape)),
                "you build a mask of your own and ignore the one that you were given. Use `mask`, whatever "
                "it hides.",
                1,
            )
            for own in (lower, tril_at(lambda T, S: 0))
        ),
    ],
    styles=[softmax_by_where, softmax_by_adding, softmax_by_hand, softmax_renormalised],
)


# 3.4 attend


def attend_cases():
    """Two heads, two new tokens of three; seen ones before them; no mask; gaps in the mask; one new token."""
    gaps = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    sizes = [
        (1, 2, 2, 3, 3),
        (2, 3, 4, 6, 5),
        (2, 3, 4, 5, 7),
        (3, 2, 2, 5, 4),
        (3, 4, 5, 5, 2),
        (3, 2, 1, 4, 6),
    ]
    masks = [lower(2, 3), lower(4, 6), None, gaps, lower(5, 5), None]
    cases = []
    for (B, H, T, S, D), mask in zip(sizes, masks):
        q, k, v = 1.5 * numbers(B, H, T, D), numbers(B, H, S, D, seed=1), numbers(B, H, S, D, seed=2)
        cases.append((q, k, v, mask))
    return cases


def root_of_width(q, k):
    return math.sqrt(q.shape[-1])


def root_of_all_heads(q, k):
    return math.sqrt(q.shape[1] * q.shape[-1])


def hidden_by(number):
    def weights(scores, mask):
        return (scores if mask is None else scores.masked_fill(~mask, number)).softmax(dim=-1)

    return weights


def along(dim):
    def weights(scores, mask):
        return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(dim=dim)

    return weights


def zeros_afterwards(scores, mask):
    return scores.softmax(dim=-1) * (1 if mask is None else mask)


def infinity_afterwards(scores, mask):
    weights = scores.softmax(dim=-1)
    return weights if mask is None else weights.masked_fill(~mask, -math.inf)


SHARED_OUT = along(-1)


def attention(divide_by=root_of_width, weigh=SHARED_OUT):
    """Return an `attend` made of its two decisions: the scale, and the way from scores to weights."""

    def attend(q, k, v, mask=None):
        return weigh(q @ swap(k) / divide_by(q, k), mask) @ v

    return attend


RIGHT = attention()
UNSCALED = attention(divide_by=lambda q, k: 1.0)
BY_ROOT_OF_C = attention(divide_by=root_of_all_heads)
BY_WIDTH = attention(divide_by=lambda q, k: q.shape[-1])
TIMES_ROOT = attention(divide_by=lambda q, k: 1 / math.sqrt(q.shape[-1]))
BY_ROOT_OF_S = attention(divide_by=lambda q, k: math.sqrt(k.shape[-2]))
UNMASKED = attention(weigh=lambda scores, mask: scores.softmax(dim=-1))
ZEROS_AFTERWARDS = attention(weigh=zeros_afterwards)
INFINITY_AFTERWARDS = attention(weigh=infinity_afterwards)
ZERO_SCORES = attention(weigh=hidden_by(0.0))
OVER_QUERIES = attention(weigh=along(-2))
OVER_HEADS = attention(weigh=along(1))
INFINITE_SCORES = attention(
    weigh=lambda scores, mask: scores if mask is None else scores.masked_fill(~mask, -math.inf)
)
NO_SOFTMAX = attention(weigh=lambda scores, mask: scores * (1 if mask is None else mask))


def attend_with_own_mask(q, k, v, mask=None):
    return RIGHT(q, k, v, lower(q.shape[-2], k.shape[-2]))


def attend_upside_down(q, k, v, mask=None):
    return RIGHT(q, k, v, None if mask is None else ~mask)


def attend_needing_a_mask(q, k, v, mask=None):
    scores = q @ swap(k) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1) @ v


def attend_returning_keys(q, k, v, mask=None):
    return RIGHT(q, k, k, mask)


def attend_by_values(q, k, v, mask=None):
    return RIGHT(q, v, v, mask)


def attend_returning_weights(q, k, v, mask=None):
    return SHARED_OUT(q @ swap(k) / math.sqrt(q.shape[-1]), mask)


def attend_scaling_late(q, k, v, mask=None):
    return attention(divide_by=lambda q, k: 1.0)(q, k, v, mask) / math.sqrt(q.shape[-1])


def attend_not_transposed(q, k, v, mask=None):
    return (q @ k / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def attend_by_sdpa(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attend_by_einsum(q, k, v, mask=None):
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -1e9)
    return torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1), v)


def attend_by_loops(q, k, v, mask=None):
    B, H, T, D = q.shape
    out = torch.empty(B, H, T, v.shape[-1], dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                may = slice(None) if mask is None else mask[t]
                keys, values = k[b, h, may].double(), v[b, h, may].double()
                out[b, h, t] = torch.softmax(keys @ q[b, h, t].double() / D**0.5, 0) @ values
    return out


def attend_by_bmm(q, k, v, mask=None):
    B, H, T, D = q.shape
    q, k, v = q.reshape(B * H, T, D) * D**-0.5, k.reshape(B * H, -1, D), v.reshape(B * H, -1, D)
    scores = torch.bmm(q, k.transpose(1, 2))
    if mask is not None:
        scores[:, mask.logical_not()] = float("-inf")
    return torch.bmm(F.softmax(scores, dim=2), v).view(B, H, T, D)


def attend_renormalising(q, k, v, mask=None):
    weights = torch.exp(q @ k.mT / math.sqrt(k.shape[-1]))
    if mask is not None:
        weights = weights * mask
    return (weights @ v) / weights.sum(dim=-1, keepdim=True)


ATTEND_MISTAKES = [
    (
        "A01",
        UNSCALED,
        "you use the bare dot products as scores. Divide them by the square root of D, the last size of q.",
        1,
    ),
    ("A02", BY_ROOT_OF_C, A02_SAYS, 1),
    (
        "no-root",
        BY_WIDTH,
        "you divide the scores by D itself, so the weights come out too even. It should be the square root "
        "of D, and once: F.scaled_dot_product_attention divides by it without being asked.",
        1,
    ),
    (
        "times-root",
        TIMES_ROOT,
        "you multiply the scores by the square root of D, and the weights come out much too peaked. Divide "
        "by it.",
        1,
    ),
    (
        "by-number-of-keys",
        BY_ROOT_OF_S,
        "you divide the scores by the square root of S, the number of keys. It should be the square root of "
        "D, the last size of q.",
        1,
    ),
    (
        "A08",
        ZEROS_AFTERWARDS,
        "you mask after the softmax, so the weights of a row add up to less than 1 and the result is too "
        "small. Put -inf into the scores before the softmax.",
        2,
    ),
    (
        "A08",
        INFINITY_AFTERWARDS,
        "you put -inf into the weights, after the softmax, and the average becomes infinite or NaN. The -inf "
        "belongs into the scores, before the softmax, which turns it into 0.",
        2,
    ),
    (
        "A09",
        ZERO_SCORES,
        "you give hidden tokens the score 0, and exp(0) = 1, so their values still leak in. They need the "
        "score -inf: exp(-inf) is 0.",
        2,
    ),
    (
        "A11",
        OVER_QUERIES,
        "your softmax runs over the queries: the columns of your weights add up to 1, not the rows. It "
        "should run over the keys, the last axis of the scores: dim=-1.",
        2,
    ),
    (
        "A11",
        OVER_HEADS,
        "your softmax runs over the heads (axis 1), so that the heads compete with each other. It should run"
        " over the keys, the last axis of the scores: dim=-1.",
        2,
    ),
    (
        "no-softmax",
        NO_SOFTMAX,
        "your weights are the scores themselves, some of them negative. A softmax over each row has to turn "
        "them into weights that add up to 1.",
        2,
    ),
    (
        "no-softmax",
        INFINITE_SCORES,
        "your weights are the masked scores themselves, and -inf times a value is infinite or NaN. A softmax "
        "over each row has to turn them into weights that add up to 1.",
        2,
    ),
    (
        "keys-as-values",
        attend_returning_keys,
        "the weights are right, but you average the keys with them. The keys are only for finding; what is "
        "handed out are the values: weights @ v.",
        1,
    ),
    (
        "values-as-keys",
        attend_by_values,
        "you compare the queries with the values. The comparison is made with the keys; the values come in "
        "afterwards, when the weights are known.",
        1,
    ),
    (
        "late-scale",
        attend_scaling_late,
        "you divide the result by the square root of D. The scores have to be divided, before the softmax: "
        "after it, the weights are already too peaked.",
        1,
    ),
]


def attend_with_scores(scores, v, mask):
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ v


def attend_if_mask(q, k, v, mask=None):
    return attend_with_scores(q @ k.mT / math.sqrt(q.shape[-1]), v, mask if mask else None)


SLIPS_AFTER_THE_SCORES = [
    ("A04", lambda scores, mask: scores.softmax(-1), "your result does not depend on the mask."),
    ("A08", zeros_afterwards, "you mask after the softmax: put -inf into the scores before it."),
    ("A09", hidden_by(0.0), "a hidden score of 0 hides nothing, for exp(0) = 1: it takes -inf."),
    ("A11", along(-2), "your softmax runs over the queries: it should run over the keys, dim=-1."),
    ("A11", along(1), "your softmax runs over the heads: it should run over the keys, dim=-1."),
]

ATTEND = Exercise(
    number="3.4",
    name="attend",
    differentiable=True,
    level=1,
    minutes=5,
    done="this is attention, whole: compare, hide, share out, average. It is the core of every GPT.",
    hints=(
        "You have written the first two parts in 3.1 and 3.3: scores, then weights. Write them out here, and"
        " mind that the mask can be None.",
        "Scores (B, H, T, S), divided by the square root of D. If there is a mask, -inf where it is False. "
        "Softmax over the last axis.",
        "The last step is a matrix product: the weights (B, H, T, S) times something of shape (B, H, S, D). "
        "Row t of the result is then the weighted average that query t asked for.",
    ),
    cases=attend_cases,
    mistakes=[
        *(Mistake(*mistake) for mistake in ATTEND_MISTAKES),
        Mistake(
            "A04",
            UNMASKED,
            "your result does not depend on the mask: every query gets its share of every value. Put -inf "
            "into the scores wherever the mask is False, and go on with what masked_fill returns: a masked "
            "copy.",
            2,
        ),
        Mistake(
            "own-mask",
            attend_with_own_mask,
            "you always apply a causal mask of your own. Use the one that is handed in, and none at all if "
            "it is None: chapter 3 is about GPT-2, but `attend` must not know that.",
            2,
        ),
        Mistake(
            "upside-down",
            attend_upside_down,
            "you hide what may be seen and show what must be hidden. The mask is True where a token may "
            "look, and masked_fill fills where its argument is True: use ~mask.",
            2,
        ),
        Mistake(
            "mask-none",
            attend_needing_a_mask,
            "with a mask your answer is right, but the mask may also be None, which means: nothing is "
            "hidden. Mask only `if mask is not None`.",
            1,
        ),
        Mistake(
            "weights-only",
            attend_returning_weights,
            "you return the weights. One step is missing: average the values with them.",
            3,
        ),
        Mistake(
            "A12",
            attend_not_transposed,
            "you multiply q with k as it is, which mostly does not even fit. Swap the last two axes of k "
            "first: k.transpose(-2, -1).",
            1,
        ),
        Mistake(
            "truth-of-a-tensor",
            attend_if_mask,
            "`if mask:` asks for the truth of a whole tensor, which has none. Ask whether there is one: `if "
            "mask is not None`.",
            2,
        ),
        *(
            Mistake(
                "a-mask-of-its-own",
                lambda q, k, v, mask=None, own=own: F.scaled_dot_product_attention(
                    q, k, v, is_causal=own(mask)
                ),
                "you use a triangle of your own, as is_causal=True does, and ignore the mask that you were "
                "given. Use `mask`, whatever it hides.",
                2,
            )
            for own in (lambda mask: True, lambda mask: mask is not None)
        ),
        *(
            Mistake(
                "causal-if-none",
                lambda q, k, v, mask=None, own=own: RIGHT(q, k, v, own(q, k) if mask is None else mask),
                "a mask that is handed in you use rightly, but for None you make a causal one. None means "
                "that nothing is hidden.",
                1,
            )
            for own in (
                lambda q, k: lower(q.shape[2], k.shape[2]),
                lambda q, k: torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(),
            )
        ),
        Mistake(
            "softmax-only-with-a-mask",
            attention(weigh=lambda scores, mask: scores if mask is None else SHARED_OUT(scores, mask)),
            "with a mask your answer is right, but without one the softmax is left out. Only the hiding "
            "belongs under `if mask is not None`.",
            2,
        ),
        Mistake(
            "mask-turned-round",
            lambda q, k, v, mask=None: F.scaled_dot_product_attention(
                q, k, v, attn_mask=None if mask is None else ~mask
            ),
            "your mask is the wrong way round. In F.scaled_dot_product_attention True means that a key may "
            "be seen: hand over the mask as it is.",
            2,
        ),
        Mistake(
            "mask-as-numbers",
            attention(weigh=lambda scores, mask: (scores if mask is None else scores + mask).softmax(-1)),
            "you add the mask to the scores, as 1 and 0, and that hides nothing. Put -inf wherever the "
            "mask is False; F.scaled_dot_product_attention wants the mask as bool.",
            2,
        ),
        *(
            Mistake(
                "filled-with-a-small-number",
                attention(weigh=hidden_by(number)),
                "a finite number in the place of -inf: hidden tokens keep some weight. Only -inf gives "
                "weight 0 every time.",
                2,
            )
            for number in (-1.0, -10.0)
        ),
        *(
            Mistake(
                "by-a-fixed-root",
                attention(divide_by=lambda q, k, root=root: root),
                "you divide by the root of a fixed number, whatever D is. Read D off q.shape[-1].",
                1,
            )
            for root in (8.0, math.sqrt(2))
        ),
        Mistake(
            "by-root-of-T",
            lambda q, k, v, mask=None: attend_with_scores(q @ k.mT / math.sqrt(q.shape[2]), v, mask),
            "you divide by the root of T, the number of tokens. The sum runs over the D numbers of a vector: "
            "divide by the root of q.shape[-1].",
            1,
        ),
        Mistake(
            "values-turned",
            lambda q, k, v, mask=None: attend_with_scores(q @ k.mT / math.sqrt(q.shape[-1]), v.mT, mask),
            "you transpose v. Weights (T, S) times values (S, D) fits as it is.",
            3,
        ),
        Mistake(
            "arguments-in-another-order",
            lambda q, k, v, mask=None: RIGHT(q, v, k, mask),
            "keys and values have changed places. Compare the queries with k, and mix the rows of v.",
            1,
        ),
        Mistake(
            "heads-moved",
            lambda q, k, v, mask=None: RIGHT(q, k, v, mask).transpose(1, 2),
            "you have swapped the axes of heads and tokens: (B, T, H, D). The result stays (B, H, T, D); "
            "merging the heads is exercise 3.6.",
            3,
        ),
        *(
            Mistake(
                name,
                attention(divide_by=divide_by, weigh=weigh),
                f"{scale} Besides, {rest}",
                2,
            )
            for divide_by, scale in (
                (lambda q, k: 1.0, "you do not divide the scores by the square root of D."),
                (root_of_all_heads, "you divide by the square root of H * D instead of D."),
            )
            for name, weigh, rest in SLIPS_AFTER_THE_SCORES
        ),
    ],
    styles=[attend_by_sdpa, attend_by_einsum, attend_by_loops, attend_by_bmm, attend_renormalising],
)


# 3.5 split_heads


def counting(*shape):
    """Return 0, 1, 2, ... in a shape, as floats."""
    return torch.arange(math.prod(shape), dtype=torch.float32).view(shape)


def split_cases():
    """Two heads of two; then sizes that all differ; one head; heads of width one."""
    return [
        (counting(1, 3, 4), 2),
        (numbers(2, 5, 12), 3),
        (numbers(3, 4, 10, seed=1), 2),
        (numbers(2, 3, 4, seed=2), 1),
        (numbers(2, 3, 5, seed=3), 5),
    ]


def split_across_tokens(x, n_head):
    B, T, C = x.shape
    return x.reshape(B, n_head, T, C // n_head)


def split_not_moved(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head)


def split_dealt_out(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, C // n_head, n_head).permute(0, 3, 1, 2)


def split_by_width(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, C // n_head, n_head).transpose(1, 2)


def split_turned(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head).permute(0, 2, 3, 1)


def split_heads_first(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1))


def split_as_list(x, n_head):
    return list(x.chunk(n_head, dim=-1))


def split_heads_last(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=-1)


def split_in_reverse(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1)[::-1], dim=1)


def split_by_permute(x, n_head):
    return x.reshape(*x.shape[:2], n_head, -1).permute(0, 2, 1, 3).contiguous()


def split_by_stack(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)


def split_by_unflatten(x, n_head):
    return x.unflatten(-1, (n_head, -1)).movedim(2, 1)


def split_by_loops(x, n_head):
    B, T, C = x.shape
    D = C // n_head
    out = torch.zeros(B, n_head, T, D)
    for h in range(n_head):
        out[:, h] = x[:, :, h * D : (h + 1) * D]
    return out


def split_by_einsum(x, n_head):
    return torch.einsum("bthd->bhtd", x.view(x.size(0), x.size(1), n_head, x.size(2) // n_head))


SPLIT_HEADS = Exercise(
    number="3.5",
    name="split_heads",
    differentiable=True,
    level=2,
    minutes=10,
    done="each head has its own T x D matrix, and every row of it belongs to one token.",
    hints=(
        "Cut first, then move. Cutting C into H pieces of D makes (B, T, H, D), and no number changes its "
        "place in memory: x.view(...) does that.",
        "Now the H pieces of one token lie side by side, but attention wants all tokens of one head "
        "together. Two axes have to change places.",
        "D is C // n_head. View as (B, T, n_head, D), then swap axis 1 (T) and axis 2 (H) with transpose.",
    ),
    cases=split_cases,
    mistakes=[
        Mistake(
            "A13",
            split_across_tokens,
            "the shape is right, but the numbers of different tokens are mixed up in a head: a single view "
            "cuts the memory in the wrong places. First view as (B, T, H, D), then swap the axes T and H.",
            2,
        ),
        Mistake(
            "not-moved",
            split_not_moved,
            "you have (B, T, H, D): cut, but not moved. Swap the axes T and H and go on with what transpose "
            "returns; x itself stays as it is.",
            2,
        ),
        Mistake(
            "dealt-out",
            split_dealt_out,
            "you deal the numbers out to the heads in turn, as cards: head 0 gets 0, H, 2H, ... Each head "
            "should get a run of D neighbors: view as (B, T, H, D), not (B, T, D, H).",
            1,
        ),
        Mistake(
            "heads-as-width",
            split_by_width,
            "you made D heads of width H. n_head is the number of heads, and each is C // n_head wide.",
            3,
        ),
        Mistake(
            "turned",
            split_turned,
            "your heads lie on their side, as (B, H, D, T). Rows should be tokens: (B, H, T, D); it is only "
            "k that `attend` turns round, and it does so itself.",
            3,
        ),
        Mistake(
            "heads-first",
            split_heads_first,
            "you have (H, B, T, D). The texts come first: (B, H, T, D).",
            3,
        ),
        Mistake(
            "as-list",
            split_as_list,
            "these are the right pieces, as a list. Attention runs over all heads in one product, so put "
            "them into one tensor (B, H, T, D).",
            3,
        ),
        Mistake(
            "heads-last",
            split_heads_last,
            "you have put the axis of the heads at the end: (B, T, D, H). It belongs behind the texts: (B, "
            "H, T, D).",
            3,
        ),
        Mistake(
            "reversed",
            split_in_reverse,
            "your heads come in reverse order. Head 0 gets the first D numbers of each token.",
            1,
        ),
        Mistake(
            "swapped-too-early",
            lambda x, n_head: swap(x).reshape(len(x), n_head, x.shape[1], -1),
            "you swap before you cut, and the numbers of different tokens get mixed up. Cut first, (B, T, "
            "H, D), and then swap the axes T and H.",
            1,
        ),
        Mistake(
            "overlapping",
            lambda x, n_head: torch.stack(
                [x[..., h : h + x.shape[-1] // n_head] for h in range(n_head)], dim=1
            ),
            "your heads overlap: each begins one number after the one before. Head h begins at h * D and "
            "ends at (h + 1) * D.",
            1,
        ),
        Mistake(
            "always-12",
            lambda x, n_head: view_heads(x, 12),
            "you make 12 heads whatever you are asked for. Make n_head.",
            1,
        ),
        Mistake(
            "size-as-a-float",
            lambda x, n_head: x.view(*x.shape[:2], n_head, x.shape[-1] / n_head).transpose(1, 2),
            "C / n_head is a float, and a size has to be a whole number. Divide with //.",
            2,
        ),
    ],
    styles=[split_by_permute, split_by_stack, split_by_unflatten, split_by_loops, split_by_einsum],
)


# 3.6 merge_heads


def merge_cases():
    """Two heads of two; then sizes that all differ; one head; heads of width one."""
    return [
        (counting(1, 2, 3, 2),),
        (numbers(2, 3, 5, 4),),
        (numbers(3, 2, 4, 5, seed=1),),
        (numbers(2, 1, 3, 4, seed=2),),
        (numbers(2, 5, 3, 1, seed=3),),
    ]


def merge_scrambled(x):
    B, H, T, D = x.shape
    return x.reshape(B, T, H * D)


def merge_by_view_alone(x):
    B, H, T, D = x.shape
    return x.transpose(1, 2).view(B, T, H * D)


def merge_dealt_out(x):
    B, H, T, D = x.shape
    return x.permute(0, 2, 3, 1).reshape(B, T, H * D)


def merge_wrong_axes(x):
    B, H, T, D = x.shape
    return x.transpose(2, 3).reshape(B, T, H * D)


def merge_by_sum(x):
    return x.sum(dim=1)


def merge_by_mean(x):
    return x.mean(dim=1)


def merge_not_joined(x):
    return x.transpose(1, 2)


def merge_along_time(x):
    return x.flatten(1, 2)


def merge_in_reverse(x):
    return torch.cat(x.unbind(dim=1)[::-1], dim=-1)


def merge_by_cat(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


def merge_by_contiguous(x):
    B, H, T, D = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, H * D)


def merge_by_reshape(x):
    return x.movedim(1, 2).reshape(x.size(0), x.size(2), -1)


def merge_by_loops(x):
    B, H, T, D = x.shape
    out = torch.zeros(B, T, H * D)
    for h in range(H):
        for t in range(T):
            out[:, t, h * D : (h + 1) * D] = x[:, h, t]
    return out


MERGE_HEADS = Exercise(
    number="3.6",
    name="merge_heads",
    differentiable=True,
    level=2,
    minutes=5,
    done="merge_heads undoes split_heads, number for number.",
    hints=(
        "Do what split_heads did, backwards: it cut and then swapped, so swap back and then join.",
        "Swapping back gives (B, T, H, D), where the pieces of one token are neighbors again. "
        "Then the last two axes become one of size H * D.",
        "After a transpose the numbers lie in memory in another order than the axes say, and view refuses. "
        "reshape and flatten make a copy where they must.",
    ),
    cases=merge_cases,
    mistakes=[
        Mistake(
            "A14",
            merge_scrambled,
            "the shape is right, but each row holds pieces of several tokens. Swap the axes H and T back "
            "first; only then lie the pieces of one token side by side.",
            1,
        ),
        Mistake(
            "needs-a-copy",
            merge_by_view_alone,
            "the idea is right, but view cannot join axes that a transpose has torn apart in memory. Use "
            "reshape or flatten, which make a copy where they must.",
            3,
        ),
        Mistake(
            "dealt-out",
            merge_dealt_out,
            "the numbers of different heads alternate in your rows. Each head's D numbers should stay "
            "together, one head after the other: (B, T, H, D) before joining.",
            2,
        ),
        Mistake(
            "wrong-axes",
            merge_wrong_axes,
            "you have swapped T and D. Swap H and T: axes 1 and 2.",
            2,
        ),
        Mistake(
            "wrong-axes",
            lambda x: x.transpose(1, 3).reshape(len(x), x.shape[2], -1),
            "you have swapped H and D. Swap H and T: axes 1 and 2.",
            2,
        ),
        Mistake(
            "wrong-axes",
            lambda x: x.transpose(0, 1).reshape(len(x), x.shape[2], -1),
            "you have swapped B and H. Swap H and T: axes 1 and 2.",
            2,
        ),
        Mistake(
            "sum",
            merge_by_sum,
            "you add the heads up, and what each of them found can no longer be told apart. Put their pieces"
            " side by side: H * D numbers for each token.",
            1,
        ),
        Mistake(
            "mean",
            merge_by_mean,
            "you average the heads, and what each of them found can no longer be told apart. Put their "
            "pieces side by side: H * D numbers for each token.",
            1,
        ),
        Mistake(
            "not-joined",
            merge_not_joined,
            "you have swapped the axes back and stopped at (B, T, H, D). Join the last two into one: (B, T, "
            "C).",
            2,
        ),
        Mistake(
            "along-time",
            merge_along_time,
            "you put the heads one after the other along the tokens, so the text is H times as long. The "
            "heads of one token belong side by side: (B, T, C).",
            1,
        ),
        Mistake(
            "reversed",
            merge_in_reverse,
            "your heads come in reverse order. Head 0 fills the first D numbers of each token.",
            1,
        ),
    ],
    styles=[merge_by_cat, merge_by_contiguous, merge_by_reshape, merge_by_loops],
)


# 3.7 CausalSelfAttention


class GrowingCache:
    """Keep keys and values by joining them on: stands in for chapter 7's LayerCache."""

    def __init__(self):
        self.k = self.v = None

    @property
    def length(self):
        return 0 if self.k is None else self.k.shape[2]

    def append(self, k, v):
        for name, part in (("k", k), ("v", v)):
            if part.ndim != 4:
                raise ValueError(
                    f"the cache takes k and v split into heads, (B, H, T, D), but {name} has shape "
                    f"{tuple(part.shape)}"
                )
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


def fill_in(module):
    """Fill a module's parameters with numbers that depend on their names only."""
    for name, parameter in module.named_parameters():
        parameter.data = 0.7 * numbers(*parameter.shape, seed=crc32(name.encode()))


def run_module(answer, config, x, chunks):
    """Build an answer, fill it, and call it: on all of x, or on chunks of it with a cache.

    Returns the output; with chunks, the output of all of them and what the cache then holds.
    """
    module = answer(config)
    C = config.n_embd
    want = {
        "c_attn.weight": (3 * C, C),
        "c_attn.bias": (3 * C,),
        "c_proj.weight": (C, C),
        "c_proj.bias": (C,),
    }
    have = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    if have != want:
        raise ValueError(f"its parameters are {have}, but the checkpoint has {want}")
    fill_in(module)
    with torch.no_grad():
        if chunks is None:
            return module(x)
        cache = GrowingCache()
        y = torch.cat([module(part, cache) for part in x.split(chunks, dim=1)], dim=1)
    return [y, cache.k, cache.v]


def module_cases():
    """Two heads of two; sizes that all differ; one token; a cache filled in chunks; heads of width one."""
    small, larger = GPT2Config(n_embd=4, n_head=2), GPT2Config(n_embd=12, n_head=3)
    return [
        (small, numbers(1, 3, 4), None),
        (larger, numbers(2, 5, 12, seed=1), None),
        (larger, numbers(2, 1, 12, seed=2), None),
        (larger, numbers(2, 7, 12, seed=3), (4, 2, 1)),
        (small, numbers(3, 5, 4, seed=4), (1, 4)),
        (GPT2Config(n_embd=3, n_head=3), numbers(2, 4, 3, seed=5), None),
    ]


def cut(x, n_head):
    return x.unflatten(-1, (n_head, -1)).transpose(1, 2)


def join(x):
    return x.transpose(1, 2).flatten(2)


def causal(T, S, cached):
    return lower(T, S)


def skipped_with_cache(T, S, cached):
    return None if cached else lower(T, S)


def skipped_after_the_first(T, S, cached):
    return None if S > T else lower(T, S)


def interleaved(c_attn, x, n_head):
    """Read c_attn's outputs as q, k, v of head 0, then q, k, v of head 1, and so on."""
    B, T, C = x.shape
    return c_attn(x).view(B, T, n_head, 3, C // n_head).permute(3, 0, 2, 1, 4).unbind(0)


def attention_module(
    look=RIGHT,
    mask=causal,
    split=cut,
    merge=join,
    order=(0, 1, 2),
    caching="yes",
    project=True,
    parts=None,
    end=None,
):
    """Return a CausalSelfAttention made of its decisions."""

    class CausalSelfAttention(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.n_head = config.n_head
            self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
            self.c_proj = nn.Linear(config.n_embd, config.n_embd)

        def forward(self, x, cache=None):
            if parts is None:
                made = self.c_attn(x).chunk(3, dim=-1)
                q, k, v = (split(made[i], self.n_head) for i in order)
            else:
                q, k, v = parts(self.c_attn, x, self.n_head)
            if cache is not None and caching == "twice":
                k, v = cache.append(k, v)
            if cache is not None and caching in ("yes", "twice"):
                k, v = cache.append(k, v)
            elif cache is not None and caching == "unread":
                cache.append(k, v)
            elif cache is not None and caching == "queries":
                q, v = cache.append(q, v)
            elif cache is not None and caching == "inputs":
                cache.append(*2 * (split(x, self.n_head),))
            elif cache is not None and caching == "unsplit":
                cache.append(join(k), join(v))
            hidden = mask(q.shape[2], k.shape[2], cache is not None)
            y = look(q, k, v, hidden)
            if end is not None:
                return end(self, y, x)
            return self.c_proj(merge(y)) if project else merge(y)

    return CausalSelfAttention


class WithoutProjection(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)

    def forward(self, x, cache=None):
        q, k, v = (cut(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.append(k, v)
        return join(RIGHT(q, k, v, lower(q.shape[2], k.shape[2])))


class WithoutBiases(WithoutProjection):
    def __init__(self, config):
        super().__init__(config)
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)


class BySdpa(attention_module()):
    def forward(self, x, cache=None):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in (q, k, v))
        if cache is not None:
            k, v = cache.append(k, v)
        S = k.size(2)
        mask = None if T == 1 else torch.arange(S) <= torch.arange(S - T, S)[:, None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class ByEinsum(attention_module()):
    def forward(self, x, cache=None):
        parts = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))
        q, k, v = torch.einsum("btnhd->nbhtd", parts)
        if cache is not None:
            k, v = cache.append(k, v)
        scores = torch.einsum("bhtd,bhsd->bhts", q, k) * q.size(-1) ** -0.5
        scores = scores + torch.full(scores.shape[-2:], -1e10).triu(1 + k.size(2) - q.size(2))
        y = torch.einsum("bhts,bhsd->bthd", scores.softmax(-1), v)
        return self.c_proj(y.flatten(2))


class BySlicedWeights(attention_module()):
    def forward(self, x, cache=None):
        weights, biases = self.c_attn.weight.chunk(3), self.c_attn.bias.chunk(3)
        q, k, v = (cut(F.linear(x, w, b), self.n_head) for w, b in zip(weights, biases))
        if cache is not None:
            k, v = cache.append(k, v)
        return self.c_proj(join(RIGHT(q, k, v, lower(q.shape[2], k.shape[2]))))


class ByHeads(attention_module()):
    def forward(self, x, cache=None):
        B, T, C = x.shape
        D = C // self.n_head
        made = self.c_attn(x).double()
        q, k, v = (cut(made[..., i * C : (i + 1) * C], self.n_head) for i in range(3))
        if cache is not None:
            k, v = cache.append(k, v)
        seen, found = k.shape[2], []
        for h in range(self.n_head):
            rows = []
            for t in range(T):
                end = seen - T + t + 1
                scores = (k[:, h, :end] * q[:, h, t : t + 1]).sum(-1) / D**0.5
                weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
                rows.append((weights[..., None] * v[:, h, :end]).sum(1))
            found.append(torch.stack(rows, dim=1))
        return F.linear(torch.cat(found, dim=-1).float(), self.c_proj.weight, self.c_proj.bias)


class ByOwnBuffer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.width = config.n_head, config.n_embd // config.n_head
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        S = config.n_positions
        self.register_buffer("seen", torch.ones(S, S, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x, cache=None):
        v, k, q = (cut(part, self.n_head) for part in reversed(self.c_attn(x).tensor_split(3, dim=-1)))
        if cache is not None:
            k, v = cache.append(k, v)
        T, S = q.shape[-2], k.shape[-2]
        scores = torch.matmul(q, k.mT).div(self.width**0.5).masked_fill(~self.seen[S - T : S, :S], -torch.inf)
        return self.c_proj(join(torch.matmul(F.softmax(scores, -1), v)))


UNUSED = " (Besides, your forward does not use the cache: with one, take k and v from cache.append(k, v).)"


def both(name, says, hint, **decisions):
    """Return a mistake twice: in an answer that uses the cache, and in one that does not."""
    return [
        Mistake(name, attention_module(**decisions), says, hint),
        Mistake(name, attention_module(**decisions, caching="no"), says + UNUSED, hint),
    ]


def split_by_view_alone(x, n_head):
    B, T, C = x.shape
    return x.view(B, n_head, T, C // n_head)


def in_order(order):
    """Attention that takes queries, keys and values from other places."""
    return lambda *made: RIGHT(*(made[i] for i in order), made[3])


def view_heads(x, n_head):
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head).transpose(1, 2)


def checked_mask(T, S):
    """The library's causal mask, which refuses T > S."""
    if T > S:
        raise ValueError(
            f"T is {T} and S is {S}, but the T new tokens are among the S seen ones; pass T <= S"
        )
    return lower(T, S)


MODULE_MISTAKES = [
    *both(
        "A04",
        "every token looks at the whole text, also at what comes after it. Hand `attend` the causal mask.",
        2,
        mask=lambda T, S, cached: None,
    ),
    *both(
        "A06",
        "each token sees one token too many, and it is the one to predict. Take causal_mask(T, S) as it is.",
        2,
        mask=lambda T, S, cached: tril_at(lambda T, S: S - T + 1)(T, S),
    ),
    *both(
        "no-self",
        "no token sees itself, and the first one sees nothing at all, so its row is NaN. Take causal_mask(T,"
        " S) as it is.",
        2,
        mask=lambda T, S, cached: tril_at(lambda T, S: S - T - 1)(T, S),
    ),
    *both(
        "upside-down",
        "your tokens see the future and not the past. In the mask, True means: may look.",
        2,
        mask=lambda T, S, cached: ~lower(T, S),
    ),
    Mistake(
        "K05",
        attention_module(mask=skipped_with_cache),
        "without a cache all is right, but with one you leave the mask out. The new tokens may be several, "
        "and then the first of them must not see the second: mask with causal_mask(T, S).",
        3,
    ),
    Mistake(
        "K05",
        attention_module(mask=skipped_after_the_first),
        "all is right until several tokens come in after others were cached: then you leave the mask out, "
        "and the first of them sees the second. Mask with causal_mask(T, S), where S counts the cached ones "
        "too.",
        3,
    ),
    Mistake(
        "ignores-seen",
        attention_module(mask=lambda T, S, cached: tril_at(lambda T, S: 0)(T, S)),
        "all is right until tokens come in after others were cached: then your mask treats the first new "
        "token as position 0 and hides the cached ones from it (is_causal=True does that, too). The mask "
        "wanted is causal_mask(T, S), with S counting the cached tokens as well.",
        3,
    ),
    Mistake(
        "ignores-seen",
        attention_module(mask=lambda T, S, cached: lower(T, T)),
        "your mask is T x T, and that does not fit when tokens were cached: k and v are S long then. The "
        "mask wanted is causal_mask(T, S), with S counting the cached tokens as well.",
        3,
    ),
    Mistake(
        "cache-unused",
        attention_module(caching="no"),
        "without a cache all is right, but with one the new tokens don't see the ones before them. Let "
        "`k, v = cache.append(k, v)` stand between the split and the scores.",
        3,
    ),
    Mistake(
        "cache-unread",
        attention_module(caching="unread"),
        "you put k and v into the cache but go on with the new ones only. `append` returns all keys and "
        "values, the cached and the new: go on with those.",
        3,
    ),
    Mistake(
        "K02",
        attention_module(caching="queries"),
        "you put the queries into the cache in the place of the keys. Later tokens ask with their own "
        "queries; what they need from earlier ones are k and v.",
        3,
    ),
    Mistake(
        "K02",
        attention_module(caching="inputs"),
        "you put the inputs into the cache. What later tokens need from earlier ones are k and v, split into"
        " heads.",
        3,
    ),
    Mistake(
        "cached-twice",
        attention_module(caching="twice"),
        "with a cache you append k and v twice, and every token is in it twice. The line is there already, "
        "between the two gaps: leave it out of yours.",
        1,
    ),
    Mistake(
        "cache-before-split",
        attention_module(caching="unsplit"),
        "you hand k and v to the cache as (B, T, C). Split them into heads first: the cache takes (B, H, T, "
        "D).",
        3,
    ),
    *both(
        "A13",
        "your heads mix numbers of different tokens, and through them the future leaks in. Use split_heads: "
        "view as (B, T, H, D), then swap the axes T and H.",
        1,
        split=split_across_tokens,
    ),
    *both(
        "A13",
        "torch refuses this view, and reshape would only hide the fault: (B, T, C) does not become (B, H, T,"
        " D) in one step. Use split_heads: view as (B, T, H, D), then swap the axes T and H.",
        1,
        split=split_by_view_alone,
    ),
    *both(
        "dealt-out",
        "you deal the numbers of q, k and v out to the heads in turn, as cards. Each head should get a run "
        "of D neighbors: use split_heads.",
        1,
        split=split_dealt_out,
    ),
    *both(
        "heads-as-width",
        "you made D heads of width H, as if n_head were the width of a head. Use split_heads(part, "
        "self.n_head).",
        1,
        split=split_by_width,
    ),
    *both(
        "A14",
        "after attention your rows hold pieces of several tokens. Use merge_heads: swap the axes H and T "
        "back before you join.",
        3,
        merge=merge_scrambled,
    ),
    *both(
        "dealt-out",
        "after attention the numbers of different heads alternate in your rows. Each head's D numbers should "
        "stay together: use merge_heads.",
        3,
        merge=merge_dealt_out,
    ),
    *both(
        "needs-a-copy",
        "the idea is right, but view cannot join axes that a transpose has torn apart in memory. Use "
        "merge_heads.",
        3,
        merge=merge_by_view_alone,
    ),
    *both(
        "heads-reversed",
        "you join the heads in reverse order. Head 0 fills the first D numbers of each token.",
        3,
        merge=merge_in_reverse,
    ),
    *both(
        "A16",
        "your result is the merged heads themselves: the last step is missing. Send them through "
        "self.c_proj.",
        3,
        project=False,
    ),
    Mistake(
        "A16",
        WithoutProjection,
        "your module has no c_proj. The merged heads go through a second linear layer, which mixes them and "
        "whose weights are in the checkpoint.",
        3,
    ),
    Mistake(
        "A17",
        WithoutBiases,
        "your linear layers have no biases. GPT-2's have them, in c_attn and in c_proj.",
        1,
    ),
    *(
        mistake
        for order, names in [
            ((0, 2, 1), "q, v, k"),
            ((1, 0, 2), "k, q, v"),
            ((1, 2, 0), "v, q, k"),
            ((2, 0, 1), "k, v, q"),
            ((2, 1, 0), "v, k, q"),
        ]
        for mistake in both(
            f"order-{names.replace(', ', '')}",
            f"you read the output of c_attn as {names}. In the checkpoint the order is q, k, v.",
            1,
            order=order,
        )
    ),
    *both(
        "keys-as-values",
        "your values are the keys: the same part of c_attn's output is taken twice. The first C numbers "
        "are q, the next C are k, the last C are v.",
        1,
        order=(0, 1, 1),
    ),
    *both(
        "values-as-keys",
        "your keys are the values: the same part of c_attn's output is taken twice. The first C numbers "
        "are q, the next C are k, the last C are v.",
        1,
        order=(0, 2, 2),
    ),
    *both(
        "queries-as-keys",
        "your keys are the queries: the same part of c_attn's output is taken twice. The first C numbers "
        "are q, the next C are k, the last C are v.",
        1,
        order=(0, 0, 2),
    ),
    *both(
        "A13",
        "you give the whole output of c_attn a new shape at once, with q, k and v in front, and the "
        "numbers of different tokens get mixed up. Cut its last axis in three first: chunk(3, dim=-1).",
        1,
        parts=lambda c_attn, x, n_head: c_attn(x).reshape(3, len(x), n_head, x.shape[1], -1),
    ),
    *both(
        "interleaved",
        "you cut the output of c_attn into heads first and into q, k and v after that. In GPT-2 it is the "
        "other way round: the first C numbers are all of q, and q is then cut into heads.",
        1,
        parts=interleaved,
    ),
    *(mistake for name, look, says, hint in ATTEND_MISTAKES for mistake in both(name, says, 2, look=look)),
    Mistake(
        "causal-from-the-corner",
        attention_module(
            look=lambda q, k, v, hidden: F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
        ),
        "is_causal=True starts the triangle in the upper left corner. When several tokens come to a cache "
        "that holds some, it has to end in the lower right one: pass attn_mask=causal_mask(T, S).",
        3,
    ),
    *both(
        "mask-turned-round",
        "your mask is the wrong way round. In F.scaled_dot_product_attention True means that a key may be "
        "seen (nn.MultiheadAttention has it the other way).",
        2,
        look=lambda q, k, v, hidden: F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden),
    ),
    *both(
        "mask-as-numbers",
        "a mask of floats is added to the scores, and 1 or 0 hides nothing. Pass the bool mask.",
        2,
        look=lambda q, k, v, hidden: F.scaled_dot_product_attention(q, k, v, attn_mask=hidden.float()),
    ),
    *(
        Mistake(
            "arguments-in-another-order",
            attention_module(look=in_order(order)),
            f"{names} have changed places in your call. The order is attend(q, k, v, mask).",
            2,
        )
        for names, order in (
            ("queries and keys", (1, 0, 2)),
            ("keys and values", (0, 2, 1)),
            ("queries and values", (2, 1, 0)),
            ("all three", (1, 2, 0)),
            ("all three", (2, 0, 1)),
        )
    ),
    *both(
        "residual",
        "you add x to the result. That sum is the block's job (chapter 05); attention returns only what is "
        "to be added.",
        3,
        end=lambda self, y, x: x + self.c_proj(join(y)),
    ),
    *both(
        "weight-not-turned",
        "nn.Linear stores its weight as (out, in), so a product by hand needs weight.T. Call the layer: "
        "self.c_proj(...).",
        3,
        end=lambda self, y, x: join(y) @ self.c_proj.weight + self.c_proj.bias,
    ),
    *both(
        "A17",
        "you multiply with c_proj's weight and leave out its bias. Call the layer: self.c_proj(...).",
        3,
        end=lambda self, y, x: join(y) @ self.c_proj.weight.T,
    ),
    *both(
        "every-third",
        "you deal the numbers of c_attn out in turn: one to q, one to k, one to v. The first third is q, "
        "the second k, the last v: chunk(3, dim=-1).",
        1,
        parts=lambda c_attn, x, n_head: (view_heads(c_attn(x)[..., i::3], n_head) for i in range(3)),
    ),
    Mistake(
        "pieces-of-3",
        attention_module(
            parts=lambda c_attn, x, n_head: (view_heads(part, n_head) for part in c_attn(x).split(3, dim=-1))
        ),
        "split takes the size of a piece, so yours have 3 numbers each. chunk(3, dim=-1) takes the number of "
        "pieces.",
        1,
    ),
    Mistake(
        "cut-along-time",
        attention_module(
            parts=lambda c_attn, x, n_head: (view_heads(part, n_head) for part in c_attn(x).chunk(3, dim=1))
        ),
        "you cut along the tokens. The thirds lie side by side in the last axis: chunk(3, dim=-1).",
        1,
    ),
    Mistake(
        "not-merged",
        attention_module(end=lambda self, y, x: self.c_proj(y)),
        "c_proj takes the merged heads, (B, T, C). Call merge_heads first, then c_proj.",
        3,
    ),
    Mistake(
        "mask-sizes-exchanged",
        attention_module(mask=lambda T, S, cached: checked_mask(S, T)),
        "your mask is (S, T). Rows are the T new tokens, columns the S that they may see: causal_mask(T, S).",
        2,
    ),
    *both(
        "always-12",
        "you make 12 heads whatever the config says. Take config.n_head.",
        1,
        parts=lambda c_attn, x, n_head: (view_heads(part, 12) for part in c_attn(x).chunk(3, dim=-1)),
    ),
]

SLIPS = [
    ("A13", "your heads mix numbers of different tokens: use split_heads.", dict(split=split_across_tokens)),
    ("order-kqv", "you read the output of c_attn as k, q, v, not as q, k, v.", dict(order=(1, 0, 2))),
    ("order-qvk", "you read the output of c_attn as q, v, k, not as q, k, v.", dict(order=(0, 2, 1))),
    ("order-vkq", "you read the output of c_attn as v, k, q, not as q, k, v.", dict(order=(2, 1, 0))),
    ("A01", "you do not divide the scores by the square root of D.", dict(look=UNSCALED)),
    ("A02", "you divide the scores by the square root of C instead of D.", dict(look=BY_ROOT_OF_C)),
    ("A11", "your softmax runs over the queries instead of the keys.", dict(look=OVER_QUERIES)),
    (
        "A04",
        "every token looks at the whole text: hand `attend` the causal mask.",
        dict(mask=lambda T, S, cached: None),
    ),
    (
        "ignores-seen",
        "with a cache your mask hides tokens that were read before: take causal_mask(T, S).",
        dict(mask=lambda T, S, cached: tril_at(lambda T, S: 0)(T, S)),
    ),
    (
        "ignores-seen",
        "with a cache your T x T mask does not fit: take causal_mask(T, S).",
        dict(mask=lambda T, S, cached: lower(T, T)),
    ),
    ("A14", "your rows hold pieces of several tokens: use merge_heads.", dict(merge=merge_scrambled)),
    ("A16", "your result does not go through self.c_proj.", dict(project=False)),
]

MODULE_MISTAKES += [
    Mistake(name, attention_module(**first, **second), f"{says} Besides, {rest}", 2)
    for (name, says, first), (_, rest, second) in combinations(SLIPS, 2)
    if not first.keys() & second.keys()
]

CAUSAL_SELF_ATTENTION = Exercise(
    number="3.7",
    name="CausalSelfAttention",
    tolerance=1e-4,  # results of up to 30 and several products: processors differ by 1e-5
    level=3,
    minutes=15,
    done="this is GPT-2's attention layer: it takes the published weights as they are.",
    hints=(
        "First gap: self.c_attn(x) is (B, T, 3C), with q, k and v side by side, in this order. chunk(3, "
        "dim=-1) cuts it into three; each goes through split_heads with self.n_head.",
        "Second gap: you have q (B, H, T, D), and k and v (B, H, S, D). The mask is causal_mask(T, S) on x's"
        " device, with or without a cache. Then attend.",
        "What `attend` returns is (B, H, T, D). It still has to be merged to (B, T, C), and one layer has "
        "not been used yet.",
    ),
    arguments=("config", "x", "chunks"),
    cases=module_cases,
    run=run_module,
    mistakes=MODULE_MISTAKES,
    styles=[BySdpa, ByEinsum, BySlicedWeights, ByHeads, ByOwnBuffer],
)

EXERCISES = [
    ATTENTION_SCORES,
    CAUSAL_MASK,
    MASKED_SOFTMAX,
    ATTEND,
    SPLIT_HEADS,
    MERGE_HEADS,
    CAUSAL_SELF_ATTENTION,
]
