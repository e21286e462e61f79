"""The exercises of chapter 09: probes that tell a healthy GPT-2 from one that is silently wrong."""

import copy
import math
from dataclasses import dataclass, field, replace
from functools import cache
from types import MethodType, SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config

ROUNDING = 2e-6  # how far the logits of a model that rounds differ from call to call, next to the largest


def noise(seed, *shape):
    """Random numbers that are the same on every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ids(seed, B, T):
    """Random token ids (B, T)."""
    return torch.randint(VOCABULARY, (B, T), generator=torch.Generator().manual_seed(seed))


# --- the patients

VOCABULARY = 17


class SmallGPT2(nn.Module):
    """A GPT-2 with random weights, written without the library; a sick one replaces some of the methods."""

    rounds = False  # True: the last digits of its logits differ from call to call

    def __init__(self, layers=2, heads=2, width=8, room=24, spread=None, wpe=1.0):
        """Draw weights of the standard deviation `spread` as before training; without it, large ones."""
        super().__init__()
        self.config = GPT2Config(
            vocab_size=VOCABULARY, n_positions=room, n_embd=width, n_layer=layers, n_head=heads
        )
        self.wte, self.wpe = nn.Embedding(VOCABULARY, width), nn.Embedding(room, width)
        self.c_attn = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.c_proj = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
            for _ in range(layers)
        )
        self.gains = nn.Parameter(torch.empty(2 * layers + 1, width))
        self.shifts = nn.Parameter(torch.empty(2 * layers + 1, width))
        with torch.no_grad():
            for seed, (name, parameter) in enumerate(self.named_parameters()):
                size = 1.0 if name.startswith("w") else 0.3
                size = size if spread is None else spread
                parameter.copy_(size * noise(seed, *parameter.shape))
            self.wpe.weight.mul_(wpe)
            self.gains.copy_(1 + self.gains if spread is None else torch.ones_like(self.gains))
            self.shifts.mul_(1.0 if spread is None else 0.0)
        self.generator = torch.Generator().manual_seed(0)

    def positions(self, tokens, start):
        return torch.arange(start, start + tokens.shape[1])

    def vectors(self, tokens, start):
        return self.wte(tokens) + self.wpe(self.positions(tokens, start))

    def mask(self, layer, T, S, cached):
        return torch.ones(T, S, dtype=torch.bool).tril(S - T)

    def norm(self, x):
        return F.layer_norm(x, x.shape[-1:])

    def seen(self, layer, k, v, cache):
        return cache[layer].append(k, v)

    def merge(self, layer, y):
        return y.transpose(1, 2).flatten(2)

    def between(self, layer, x):
        return x

    def unembed(self, x):
        return x @ self.wte.weight.T

    def finish(self, logits, tokens, start, cached):
        return logits

    def attention(self, layer, x, cache):
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.config.n_head, -1).transpose(1, 2)
            for part in self.c_attn[layer](x).split(C, dim=-1)
        )
        if cache is not None:
            k, v = self.seen(layer, k, v, cache)
        mask = self.mask(layer, T, k.shape[2], cache is not None)
        bias = mask if mask.is_floating_point() else torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.c_proj[layer](self.merge(layer, y))

    def forward(self, tokens, cache=None, *, last_only=False):
        start = 0 if cache is None else cache.length
        x = self.vectors(tokens, start)
        for layer in range(self.config.n_layer):
            gains, shifts = self.gains[2 * layer :], self.shifts[2 * layer :]
            x = x + self.attention(layer, self.norm(x) * gains[0] + shifts[0], cache)
            x = self.between(layer, x + self.mlp[layer](self.norm(x) * gains[1] + shifts[1]))
        x = self.norm(x) * self.gains[-1] + self.shifts[-1]
        logits = self.finish(self.unembed(x), tokens, start, cache is not None)
        if self.rounds:
            last_digits = 2 * torch.rand(logits.shape, generator=self.generator) - 1
            logits = logits + ROUNDING * logits.abs().max() * last_digits
        return logits[:, -1:] if last_only else logits


@dataclass(frozen=True)
class Patient:
    """A model to be examined: what it is, in words for the learner, and how it is made."""

    says: str
    parts: dict = field(default_factory=dict)  # what its class does otherwise than SmallGPT2
    sizes: dict = field(default_factory=dict)
    kind: type = SmallGPT2

    def __repr__(self):
        return self.says

    def model(self):
        return type("Patient", (self.kind,), self.parts)(**self.sizes)


def patient(says, parts=None, kind=SmallGPT2, **sizes):
    return Patient(says, parts or {}, sizes, kind)


HEALTHY = patient("a healthy model of 2 layers")
ROUNDS = patient("a healthy model whose last digits differ from call to call", {"rounds": True})
BLANK = patient("a healthy model whose weights are all 0", spread=0.0)
WHOLE = patient(
    "a healthy model that rounds its logits to whole numbers",
    {"finish": lambda self, logits, tokens, start, cached: logits.round()},
)
LARGER = patient("a healthy model of 3 layers with 3 heads", layers=3, heads=3, width=12)


def verdict(result):
    """Return a probe's result as a bool, where it is one in a tensor or an array."""
    if isinstance(result, (torch.Tensor, np.generic)) and str(result.dtype).endswith("bool"):
        return bool(result.item()) if result.ndim == 0 else result
    return result


def run_probe(answer, patient, tokens):
    """Let a probe examine a patient."""
    with torch.no_grad():
        return verdict(answer(patient.model(), tokens))


def near(a, b, atol=1e-3):
    return torch.allclose(a, b, rtol=0, atol=atol)


def within(atol):
    return lambda a, b: near(a, b, atol)


def same_words(a, b):
    return torch.equal(a.argmax(-1), b.argmax(-1))


def turned_round(probe):
    """The opposite of a right probe."""
    return lambda model, tokens: not probe(model, tokens)


def calls_all_healthy(model, tokens):
    return model(tokens).shape == (*tokens.shape, model.config.vocab_size)


def calls_all_sick(says):
    """A probe that is never content, and what to say about it."""
    return Mistake(
        "calls-all-sick", lambda model, tokens: False, f"your probe calls every model sick. {says}", 1
    )


TOO_EXACT = (
    "you allow no rounding, or too little, and a healthy model fails. The same sum, added up in another "
    "order, is rounded in another way, and torch.allclose allows 1e-8 next to 0 unless you say more: pass "
    "atol=1e-3."
)
TOO_WIDE = (
    "your tolerance is so wide that a mild case passes. Rounding moves these logits by less than 1e-4, so "
    "1e-3 leaves room enough, for the largest difference and not for a mean of squares."
)
AVERAGED = (
    "you compare means or sums, and a difference at one place drowns in them, or two cancel. Look at the "
    "largest: (a - b).abs().max()."
)
ONE_SIDED = (
    "you leave out abs(), so a difference to one side passes. Take the size of each difference first: "
    "(a - b).abs().max()."
)
TOLERANCES = [  # (id, how two tensors are compared, what to say): for probes that ask whether they agree
    ("exact", torch.equal, TOO_EXACT),
    ("exact", torch.allclose, TOO_EXACT),
    ("exact", within(1e-6), TOO_EXACT),
    ("too-wide", within(0.01), TOO_WIDE),
    (
        "argmax",
        same_words,
        "you compare which token is most likely, and a mild case passes. A disease can move every logit and "
        "leave the largest one the largest: compare the logits.",
    ),
    (
        "probabilities",
        lambda a, b: near(a.softmax(-1), b.softmax(-1)),
        "you compare probabilities. A number that is added to all logits of a row leaves them as they are: "
        "compare the logits.",
    ),
    ("averaged", lambda a, b: (a - b).abs().mean() < 1e-3, AVERAGED),
    ("averaged", lambda a, b: (a - b).mean().abs() < 1e-3, AVERAGED),
    ("averaged", lambda a, b: (a - b).mean() < 1e-3, AVERAGED),
    ("averaged", lambda a, b: (b - a).mean() < 1e-3, AVERAGED),
    ("one-sided", lambda a, b: (a - b < 1e-3).all(), ONE_SIDED),
    ("one-sided", lambda a, b: (b - a < 1e-3).all(), ONE_SIDED),
]


def tolerance_mistakes(probe_with):
    """The same probe with another comparison each time."""
    return [Mistake(name, probe_with(close), says, 3) for name, close, says in TOLERANCES]


# --- 9.1 sees_no_future


def everywhere(mask):
    """The part of a patient whose attention has another mask in every layer."""
    return {"mask": lambda self, layer, T, S, cached: mask(T, S)}


def in_layer(chosen, mask):
    """The part of a patient whose attention has another mask in one layer."""

    def method(self, layer, T, S, cached):
        return mask(T, S) if layer == chosen else SmallGPT2.mask(self, layer, T, S, cached)

    return {"mask": method}


def one_ahead(T, S):
    return torch.ones(T, S, dtype=torch.bool).tril(1)


def one_head_open(T, S):
    return torch.stack([torch.ones(T, S, dtype=torch.bool).tril(), torch.ones(T, S, dtype=torch.bool)])


def with_open(row, column):
    """A causal mask with one place open."""

    def mask(T, S):
        opened = torch.ones(T, S, dtype=torch.bool).tril()
        if column < S:
            opened[row, column] = True
        return opened

    return mask


def open_after_5(T, S):
    mask = torch.ones(T, S, dtype=torch.bool).tril()
    mask[5:] |= one_ahead(T, S)[5:]
    return mask


def itself_alone(T, S):
    return torch.eye(T, S, dtype=torch.bool)


def lowered(T, S):
    """Scores of the future are lowered, but by too little."""
    return torch.zeros(T, S).masked_fill(~torch.ones(T, S, dtype=torch.bool).tril(), -5.0)


def merged_by_reshape(self, layer, y):
    return y.reshape(y.shape[0], y.shape[2], -1)


def norm_over_tokens(self, x):
    return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()


def by_next_token(move):
    """The part of a patient whose logits the id of the next token moves: move(logits, ids (B, T, 1))."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, F.pad(tokens[:, 1:], (0, 1))[..., None])

    return {"finish": finish}


def moved_at(place, logits, size):
    """The logits (B, T, V), two of them moved in opposite directions at one place, by size (B, 1)."""
    if not 0 <= place < logits.shape[1]:
        return logits
    moved = logits.clone()
    moved[:, place, [0, 4]] += size * torch.tensor([0.004, -0.004])
    return moved


def future_cases():
    """A healthy one; sick ones at one place, everywhere, in one layer, in one head, faintly; others."""
    tokens, longer = ids(1, 1, 8), ids(2, 2, 9)
    low = torch.tensor([[5, 2, 9, 4, 1, 7, 3, 6]])

    def one_place(row, column, token):
        text = low.clone()
        text[0, column] = token
        return patient(
            f"in layer 2 token {row} sees token {column}", in_layer(1, with_open(row, column))
        ), text

    def moved(says, move):
        return patient(f"the next token {says}", by_next_token(move)), low

    return [
        (HEALTHY, tokens),
        (WHOLE, tokens),
        (patient("each token sees one token ahead", everywhere(one_ahead)), tokens),
        one_place(0, 1, 2),
        one_place(2, 3, 0),
        one_place(3, 4, VOCABULARY - 1),
        one_place(4, 5, 1),
        one_place(5, 6, 7),  # twice the same token
        one_place(6, 7, 6),
        (patient("1 layer, token 0 sees token 7", everywhere(with_open(0, 7)), layers=1), tokens),
        moved("raises all logits a little", lambda logits, following: logits + 0.003 * following),
        moved("raises all logits", lambda logits, following: logits + 2.0 * following),
        moved("lowers all logits", lambda logits, following: logits - 2.0 * following),
        moved(
            "lowers all logits but the largest",
            lambda logits, following: logits - following * (logits < logits.amax(-1, keepdim=True)),
        ),
        moved(
            "moves one logit",
            lambda logits, following: logits + F.one_hot(torch.tensor(5), VOCABULARY) * following,
        ),
        moved(
            "moves two logits of row 2", lambda logits, following: moved_at(2, logits, following[:, 2:3, 0])
        ),
        (ROUNDS, longer),
        (LARGER, longer),
        (patient("a model whose tokens see themselves alone", everywhere(itself_alone)), tokens),
        (patient("in layer 3 of 3 each token sees one ahead", in_layer(2, one_ahead), layers=3), longer),
        (patient("in layer 2 one of 2 heads has no mask", in_layer(1, one_head_open)), longer),
        (patient("tokens from place 5 on see one ahead", everywhere(open_after_5)), tokens),
        (patient("the future is played down, not hidden", in_layer(1, lowered)), tokens),
        (patient("heads are merged without transposing back", {"merge": merged_by_reshape}), tokens),
        (patient("LayerNorm runs over the tokens", {"norm": norm_over_tokens}), longer),
    ]


def another(model, tokens, place):
    """The same texts with another token at one place."""
    changed = tokens.clone()
    changed[:, place] = (changed[:, place] + 1) % model.config.vocab_size
    return changed


def future_probe(
    close=near,
    places=lambda B, T: range(1, T),
    rows=lambda logits, j: logits[:, :j],
    change=another,
    together=all,
):
    """A probe that changes the token at each of the places and compares some rows before and after."""

    def probe(model, tokens):
        before = model(tokens)
        return together(
            bool(close(rows(model(change(model, tokens, j)), j), rows(before, j)))
            for j in places(*tokens.shape)
        )

    return probe


def all_from(model, tokens, place):
    """The same texts with other tokens from one place on."""
    return torch.cat([tokens[:, :place], (tokens[:, place:] + 1) % model.config.vocab_size], dim=1)


def put(token):
    """A change that puts the same token everywhere."""

    def change(model, tokens, place):
        changed = tokens.clone()
        changed[:, place] = token
        return changed

    return change


def repeats_the_one_before(model, tokens, place):
    changed = tokens.clone()
    changed[:, place] = tokens[:, place - 1]
    return changed


def turns_the_rest(model, tokens, place):
    return torch.cat([tokens[:, :place], tokens[:, place:].flip(1)], dim=1)


def appends_a_token(model, tokens):
    longer = torch.cat([tokens, tokens[:, :1]], dim=1)
    return near(model(longer)[:, :-1], model(tokens))


def none_of(results):
    return not any(results)


def sees_no_future_by_prefixes(model, tokens):
    whole = model(tokens)
    for length in range(1, tokens.shape[1]):
        if (model(tokens[:, :length]) - whole[:, :length]).abs().max() > 1e-4:
            return False
    return True


def sees_no_future_by_endings(model, tokens):
    before, worst = model(tokens), 0.0
    for j in range(1, tokens.shape[1]):
        other = torch.cat([tokens[:, :j], (tokens[:, j:] + 5) % model.config.vocab_size], dim=1)
        worst = max(worst, (model(other) - before)[:, :j].abs().max().item())
    return worst < 1e-3


def sees_no_future_by_matrix(model, tokens):
    text, T = tokens[:1], tokens.shape[1]
    texts = text.repeat(T, 1)
    texts[range(T), range(T)] = (texts.diagonal() + 3) % model.config.vocab_size
    influence = torch.stack([(model(t[None]) - model(text))[0].abs().amax(-1) for t in texts], dim=1)
    return influence.triu(1).max() < 1e-3  # row i, column j: what token j does to row i


def sees_no_future_backwards(model, tokens):
    """From the last token on, each change stays."""
    before, changed = model(tokens), tokens.clone()
    for j in reversed(range(1, tokens.shape[1])):
        changed[:, j] = (changed[:, j] + 1) % model.config.vocab_size
        if not torch.allclose(model(changed)[:, :j].double(), before[:, :j].double(), atol=1e-3):
            return False
    return True


LATER_ROWS = "you watch rows after the token that you change. Those may move, for they see it: watch the rows before it."
SEES_NO_FUTURE = Exercise(
    number="9.1",
    name="sees_no_future",
    level=2,
    minutes=12,
    done="you can catch a model that reads ahead, whichever part of it does.",
    hints=(
        "Change one token of the text and read it again. Which rows of the logits may move, and which must "
        "stay as they were?",
        "If token j changes, the rows [:, :j] must stay. Do it for every j from 1 on: a leak may be at one "
        "place alone. (tokens[:, j] + 1) % model.config.vocab_size is surely another token.",
        "before = model(tokens). In a loop over j: clone the tokens, change column j, and return False if "
        "torch.allclose(..., atol=1e-3) fails for the rows before j. What do you return after the loop?",
    ),
    cases=future_cases,
    run=run_probe,
    mistakes=[
        Mistake(
            "calls-all-healthy",
            calls_all_healthy,
            "your probe calls every model healthy. It has to change a token, read the text again, and "
            "compare the rows before that token; a text of one token has none.",
            1,
        ),
        Mistake(
            "own-row",
            future_probe(rows=lambda logits, j: logits[:, : j + 1]),
            "your probe calls every model sick. The row of the changed token itself moves, as it should: "
            "compare the rows before it, [:, :j], where the first colon stands for all texts. If you do, "
            "look for other reasons: rounding (allow 1e-3), and earlier changes that stay in the text "
            "(clone it anew for each).",
            2,
        ),
        Mistake(
            "turned-round",
            turned_round(future_probe()),
            "healthy and sick have changed places. Return True where no earlier row moves.",
            3,
        ),
        Mistake(
            "watches-later-rows",
            future_probe(places=lambda B, T: [0], rows=lambda logits, j: logits[:, 1:]),
            LATER_ROWS,
            1,
        ),
        Mistake(
            "last-token-only",
            future_probe(places=lambda B, T: [T - 1]),
            "you change the last token alone, or cut it off. A leak between two earlier tokens stays "
            "unseen: change every token in turn.",
            2,
        ),
        Mistake(
            "second-token-only",
            future_probe(places=lambda B, T: [1]),
            "you change token 1 alone, perhaps since a return ends the loop in its first round. Change every "
            "token in turn, and return True after the loop.",
            2,
        ),
        Mistake(
            "middle-token-only",
            future_probe(places=lambda B, T: [T // 2]),
            "you change one token in the middle. A leak elsewhere stays unseen: change every token in turn.",
            2,
        ),
        Mistake(
            "row-before-only",
            future_probe(rows=lambda logits, j: logits[:, j - 1]),
            "you watch one row, the one just before the changed token. A row further back may look ahead "
            "too: compare all of [:, :j].",
            2,
        ),
        Mistake(
            "row-zero-only",
            future_probe(rows=lambda logits, j: logits[:, 0]),
            "you watch row 0 alone. Every row before the changed token has to stay: compare all of [:, :j].",
            2,
        ),
        *[
            Mistake(
                "fixed-token",
                future_probe(change=put(token)),
                f"you replace a token by {token}, and in one text it is {token} already, so nothing changes. Take a token "
                "that is surely another one: (token + 1) % vocab_size.",
                2,
            )
            for token in (0, 1, VOCABULARY - 1)
        ],
        *[
            Mistake("too-wide", future_probe(within(size)), TOO_WIDE, 3)
            for size in (0.05, 0.1, 0.2, 0.5, 1.0)
        ],
        Mistake(
            "copies-a-neighbour",
            future_probe(change=repeats_the_one_before),
            "you replace a token by its neighbour, and in one text the two are equal, so nothing changes. "
            "Take a token that is surely another one: (token + 1) % vocab_size.",
            2,
        ),
        Mistake(
            "turned-round",
            future_probe(together=none_of),
            "healthy and sick have changed places. Return False at the first earlier row that moves, and "
            "True after the loop.",
            3,
        ),
        Mistake(
            "one-is-enough",
            future_probe(together=any),
            "your probe is content as soon as one change moves no earlier row. All of them have to pass: "
            "return False at the first that does not, and True after the loop.",
            3,
        ),
        Mistake(
            "misses-the-next-token",
            future_probe(rows=lambda logits, j: logits[:, : j - 1]),
            "you leave out the row just before the changed token, and that is where one looks one token "
            "ahead. Compare all of [:, :j].",
            2,
        ),
        Mistake(
            "first-change-left-out",
            future_probe(places=lambda B, T: range(2, T)),
            "your probe lets a model pass in which token 0 sees token 1. Token 1 has to be changed too: "
            "range(1, T).",
            2,
        ),
        Mistake(
            "last-change-left-out",
            future_probe(places=lambda B, T: range(1, T - 1)),
            "your probe lets a model pass in which a token sees the last one. Change the last token too, by "
            "itself: range(1, T) ends at T - 1.",
            2,
        ),
        Mistake(
            "last-change-left-out",
            future_probe(change=turns_the_rest),
            "your probe lets a model pass in which a token sees the last one. Turning round a rest of one "
            "token changes nothing: put another token there.",
            2,
        ),
        Mistake(
            "every-other-token",
            future_probe(places=lambda B, T: range(1, T, 2)),
            "you change every other token. A leak elsewhere stays unseen: change every token in turn.",
            2,
        ),
        Mistake(
            "counts-texts",
            future_probe(places=lambda B, T: range(1, B)),
            "your loop runs over the texts, so few tokens are changed, or none. tokens has the shape (B, T): "
            "j runs over range(1, tokens.shape[1]).",
            2,
        ),
        *[
            Mistake(
                "one-token-only",
                future_probe(places=lambda B, T, j=j: [j]),
                "you change one token alone. A leak elsewhere stays unseen: change every token in turn.",
                2,
            )
            for j in (3, 5, 6)
        ],
        Mistake(
            "appends",
            appends_a_token,
            "you lengthen the text by a token. Only what the last row sees shows then: change every token of "
            "the text in turn, and watch the rows before it.",
            2,
        ),
        Mistake(
            "one-cut-only",
            future_probe(places=lambda B, T: [T // 2], change=all_from),
            "you cut the text at one place. A leak on either side of it stays unseen: do it for every place.",
            2,
        ),
        Mistake(
            "one-logit-only",
            future_probe(rows=lambda logits, j: logits[:, :j, 0]),
            "you watch one logit of each row. Compare all V of them: [:, :j].",
            2,
        ),
        Mistake(
            "one-logit-only",
            future_probe(rows=lambda logits, j: logits[:, :j].amax(-1)),
            "you watch the largest logit of each row. Compare all V of them: [:, :j].",
            2,
        ),
        *tolerance_mistakes(future_probe),
    ],
    styles=[
        sees_no_future_by_prefixes,
        sees_no_future_by_endings,
        sees_no_future_by_matrix,
        sees_no_future_backwards,
    ],
)


# --- 9.2 knows_positions


def no_positions(self, tokens, start):
    return self.wte(tokens)


def positions_by_id(self, tokens, start):
    return tokens


def always_zero(self, tokens, start):
    return torch.zeros(tokens.shape[1], dtype=torch.long)


def number_of_the_text(self, tokens, start):
    return torch.arange(len(tokens))[:, None].expand_as(tokens)


def moved_by_place(size):
    """The parts of a healthy patient whose vectors know no place: its logits are moved by size at each."""

    def finish(self, logits, tokens, start, cached):
        return logits + size * torch.arange(start, start + tokens.shape[1])[:, None]

    return {"vectors": no_positions, "finish": finish}


def without_last_token(self, x):
    logits = x @ self.wte.weight.T
    logits[..., -1] = 0
    return logits


def position_cases():
    """Healthy ones, one of them before training; then sick ones, whose last digits differ from call to call."""
    tokens, two = ids(5, 1, 8), ids(4, 2, 7)
    repeated = torch.full((1, 8), 4)

    def healthy(says, parts=None, **sizes):
        return patient(f"a healthy model {says}", parts, **sizes), tokens

    def lost(says, parts, text, **sizes):
        return patient(says, parts | {"rounds": True}, **sizes), text

    return [
        (HEALTHY, tokens),
        (ROUNDS, two),
        (LARGER, two),
        healthy("before its training", spread=0.0025),
        healthy("with a logit that is always 0", {"unembed": without_last_token}),
        healthy("whose logits fall from place to place", moved_by_place(-2.0)),
        healthy("whose logits rise from place to place", moved_by_place(2.0)),
        lost("no positions, 1 layer", {"vectors": no_positions}, tokens, layers=1),
        lost("no positions, 2 layers", {"vectors": no_positions}, tokens),
        lost("no positions, 2 layers; the text is one token, repeated", {"vectors": no_positions}, repeated),
        lost("wpe is looked up with the tokens' ids", {"positions": positions_by_id}, two),
        lost("every token is at position 0", {"positions": always_zero}, tokens),
        lost("a token's position is its text's number", {"positions": number_of_the_text}, two),
        lost("all of wpe is 0", {}, two, wpe=0.0),
    ]


def neighbours_differ(differ):
    """A probe that reads one token over and over and asks whether each row differs from the one before."""

    def probe(model, tokens):
        logits = model(tokens[:, :1].expand_as(tokens))
        return all(differ(logits[:, t - 1], logits[:, t]) for t in range(1, tokens.shape[1]))

    return probe


def clearly(a, b):
    return not near(a, b)


def knows_positions_by_pairs(model, tokens):
    T = tokens.shape[1]
    rows = model(torch.full((1, T), 3))[0]
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist") + torch.eye(T)
    return distances.min() > 1e-3


def knows_positions_by_first_rows(model, tokens):
    first, second = model(torch.tensor([[5, 5]]))[0]
    return (first - second).abs().max().item() > 1e-3


def knows_positions_by_loop(model, tokens):
    token = tokens[0, -1].item()
    logits = model(torch.tensor([[token] * tokens.shape[1]]))
    previous = logits[0, 0]
    for row in logits[0, 1:]:
        if torch.allclose(row, previous, atol=1e-4):
            return False
        previous = row
    return True


def swaps_two_tokens(model, tokens):
    swapped = tokens.clone()
    swapped[:, [0, 1]] = tokens[:, [1, 0]]
    return clearly(model(swapped)[:, -1], model(tokens)[:, -1])


def rows_of_the_text(model, tokens):
    logits = model(tokens)
    return clearly(logits[:, 1:], logits[:, :-1])


def reads_backwards(model, tokens):
    return clearly(model(tokens.flip(1)).flip(1), model(tokens))


def knows_positions_by_first_and_last(model, tokens):
    logits = model(tokens[:, :1].expand_as(tokens))
    return clearly(logits[:, 0], logits[:, -1])


def knows_positions_by_row_0(model, tokens):
    logits = model(torch.zeros_like(tokens))
    return not torch.allclose(logits, logits[:, :1].expand_as(logits), atol=1e-3)


def knows_positions_by_spread(model, tokens):
    logits = model(torch.full((2, model.config.n_positions), 2))
    return (logits.amax(1) - logits.amin(1)).max() > 1e-3


def reads_the_table(model, tokens):
    return bool(model.wpe.weight.abs().max() > 1e-3)


def copies_of_the_text(model, tokens):
    logits = model(tokens[:1].repeat(2, 1))
    return clearly(logits[0], logits[1])


def first_rows_of_the_text(model, tokens):
    logits = model(tokens)
    return clearly(logits[:, 0], logits[:, 1])


def compares_texts_of_one_token(model, tokens):
    logits = model(tokens[:, :1].expand_as(tokens))
    return clearly(logits, logits[:1].expand_as(logits))


def wipes_the_table(model, tokens):
    before, saved = model(tokens), model.wpe.weight.clone()
    model.wpe.weight.zero_()
    after = model(tokens)
    model.wpe.weight.copy_(saved)
    return clearly(after, before)


def rows_from_the_first(differ):
    """A probe that reads one token over and over and asks whether rows differ from the first."""

    def probe(model, tokens):
        logits = model(tokens[:, :1].expand_as(tokens))
        return bool(differ(logits[:, 1:], logits[:, :1].expand_as(logits[:, 1:])))

    return probe


def knows_positions_by_std(model, tokens):
    logits = model(tokens[:, -1:].repeat(1, tokens.shape[1])).double()
    return (logits - logits.mean(dim=1, keepdim=True)).abs().max().item() > 1e-4


KNOWS_POSITIONS = Exercise(
    number="9.2",
    name="knows_positions",
    level=2,
    minutes=12,
    done="you can tell whether a model knows where a token stands, without opening it.",
    hints=(
        "Rows differ for two reasons: the tokens differ, or their positions do. Which text leaves only the "
        "second reason?",
        "Let the text be one token, repeated. Without positions every token would average over equal values "
        "and get the same row as the first.",
        "logits = model(tokens[:, :1].expand_as(tokens)), and then the largest difference of all rows from "
        "the first one, logits[:, :1]. When is that healthy?",
    ),
    cases=position_cases,
    run=run_probe,
    mistakes=[
        Mistake(
            "calls-all-healthy",
            calls_all_healthy,
            "your probe calls every model healthy. Look at the logits of one token, repeated, so that rows "
            "differ for no other reason than their positions; and ask for more than 1e-3, since rounding "
            "moves the last digits.",
            3,
        ),
        Mistake(
            "different-tokens",
            rows_of_the_text,
            "your probe calls nearly every model healthy. Different tokens have different rows, with "
            "positions or without: make the text of one token, repeated.",
            1,
        ),
        Mistake(
            "reads-the-table",
            reads_the_table,
            "your probe is content with any table wpe that is not 0. Whether it is used, and for what, shows "
            "in the logits alone: read one token, repeated, and compare the rows.",
            1,
        ),
        Mistake(
            "wipes-the-table",
            wipes_the_table,
            "you change wpe and see the logits move, so the table is used. It need not be for positions: "
            "patient 2 looks it up with the tokens' ids. Read one token, repeated, and compare the rows.",
            1,
        ),
        Mistake(
            "compares-texts",
            compares_texts_of_one_token,
            "you compare the texts of the batch with each other. Each is another token here, and all have "
            "the same positions: compare the rows of one text, [:, :1] with the others.",
            2,
        ),
        calls_all_sick("A healthy model gives one token other logits at another position."),
        Mistake(
            "copies",
            copies_of_the_text,
            "your probe calls the healthy models sick. Copies of a text in a batch have the same positions, "
            "so their logits agree: repeat one token along the text, dim 1.",
            2,
        ),
        Mistake(
            "turned-round",
            turned_round(neighbours_differ(clearly)),
            "healthy and sick have changed places. In a healthy model the rows of a repeated token differ.",
            3,
        ),
        Mistake(
            "swaps",
            swaps_two_tokens,
            "you swap two tokens and watch a later row, and that works for one layer. With two, the causal "
            "mask gives the order away: the token that came second has seen the first.",
            1,
        ),
        Mistake(
            "too-wide",
            rows_from_the_first(lambda a, b: not near(a, b, 0.01)),
            "a healthy model fails your probe before its training. Its logits are small, and so are their "
            "differences: ask whether the largest, (a - b).abs().max(), is more than 1e-3.",
            3,
        ),
        Mistake(
            "argmax",
            rows_from_the_first(lambda a, b: not same_words(a, b)),
            "you compare which token is most likely. Two rows can differ in every logit and have the same "
            "largest one: compare the logits.",
            3,
        ),
        Mistake(
            "probabilities",
            rows_from_the_first(lambda a, b: clearly(a.softmax(-1), b.softmax(-1))),
            "you compare probabilities. A number that is added to all logits of a row leaves them as they "
            "are: compare the logits.",
            3,
        ),
        Mistake(
            "probabilities",
            rows_from_the_first(lambda a, b: (a.softmax(-1) - b.softmax(-1)).abs().sum(-1).max() > 1e-3),
            "you compare probabilities. A number that is added to all logits of a row leaves them as they "
            "are: compare the logits.",
            3,
        ),
        Mistake(
            "one-sided",
            rows_from_the_first(lambda a, b: (a - b).max() > 1e-3),
            "you leave out abs(), so logits that only fall pass for equal. Take the size of each difference "
            "first: (a - b).abs().max().",
            3,
        ),
        Mistake(
            "one-sided",
            rows_from_the_first(lambda a, b: (b - a).max() > 1e-3),
            "you leave out abs(), so logits that only rise pass for equal. Take the size of each difference "
            "first: (a - b).abs().max().",
            3,
        ),
        Mistake(
            "every-logit",
            rows_from_the_first(lambda a, b: ((a - b).abs() > 1e-3).all()),
            "you ask that every logit differs. One that does is enough: the largest difference has to be "
            "above 1e-3.",
            3,
        ),
    ],
    styles=[
        knows_positions_by_pairs,
        knows_positions_by_first_rows,
        knows_positions_by_loop,
        knows_positions_by_first_and_last,
        knows_positions_by_row_0,
        knows_positions_by_spread,
        knows_positions_by_std,
    ],
)


# --- 9.3 cache_agrees


def restarts(self, tokens, start):
    return torch.arange(tokens.shape[1])


def restarts_for_one(self, tokens, start):
    T = tokens.shape[1]
    return torch.arange(T) + (0 if T == 1 else start)


def one_short(self, tokens, start):
    return torch.arange(tokens.shape[1]) + max(0, start - 1)


def second_layer_forgets(self, layer, k, v, cache):
    return cache[layer].append(k, v) if layer == 0 else (cache[layer].append(k, v), (k, v))[1]


def one_for_all(self, layer, k, v, cache):
    return cache[0].append(k, v)


def none_with_cache(self, layer, T, S, cached):
    return torch.ones(T, S, dtype=torch.bool).tril(S - T if not cached else S)


def from_the_corner(self, layer, T, S, cached):
    return torch.ones(T, S, dtype=torch.bool).tril(0 if T > 1 else S)


def newest_alone(self, layer, T, S, cached):
    return torch.eye(S, dtype=torch.bool)[S - T :]


def no_mask_at_first(self, layer, T, S, cached):
    return torch.ones(T, S, dtype=torch.bool).tril(S if cached and T == S else S - T)


def with_a_cache(move):
    """The part of a patient whose logits are moved where there is a cache: move(logits, start)."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, start) if cached else logits

    return {"finish": finish}


def cache_cases():
    """A healthy one; sick ones that show at every step, for single tokens, in chunks, in a prompt; others."""
    tokens, two = ids(5, 1, 9), ids(6, 2, 9)
    alone = {"vectors": no_positions, "mask": newest_alone, "rounds": True}

    def moved(says, move, text):
        return patient(f"with a cache, {says}", with_a_cache(move)), text

    return [
        (HEALTHY, tokens),
        (patient("with a cache, every call starts at position 0", {"positions": restarts}), tokens),
        (patient("with a cache, a single token is at position 0", {"positions": restarts_for_one}), tokens),
        (patient("1 layer, no mask where there is a cache", {"mask": none_with_cache}, layers=1), two),
        (
            patient("1 layer, no mask in the first call with a cache", {"mask": no_mask_at_first}, layers=1),
            two,
        ),
        (patient("the mask of a later chunk starts in the corner", {"mask": from_the_corner}), tokens),
        moved("all logits are a tenth larger", lambda logits, start: 1.1 * logits, two),
        moved("all logits are 0.004 higher", lambda logits, start: logits + 0.004, tokens),
        moved("all logits are 2 higher", lambda logits, start: logits + 2.0, tokens),
        moved("all logits are 2 lower", lambda logits, start: logits - 2.0, tokens),
        moved("two logits of token 4 move", lambda logits, start: moved_at(4 - start, logits, 1.0), tokens),
        (ROUNDS, two),
        (LARGER, two),
        (BLANK, tokens),
        (WHOLE, two),
        (
            patient(
                "tokens see themselves alone and have no positions; last digits differ from call to call",
                alone,
            ),
            tokens,
        ),
        (patient("with a cache, positions are one too low", {"positions": one_short}), two),
        (patient("with a cache, layer 2 sees the new tokens only", {"seen": second_layer_forgets}), tokens),
        (patient("one cache for both layers", {"seen": one_for_all}), tokens),
        (patient("2 layers, no mask where there is a cache", {"mask": none_with_cache}), tokens),
        (
            patient("every call starts at position 0, and wpe is small", {"positions": restarts}, wpe=0.0005),
            two,
        ),
    ]


def cached(model, tokens, sizes, keep=True):
    """The logits of all tokens, read in calls of so many tokens each."""
    from gpt2lib.cache import KVCache

    cache, rows = KVCache(model.config, len(tokens)), []
    for part in tokens.split(sizes, dim=1):
        if not keep:
            cache = KVCache(model.config, len(tokens))
        rows.append(model(part, cache))
    return torch.cat(rows, dim=1)


def one_by_one(T):
    return [1] * T


def in_threes(T):
    return [3] * (T // 3)


def cache_probe(close=near, ways=(one_by_one, in_threes), rows=slice(None), keep=True, together=all):
    """A probe that reads a text in several ways with a cache and compares some rows with those without."""

    def probe(model, tokens):
        whole = model(tokens)[:, rows]
        return together(
            bool(close(cached(model, tokens, way(tokens.shape[1]), keep)[:, rows], whole)) for way in ways
        )

    return probe


def joined(join, sizes, dim=1):
    """A probe that cuts the text or joins the rows of the pieces in another way."""
    from gpt2lib.cache import KVCache

    def probe(model, tokens):
        whole = model(tokens)
        for size in sizes:
            cache = KVCache(model.config, len(tokens))
            if not near(join([model(part, cache) for part in tokens.split(size, dim)]), whole):
                return False
        return True

    return probe


def first_calls_alone(model, tokens):
    """Read ever more tokens, each time with a new cache."""
    from gpt2lib.cache import KVCache

    rows = [
        model(tokens[:, : t + 1], KVCache(model.config, len(tokens)))[:, -1:] for t in range(tokens.shape[1])
    ]
    return near(torch.cat(rows, dim=1), model(tokens))


def compares_two_caches(model, tokens):
    T = tokens.shape[1]
    return near(cached(model, tokens, one_by_one(T)), cached(model, tokens, in_threes(T)))


def last_rows_of_pieces(model, tokens):
    whole, T = model(tokens), tokens.shape[1]
    ends = slice(2, None, 3)
    return near(cached(model, tokens, one_by_one(T)), whole) and near(
        cached(model, tokens, in_threes(T))[:, ends], whole[:, ends]
    )


def one_token_after_each_prompt(model, tokens):
    whole, T = model(tokens), tokens.shape[1]
    return all(near(cached(model, tokens[:, : t + 1], [t, 1])[:, -1], whole[:, t]) for t in range(1, T))


def one_row_off(model, tokens):
    return near(cached(model, tokens, one_by_one(tokens.shape[1]))[:, :-1], model(tokens)[:, 1:])


def compares_what_it_writes(model, tokens):
    """Whether a model writes the same with a cache as without, always the most likely token."""
    from gpt2lib.generation import generate

    prompt = tokens[:, :4]
    texts = [list(generate(model, prompt, 5, use_cache=use_cache)) for use_cache in (True, False)]
    return all(torch.equal(a, b) for a, b in zip(*texts))


def cache_agrees_in_every_size(model, tokens):
    whole = model(tokens)
    return all(near(cached(model, tokens, size), whole, 1e-4) for size in range(1, tokens.shape[1]))


def cache_agrees_in_one_pass(model, tokens):
    T = tokens.shape[1]
    difference = cached(model, tokens, [3, 3, *[1] * (T - 6)]) - model(tokens)
    return difference.abs().max() < 1e-3


def cache_agrees_at_every_split(model, tokens):
    whole, T = model(tokens), tokens.shape[1]
    for prompt in range(1, T):
        if not near(cached(model, tokens, [prompt, T - prompt]), whole):
            return False
        if not near(cached(model, tokens, [prompt, *[1] * (T - prompt)]), whole):
            return False
    return True


def cache_agrees_piece_by_piece(model, tokens):
    from gpt2lib.cache import KVCache

    whole, agrees = model(tokens), True
    for size in (3, 1):
        cache = KVCache(model.config, batch_size=tokens.shape[0])
        for start in range(0, tokens.shape[1], size):
            piece = slice(start, start + size)
            agrees = agrees and torch.allclose(model(tokens[:, piece], cache), whole[:, piece], atol=1e-3)
    return agrees


CACHE_AGREES = Exercise(
    number="9.3",
    name="cache_agrees",
    level=2,
    minutes=12,
    done="you can test any cache, and you test it in the ways in which it is used.",
    hints=(
        "The cache saves work and changes nothing else. So which two tensors must be the same?",
        "Open KVCache(model.config, len(tokens)), read the text piece by piece with it, and join the logits "
        "with torch.cat(..., dim=1). tokens.split(size, dim=1) makes the pieces.",
        "Pieces of one token miss a wrong mask, and pieces of three miss what is wrong with single tokens. "
        "Do both, each with a new cache, and compare all rows with model(tokens), with atol=1e-3.",
    ),
    cases=cache_cases,
    run=run_probe,
    mistakes=[
        Mistake(
            "calls-all-healthy",
            calls_all_healthy,
            "your probe calls every model healthy. It has to hand the cache to the model and call it several "
            "times: a cache that is empty or never used cannot be wrong.",
            2,
        ),
        calls_all_sick("In a healthy one the logits with a cache are those without."),
        Mistake(
            "new-cache-each-call",
            cache_probe(keep=False),
            "your probe calls healthy models sick. One cache has to be handed to all calls of one reading: "
            "a new one for each call, or none, knows nothing of the tokens before, and one that is used for "
            "a second reading still holds the first.",
            2,
        ),
        Mistake(
            "turned-round",
            turned_round(cache_probe()),
            "healthy and sick have changed places. Return True where the logits agree.",
            1,
        ),
        Mistake(
            "one-call",
            cache_probe(ways=[lambda T: [T]]),
            "your probe looks at nothing but the first call with a cache. What the cache is for begins with "
            "the second: read the text in pieces, and compare the rows of all of them.",
            2,
        ),
        Mistake(
            "one-call",
            cache_probe(ways=[lambda T: [T]], rows=slice(-1, None)),
            "your probe looks at nothing but the last row of a first call with a cache. What the cache is "
            "for begins with the second: read the text in pieces, and compare the rows of all of them.",
            2,
        ),
        Mistake(
            "one-call",
            cache_probe(ways=[lambda T: [T]], rows=slice(0, 1)),
            "your probe looks at nothing but the first token. What the cache is for begins with the second "
            "call: read the text in pieces, and compare the rows of all of them.",
            2,
        ),
        Mistake(
            "one-by-one-only",
            cache_probe(ways=[one_by_one]),
            "you read token by token, and a single token needs no mask. Read pieces of several tokens as "
            "well: a prompt comes as one.",
            3,
        ),
        Mistake(
            "chunks-only",
            cache_probe(ways=[in_threes]),
            "every piece of yours has several tokens, and one disease strikes single ones. Generation reads "
            "one token at a time: do that too.",
            3,
        ),
        Mistake(
            "prompt-and-tokens",
            cache_probe(ways=[lambda T: [3, *one_by_one(T - 3)]]),
            "your probe never reads several tokens where the cache already holds some. Their mask is "
            "another one than that of a prompt or of a single token: read a second piece of several tokens.",
            3,
        ),
        Mistake(
            "last-row-of-a-prompt",
            cache_probe(ways=[lambda T: [T - 1, 1]], rows=slice(-1, None)),
            "you compare the row of one token after a prompt. A wrong mask shows in the other rows: compare "
            "all of them, and read in more than one way.",
            3,
        ),
        Mistake(
            "last-row-only",
            cache_probe(rows=slice(-1, None)),
            "you compare last rows alone, of the text or of each piece. The last token may see everything, "
            "so a missing mask does not show there in a model of one layer: compare all rows.",
            3,
        ),
        Mistake(
            "last-row-only",
            last_rows_of_pieces,
            "you compare last rows alone, of the text or of each piece. The last token may see everything, "
            "so a missing mask does not show there in a model of one layer: compare all rows.",
            3,
        ),
        Mistake(
            "without-the-first-piece",
            cache_probe(rows=slice(3, None)),
            "your probe lets a model pass that has no mask in the first call with a cache. Begin with a "
            "piece of several tokens, as a prompt is, and compare its rows too.",
            3,
        ),
        Mistake(
            "without-the-first-piece",
            cache_probe(rows=slice(-3, None)),
            "your probe lets a model pass that has no mask in the first call with a cache. Begin with a "
            "piece of several tokens, as a prompt is, and compare its rows too.",
            3,
        ),
        Mistake(
            "last-row-of-a-prompt",
            one_token_after_each_prompt,
            "you compare the row of one token after a prompt. A wrong mask shows in the other rows: compare "
            "all of them, and read in more than one way.",
            3,
        ),
        Mistake(
            "later-piece-only",
            cache_probe(ways=[lambda T: [5, T - 5]], rows=slice(5, None)),
            "you compare one later piece of several tokens. What is wrong with the prompt or with single "
            "tokens does not show there: compare all rows, and read in more than one way.",
            3,
        ),
        Mistake(
            "next-token-only",
            cache_probe(close=same_words, ways=[one_by_one]),
            "you compare which token comes next, and a mild case passes. Compare the logits, and read pieces "
            "of several tokens as well.",
            3,
        ),
        Mistake(
            "compares-two-caches",
            compares_two_caches,
            "you compare one reading with a cache with another. Both may be wrong in the same way: compare "
            "with model(tokens), without a cache.",
            1,
        ),
        Mistake(
            "turned-round",
            cache_probe(together=none_of),
            "healthy and sick have changed places. Return False where the logits differ, and True after the "
            "loop.",
            1,
        ),
        Mistake(
            "one-is-enough",
            cache_probe(together=any),
            "your probe is content as soon as one way of reading agrees. All of them have to: return False "
            "at the first that does not, and True after the loop.",
            3,
        ),
        *[
            Mistake(
                "wrong-axis",
                joined(join, sizes),
                "your probe calls healthy models sick. The pieces follow each other in the text, so their "
                "rows are joined along dim 1, without a new axis: torch.cat(rows, dim=1).",
                2,
            )
            for join in (torch.cat, lambda rows: torch.stack(rows, dim=1))
            for sizes in ((1,), (1, 3))
        ],
        Mistake(
            "one-by-one-only",
            cache_probe(ways=[one_by_one], rows=slice(-1, None)),
            "you read token by token, and compare the last row. A single token needs no mask: read pieces of "
            "several tokens as well, and compare all rows.",
            3,
        ),
        Mistake(
            "one-call",
            first_calls_alone,
            "your probe opens a new cache for every call, so none of them finds tokens in it. What a cache "
            "is for begins with the second call: read a text in pieces with one cache.",
            2,
        ),
        Mistake(
            "splits-the-batch",
            joined(lambda rows: torch.cat(rows, dim=1), (1, 3), dim=0),
            "you cut the batch into texts, so every text is read whole. Cut along the text: "
            "tokens.split(size, dim=1).",
            2,
        ),
        Mistake(
            "one-row-off",
            one_row_off,
            "your probe calls healthy models sick. Row t with a cache belongs to row t without: compare the "
            "rows at the same place.",
            2,
        ),
        Mistake(
            "next-token-only",
            cache_probe(close=same_words, rows=slice(-1, None)),
            "you compare which token comes next, and a mild case passes. Compare the logits, and those of "
            "all rows.",
            3,
        ),
        Mistake(
            "next-token-only",
            compares_what_it_writes,
            "you compare what the model writes, and a mild case passes: the most likely token stays the most "
            "likely. Compare the logits of all rows.",
            3,
        ),
        *tolerance_mistakes(cache_probe),
    ],
    styles=[
        cache_agrees_in_every_size,
        cache_agrees_in_one_pass,
        cache_agrees_at_every_split,
        cache_agrees_piece_by_piece,
    ],
)


# --- 9.4 keeps_texts_apart


def norm_over_texts(self, x):
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def mixing(mix):
    """The part of a patient that mixes the texts after the last layer: mix(x (B, T, C))."""
    return {"between": lambda self, layer, x: mix(x) if layer == self.config.n_layer - 1 else x}


def adds_the_one_before(x):
    return torch.cat([x[:1], x[1:] + x[:-1].roll(1, -1)])


def adds_to_one_text(listener, speaker, least=2, turned=1):
    """One text of a batch adds another, its vectors turned, where there are at least so many texts."""

    def mix(x):
        mixed = x.clone()
        if len(x) >= least:
            mixed[listener] += x[speaker].roll(turned, -1)
        return mixed

    return mix


def averages_at(place):
    """At one place each text adds the mean of all."""

    def mix(x):
        mixed = x.clone()
        mixed[:, place] += x[:, place].mean(0)
        return mixed

    return mix


def by_other_text(move):
    """The part of a patient whose logits the first token of another text moves: move(logits, ids (B, 1, 1))."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, tokens[:, 0].roll(1)[:, None, None]) if len(tokens) > 1 else logits

    return {"finish": finish}


def adds_a_little(x):
    return x + 0.0005 * x.sum(0).roll(1, -1)


def text_cases():
    """A healthy one; sick ones in which all texts mix, or some of them, at all places or at one; others."""
    three, two = ids(7, 3, 6), ids(8, 2, 7)
    low = two.clone()
    low[:, 0] = torch.tensor([1, 2])
    alone = {"vectors": no_positions, "mask": newest_alone}

    def mixes(says, mix, text, **sizes):
        return patient(says, mixing(mix), **sizes), text

    def moved(says, move):
        return patient(f"another text {says}", by_other_text(move)), low

    return [
        (HEALTHY, three),
        mixes("each text adds the mean of all", lambda x: x + x.mean(0), three),
        mixes("the first text adds the last one", adds_to_one_text(0, -1, turned=0), three),
        mixes("the second text adds the first one", adds_to_one_text(1, 0), three),
        mixes("the last text adds the one before it", adds_to_one_text(-1, -2), three),
        mixes("in a batch of three the first text adds the second", adds_to_one_text(0, 1, least=3), three),
        mixes("at token 0 each text adds the mean of all", averages_at(0), three),
        mixes("at the last token each text adds the mean of all", averages_at(-1), two),
        moved("raises all logits a little", lambda logits, other: logits + 0.003 * other),
        moved("raises all logits", lambda logits, other: logits + 2.0 * other),
        moved("lowers all logits", lambda logits, other: logits - 2.0 * other),
        moved("moves two logits of token 3", lambda logits, other: moved_at(3, logits, other[:, 0])),
        (ROUNDS, three),
        (LARGER, two),
        (BLANK, three),
        (WHOLE, two),
        (patient("tokens see themselves alone and have no positions", alone), two),
        (ROUNDS, two[:1].repeat(2, 1)),
        (patient("every norm runs over the texts", {"norm": norm_over_texts}), three),
        mixes("each text adds the one before it", adds_the_one_before, three),
        mixes("each text adds a little of the others", adds_a_little, two),
        mixes("each text adds the one before it, before training", adds_the_one_before, two, spread=0.001),
    ]


def text_probe(close=near, texts=range, position=slice(None), together=all):
    """A probe that reads some texts alone and compares their logits with those of the batch."""

    def probe(model, tokens):
        batch = model(tokens)
        return together(
            bool(close(model(tokens[b : b + 1])[:, position], batch[b : b + 1, position]))
            for b in texts(len(tokens))
        )

    return probe


def part_probe(parts, close=near, rows=slice(None)):
    """A probe that reads parts of the batch, one by one, and compares their texts, or some, with the batch."""

    def probe(model, tokens):
        return bool(close(torch.cat([model(part)[rows] for part in parts(tokens)]), model(tokens)))

    return probe


def change_probe(watched):
    """A probe that changes the first text and watches some of the texts."""

    def probe(model, tokens):
        changed = tokens.clone()
        changed[0] = (changed[0] + 1) % model.config.vocab_size
        return near(model(changed)[watched], model(tokens)[watched])

    return probe


def keeps_texts_apart_by_cat(model, tokens):
    alone = torch.cat([model(text[None]) for text in tokens])
    return (alone - model(tokens)).abs().max() < 1e-3


def keeps_texts_apart_by_changes(model, tokens):
    together = model(tokens)
    for b in range(len(tokens)):
        others = (tokens + 1) % model.config.vocab_size
        others[b] = tokens[b]
        if not near(model(others)[b], together[b], 1e-4):
            return False
    return True


def keeps_texts_apart_by_halves(model, tokens):
    """Every part of the batch, from a text to the one before another."""
    together, B = model(tokens), len(tokens)
    parts = [(start, end) for start in range(B) for end in range(start + 1, B + 1)]
    return all(near(model(tokens[start:end]), together[start:end]) for start, end in parts)


def compares_copies(model, tokens):
    copies = model(tokens[:1].repeat(len(tokens), 1))
    return near(copies, model(tokens[:1]).expand_as(copies))


def compares_among_copies(model, tokens):
    copies = model(tokens[:1].repeat(len(tokens), 1))
    return near(copies, copies[:1].expand_as(copies))


def compares_one_copy(model, tokens):
    return near(model(tokens[:1].repeat(len(tokens), 1))[:1], model(tokens[:1]))


def splits_the_text(model, tokens):
    return near(torch.cat([model(part) for part in tokens.split(1, dim=1)], dim=1), model(tokens))


def keeps_texts_apart_by_rows(model, tokens):
    together = model(tokens)
    alone = torch.empty_like(together)
    for b in range(tokens.size(0)):
        alone[b] = model(tokens[[b]]).squeeze(0)
    return bool(((alone - together).abs() < 1e-3).all())


def shuffles(model, tokens):
    order = torch.arange(len(tokens)).roll(1)
    return near(model(tokens[order]), model(tokens)[order])


def compares_texts(model, tokens):
    logits = model(tokens)
    return near(logits[1:], logits[:-1])


KEEPS_TEXTS_APART = Exercise(
    number="9.4",
    name="keeps_texts_apart",
    level=1,
    minutes=8,
    done="you can tell whether the texts of a batch are strangers to each other, as they should be.",
    hints=(
        "A batch is several texts that happen to be read at the same time. What would the logits of one of "
        "them be if it were read alone?",
        "tokens[b : b + 1] is text b as a batch of one, (1, T). Read it, and compare with rows of what the "
        "whole batch gave.",
        "together = model(tokens). For every b, compare model(tokens[b : b + 1]) with together[b : b + 1], "
        "all positions, with atol=1e-3.",
    ),
    cases=text_cases,
    run=run_probe,
    mistakes=[
        Mistake(
            "calls-all-healthy",
            calls_all_healthy,
            "your probe calls every model healthy. Each text has to be read twice, alone and among the "
            "others: in a batch of one there is nobody to listen to.",
            1,
        ),
        calls_all_sick("In a healthy one a text has the logits in a batch that it has alone."),
        Mistake(
            "compares-texts",
            compares_texts,
            "your probe calls healthy models sick. Two different texts have different logits; compare a "
            "text with itself, alone and in the batch.",
            1,
        ),
        Mistake(
            "turned-round",
            turned_round(text_probe()),
            "healthy and sick have changed places. Return True where the logits agree.",
            1,
        ),
        Mistake(
            "copies",
            compares_copies,
            "your batch is one text, copied. The mean of equal texts is that text, so mixing them shows "
            "nothing: use the different texts that you are given.",
            2,
        ),
        Mistake(
            "shuffles",
            shuffles,
            "you read the texts in another order. A model that takes the mean over the batch does not care "
            "about their order: read each text alone.",
            2,
        ),
        Mistake(
            "first-text-only",
            text_probe(texts=lambda B: [0]),
            "you look at the first text alone, perhaps since a return ends the loop in its first round. "
            "Where each text listens to the one before it, the first hears nothing: examine every text.",
            3,
        ),
        Mistake(
            "last-text-only",
            text_probe(texts=lambda B: [B - 1]),
            "you look at the last text alone, perhaps since only the last result is kept. Examine every "
            "text: return False at the first that differs.",
            3,
        ),
        Mistake(
            "without-the-first-text",
            text_probe(texts=lambda B: range(1, B)),
            "you leave out the first text, and in one model that is the sick one. Texts count from 0: "
            "range(B).",
            3,
        ),
        Mistake(
            "without-the-last-text",
            text_probe(texts=lambda B: range(B - 1)),
            "you leave out the last text of three, and in one model that is the sick one. There may be any "
            "number: range(len(tokens)).",
            3,
        ),
        Mistake(
            "parts-of-several",
            part_probe(lambda tokens: [tokens[:1], tokens[1:]]),
            "your probe lets a model pass in which the last of three texts adds the one before it. Read "
            "every text alone, however many there are.",
            3,
        ),
        Mistake(
            "parts-of-several",
            part_probe(lambda tokens: tokens.chunk(2)),
            "your probe lets a model pass in which the second of three texts adds the first one. Read every "
            "text alone, not in parts of several.",
            3,
        ),
        Mistake(
            "parts-of-several",
            part_probe(lambda tokens: [tokens[b:] for b in range(len(tokens))], rows=slice(1)),
            "your probe lets a model pass that only mixes three texts or more, for tokens[b:] is text b and "
            "all after it. A batch of text b alone is tokens[b : b + 1].",
            3,
        ),
        Mistake(
            "parts-of-several",
            part_probe(lambda tokens: [tokens[: b + 1] for b in range(len(tokens))], rows=slice(-1, None)),
            "tokens[: b + 1] is text b and all before it, and they may mix. A batch of text b alone is "
            "tokens[b : b + 1].",
            3,
        ),
        Mistake(
            "one-pair-only",
            change_probe(slice(1, None)),
            "your probe lets models pass in which the first text listens to the last, or the last to the one "
            "before it. Read each text alone, and compare all of them with the batch.",
            2,
        ),
        Mistake(
            "watches-the-changed-text",
            change_probe(slice(None)),
            "your probe calls healthy models sick. The text that you change moves, as it should: compare "
            "each text with itself, alone and in the batch.",
            2,
        ),
        Mistake(
            "splits-the-text",
            splits_the_text,
            "your probe calls healthy models sick. You cut along the text, so each token stands alone: text "
            "b is tokens[b : b + 1].",
            2,
        ),
        *[
            Mistake(name, part_probe(lambda tokens: tokens.split(1), close), says, 3)
            for name, close, says in TOLERANCES
            if name == "averaged"
        ],
        Mistake(
            "copies",
            compares_among_copies,
            "your batch is one text, copied. Equal texts stay equal when they mix: use the different texts "
            "that you are given.",
            2,
        ),
        Mistake(
            "copies",
            compares_one_copy,
            "your batch is one text, copied. The mean of equal texts is that text, so mixing them shows "
            "little: use the different texts that you are given.",
            2,
        ),
        Mistake(
            "turned-round",
            text_probe(together=none_of),
            "healthy and sick have changed places. Return False where the logits differ, and True after the "
            "loop.",
            1,
        ),
        Mistake(
            "one-is-enough",
            text_probe(together=any),
            "your probe is content as soon as one text agrees. All of them have to: return False at the "
            "first that does not, and True after the loop.",
            3,
        ),
        Mistake(
            "first-position-only",
            text_probe(position=slice(0, 1)),
            "you compare the first position of each text. The texts may mix at another one: compare all "
            "rows.",
            3,
        ),
        Mistake(
            "last-position-only",
            text_probe(position=slice(-1, None)),
            "you compare the last position of each text. The texts may mix at another one: compare all rows.",
            3,
        ),
        *tolerance_mistakes(text_probe),
    ],
    styles=[
        keeps_texts_apart_by_cat,
        keeps_texts_apart_by_changes,
        keeps_texts_apart_by_halves,
        keeps_texts_apart_by_rows,
    ],
)


# --- 9.5 head_is_tied


class OwnHead(SmallGPT2):
    """A model whose head is a tensor that no optimizer and no checkpoint knows."""

    def table(self):
        return noise(99, VOCABULARY, self.config.n_embd)

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.own = self.table()

    def unembed(self, x):
        return x @ self.own.T


class OwnParameter(OwnHead):
    """A model whose head is a parameter of its own."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.own = nn.Parameter(self.own)


class SecondName(OwnHead):
    """A healthy model that knows wte by two names."""

    def table(self):
        return self.wte.weight


class Copied(OwnHead):
    """A model whose head was copied from wte, and is still equal to it."""

    def table(self):
        return self.wte.weight.detach().clone()


class TiedInPart(Copied):
    """A model whose head shares some rows with wte and has copies of the others."""

    tied = ()

    def unembed(self, x):
        table = self.own.clone()
        table[list(self.tied)] = self.wte.weight[list(self.tied)]
        return x @ table.T


class SmallCorrection(OwnHead):
    """A model whose head is wte and a small table of its own."""

    def unembed(self, x):
        return x @ (self.wte.weight + 0.0005 * self.own).T


def biased(bias):
    """The part of a patient that adds a bias (V,) to its logits."""
    return {"finish": lambda self, logits, tokens, start, cached: logits + bias}


def head_cases():
    """Healthy ones, one of them before training; then heads that are not wte, or not wholly."""
    tokens, two = torch.tensor([[2, 8, 9, 8, 4, 11]]), torch.tensor([[6, 9, 7, 7], [10, 8, 6, 11]])
    all_but_two = [row for row in range(VOCABULARY) if row not in (9, 11)]
    rising = 1.0 + torch.arange(VOCABULARY) / 4
    up_and_down = torch.tensor([1.0, -1.0] * 8 + [0.0])
    fourth, fifth = F.one_hot(torch.tensor([4, 5]), VOCABULARY)
    return [
        (HEALTHY, tokens),
        (ROUNDS, two),
        (LARGER, two),
        (patient("a healthy model before its training", spread=0.02), tokens),
        (patient("a healthy model that knows wte by a second name", kind=SecondName), tokens),
        (patient("the head is a parameter of its own", kind=OwnParameter), tokens),
        (patient("the head is a tensor, not a parameter", kind=OwnHead), tokens),
        (patient("the head is a copy of wte, still equal to it", kind=Copied), two),
        (patient("the head is a copy of wte, before training", kind=Copied, spread=0.001), two),
        (
            patient(
                "the head has rows 0 to 11 of wte and copies of the others", {"tied": range(12)}, TiedInPart
            ),
            tokens,
        ),
        (
            patient(
                "the head has rows 5 to 16 of wte and copies of the others",
                {"tied": range(5, VOCABULARY)},
                TiedInPart,
            ),
            tokens,
        ),
        (
            patient(
                "the head has all rows of wte but 9 and 11, and copies of those",
                {"tied": all_but_two},
                TiedInPart,
            ),
            tokens,
        ),
        (patient("the head is wte and a small table of its own", kind=SmallCorrection), tokens),
        (patient("the head is wte with biases below 0", biased(-rising)), tokens),
        (patient("the head is wte with biases above 0", biased(rising)), tokens),
        (patient("the head is wte with biases of 0.003 and -0.003", biased(0.003 * up_and_down)), tokens),
        (patient("the head is wte with a bias of -0.012 for one token", biased(-0.012 * fourth)), tokens),
        (
            patient("the head is wte with biases of 5 and -5 for two tokens", biased(5.0 * (fourth - fifth))),
            tokens,
        ),
    ]


def run_head(answer, patient, tokens):
    """Let a probe examine a patient, and tell whether it left the weights as they were."""
    model = patient.model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        result = verdict(answer(model, tokens))
    if result is None:
        return None
    kept = all(near(weight, before[name], 1e-5) for name, weight in model.state_dict().items())
    return {"tied": result, "the weights afterwards": "as before" if kept else "changed"}


def wiped(model, tokens, rows=slice(None), restore=True):
    """The logits that a model gives while some rows of wte are 0."""
    saved = model.wte.weight.clone()
    model.wte.weight[rows] = 0
    logits = model(tokens)
    if restore:
        model.wte.weight.copy_(saved)
    return logits


def head_probe(close=near, rows=slice(None), restore=True):
    """A probe that wipes some rows of wte and asks whether their logits are 0."""

    def probe(model, tokens):
        logits = wiped(model, tokens, rows, restore)[..., rows]
        return bool(close(logits, torch.zeros_like(logits)))

    return probe


def head_is_tied_token_by_token(model, tokens):
    for token in range(model.config.vocab_size):
        if wiped(model, tokens, [token])[..., token].abs().max().item() > 1e-3:
            return False
    return True


def head_is_tied_by_doubling(model, tokens):
    unused = [token for token in range(model.config.vocab_size) if token not in tokens]
    used = tokens.unique()
    before, saved = model(tokens), model.wte.weight.clone()
    model.wte.weight[unused] *= 2
    doubled = model(tokens)
    model.wte.weight.copy_(saved)
    return near(doubled[..., unused], 2 * before[..., unused]) and near(
        wiped(model, tokens, used)[..., used], torch.tensor(0.0)
    )


def head_is_tied_by_shuffling(model, tokens):
    """Exchange the rows of wte and the ids of the text: only the columns of the logits change places."""
    V = model.config.vocab_size
    order = torch.arange(V).roll(1)  # token t gets the vector of token t - 1
    before, saved = model(tokens), model.wte.weight.clone()
    model.wte.weight.copy_(saved[order])
    after = model((tokens + 1) % V)
    model.wte.weight.copy_(saved)
    return near(after, before[..., order])


def not_in(tokens):
    """The ids that are in none of the texts."""
    return [token for token in range(VOCABULARY) if token not in tokens]


def wipes_a_word_of_the_text(model, tokens):
    return clearly(wiped(model, tokens, tokens[0, :1]), model(tokens))


def wants_no_change(model, tokens):
    return near(wiped(model, tokens), model(tokens))


def adds_a_constant(model, tokens):
    unused, used = not_in(tokens), tokens.unique()
    before, saved = model(tokens), model.wte.weight.clone()
    model.wte.weight[unused] += 1
    moved = (model(tokens) - before)[..., unused].abs().amax((0, 1)).min() > 1e-3
    model.wte.weight.copy_(saved)
    return bool(moved) and near(wiped(model, tokens, used)[..., used], torch.tensor(0.0))


def adds_a_constant_to(rows):
    """A probe that adds 1 to some rows of wte and asks whether their logits move."""

    def probe(model, tokens):
        before, saved = model(tokens), model.wte.weight.clone()
        model.wte.weight[rows] += 1
        after = model(tokens)
        model.wte.weight.copy_(saved)
        return clearly(after[..., rows], before[..., rows])

    return probe


def wipes_unused_rows(model, tokens):
    logits = wiped(model, tokens, not_in(tokens))[..., not_in(tokens)]
    return near(logits, torch.zeros_like(logits))


def puts_a_new_table_back(model, tokens):
    saved = model.wte.weight.clone()
    model.wte.weight.zero_()
    logits = model(tokens)
    model.wte.weight = nn.Parameter(saved)
    return near(logits, torch.zeros_like(logits))


def counts_weights(model, tokens):
    return sum(weight.shape == model.wte.weight.shape for weight in model.state_dict().values()) == 1


def wipes_used_rows(model, tokens):
    used = tokens.unique()
    logits = wiped(model, tokens, used)[..., used]
    return near(logits, torch.zeros_like(logits))


def doubles_an_unused_row(model, tokens):
    row, before, saved = not_in(tokens)[0], model(tokens), model.wte.weight.clone()
    model.wte.weight[row] *= 2
    after = model(tokens)
    model.wte.weight.copy_(saved)
    return clearly(after[..., row], before[..., row])


def puts_another_table(model, tokens):
    saved = model.wte.weight
    model.wte.weight = nn.Parameter(torch.zeros_like(saved))
    logits = model(tokens)
    model.wte.weight = saved
    return near(logits, torch.zeros_like(logits))


def restores_healthy_ones(model, tokens):
    saved = model.wte.weight.clone()
    model.wte.weight.zero_()
    if model(tokens).abs().max().item() > 1e-3:
        return False
    model.wte.weight.copy_(saved)
    return True


def head_is_tied_exactly(model, tokens):
    """A sum of zeros is 0 to the last digit."""
    table = model.wte.weight
    saved = table.clone()
    try:
        table.fill_(0.0)
        return not model(tokens).any()
    finally:
        table.copy_(saved)


def counts_parameters(model, tokens):
    tables = [p for p in model.parameters() if p.shape == model.wte.weight.shape]
    return len(tables) == 1


def wants_any_change(model, tokens):
    """Whether the logits of every unused token move when its vector is wiped."""
    moved = (wiped(model, tokens, not_in(tokens)) - model(tokens))[..., not_in(tokens)]
    return bool(moved.abs().amax((0, 1)).min() > 1e-3)


HEAD_IS_TIED = Exercise(
    number="9.5",
    name="head_is_tied",
    level=2,
    minutes=10,
    done="you can tell a head that is wte from one that only looks like it.",
    hints=(
        "A tied head multiplies with wte. So what you do to wte must be seen in the logits. What is the dot "
        "product of any vector with a row of zeros?",
        "Keep a clone of model.wte.weight, set the whole table to 0 with model.wte.weight.zero_(), read the "
        "text, and put the clone back with copy_. Only the head knows tokens by their rows now.",
        "saved = model.wte.weight.clone(); wipe; logits = model(tokens); restore. What must all the logits "
        "be, up to 1e-3?",
    ),
    cases=head_cases,
    run=run_head,
    mistakes=[
        Mistake(
            "calls-all-healthy",
            wipes_a_word_of_the_text,
            "your probe calls every model healthy. What you do to wte moves the logits in any model, since "
            "the text is read with it, and a head may have any name or none: wipe the whole table, and ask "
            "whether the logits are 0.",
            1,
        ),
        Mistake(
            "calls-all-sick",
            wants_no_change,
            "your probe calls every model sick. Read the text while the table itself is wiped, not a clone "
            "of it and not after you put it back, and ask whether the logits are 0; that they are others "
            "than before is so in any model.",
            3,
        ),
        Mistake(
            "turned-round",
            turned_round(head_probe()),
            "healthy and sick have changed places. Return True where a wiped row gives a logit of 0.",
            3,
        ),
        Mistake(
            "never-restores",
            head_probe(restore=False),
            "your probe leaves wte wiped, so the model is useless after the examination. Keep a clone of the "
            "weights and copy it back before you return.",
            2,
        ),
        Mistake(
            "adds-a-constant",
            adds_a_constant,
            "you add the same number to all C places of a row, and a fresh model's logits don't move. "
            "LayerNorm leaves vectors with mean 0, and their dot product with a constant row is 0: wipe the "
            "row.",
            1,
        ),
        Mistake(
            "adds-a-constant-to-one",
            adds_a_constant_to([0]),
            "you add a constant to one row, which a fresh model's logits don't notice, since LayerNorm "
            "leaves vectors with mean 0; and other rows may be untied. Wipe all rows instead.",
            1,
        ),
        Mistake(
            "counts-tables",
            counts_parameters,
            "your probe finds a head that is a parameter of its own, and no other. A head may be a plain "
            "tensor, which is in no list of parameters: watch the logits, not the list.",
            1,
        ),
        *[
            Mistake(
                "some-rows-only",
                head_probe(rows=rows),
                "you examine some tokens only. A head may share some rows with wte and not others, as after "
                "a vocabulary was enlarged: examine all rows.",
                2,
            )
            for rows in ([0], [VOCABULARY - 1], slice(0, 8), slice(8, None), slice(0, None, 2))
        ],
        Mistake(
            "any-change",
            wants_any_change,
            "your probe lets a head pass that is wte and something of its own, for its logits do depend on "
            "wte. Ask for more: a wiped row must give 0, in every row.",
            3,
        ),
        *[
            Mistake(
                "too-wide",
                head_probe(within(size)),
                "your tolerance is so wide that a head with a little of its own passes. A tied head gives "
                "0, so 1e-3 leaves room enough.",
                3,
            )
            for size in (0.01, 0.05)
        ],
        *[
            Mistake("averaged", head_probe(close), AVERAGED, 3)
            for name, close, _ in TOLERANCES
            if name == "averaged"
        ],
        Mistake("averaged", head_probe(lambda a, b: (a - b).sum().abs() < 1e-3), AVERAGED, 3),
        Mistake(
            "one-sided",
            head_probe(lambda a, b: (a < 1e-3).all()),
            "you leave out abs(), so logits below 0 pass for 0. Take their size first: logits.abs().max().",
            3,
        ),
        Mistake(
            "one-sided",
            head_probe(lambda a, b: (a > -1e-3).all()),
            "you leave out abs(), so logits above 0 pass for 0. Take their size first: logits.abs().max().",
            3,
        ),
        Mistake(
            "unused-rows-only",
            wipes_unused_rows,
            "you examine the tokens that are not in the text. A head may share those rows with wte and not "
            "the others: wipe all rows.",
            2,
        ),
        Mistake(
            "used-rows-only",
            wipes_used_rows,
            "you examine the tokens of the text alone, or look at their logits alone. A head may share those "
            "rows with wte and not the others: wipe all rows, and look at all logits.",
            2,
        ),
        Mistake(
            "any-change",
            doubles_an_unused_row,
            "you ask whether one logit moves when its row is doubled. Other rows may be untied, and the head "
            "may have something of its own besides wte: wipe all rows, and ask whether the logits are 0.",
            3,
        ),
        Mistake(
            "adds-a-constant",
            adds_a_constant_to(slice(None)),
            "you add the same number to all C places of every row, and a fresh model's logits don't move. "
            "LayerNorm leaves vectors with mean 0, and their dot product with a constant row is 0: wipe the "
            "table.",
            1,
        ),
        Mistake(
            "puts-another-table",
            puts_another_table,
            "you put another table in the place of wte, and a model that knows the old one by a second name "
            "goes on with it. Write into the table itself: model.wte.weight.zero_().",
            2,
        ),
        Mistake(
            "puts-another-table",
            puts_a_new_table_back,
            "you put a new parameter in the place of wte at the end, and a model that knows the old one by "
            "a second name keeps the wiped one. Copy back into the table itself: "
            "model.wte.weight.copy_(saved).",
            2,
        ),
        Mistake(
            "counts-tables",
            counts_weights,
            "you look for a second table in a list of weights. A head may be a plain tensor, which is in no "
            "list, and one table may have two names: watch the logits.",
            1,
        ),
        Mistake(
            "restores-healthy-ones",
            restores_healthy_ones,
            "your probe leaves wte wiped where the model is sick, for it returns before the table is put "
            "back. Restore first, then return.",
            2,
        ),
        Mistake(
            "returns-the-size",
            lambda model, tokens: wiped(model, tokens).abs().max().item(),
            "you return the largest logit. Say whether it is below 1e-3: return logits.abs().max().item() < "
            "1e-3.",
            3,
        ),
    ],
    styles=[
        head_is_tied_token_by_token,
        head_is_tied_by_doubling,
        head_is_tied_by_shuffling,
        head_is_tied_exactly,
    ],
)


# --- 9.6 name_the_cause


def ward():
    """A healthy model and one of each illness, some of which fail more than one probe."""
    two, three = ids(11, 2, 9), ids(12, 3, 9)
    unused = torch.tensor([[2, 8, 9, 8, 4, 11, 9, 3, 2], [6, 9, 7, 7, 2, 8, 4, 3, 11]])
    return [
        (HEALTHY, two),
        (LARGER, three),
        (patient("in layer 2 each token sees one ahead", in_layer(1, one_ahead)), two),
        (patient("no positions, 2 layers", {"vectors": no_positions}), three),
        (patient("with a cache, positions are one too low", {"positions": one_short}), two),
        (patient("every norm runs over the texts", {"norm": norm_over_texts}), three),
        (patient("each text adds the one before it", mixing(adds_the_one_before)), three),
        (patient("the head is a tensor, not a parameter", kind=OwnHead), unused),
        (patient("heads are merged without transposing back", {"merge": merged_by_reshape}), three),
    ]


PROBES = {
    "mask": future_probe(),
    "batch": text_probe(),
    "positions": neighbours_differ(clearly),
    "cache": cache_probe(),
    "head": head_probe(),
}


def doctor(
    order=tuple(PROBES),
    healthy="healthy",
    failed=lambda result: not result,
    texts=lambda texts: texts,
    says=str,
):
    """A doctor who runs probes in an order and names the first one that fails."""

    def name_the_cause(model, tokens):
        for cause in order:
            if failed(PROBES[cause](model, texts(tokens))):
                return says(cause)
        return healthy

    return name_the_cause


def name_the_cause_backwards(model, texts):
    found = "healthy"
    for cause in reversed(PROBES):
        if not PROBES[cause](model, texts):
            found = cause
    return found


def name_the_cause_from_all(model, texts):
    fails = {cause for cause, probe in PROBES.items() if not probe(model, texts)}
    if len(fails) > 1:
        fails -= {"cache", "positions"} if fails & {"mask", "batch"} else set()
    return min(fails, default="healthy", key=list(PROBES).index)


def name_the_cause_by_ifs(model, texts):
    if not PROBES["head"](model, texts):
        return "head"
    if not PROBES["mask"](model, texts):
        return "mask"
    if PROBES["batch"](model, texts):
        if not PROBES["cache"](model, texts):
            return "cache"
        return "healthy" if PROBES["positions"](model, texts) else "positions"
    return "batch"


def wants_both(model, texts):
    fails = {cause for cause, probe in PROBES.items() if not probe(model, texts)}
    if "batch" in fails and "positions" not in fails:
        fails.remove("batch")
    return next((cause for cause in PROBES if cause in fails), "healthy")


def name_the_cause_by_index(model, texts):
    causes = [*PROBES, "healthy"]
    return causes[[*(PROBES[cause](model, texts) for cause in PROBES), False].index(False)]


NAMES_OF_PROBES = dict(
    mask="sees_no_future",
    positions="knows_positions",
    cache="cache_agrees",
    batch="keeps_texts_apart",
    head="head_is_tied",
    healthy="healthy",
)

NAME_THE_CAUSE = Exercise(
    number="9.6",
    name="name_the_cause",
    level=2,
    minutes=10,
    done="five symptoms, five causes, and a doctor who tells them apart.",
    hints=(
        "Two illnesses fail more than one probe. Which two, and which of their failures is the cause?",
        "A model that reads ahead cannot have a right cache either, and one that mixes texts may lose its "
        "positions. So the order matters: ask for the cause before you ask for what follows from it.",
        "Ask sees_no_future and keeps_texts_apart first, then the other three. `return` at the first probe "
        "that says False, and return 'healthy' after the last.",
    ),
    cases=ward,
    run=run_probe,
    mistakes=[
        Mistake(
            "cache-first",
            doctor(("cache", "mask", "batch", "positions", "head")),
            "a model that reads ahead leaves as 'cache'. It fails both probes, since the tokens ahead are "
            "not in the cache yet: ask sees_no_future first, and return at once.",
            2,
        ),
        Mistake(
            "positions-first",
            doctor(("positions", "mask", "batch", "cache", "head")),
            "a model that mixes its texts leaves as 'positions'. A norm over the texts subtracts what they "
            "have in common, and their positions are part of that: ask keeps_texts_apart first.",
            2,
        ),
        Mistake(
            "turned-round",
            doctor(failed=bool),
            "you name a cause where the probe is content. A probe returns True for a healthy model: name "
            "the cause where it returns False.",
            3,
        ),
        Mistake(
            "nobody-is-healthy",
            doctor(("mask", "batch", "positions", "cache"), healthy="head"),
            "you call a healthy model ill, perhaps with an `else` for the last cause. Ask all five probes, "
            "and return 'healthy' where none fails.",
            3,
        ),
        Mistake(
            "returns-none",
            doctor(healthy=None),
            "you return None for a healthy model. Return 'healthy' after the last probe.",
            3,
        ),
        Mistake(
            "names-the-probe",
            lambda model, texts: NAMES_OF_PROBES[doctor()(model, texts)],
            "you return the probe's name, which is the symptom. Return the cause: 'mask', 'positions', "
            "'cache', 'batch' or 'head'.",
            1,
        ),
        Mistake(
            "one-text",
            doctor(texts=lambda texts: texts[:1]),
            "no model leaves as 'batch'. Ask keeps_texts_apart, and give it the whole batch: in a batch of "
            "one there is nobody to mix with.",
            1,
        ),
        Mistake(
            "without-the-head",
            doctor(("mask", "batch", "positions", "cache")),
            "a model with a head of its own leaves as healthy. Ask head_is_tied too.",
            3,
        ),
        Mistake(
            "without-the-cache",
            doctor(("mask", "batch", "positions", "head")),
            "a model that is wrong with a cache alone leaves as healthy. Ask cache_agrees too.",
            3,
        ),
        Mistake(
            "every-failure",
            lambda model, texts: [cause for cause, probe in PROBES.items() if not probe(model, texts)],
            "you return a list of all that fails. Some of it only follows from the cause: return one word, "
            "the cause itself, or 'healthy'.",
            2,
        ),
        Mistake(
            "follows-for-cause",
            doctor(("cache", "positions", "mask", "batch", "head")),
            "a model that reads ahead leaves as 'cache', and one that mixes its texts as 'positions'. Those "
            "follow from the cause: ask sees_no_future and keeps_texts_apart first, and return at the first "
            "failure.",
            2,
        ),
        Mistake(
            "always-healthy",
            doctor(()),
            "you call every model healthy. Call each probe with both arguments, and look at every failure "
            "before you return 'healthy'.",
            3,
        ),
        Mistake(
            "healthy-too-early",
            doctor(("mask",)),
            "you return 'healthy' as soon as one probe is content. Ask all five first, and return 'healthy' "
            "after the last.",
            3,
        ),
        Mistake(
            "without-positions",
            doctor(("mask", "batch", "cache", "head")),
            "a model that does not know where a token stands does not leave as 'positions'. Ask "
            "knows_positions too.",
            3,
        ),
        Mistake(
            "without-the-head",
            doctor(("mask", "batch", "positions")),
            "a model with a head of its own leaves as healthy, and so does one that is wrong with a cache. "
            "Ask cache_agrees and head_is_tied too.",
            3,
        ),
        Mistake(
            "both-or-nothing",
            wants_both,
            "you call a model mixed only if its positions are lost too. One failure is enough: "
            "keeps_texts_apart alone tells.",
            2,
        ),
        Mistake(
            "merges-two",
            doctor(says=lambda cause: {"cache": "mask", "positions": "batch"}.get(cause, cause)),
            "you never say 'cache' nor 'positions'. What fails both probes is 'mask' or 'batch'; what fails "
            "cache_agrees alone is 'cache', and knows_positions alone 'positions'.",
            2,
        ),
        Mistake(
            "every-failure",
            lambda model, texts: {cause: probe(model, texts) for cause, probe in PROBES.items()},
            "you return what every probe says. Return one word, the cause, or 'healthy'.",
            2,
        ),
        Mistake(
            "every-failure",
            lambda model, texts: [c for c, probe in PROBES.items() if not probe(model, texts)] or "healthy",
            "you return a list of all that fails. Some of it only follows from the cause: return one word, "
            "the cause itself.",
            2,
        ),
        *[
            Mistake(
                "every-failure",
                lambda model, texts, glue=glue: (
                    glue.join(c for c, probe in PROBES.items() if not probe(model, texts)) or "healthy"
                ),
                "you name all that fails. Some of it only follows from the cause: return one word, the cause "
                "itself.",
                2,
            )
            for glue in (", ", " ")
        ],
        *[
            Mistake(
                "other-words",
                doctor(healthy=healthy, says=change),
                "your words have capitals. They are 'mask', 'positions', 'cache', 'batch', 'head' and "
                "'healthy'.",
                3,
            )
            for healthy, change in (
                ("Healthy", str.capitalize),
                ("healthy", str.capitalize),
                ("HEALTHY", str.upper),
                ("Healthy", str),
            )
        ],
        *[
            Mistake(
                "other-words",
                lambda model, texts, cause=cause, word=word: {cause: word}.get(
                    found := doctor()(model, texts), found
                ),
                f"one of your words is another one, {word!r}. They are 'mask', 'positions', 'cache', 'batch', 'head' and "
                "'healthy'.",
                3,
            )
            for cause, word in (
                ("positions", "position"),
                ("batch", "texts"),
                ("batch", "batches"),
                ("head", "heads"),
                ("mask", "future"),
                ("mask", "masks"),
                ("healthy", "none"),
            )
        ],
    ],
    styles=[
        name_the_cause_backwards,
        name_the_cause_from_all,
        name_the_cause_by_ifs,
        name_the_cause_by_index,
    ],
)


# --- 9.7 repair


@cache
def bodies():
    """Return the library's GPT2 and four sick kinds of it. Imported late: `progress` works without the library."""
    from gpt2lib.embeddings import unembed
    from gpt2lib.model import GPT2

    class ReadsAhead(GPT2):
        """A GPT2 without a mask: each block sees the text turned round, too."""

        def forward(self, tokens, cache=None, *, last_only=False):
            logits = super().forward(tokens, cache) + super().forward(tokens.flip(1)).flip(1)
            return logits[:, -1:] if last_only else logits

    class LosesPositions(GPT2):
        """A GPT2 that looks positions up with the tokens' ids."""

        def forward(self, tokens, cache=None, *, last_only=False):
            x = self.wte(tokens) + self.wpe(tokens % self.config.n_positions)
            for block in self.h:
                x = block(x)
            return unembed(self.ln_f(x), self.wte.weight)

    class OtherNorm(nn.LayerNorm):
        """A norm over the texts of the batch."""

        def forward(self, x):
            return (x - x.mean(0)) / (x.var(0, correction=0) + self.eps).sqrt() * self.weight + self.bias

    class MixesTexts(GPT2):
        """A GPT2 with a wrong norm in every block."""

        def __init__(self, config):
            super().__init__(config)
            for block in self.h:
                block.ln_1, block.ln_2 = OtherNorm(config.n_embd), OtherNorm(config.n_embd)

    class OwnTable(GPT2):
        """A GPT2 with a head of its own, which is one weight too many in its checkpoint."""

        def __init__(self, config):
            super().__init__(config)
            self.head = nn.Parameter(torch.zeros(config.vocab_size, config.n_embd))

        def forward(self, tokens, cache=None, *, last_only=False):
            return super().forward(tokens, cache, last_only=last_only) + self.wte(tokens) @ self.head.T

    return SimpleNamespace(
        healthy=GPT2, ahead=ReadsAhead, lost=LosesPositions, mixed=MixesTexts, own_table=OwnTable
    )


@dataclass(frozen=True)
class Sick:
    """A patient of the library's own kind: what ails it, and how it is made."""

    says: str
    kind: str  # its name among the bodies
    sizes: tuple  # of vocabulary, positions, vectors, layers, heads

    def __repr__(self):
        return self.says

    def model(self):
        names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        model = getattr(bodies(), self.kind)(GPT2Config(**dict(zip(names, self.sizes))))
        with torch.no_grad():
            for seed, parameter in enumerate(model.parameters()):
                parameter.copy_(0.3 * noise(seed, *parameter.shape))
        return model


def sick_models():
    """One of each illness; the shape of the second is like that of no other."""
    tokens = ids(13, 2, 5) % 11
    return [
        (Sick("a model that reads ahead", "ahead", (11, 8, 8, 1, 2)), tokens),
        (Sick("a model that looks positions up with the tokens' ids", "lost", (17, 6, 9, 2, 3)), tokens),
        (Sick("a model whose norms run over the texts", "mixed", (11, 8, 8, 2, 4)), tokens),
        (Sick("a model with a head of its own", "own_table", (11, 8, 8, 1, 2)), tokens),
    ]


def as_before(model, tokens, before):
    """Tell whether a model still gives the logits that it gave before."""
    try:
        return near(model(tokens), before, 1e-5)
    except AttributeError:  # a part of it is gone
        return False


def run_surgeon(answer, patient, tokens):
    """Let a patient be repaired; return whose weights the new model has, its logits, and how the patient is."""
    sick = patient.model()
    before, kind = sick(tokens), type(sick)
    theirs = {name: weight.clone() for name, weight in sick.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for the weights of a new model
        healed = answer(sick)
    if not isinstance(healed, nn.Module):
        return healed
    lost = [
        name
        for name, weight in healed.named_parameters()
        if name not in theirs or not torch.equal(weight, theirs[name])
    ]
    untouched = type(sick) is kind and as_before(sick, tokens, before)
    result = {
        "weights that are not the patient's": lost,
        "the patient afterwards": "as before" if untouched else "changed",
    }
    if not lost:
        result["logits"] = healed(tokens).detach()
        with torch.no_grad():
            healed.wte.weight.add_(1.0)
            apart = as_before(sick, tokens, before)
        result["if a weight of the new model changes"] = f"the patient {'stays' if apart else 'changes'}"
    return result


def surgeon(weights, **options):
    """A surgeon who puts some of the weights into a new body."""

    def repair(model):
        healthy = bodies().healthy(model.config)
        healthy.load_state_dict(weights(model), **options)
        return healthy

    return repair


def healthy_weights(model):
    """The weights of a model that a GPT2 has."""
    names = bodies().healthy(model.config).state_dict()
    return {name: weight for name, weight in model.state_dict().items() if name in names}


def repair_by_copying(model):
    healthy = bodies().healthy(model.config)
    theirs = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in healthy.named_parameters():
            parameter.copy_(theirs[name])
    return healthy


def repair_by_popping(model):
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    weights.pop("head", None)
    healthy = bodies().healthy(model.config)
    healthy.load_state_dict(weights, assign=True)
    return healthy


def repair_loosely(model):
    healthy = bodies().healthy(model.config)
    healthy.load_state_dict(model.state_dict(), strict=False)
    return healthy


def same_class(model):
    healthy = type(model)(model.config)
    healthy.load_state_dict(model.state_dict())
    return healthy


def another_class_on_top(model):
    model.__class__ = bodies().healthy
    return model


def another_forward(model):
    model.forward = MethodType(bodies().healthy.forward, model)
    return model


def takes_the_parts(model):
    healthy = bodies().healthy(model.config)
    for name in ("wte", "wpe", "h", "ln_f"):
        setattr(healthy, name, getattr(model, name))
    return healthy


def copies_the_parts(model):
    return takes_the_parts(copy.deepcopy(model))


def the_other_way(model):
    model.load_state_dict(bodies().healthy(model.config).state_dict(), strict=False)
    return model


def removes_the_head(model):
    if hasattr(model, "head"):
        del model.head
    return repair_loosely(model)


def head_for_wte(model):
    weights = healthy_weights(model)
    return {**weights, "wte.weight": model.state_dict().get("head", weights["wte.weight"])}


def repair_by_names(model):
    healthy, weights = bodies().healthy(replace(model.config)), model.state_dict()
    healthy.load_state_dict({name: weights[name] for name in healthy.state_dict()})
    return healthy.eval()


def embeddings_alone(model):
    return {name: weight for name, weight in healthy_weights(model).items() if name.startswith("w")}


def blocks_alone(model):
    return {name: weight for name, weight in healthy_weights(model).items() if name.startswith("h.")}


def wte_alone(model):
    return {"wte.weight": model.wte.weight}


def without_biases(model):
    return {name: weight for name, weight in healthy_weights(model).items() if name.endswith("weight")}


def without_last_norm(model):
    return {name: weight for name, weight in healthy_weights(model).items() if not name.startswith("ln_f")}


def matrices_alone(model):
    return {name: weight for name, weight in healthy_weights(model).items() if weight.ndim == 2}


REPAIR = Exercise(
    number="9.7",
    name="repair",
    level=1,
    minutes=8,
    done="the weights were worth keeping, and now they live in a healthy body.",
    hints=(
        "What of the patient is wrong: its weights, or the code that they run through?",
        "Make a new GPT2 of the patient's config, and load the patient's weights into it.",
        "healthy.load_state_dict(model.state_dict(), strict=False): without strict=False a weight that a "
        "GPT2 does not have, such as a head of its own, is an error.",
    ),
    cases=sick_models,
    run=run_surgeon,
    mistakes=[
        Mistake(
            "fresh",
            lambda model: bodies().healthy(model.config),
            "you return a healthy model with other weights. What the patient has learned is lost: load its "
            "state_dict().",
            2,
        ),
        Mistake(
            "itself",
            lambda model: model,
            "you return the patient itself. Make a new GPT2 and load the patient's weights into it.",
            2,
        ),
        Mistake(
            "a-copy",
            same_class,
            "you make another model of the patient's own class, with the same illness. Make a GPT2: "
            "GPT2(model.config).",
            2,
        ),
        Mistake(
            "class-on-top",
            another_class_on_top,
            "you change the patient's class. What is wrong inside its blocks stays, and the patient is no "
            "longer what it was: make a new GPT2.",
            2,
        ),
        Mistake(
            "strict",
            surgeon(lambda model: model.state_dict()),
            "the patient with a head of its own has a weight that no GPT2 has, and load_state_dict refuses "
            "it. Pass strict=False, or leave that weight out.",
            3,
        ),
        Mistake(
            "shared",
            surgeon(healthy_weights, assign=True),
            "the two models now share their weights, so training one changes the other. Without assign=True, "
            "load_state_dict copies.",
            2,
        ),
        Mistake(
            "embeddings-alone",
            surgeon(embeddings_alone, strict=False),
            "you carry over the embeddings alone; the blocks have fresh weights. Load the whole "
            "state_dict().",
            2,
        ),
        Mistake(
            "blocks-alone",
            surgeon(blocks_alone, strict=False),
            "you carry over the blocks alone; embeddings and the last norm are fresh. Load the whole "
            "state_dict().",
            2,
        ),
        Mistake(
            "matrices-alone",
            surgeon(matrices_alone, strict=False),
            "you carry over the matrices alone. Biases and gains are weights too: load the whole "
            "state_dict().",
            2,
        ),
        Mistake(
            "class-on-top",
            another_forward,
            "you give the patient another forward. What is wrong inside its blocks stays, and the patient is "
            "no longer what it was: make a new GPT2.",
            2,
        ),
        Mistake(
            "takes-the-parts",
            takes_the_parts,
            "you put the patient's own parts into the new model, and what is wrong inside them comes along. "
            "Only the weights may move: load_state_dict.",
            2,
        ),
        Mistake(
            "parts-come-along",
            copies_the_parts,
            "the new model has the patient's weights, and what is wrong inside its blocks as well, as where "
            "parts or the whole are copied. Make a new GPT2 and load the state_dict().",
            2,
        ),
        Mistake(
            "the-other-way",
            the_other_way,
            "you load fresh weights into the patient, and what it had learned is gone. It is the new model "
            "that loads: healthy.load_state_dict(model.state_dict()).",
            2,
        ),
        Mistake(
            "removes-the-head",
            removes_the_head,
            "you change the patient: its head is gone, or no longer what it was. Leave that weight out of "
            "what you load instead: strict=False.",
            3,
        ),
        Mistake(
            "head-for-wte",
            surgeon(head_for_wte),
            "you load the patient's own head as wte. The weights of a GPT2 are those with its names: leave "
            "the head out.",
            3,
        ),
        Mistake(
            "embeddings-alone",
            surgeon(wte_alone, strict=False),
            "you carry over wte alone; all else has fresh weights. Load the whole state_dict().",
            2,
        ),
        Mistake(
            "biases-left",
            surgeon(without_biases, strict=False),
            "you leave the biases behind. They are weights too: load the whole state_dict().",
            2,
        ),
        Mistake(
            "last-norm-left",
            surgeon(without_last_norm, strict=False),
            "you leave the last norm behind. It has weights too: load the whole state_dict().",
            2,
        ),
        Mistake(
            "returns-names",
            lambda model: bodies().healthy(model.config).load_state_dict(model.state_dict(), strict=False),
            "you return what load_state_dict says, which is a list of names. Keep the new model under a "
            "name, load into it, and return it.",
            3,
        ),
    ],
    styles=[repair_by_copying, repair_by_popping, repair_loosely, repair_by_names],
)

EXERCISES = [
    SEES_NO_FUTURE,
    KNOWS_POSITIONS,
    CACHE_AGREES,
    KEEPS_TEXTS_APART,
    HEAD_IS_TIED,
    NAME_THE_CAUSE,
    REPAIR,
]
