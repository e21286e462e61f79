"""The exercises of chapter 02: looking vectors up, comparing them, and the way back."""

import itertools
import math

import torch
import torch.nn.functional as F

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config


def draw(*shape, seed):
    """Numbers of several sizes, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * 1.7 + 0.3


def raising(got, says, otherwise):
    """Choose between two texts by whether the answer raised in the case that is shown."""
    return says if type(got).__name__ == "Raised" else otherwise


# 2.1 lookup_by_product


def lookup_cases():
    """One text, a batch, a square table; the highest id is not always in the text."""
    return [
        (torch.tensor([2, 0, 2]), torch.tensor([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0], [30.0, 31.0]])),
        (torch.tensor([[5, 1, 0], [3, 3, 6]]), draw(7, 4, seed=21)),
        (torch.tensor([[0, 4], [2, 1], [3, 3]]), draw(5, 5, seed=22)),
    ]


def one_hot(tokens, table):
    return F.one_hot(tokens, len(table)).to(table.dtype)


def whole_number_one_hot(tokens, table):
    return F.one_hot(tokens, len(table)) @ table


def narrow_one_hot(tokens, table):
    return F.one_hot(tokens).to(table.dtype) @ table


def narrow_whole_number_one_hot(tokens, table):
    return F.one_hot(tokens) @ table


def elementwise(tokens, table):
    return one_hot(tokens, table) * table


def turned_table(tokens, table):
    return one_hot(tokens, table) @ table.T


def takes_columns(tokens, table):
    return one_hot(tokens % table.shape[1], table.T) @ table.T


def counts_from_one(tokens, table):
    return (tokens[..., None] == torch.arange(1, len(table) + 1)).to(table.dtype) @ table


def without_product(tokens, table):
    return one_hot(tokens, table)


def turned_result(tokens, table):
    return table.T @ one_hot(tokens, table).transpose(-2, -1)


def summed_tokens(tokens, table):
    return (one_hot(tokens, table) @ table).sum(dim=-2)


def one_hot_of_first_text(tokens, table):
    return one_hot(tokens.flatten(), table) @ table


def lookup_by_index(tokens, table):
    return table[tokens]


def lookup_by_embedding(tokens, table):
    return F.embedding(tokens, table)


def lookup_by_einsum(tokens, table):
    return torch.einsum("...v,vc->...c", torch.eye(len(table))[tokens], table)


def lookup_by_comparison(tokens, table):
    return (torch.arange(len(table)) == tokens.unsqueeze(-1)).double().matmul(table.double()).float()


def lookup_by_scatter(tokens, table):
    picks = torch.zeros(*tokens.shape, len(table))
    picks.scatter_(-1, tokens[..., None], 1.0)
    return picks @ table


# 2.2 cosines


def cosine_cases():
    """Few and many, negative numbers, as many rows on both sides."""
    return [
        (torch.tensor([[3.0, 4.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0], [-3.0, -4.0]])),
        (draw(3, 5, seed=23), draw(4, 5, seed=24)),
        (draw(4, 3, seed=25), draw(4, 3, seed=26)),
    ]


def dot_products(a, b):
    return a @ b.T


def down_the_columns(a, b):
    return F.normalize(a, dim=0) @ F.normalize(b, dim=0).T


def by_whole_matrix(a, b):
    return (a / a.norm()) @ (b / b.norm()).T


def only_second_normalized(a, b):
    return a @ F.normalize(b, dim=-1).T


def only_first_normalized(a, b):
    return F.normalize(a, dim=-1) @ b.T


def by_squared_lengths(a, b):
    return (a / a.square().sum(-1, keepdim=True)) @ (b / b.square().sum(-1, keepdim=True)).T


def sides_swapped(a, b):
    return F.normalize(b, dim=-1) @ F.normalize(a, dim=-1).T


def row_by_row(a, b):
    return F.cosine_similarity(a, b, dim=-1)


def without_sign(a, b):
    return (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T).abs()


def angles(a, b):
    return (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T).clamp(-1, 1).arccos()


def cosine_distances(a, b):
    return 1 - F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def by_sum_of_sizes(a, b):
    return F.normalize(a, p=1.0, dim=-1) @ F.normalize(b, p=1.0, dim=-1).T


def correlations(a, b):
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def cosines_by_broadcast(a, b):
    return F.cosine_similarity(a[:, None], b[None], dim=-1)


def cosines_by_division(a, b):
    lengths = a.norm(dim=-1)[:, None] * b.norm(dim=-1)[None, :]
    return torch.einsum("nc,mc->nm", a, b) / lengths


def cosines_by_loops(a, b):
    table = torch.empty(len(a), len(b), dtype=torch.float64)
    for i, x in enumerate(a.double()):
        for j, y in enumerate(b.double()):
            table[i, j] = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    return table


# 2.3 nearest_tokens


def nearest_cases():
    """Two tokens with one direction, asked for in both orders; all other tokens; random ones; equal rows."""
    rows = [[1, 0], [6, 8], [3, -5], [2, 0], [-3, 0], [10, -10]]
    wte = torch.tensor(rows, dtype=torch.float32)
    return [
        (0, wte, 3),
        (3, wte, 2),
        (2, wte, 5),
        (4, draw(20, 8, seed=27), 6),
        (19, draw(20, 8, seed=28), 4),
        (2, torch.tensor([[1.0, 0.0], [6.0, 8.0], [-3.0, 0.0], [10.0, -10.0]]), 3),
        (1, torch.tensor([[1.0, 0.0], [2.0, 1.0], [2.0, 1.0], [0.0, 3.0]]), 2),
    ]


def similarity_to(token, wte):
    return F.cosine_similarity(wte[token], wte, dim=-1)


def ids_by(scores, token, n):
    """The ids with the highest scores; lower ids first where scores are equal; never the token."""
    return [i for i in scores.argsort(descending=True, stable=True).tolist() if i != token][:n]


def run_nearest(answer, token, wte, n):
    """Call the answer; put neighbors that are equally near, which may come in any order, in one order."""
    found = answer(token, wte, n)
    found = found.tolist() if isinstance(found, torch.Tensor) else found
    if not isinstance(found, list) or any(i not in range(len(wte)) for i in found):
        return found
    near = [round(cosine, 5) for cosine in similarity_to(token, wte.double()).tolist()]
    groups = itertools.groupby(found, key=lambda i: near[i])
    return [i for _, group in groups for i in sorted(group)]


def with_itself(token, wte, n):
    return similarity_to(token, wte).argsort(descending=True, stable=True)[:n].tolist()


def with_own_cosine(cosine, token, wte, n):
    scores = similarity_to(token, wte).clone()
    scores[token] = cosine
    return scores.topk(n).indices.tolist()


def lowest_cosine(token, wte, n):
    return with_own_cosine(-1.0, token, wte, n)


def zero_cosine(token, wte, n):
    return with_own_cosine(0.0, token, wte, n)


def n_with_itself(token, wte, n):
    return [i for i in with_itself(token, wte, n) if i != token]


def drops_the_first(token, wte, n):
    return similarity_to(token, wte).argsort(descending=True, stable=True)[1 : n + 1].tolist()


def by_dot_product(token, wte, n):
    return ids_by(wte @ wte[token], token, n)


def by_dot_product_with_itself(token, wte, n):
    return (wte @ wte[token]).argsort(descending=True, stable=True)[:n].tolist()


def by_dot_product_without_the_first(token, wte, n):
    return (wte @ wte[token]).argsort(descending=True, stable=True)[1 : n + 1].tolist()


def by_distance_with_itself(token, wte, n):
    return (wte - wte[token]).norm(dim=-1).argsort(stable=True)[:n].tolist()


def by_distance(token, wte, n):
    return ids_by(-(wte - wte[token]).norm(dim=-1), token, n)


def farthest(token, wte, n):
    return ids_by(-similarity_to(token, wte), token, n)


def opposites_count(token, wte, n):
    return ids_by(similarity_to(token, wte).abs(), token, n)


def similarities(token, wte, n):
    scores = similarity_to(token, wte)
    return scores[ids_by(scores, token, n)].tolist()


def worst_of_best_first(token, wte, n):
    return ids_by(similarity_to(token, wte), token, n)[::-1]


def channels_normalized(token, wte, n):
    wte = F.normalize(wte, dim=0)
    return ids_by(wte @ wte[token], token, n)


def one_too_many(token, wte, n):
    return ids_by(similarity_to(token, wte), token, n + 1) if n + 1 < len(wte) else [*range(len(wte))]


def one_too_many_with_itself_last(token, wte, n):
    return with_own_cosine(-math.inf, token, wte, n + 1)


def in_a_list(token, wte, n):
    return [with_own_cosine(-math.inf, token, wte, n)]


def with_cosines(token, wte, n):
    scores = similarity_to(token, wte)
    return [(i, scores[i].item()) for i in with_own_cosine(-math.inf, token, wte, n)]


def parallel_lost(token, wte, n):
    scores = similarity_to(token, wte)
    return [i for i in ids_by(scores, token, len(wte)) if scores[i] < 0.9999][:n]


def ids_after_removal(token, wte, n):
    """Takes the token's row out, so that every id behind it moves up by one."""
    others = torch.cat([wte[:token], wte[token + 1 :]])
    return F.cosine_similarity(wte[token], others, dim=-1).argsort(descending=True, stable=True)[:n].tolist()


def ids_after_removal_by_topk(token, wte, n):
    scores = similarity_to(token, wte)
    return torch.cat([scores[:token], scores[token + 1 :]]).topk(n).indices.tolist()


def nearest_by_key(token, wte, n):
    unit = wte / wte.norm(dim=1, keepdim=True)
    scores = (unit @ unit[token]).tolist()
    return sorted((i for i in range(len(wte)) if i != token), key=lambda i: (-scores[i], i))[:n]


def nearest_by_sort(token, wte, n):
    scores = similarity_to(token, wte.double())
    scores[token] = -math.inf
    return torch.sort(scores, descending=True, stable=True).indices[:n]


def nearest_by_rounds(token, wte, n):
    unit = F.normalize(wte, dim=-1)
    scores, found = unit @ unit[token], []
    scores[token] = -2.0
    for _ in range(n):
        found.append(int(scores.argmax()))
        scores[found[-1]] = -2.0
    return found


# 2.4 embed


def embed_cases():
    """A readable one, a batch, tokens already seen, one new token, and a text up to the last row of wpe."""
    wte = torch.tensor([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]])
    wpe = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
    tokens, table, positions = torch.tensor([[6, 1, 4], [1, 0, 6]]), draw(7, 4, seed=29), draw(12, 4, seed=30)
    return [
        (torch.tensor([[2, 0, 2]]), wte, wpe, 0),
        (tokens, table, positions, 0),
        (torch.tensor([[3, 5], [0, 6], [5, 2]]), table, positions, 4),
        (tokens, table, positions, 2),
        (torch.tensor([[2], [4]]), table, positions, 7),
        (tokens, table, positions, 9),
    ]


def run_embed(answer, tokens, wte, wpe, start):
    """Call the answer; where the text fills wpe a wrong one may raise, and every error counts the same."""
    arguments = (tokens, wte, wpe, start) if start else (tokens, wte, wpe)
    if start + tokens.shape[-1] < len(wpe):
        return answer(*arguments)
    try:
        return answer(*arguments)
    except NotImplementedError:
        raise
    except Exception:
        return "an error"


def positions_from_one(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[torch.arange(tokens.shape[-1]) + start + 1]


def positions_from_one_always(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[1 : tokens.shape[-1] + 1]


def positions_from_one_held(tokens, wte, wpe, start=0):
    positions = torch.arange(tokens.shape[-1]) + start + 1
    return wte[tokens] + wpe[positions.clamp(max=len(wpe) - 1)]


def positions_from_one_rolled(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe.roll(-1, dims=0)[start : start + tokens.shape[-1]]


def positions_by_id(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[tokens]


def positions_by_id_from_start(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[(tokens + start) % len(wpe)]


def without_positions(tokens, wte, wpe, start=0):
    return wte[tokens]


def without_tokens(tokens, wte, wpe, start=0):
    return wpe[start : start + tokens.shape[-1]].expand(*tokens.shape, -1)


def start_ignored(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[: tokens.shape[-1]]


def start_one_early(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[torch.arange(tokens.shape[-1]) + max(start - 1, 0)]


def slice_ends_at_length(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[start : tokens.shape[-1]]


def range_ends_at_length(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[torch.arange(start, tokens.shape[-1])]


def concatenated_from_zero(tokens, wte, wpe, start=0):
    return torch.cat([wte[tokens], wpe[: tokens.shape[-1]].expand(*tokens.shape, -1)], dim=-1)


def concatenated(tokens, wte, wpe, start=0):
    positions = wpe[start : start + tokens.shape[-1]].expand(*tokens.shape, -1)
    return torch.cat([wte[tokens], positions], dim=-1)


def multiplied(tokens, wte, wpe, start=0):
    return wte[tokens] * wpe[start : start + tokens.shape[-1]]


def averaged(tokens, wte, wpe, start=0):
    return (wte[tokens] + wpe[start : start + tokens.shape[-1]]) / 2


def scaled(tokens, wte, wpe, start=0):
    return wte[tokens] * math.sqrt(wte.shape[1]) + wpe[start : start + tokens.shape[-1]]


def one_position_for_all(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[start]


def positions_of_texts(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[start : start + len(tokens)][:, None]


def running_on(tokens, wte, wpe, start=0):
    positions = (start + torch.arange(tokens.numel())) % len(wpe)
    return wte[tokens] + wpe[positions.view(tokens.shape)]


def running_over(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[start + torch.arange(tokens.numel()).view(tokens.shape)]


def backwards(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe[start : start + tokens.shape[-1]].flip(0)


def whole_table(tokens, wte, wpe, start=0):
    return wte[tokens] + wpe


def tables_swapped(tokens, wte, wpe, start=0):
    return wpe[tokens] + wte[(start + torch.arange(tokens.shape[-1])) % len(wte)]


def tables_swapped_in_slices(tokens, wte, wpe, start=0):
    return wpe[tokens] + wte[start : start + tokens.shape[-1]]


def by_sines(tokens, wte, wpe, start=0):
    """The positions of Vaswani et al. 2017."""
    channels = torch.arange(wte.shape[1])
    angles = (start + torch.arange(tokens.shape[-1]))[:, None] / 10000 ** (channels // 2 * 2 / wte.shape[1])
    return wte[tokens] + torch.where(channels % 2 == 0, angles.sin(), angles.cos())


def refuses_the_last(tokens, wte, wpe, start=0):
    if start + tokens.shape[-1] >= len(wpe):
        raise ValueError("the text is too long")
    return wte[tokens] + wpe[start : start + tokens.shape[-1]]


def summed_text(tokens, wte, wpe, start=0):
    return (wte[tokens] + wpe[start : start + tokens.shape[-1]]).sum(dim=-2)


def embed_by_arange(tokens, wte, wpe, start=0):
    positions = torch.arange(start, start + tokens.size(1), device=tokens.device)
    return F.embedding(tokens, wte) + F.embedding(positions, wpe).unsqueeze(0)


def embed_by_products(tokens, wte, wpe, start=0):
    words = F.one_hot(tokens, len(wte)).double()
    places = torch.eye(len(wpe), dtype=torch.float64)[start : start + tokens.shape[1]]
    return torch.einsum("btv,vc->btc", words, wte.double()) + places @ wpe.double()


def embed_by_loops(tokens, wte, wpe, start=0):
    x = torch.empty(*tokens.shape, wte.shape[1])
    for b, text in enumerate(tokens.tolist()):
        for t, token in enumerate(text):
            x[b, t] = wte[token] + wpe[start + t]
    return x


def embed_by_modules(tokens, wte, wpe, start=0):
    positions = torch.nn.Embedding.from_pretrained(wpe)
    x = positions(torch.arange(start, start + tokens.shape[1]).expand_as(tokens))
    return torch.add(x, torch.nn.Embedding.from_pretrained(wte)(tokens))


EMBED_MISTAKES = [
    Mistake(
        "E01",
        positions_from_one,
        "your positions start at 1. The first token of a text sits at position 0, and with yours a "
        "text that fills all positions would run over the end of wpe.",
        1,
    ),
    Mistake(
        "E01",
        positions_from_one_always,
        "your positions start at 1. The first token of a text sits at position 0, and with yours a "
        "text that fills all positions would run over the end of wpe.",
        1,
    ),
    Mistake(
        "E02",
        positions_by_id,
        "you look the token ids up in wpe, so a word gets the same position wherever it stands. "
        "Positions are counted: start, start + 1, and so on, whatever the tokens are.",
        1,
    ),
    Mistake(
        "ids-plus-start",
        positions_by_id_from_start,
        "you take the token ids, moved by start, as positions. Count the places instead: start, "
        "start + 1, and so on, whatever the tokens are.",
        1,
    ),
    Mistake(
        "E04",
        without_positions,
        "wpe is never added: a token has the same vector at every place of the text. Add the row of "
        "wpe that belongs to its position.",
        1,
    ),
    Mistake(
        "no-tokens",
        without_tokens,
        "your vectors say where each token stands, but not which one it is. Add the rows of wte.",
        1,
    ),
    Mistake(
        "start-ignored",
        start_ignored,
        "you always begin at position 0, whatever `start` is. With tokens already seen the first new "
        "token sits at position `start`.",
        2,
    ),
    Mistake(
        "start-one-early",
        start_one_early,
        "your positions are one too small where `start` is above 0. With `start` tokens seen, at the "
        "positions 0 to start - 1, the next one is `start` itself.",
        2,
    ),
    Mistake(
        "slice-end",
        slice_ends_at_length,
        "your slice ends at T, which is right only for start = 0. A slice from `start` with T rows "
        "ends at start + T.",
        3,
    ),
    Mistake(
        "slice-end",
        range_ends_at_length,
        "your slice ends at T, which is right only for start = 0. A slice from `start` with T rows "
        "ends at start + T.",
        3,
    ),
    Mistake(
        "concatenated",
        concatenated,
        "you put the two vectors side by side, which doubles the width. GPT-2 adds them.",
        1,
    ),
    Mistake(
        "concatenated",
        concatenated_from_zero,
        "you put the two vectors side by side, which doubles the width. GPT-2 adds them.",
        1,
    ),
    Mistake(
        "multiplied",
        multiplied,
        "you multiply the token's vector by the position's. GPT-2 adds them.",
        1,
    ),
    Mistake(
        "averaged",
        averaged,
        "you take the average of the two vectors. GPT-2 takes the sum, without dividing by 2.",
        1,
    ),
    Mistake(
        "scaled",
        scaled,
        "you multiply the token's vector by the root of the width, as the original transformer does. "
        "GPT-2 adds the two rows as they are.",
        1,
    ),
    Mistake(
        "one-position",
        one_position_for_all,
        "all your tokens get the row of position `start`. Each token needs its own: start, start + "
        "1, and so on.",
        2,
    ),
    Mistake(
        "along-the-batch",
        positions_of_texts,
        "your positions count the texts of the batch: all tokens of a text share one. They should "
        "count the tokens within each text.",
        2,
    ),
    Mistake(
        "running-on",
        running_on,
        "your positions run on from one text of the batch to the next. The texts have nothing to do "
        "with each other: each begins at `start`.",
        2,
    ),
    Mistake(
        "backwards",
        backwards,
        "your positions are counted from the end of the text. The first token has the lowest one.",
        2,
    ),
    Mistake(
        "whole-table",
        whole_table,
        "you add the whole of wpe, with a row for every position that the model knows. Only the rows "
        "of the T positions in this text belong here.",
        2,
    ),
    Mistake(
        "tables-swapped",
        tables_swapped,
        "the tables are swapped: ids belong to wte, positions to wpe. The t in wte is for token, the "
        "p in wpe for position.",
        1,
    ),
    Mistake(
        "summed",
        summed_text,
        "you add up all tokens of a text. Each token keeps its own vector: the sum is that of two "
        "rows, one of wte and one of wpe.",
        3,
    ),
    Mistake(
        "as-many-as-texts",
        lambda tokens, wte, wpe, start=0: wte[tokens] + wpe[start : start + len(tokens)],
        "len(tokens) is the number of texts, B. The positions go by the length of a text: tokens.shape[1].",
        3,
    ),
    *(
        Mistake(
            "E01",
            wrong,
            "your positions start at 1. The first token of a text sits at position 0.",
            1,
        )
        for wrong in (positions_from_one_held, positions_from_one_rolled)
    ),
    Mistake(
        "no-tokens",
        lambda tokens, wte, wpe, start=0: wpe[start : start + tokens.shape[-1]],
        "your vectors say where each token stands, but not which one it is. Add the rows of wte.",
        1,
    ),
    Mistake(
        "one-position",
        lambda tokens, wte, wpe, start=0: wte[tokens] + wpe[0],
        "all your tokens get row 0 of wpe. Each needs its own: start, start + 1, and so on.",
        2,
    ),
    Mistake(
        "last-rows",
        lambda tokens, wte, wpe, start=0: wte[tokens] + wpe[-tokens.shape[-1] :],
        "you take the last T rows of wpe. The text begins at position `start`: take T rows from there.",
        2,
    ),
    Mistake(
        "start-added",
        lambda tokens, wte, wpe, start=0: wte[tokens] + wpe[: tokens.shape[-1]] + start,
        "you add the number `start` to the vectors. It says at which row of wpe the text begins.",
        2,
    ),
    Mistake(
        "from-minus-one",
        lambda tokens, wte, wpe, start=0: wte[tokens] + wpe[torch.arange(tokens.shape[-1]) + start - 1],
        "your positions are one too small, and -1 is the last row of wpe. The first token sits at "
        "position `start`.",
        2,
    ),
    Mistake(
        "running-on",
        running_over,
        "your positions run on from one text of the batch to the next. The texts have nothing to do "
        "with each other: each begins at `start`.",
        2,
    ),
    Mistake(
        "tables-swapped",
        tables_swapped_in_slices,
        "the tables are swapped: ids belong to wte, positions to wpe. The t in wte is for token, the "
        "p in wpe for position.",
        1,
    ),
    Mistake(
        "sines",
        by_sines,
        "you compute the positions from sines and cosines, as the original transformer does. GPT-2 "
        "has learned them: take the rows of wpe.",
        1,
    ),
]


# 2.5 unembed


def unembed_cases():
    """One vector, a batch, and a vocabulary as large as the width."""
    return [
        (torch.tensor([[[2.0, 1.0]]]), torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 2.0]])),
        (draw(2, 3, 4, seed=31), draw(7, 4, seed=32)),
        (draw(3, 2, 5, seed=33), draw(5, 5, seed=34)),
    ]


def probabilities(x, wte):
    return (x @ wte.T).softmax(dim=-1)


def log_probabilities(x, wte):
    return (x @ wte.T).log_softmax(dim=-1)


def sigmoids(x, wte):
    return (x @ wte.T).sigmoid()


def cosines_as_logits(x, wte):
    return F.normalize(x, dim=-1) @ F.normalize(wte, dim=-1).T


def table_normalized(x, wte):
    return x @ F.normalize(wte, dim=-1).T


def not_turned_in_einsum(x, wte):
    return torch.einsum("btc,cv->btv", x, wte)


def not_turned(x, wte):
    return x @ wte


def reshaped(x, wte):
    return x @ wte.reshape(wte.shape[1], wte.shape[0])


def scaled_down(x, wte):
    return x @ wte.T / math.sqrt(wte.shape[1])


def last_token_only(x, wte):
    return x[:, -1] @ wte.T


def last_token_only_kept(x, wte):
    return x[:, -1:] @ wte.T


def most_likely(x, wte):
    return (x @ wte.T).argmax(dim=-1)


def by_closeness(x, wte):
    return -torch.cdist(x, wte.expand(len(x), -1, -1))


def vocabulary_before_time(x, wte):
    return wte @ x.transpose(1, 2)


def averaged_text(x, wte):
    return x.mean(dim=1) @ wte.T


def unembed_by_linear(x, wte):
    return F.linear(x, wte)


def unembed_by_einsum(x, wte):
    return torch.einsum("btc,vc->btv", x.double(), wte.double())


def unembed_by_loops(x, wte):
    logits = [[[(vector * row).sum().item() for row in wte] for vector in text] for text in x]
    return torch.tensor(logits)


def unembed_by_broadcast(x, wte):
    return (x[:, :, None, :] * wte).sum(-1)


# 2.6 embedding_parameters


def config_cases():
    """Small ones with all sizes different, and GPT-2 itself."""
    return [
        (GPT2Config(vocab_size=10, n_positions=4, n_embd=6, n_layer=3, n_head=2),),
        (GPT2Config(vocab_size=300, n_positions=32, n_embd=20, n_layer=2, n_head=5),),
        (GPT2Config(),),
    ]


def no_positions(config):
    return config.vocab_size * config.n_embd


def narrow_positions(config):
    return config.vocab_size * config.n_embd + config.n_positions


def counted_twice(config):
    return (2 * config.vocab_size + config.n_positions) * config.n_embd


def vector_for_each_pair(config):
    return config.vocab_size * config.n_positions * config.n_embd


def tables_multiplied(config):
    return config.vocab_size * config.n_embd * config.n_positions * config.n_embd


def with_bias_of_tokens(config):
    return (config.vocab_size + config.n_positions) * config.n_embd + config.vocab_size


def with_biases_of_width(config):
    return (config.vocab_size + config.n_positions) * config.n_embd + 2 * config.n_embd


def in_each_layer(config):
    return (config.vocab_size + config.n_positions) * config.n_embd * config.n_layer


def bytes_not_numbers(config):
    return 4 * (config.vocab_size + config.n_positions) * config.n_embd


def width_of_a_head(config):
    return (config.vocab_size + config.n_positions) * (config.n_embd // config.n_head)


def half_width_each(config):
    return (config.vocab_size + config.n_positions) * config.n_embd // 2


def parameters_by_tables(config):
    tables = (config.vocab_size, config.n_embd), (config.n_positions, config.n_embd)
    return sum(math.prod(shape) for shape in tables)


def parameters_by_modules(config):
    with torch.device("meta"):
        wte = torch.nn.Embedding(config.vocab_size, config.n_embd)
        wpe = torch.nn.Embedding(config.n_positions, config.n_embd)
    return wte.weight.numel() + wpe.weight.numel()


def parameters_by_factoring(config):
    return config.n_embd * (config.vocab_size + config.n_positions)


EXERCISES = [
    Exercise(
        number="2.1",
        name="lookup_by_product",
        level=1,
        minutes=8,
        done="looking a row up is multiplying by a vector with a single 1 in it.",
        arguments=("tokens", "table"),
        hints=(
            "A row vector with a single 1 at place i, times the table, is row i of the table. So first make, "
            "for every token, a vector of len(table) numbers with the 1 at the place of its id.",
            "F.one_hot makes those vectors. Tell it how long they have to be (num_classes), because the "
            "highest id of the vocabulary may not occur in this text, and mind the dtype of what it returns.",
            "F.one_hot(tokens, num_classes=len(table)) has shape (..., V) and holds whole numbers. Turn it "
            "into the dtype of the table; what is left is one @.",
        ),
        cases=lookup_cases,
        mistakes=[
            Mistake(
                "whole-number-one-hot",
                whole_number_one_hot,
                "F.one_hot returns whole numbers (int64), and torch does not multiply those with floats. "
                "Turn the one-hot vectors into the table's dtype first.",
                2,
            ),
            Mistake(
                "narrow-one-hot",
                narrow_one_hot,
                "your one-hot vectors are as long as the highest id in this text needs, and here that is "
                "less than the table has rows. Tell F.one_hot the number of rows with num_classes.",
                2,
            ),
            Mistake(
                "narrow-one-hot",
                narrow_whole_number_one_hot,
                "your one-hot vectors are as long as the highest id in this text needs, and here that is "
                "less than the table has rows. Tell F.one_hot the number of rows with num_classes.",
                2,
            ),
            Mistake(
                "elementwise",
                elementwise,
                "* multiplies number by number, and the shapes have to match for that. The product of two "
                "matrices is written @.",
                2,
            ),
            Mistake(
                "turned-table",
                turned_table,
                "you multiply by the table transposed, so the 1 picks along the wrong side. The rows belong "
                "to the tokens: multiply by the table as it is.",
                1,
            ),
            Mistake(
                "columns",
                takes_columns,
                "your result holds columns of the table. A token's vector is a row: the id counts along the "
                "first side of the table.",
                1,
            ),
            Mistake(
                "counts-from-one",
                counts_from_one,
                "your ids count from 1, so id 0 finds nothing and every other id gets the row before its "
                "own. The first row of the table belongs to id 0.",
                1,
            ),
            Mistake(
                "no-product",
                without_product,
                "you return the one-hot vectors themselves. They still have to be multiplied with the table.",
                3,
            ),
            Mistake(
                "turned-result",
                turned_result,
                "the right numbers are there, but your result is transposed: it has one column per token. "
                "The one-hot vectors stand on the left of the product, so that each token gets a row.",
                1,
            ),
            Mistake(
                "summed",
                summed_tokens,
                "you add up the rows of all tokens of a text. Each token keeps its own vector.",
                1,
            ),
            Mistake(
                "flattened",
                one_hot_of_first_text,
                "your result has lost the shape of the batch: all texts stand in one long list. The shape of "
                "`tokens` should stay, with the width of the table added at the end.",
                3,
            ),
            Mistake(
                "width-for-length",
                lambda tokens, table: F.one_hot(tokens, table.shape[1]).to(table.dtype) @ table,
                "your one-hot vectors have a place for each column of the table, and an id may be higher. "
                "They need one for each row: len(table).",
                2,
            ),
            Mistake(
                "example-size",
                lambda tokens, table: F.one_hot(tokens, 5).to(table.dtype) @ table,
                "your one-hot vectors are 5 long, which fits the table of the picture only. Take the number "
                "of rows of the table that you are given.",
                2,
            ),
            Mistake(
                "sides-swapped",
                lambda tokens, table: table @ one_hot(tokens, table),
                "the table stands on the left of your product. The one-hot vectors stand there, so that each "
                "of them picks a row.",
                1,
            ),
            Mistake(
                "mm",
                lambda tokens, table: torch.mm(one_hot(tokens, table), table),
                "torch.mm takes two matrices, and with a batch of texts you have more than one on the left. "
                "@ and torch.matmul take any number of axes in front.",
                3,
            ),
        ],
        styles=[
            lookup_by_index,
            lookup_by_embedding,
            lookup_by_einsum,
            lookup_by_comparison,
            lookup_by_scatter,
        ],
    ),
    Exercise(
        number="2.2",
        name="cosines",
        level=1,
        minutes=8,
        done="one matrix product compares every vector of one table with every vector of another.",
        arguments=("a", "b"),
        hints=(
            "The cosine of two vectors is their dot product once both have length 1. So bring each row to "
            "length 1 first.",
            "F.normalize divides vectors by their lengths; which dim is the one along which a single vector "
            "lies? All dot products of the rows of a with the rows of b are one matrix product.",
            "Normalize both with dim=-1. a is (N, C) and b is (M, C), and the result is (N, M): one of them "
            "has to be transposed in the product.",
        ),
        cases=cosine_cases,
        mistakes=[
            Mistake(
                "precedence",
                lambda a, b: a @ b.T / a.norm(dim=1)[:, None] * b.norm(dim=1),
                "you divide by the lengths of a but multiply by those of b: * and / go from left to right. "
                "Put the product of both lengths in parentheses.",
                1,
            ),
            Mistake(
                "dot-products",
                dot_products,
                "these are the dot products, which grow with the lengths of the vectors. Divide by both "
                "lengths, or bring every row to length 1 before you multiply.",
                1,
            ),
            Mistake(
                "columns-normalized",
                down_the_columns,
                "you brought each column to length 1. One vector is one row here: normalize along the last "
                "dimension.",
                2,
            ),
            Mistake(
                "whole-matrix",
                by_whole_matrix,
                "you divide by the length of the whole matrix, as if it were one long vector. Each row has a "
                "length of its own; norm needs a dim, and keepdim=True.",
                2,
            ),
            Mistake(
                "only-b",
                only_second_normalized,
                "only the rows of b have length 1, so your numbers still grow with the lengths in a. "
                "Normalize both sides.",
                1,
            ),
            Mistake(
                "only-a",
                only_first_normalized,
                "only the rows of a have length 1, so your numbers still grow with the lengths in b. "
                "Normalize both sides.",
                1,
            ),
            Mistake(
                "squared-lengths",
                by_squared_lengths,
                "you divide by the squared lengths. Take the square root of the sum of squares: that is the "
                "length.",
                1,
            ),
            Mistake(
                "swapped",
                sides_swapped,
                "your table is transposed: its rows belong to b. Row i should hold the cosines of a's row i.",
                3,
            ),
            Mistake(
                "row-by-row",
                row_by_row,
                lambda got, want: (
                    "F.cosine_similarity(a, b) compares row 0 with row 0, row 1 with row 1, and so on"
                    + raising(got, ", and here the numbers of rows differ. ", ". ")
                    + "Every row of a should meet every row of b."
                ),
                2,
            ),
            Mistake(
                "no-sign",
                without_sign,
                "your cosines have lost their sign. Vectors that point away from each other have a negative "
                "cosine, and that is worth knowing.",
                1,
            ),
            Mistake(
                "angles",
                angles,
                "these are the angles. The cosine itself is wanted, before arccos.",
                1,
            ),
            Mistake(
                "distances",
                cosine_distances,
                "this is 1 minus the cosine: 0 for vectors of one direction. The cosine is wanted, which is "
                "1 for those.",
                1,
            ),
            Mistake(
                "sum-of-sizes",
                by_sum_of_sizes,
                "you divide by the sum of the absolute values. The length of a vector is the root of the sum "
                "of its squares.",
                2,
            ),
            Mistake(
                "correlations",
                correlations,
                "you subtract each vector's mean first, which gives correlations. The cosine takes the "
                "vectors as they are.",
                1,
            ),
            Mistake(
                "lengths-added",
                lambda a, b: a @ b.T / (a.norm(dim=1)[:, None] + b.norm(dim=1)),
                "you divide by the sum of the two lengths. It should be their product.",
                2,
            ),
            Mistake(
                "distances",
                torch.cdist,
                "these are distances. The cosine compares directions: dot products of vectors of length 1.",
                1,
            ),
            Mistake(
                "no-keepdim",
                lambda a, b: a @ b.T / (a.norm(dim=-1) * b.norm(dim=-1)),
                "the length of a row has to stand beside that row, in a column. Without keepdim=True the lengths lie "
                "along the columns, and the shapes do not fit or the wrong ones are divided.",
                2,
            ),
            Mistake(
                "no-keepdim",
                lambda a, b: (a / a.norm(dim=-1)) @ (b / b.norm(dim=-1)).T,
                "the length of a row has to stand beside that row, in a column. Without keepdim=True the lengths lie "
                "along the columns, and the shapes do not fit or the wrong ones are divided.",
                2,
            ),
            Mistake(
                "dim-forgotten",
                lambda a, b: F.cosine_similarity(a[:, None], b[None]),
                "F.cosine_similarity works along dim 1 unless told otherwise, and here that counts the rows of "
                "b. The vectors lie along the last one: dim=-1.",
                2,
            ),
            Mistake(
                "not-transposed",
                lambda a, b: a @ b,
                "in a @ b the rows of a meet the columns of b, and the shapes do not fit. They should meet "
                "its rows: transpose b.",
                3,
            ),
            Mistake(
                "lengths-of-a-twice",
                lambda a, b: a @ b.T / (a * a).sum(-1, keepdim=True),
                "you divide by the length of a's row twice. The second time it should be the length of b's.",
                1,
            ),
            Mistake(
                "normalized-after",
                lambda a, b: F.normalize(a @ b.T, dim=-1),
                "you normalize the rows of the product. Bring the rows of a and b to length 1 before you "
                "multiply.",
                1,
            ),
        ],
        styles=[cosines_by_broadcast, cosines_by_division, cosines_by_loops],
    ),
    Exercise(
        number="2.3",
        name="nearest_tokens",
        level=2,
        minutes=10,
        done="you can ask a model which words it treats alike.",
        arguments=("token", "wte", "n"),
        hints=(
            "You need the cosines of one row of wte with all rows: `cosines` gives them if you hand it the "
            "row as a table with one row, wte[token : token + 1].",
            "The ids of the n highest cosines: topk has them under .indices, highest first. The token's own "
            "cosine is 1, so something has to be done about it first.",
            "Overwrite the cosine at index `token` with -inf before topk: then the token cannot come out, "
            "whichever of two equal vectors is sorted first. .tolist() makes a list of ints.",
        ),
        cases=nearest_cases,
        run=run_nearest,
        mistakes=[
            Mistake(
                "minus-one",
                lowest_cosine,
                "you give the token itself the cosine -1, but another token may have -1 too: one that points "
                "the opposite way. Use -inf, which no cosine reaches.",
                3,
            ),
            Mistake(
                "zero",
                zero_cosine,
                "you give the token itself the cosine 0, but other tokens may have negative cosines. Use -inf, "
                "which no cosine reaches.",
                3,
            ),
            Mistake(
                "itself",
                with_itself,
                "the token is among its own neighbors. Leave it out: its cosine with itself is always 1.",
                3,
            ),
            Mistake(
                "one-too-few",
                n_with_itself,
                "you take n ids and then remove the token itself, so often only n - 1 are left. Remove it "
                "first, then take n.",
                3,
            ),
            Mistake(
                "drops-first",
                drops_the_first,
                "you drop the first of the sorted ids, taking it for the token itself. Where another row has "
                "the same direction that one may come first: leave the token out by its id.",
                3,
            ),
            Mistake(
                "dot-product",
                by_dot_product,
                "you sort by dot products, so long vectors are near to everything. Sort by the cosine, which "
                "leaves the lengths out.",
                1,
            ),
            Mistake(
                "dot-product",
                by_dot_product_with_itself,
                "you sort by dot products, so long vectors are near to everything. Sort by the cosine, which "
                "leaves the lengths out.",
                1,
            ),
            Mistake(
                "distance",
                by_distance,
                "you sort by the distance between the points, which depends on how long the vectors are. "
                "Sort by the cosine: only the direction counts.",
                1,
            ),
            Mistake(
                "distance",
                by_distance_with_itself,
                "you sort by the distance between the points, which depends on how long the vectors are. "
                "Sort by the cosine: only the direction counts.",
                1,
            ),
            Mistake(
                "farthest",
                farthest,
                "these are the least similar tokens: your order is ascending. A high cosine means similar, "
                "so sort descending.",
                2,
            ),
            Mistake(
                "no-sign",
                opposites_count,
                "you sort by the size of the cosine without its sign, so opposite directions count as near. "
                "Keep the sign.",
                1,
            ),
            Mistake(
                "similarities",
                similarities,
                "you return the cosines of the nearest tokens. Their ids are wanted.",
                3,
            ),
            Mistake(
                "nearest-last",
                worst_of_best_first,
                "you found the right tokens, but the nearest stands last. It should stand first.",
                2,
            ),
            Mistake(
                "columns-normalized",
                channels_normalized,
                "you brought each column of wte to length 1. One token is one row: normalize along the last "
                "dimension, or use `cosines`.",
                1,
            ),
            Mistake(
                "one-too-many",
                one_too_many,
                "your list has n + 1 ids. The token itself does not count, so n others are wanted.",
                3,
            ),
            Mistake(
                "ids-moved",
                ids_after_removal,
                "you took the token's row out of the table before sorting, and so every id behind it moved "
                "up by one. Keep the table whole and leave the id out of the sorted list.",
                3,
            ),
            Mistake(
                "dot-product",
                by_dot_product_without_the_first,
                "you sort by dot products, so long vectors are near to everything. Sort by the cosine, which "
                "leaves the lengths out.",
                1,
            ),
            Mistake(
                "one-too-many",
                one_too_many_with_itself_last,
                "your list has n + 1 ids. The token itself does not count, so n others are wanted.",
                3,
            ),
            Mistake(
                "list-in-a-list",
                in_a_list,
                "your list holds a list: the cosines are a table with one row. Take that row, with [0], before "
                "topk.",
                3,
            ),
            Mistake(
                "with-cosines",
                with_cosines,
                "you return each id with its cosine. The ids alone are wanted.",
                3,
            ),
            Mistake(
                "parallel-lost",
                parallel_lost,
                "you leave out every token whose cosine is 1, and that may be another one of the same "
                "direction. Leave the token itself out by its id.",
                3,
            ),
            Mistake(
                "ids-moved",
                ids_after_removal_by_topk,
                "you took the token's cosine out before sorting, and so every id behind it moved up by one. "
                "Keep the place, and write -inf into it.",
                3,
            ),
        ],
        styles=[nearest_by_key, nearest_by_sort, nearest_by_rounds],
    ),
    Exercise(
        number="2.4",
        name="embed",
        differentiable=True,
        level=2,
        minutes=10,
        done="every token now says what it is and where it stands.",
        run=run_embed,
        arguments=("tokens", "wte", "wpe", "start"),
        hints=(
            "Two lookups and a +. The token ids are known; which ids do you look up in wpe? The text is T "
            "tokens long and its first token sits at position `start`.",
            "The positions are start, start + 1, ..., start + T - 1, the same for every text of the batch. "
            "Consecutive rows of a table are a slice of it.",
            "F.embedding(tokens, wte) is (B, T, C), and T rows of wpe are (T, C); broadcasting repeats them "
            "for each text. The slice begins at `start`; where does it end?",
        ),
        cases=embed_cases,
        mistakes=[
            *EMBED_MISTAKES,
            Mistake(
                "check-too-early",
                refuses_the_last,
                "a text that just fills all positions is refused. start + T may be as large as len(wpe): > "
                "and not >=.",
                1,
            ),
        ],
        styles=[embed_by_arange, embed_by_products, embed_by_loops, embed_by_modules],
    ),
    Exercise(
        number="2.5",
        name="unembed",
        differentiable=True,
        level=1,
        minutes=6,
        done="the table that turns tokens into vectors now turns vectors into scores for tokens.",
        arguments=("x", "wte"),
        hints=(
            "The logit of a token is the dot product of x with that token's row of wte. Every row of wte has "
            "to meet every vector in x.",
            "All dot products of rows with rows are one matrix product in which the second matrix is "
            "transposed; you did the same in `cosines`. Nothing is normalized here.",
            "x is (B, T, C). For the last dimension to become V you need a (C, V) matrix, and wte is (V, C).",
        ),
        cases=unembed_cases,
        mistakes=[
            Mistake(
                "probabilities",
                probabilities,
                "you return probabilities: your rows sum to 1. Logits are the scores before the softmax.",
                1,
            ),
            Mistake(
                "log-probabilities",
                log_probabilities,
                "you return logarithms of probabilities. Logits are the scores before any softmax.",
                1,
            ),
            Mistake(
                "sigmoids",
                sigmoids,
                "you squeeze each score between 0 and 1. Logits are the dot products themselves.",
                1,
            ),
            Mistake(
                "cosines",
                cosines_as_logits,
                "these are cosines. For the logits the lengths of the vectors count: take the dot products "
                "as they are.",
                2,
            ),
            Mistake(
                "table-normalized",
                table_normalized,
                "you brought the rows of wte to length 1. For the logits their lengths count.",
                2,
            ),
            Mistake(
                "not-transposed",
                not_turned,
                lambda got, want: (
                    "you multiply by wte as it is, (V, C)"
                    + raising(got, ", and the shapes do not fit. ", "; that only runs where V = C. ")
                    + "Each vector must meet the rows of wte: transpose it."
                ),
                3,
            ),
            Mistake(
                "not-transposed",
                not_turned_in_einsum,
                lambda got, want: (
                    "you multiply by wte as it is, (V, C)"
                    + raising(got, ", and the shapes do not fit. ", "; that only runs where V = C. ")
                    + "Each vector must meet the rows of wte: transpose it."
                ),
                3,
            ),
            Mistake(
                "reshaped",
                reshaped,
                "reshape (or view) only cuts the numbers into rows of another length; it does not swap the "
                "sides of the table. Transpose it with .T.",
                3,
            ),
            Mistake(
                "scaled-down",
                scaled_down,
                "you divide by the root of the width. That belongs to attention, in chapter 03; logits are "
                "plain dot products.",
                2,
            ),
            Mistake(
                "last-token",
                last_token_only,
                "your result has the logits of the last token only. Every position predicts the token that "
                "follows it, so all T are wanted.",
                3,
            ),
            Mistake(
                "last-token-kept",
                last_token_only_kept,
                "your result has a single position, the last. Every position predicts the token that follows "
                "it, so all T are wanted.",
                3,
            ),
            Mistake(
                "argmax",
                most_likely,
                "you return the id with the highest score. The scores of all V tokens are wanted; choosing "
                "comes later, in chapter 06.",
                1,
            ),
            Mistake(
                "closeness",
                by_closeness,
                "you score tokens by how close their vector lies to x. The logit is the dot product.",
                1,
            ),
            Mistake(
                "time-last",
                vocabulary_before_time,
                "your result is (B, V, T): the vocabulary and the positions have swapped places. It should "
                "be (B, T, V).",
                3,
            ),
            Mistake(
                "averaged",
                averaged_text,
                "you average the vectors of a text first. Every position gets its own logits.",
                1,
            ),
            Mistake(
                "mean-removed",
                lambda x, wte: (x - x.mean(-1, keepdim=True)) @ wte.T,
                "you take the mean of x away first. That is LayerNorm's work (chapter 05); here the dot products alone are wanted.",
                2,
            ),
            Mistake(
                "vectors-normalized",
                lambda x, wte: F.normalize(x, dim=-1) @ wte.T,
                "you brought the vectors in x to length 1. For the logits their lengths count.",
                2,
            ),
            Mistake(
                "layer-norm",
                lambda x, wte: F.layer_norm(x, x.shape[-1:]) @ wte.T,
                "you normalize x first. That is the work of ln_f, which comes before (chapter 05); here the "
                "dot products alone are wanted.",
                2,
            ),
            Mistake(
                "result-reshaped",
                lambda x, wte: (wte @ x.flatten(0, 1).T).reshape(*x.shape[:2], len(wte)),
                "your product has the vocabulary first, and reshape only cuts its numbers anew. Put x on the "
                "left and wte, transposed, on the right.",
                3,
            ),
        ],
        styles=[unembed_by_linear, unembed_by_einsum, unembed_by_loops, unembed_by_broadcast],
    ),
    Exercise(
        number="2.6",
        name="embedding_parameters",
        level=1,
        minutes=5,
        done="you can say what a vocabulary and a context length cost before anything is trained.",
        arguments=("config",),
        tolerance=0.0,
        hints=(
            "How many rows does wte have, and how wide is each? And wpe?",
            "Both tables are n_embd wide. wte has a row for each token of the vocabulary, wpe one for each "
            "position.",
            "rows x width for wte, plus rows x width for wpe. The way back uses wte again and costs nothing.",
        ),
        cases=config_cases,
        mistakes=[
            Mistake(
                "no-positions",
                no_positions,
                "this is wte alone. wpe has parameters too: a row of n_embd numbers for each position.",
                2,
            ),
            Mistake(
                "narrow-positions",
                narrow_positions,
                "you count one number for each position. A row of wpe is as wide as a row of wte: n_embd.",
                2,
            ),
            Mistake(
                "untied",
                counted_twice,
                "you count wte twice, once for the way in and once for the way back. It is one table that is "
                "used twice.",
                3,
            ),
            Mistake(
                "every-pair",
                vector_for_each_pair,
                "you count a vector for every token at every position. The two tables are separate; that is "
                "what the sum saves.",
                1,
            ),
            Mistake(
                "tables-multiplied",
                tables_multiplied,
                "you multiply the sizes of the two tables. They stand beside each other: add them.",
                1,
            ),
            Mistake(
                "bias-of-tokens",
                with_bias_of_tokens,
                "you count a bias for each token. GPT-2 has none: neither a lookup nor `unembed` adds one.",
                3,
            ),
            Mistake(
                "bias-of-width",
                with_biases_of_width,
                "you count a bias for each table. A lookup has none.",
                3,
            ),
            Mistake(
                "each-layer",
                in_each_layer,
                "you multiply by the number of layers. The tables stand once, before the first layer.",
                1,
            ),
            Mistake(
                "bytes",
                bytes_not_numbers,
                "this is the number of bytes in float32. The number of parameters is wanted: a quarter.",
                2,
            ),
            Mistake(
                "width-of-a-head",
                width_of_a_head,
                "you take the width of one attention head. The rows of both tables are n_embd wide.",
                2,
            ),
            Mistake(
                "half-width",
                half_width_each,
                "you give each table half the width, as if the vectors stood side by side. They are added, "
                "so both are n_embd wide.",
                2,
            ),
            Mistake(
                "positions-alone",
                lambda config: config.n_positions * config.n_embd,
                "this is wpe alone. wte has parameters too: a row of n_embd numbers for each token.",
                2,
            ),
            Mistake(
                "brackets",
                lambda config: config.vocab_size + config.n_positions * config.n_embd,
                "the product goes first, so the rows of wte count as single numbers. Put brackets around the sum of the rows.",
                3,
            ),
            Mistake(
                "two-numbers",
                lambda config: (config.vocab_size * config.n_embd, config.n_positions * config.n_embd),
                "you return two numbers. Add them up.",
                3,
            ),
            Mistake(
                "rows-only",
                lambda config: config.vocab_size + config.n_positions,
                "you count the rows of both tables. Each row holds n_embd numbers.",
                1,
            ),
            Mistake(
                "whole-model",
                lambda config: (
                    config.n_embd
                    * (
                        config.vocab_size
                        + config.n_positions
                        + 2
                        + config.n_layer * (12 * config.n_embd + 13)
                    )
                ),
                "this is the whole model, with its blocks. The two tables alone are asked for.",
                1,
            ),
            *(
                Mistake(
                    "fixed-size",
                    wrong,
                    "a size of GPT-2 small is written into yours, so other models come out wrong. Take all "
                    "sizes from config.",
                    2,
                )
                for wrong in (
                    lambda config: 768 * (50257 + 1024),
                    lambda config: 768 * (config.vocab_size + config.n_positions),
                    lambda config: config.n_embd * (50257 + config.n_positions),
                    lambda config: config.n_embd * (config.vocab_size + 1024),
                )
            ),
        ],
        styles=[parameters_by_tables, parameters_by_modules, parameters_by_factoring],
    ),
]
