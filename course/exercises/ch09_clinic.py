"""The exercises of chapter 09: patients that run and train and are wrong, and probes that find them out."""

import torch
from torch import nn

from course.exercise import Exercise, Mistake
from gpt2lib.attention import CausalSelfAttention, attend, causal_mask, merge_heads, split_heads
from gpt2lib.cache import KVCache
from gpt2lib.config import GPT2Config
from gpt2lib.embeddings import unembed
from gpt2lib.model import GPT2

SIZES = GPT2Config(vocab_size=61, n_positions=24, n_embd=24, n_layer=3, n_head=3)
OTHER = GPT2Config(vocab_size=97, n_positions=16, n_embd=20, n_layer=2, n_head=4)


# --- the patients


class Patient(GPT2):
    """A GPT2 with one thing to get wrong: what is done where it is not GPT-2's way."""

    def position(self, start, T):
        """Return the positions of T new tokens after `start`: (T,)."""
        return torch.arange(start, start + T)

    def mixed(self, x):
        """Return the vectors (B, T, C) before the first block."""
        return x

    def forward(self, tokens, cache=None, *, last_only=False):
        start = 0 if cache is None else cache.length
        places = self.position(start, tokens.shape[1])
        x = self.mixed(self.wte(tokens) + self.wpe(places))
        for i, block in enumerate(self.h):
            x = block(x, None if cache is None else cache[i])
        return unembed(self.ln_f(x[:, -1:] if last_only else x), self.wte.weight)


class SickAttention(CausalSelfAttention):
    """Attention of which some heads look where they should not."""

    heads = slice(None)

    def allowed(self, T, S, cached):
        """Return which tokens the sick heads look at: bool (T, S)."""
        return causal_mask(T, S)

    def forward(self, x, cache=None):
        q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.append(k, v)
        T, S = q.shape[2], k.shape[2]
        y = attend(q, k, v, causal_mask(T, S))
        sick = attend(q, k, v, self.allowed(T, S, cache is not None))
        y[:, self.heads] = sick[:, self.heads]
        return self.c_proj(merge_heads(y))


def model_of(kind=Patient, config=SIZES, seed=0):
    """Return a model of this kind with random numbers in every parameter."""
    model = kind(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = 0.2 if weight.ndim == 1 else 0.35
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
            if "ln_" in name and name.endswith("weight"):
                weight.add_(1.0)
    return model.eval()


def with_attention(allowed, layers=(0, 1, 2), heads=slice(None)):
    """Return a model in whose layers the heads look where `allowed(T, S, cached)` says."""
    model = model_of()
    for i in layers:
        attn = model.h[i].attn
        attn.__class__ = type("SickAttention", (SickAttention,), {"heads": heads})
        attn.allowed = allowed
    return model


def with_method(**methods):
    """Return a model with other methods."""
    return model_of(type("Patient", (Patient,), methods))


def ahead(by):
    """Look `by` tokens further than allowed."""
    return lambda T, S, cached: torch.ones(T, S, dtype=torch.bool).tril(S - T + by)


def only_far(T, S, cached):
    """Look back, and at the token six places ahead."""
    mask = causal_mask(T, S)
    if T == S > 6:
        mask[torch.arange(T - 6), torch.arange(6, T)] = True
    return mask


def window_with_cache(T, S, cached):
    """Forget, with a cache, what is more than three tokens back."""
    mask = causal_mask(T, S)
    return mask & ~mask.tril(S - T - 4) if cached else mask


def no_mask_in_chunks(T, S, cached):
    """See everything where several tokens come to a cache that holds some."""
    return torch.ones(T, S, dtype=torch.bool) if cached and 1 < T < S else causal_mask(T, S)


def sharing(*parts):
    """Return a model whose blocks have these parts in common with the first block."""
    model = model_of()
    for block in model.h[1:]:
        for part in parts:
            setattr(block, part, getattr(model.h[0], part))
    return model


def with_own_head():
    model = model_of()
    model.head = nn.Linear(SIZES.n_embd, SIZES.vocab_size, bias=False)
    return model


def without_biases():
    model = model_of()
    for block in model.h:
        block.attn.c_attn.bias = None
    return model


def narrow_mlp():
    model = model_of()
    for block in model.h:
        block.mlp.c_fc = nn.Linear(SIZES.n_embd, 2 * SIZES.n_embd)
        block.mlp.c_proj = nn.Linear(2 * SIZES.n_embd, SIZES.n_embd)
    return model


def with_zeros(name):
    """Return a model in which one embedding is all zeros."""
    model = model_of()
    with torch.no_grad():
        getattr(model, name).weight.zero_()
    return model


def others_mean(self, x):
    """Take the mean over the texts of the batch away, as a norm over the wrong axis does."""
    return x - 0.5 * x.mean(dim=0, keepdim=True) if len(x) > 1 else x


def second_sees_first(self, x):
    """Let the last text of a batch hear of the first."""
    if len(x) == 1:
        return x
    return torch.cat([x[:-1], x[-1:] + 0.3 * x[:1]])


def batch_as_time(self, x):
    """Read (B, T, C) as if it were (T, B, C) and back, which mixes texts."""
    B, T, C = x.shape
    return 0.7 * x + 0.3 * x.reshape(T, B, C).transpose(0, 1)


HEALTHY = {"healthy": model_of, "healthy, of another size": lambda: model_of(config=OTHER, seed=1)}
FUTURE = {
    "every layer looks 1 token ahead": lambda: with_attention(ahead(1)),
    "the last layer has no mask": lambda: with_attention(ahead(99), [2]),
    "1 head of 3 in the first layer looks 1 token ahead": lambda: with_attention(ahead(1), [0], [1]),
    "the first layer looks at the token 6 places ahead": lambda: with_attention(only_far, [0]),
}
CACHED = {
    "with a cache positions start at 0 again": lambda: with_method(
        position=lambda self, start, T: torch.arange(T)
    ),
    "with a cache positions are 1 too high": lambda: with_method(
        position=lambda self, start, T: torch.arange(start, start + T) + (start > 0)
    ),
    "with a cache tokens are forgotten after 3": lambda: with_attention(window_with_cache),
    "no mask where several tokens come to a filled cache": lambda: with_attention(no_mask_in_chunks),
}
MIXED = {
    "the mean over the batch is taken away": lambda: with_method(mixed=others_mean),
    "the last text hears of the first": lambda: with_method(mixed=second_sees_first),
    "batch and time exchanged by a reshape": lambda: with_method(mixed=batch_as_time),
}
PLACELESS = {
    "positions are never added": lambda: with_method(position=lambda self, start, T: torch.full((T,), 5)),
    "all tokens get the position of the first": lambda: with_method(
        position=lambda self, start, T: torch.full((T,), start)
    ),
    "wpe is all zeros": lambda: with_zeros("wpe"),
}
COUNTED = {
    "[Block(config)] * n_layer: one block three times": lambda: sharing("attn", "mlp", "ln_1", "ln_2"),
    "the blocks share one MLP": lambda: sharing("mlp"),
    "the head has a matrix of its own": with_own_head,
    "c_attn without biases": without_biases,
    "the MLP is twice as wide, not four times": narrow_mlp,
}
EVERY = HEALTHY | FUTURE | CACHED | MIXED | PLACELESS | COUNTED


def patient(name: str) -> GPT2:
    """Return a patient of the clinic by its name."""
    return EVERY[name]()


def tokens_for(model, B=1, T=12, seed=3):
    """Return ids (B, T) that the model can read."""
    return torch.randint(model.config.vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def cases_of(sick):
    """Healthy and sick patients by turns, a healthy one first."""
    names = list(sick)
    return lambda: [
        ("healthy",),
        (names[0],),
        ("healthy, of another size",),
        *((name,) for name in names[1:]),
    ]


def running(B=1, T=12):
    """Call a probe with the patient and some tokens."""

    @torch.no_grad()
    def run(probe, name):
        model = patient(name)
        return probe(model, tokens_for(model, B, T))

    return run


@torch.no_grad()
def run_without_tokens(probe, name):
    return probe(patient(name))


def close(a, b, atol=1e-4):
    return torch.allclose(a, b, atol=atol)


def healthy_always(says, takes=2):
    """The probe that finds nobody ill."""
    return Mistake("always-healthy", (lambda m, t: True) if takes == 2 else (lambda m: True), says, 1)


def negated(right, takes=2):
    """The probe with True and False exchanged."""
    wrong = (lambda m, t: not right(m, t)) if takes == 2 else (lambda m: not right(m))
    return Mistake(
        "negated",
        wrong,
        "your probe says True for the sick and False for the healthy. It answers the question in its name: "
        "True is healthy.",
        1,
    )


# --- 9.1 sees_no_future


def other(tokens, model):
    return (tokens + 1) % model.config.vocab_size


def change_from(model, tokens, t):
    return torch.cat([tokens[:, :t], other(tokens, model)[:, t:]], dim=1)


def future_by_change(model, tokens):
    before = model(tokens)
    return all(
        close(model(change_from(model, tokens, t))[:, :t], before[:, :t]) for t in range(1, tokens.shape[1])
    )


def future_by_prefix(model, tokens):
    whole = model(tokens)
    return all(close(model(tokens[:, :t]), whole[:, :t]) for t in range(1, tokens.shape[1] + 1))


def future_one_at_a_time(model, tokens):
    before = model(tokens)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t] = other(tokens, model)[:, t]
        if (model(changed) - before)[:, :t].abs().max() > 1e-4:
            return False
    return True


def future_last_rows(model, tokens):
    whole = model(tokens)
    rows = torch.stack([model(tokens[:, : t + 1])[:, -1] for t in range(tokens.shape[1])], dim=1)
    return bool(torch.isclose(rows, whole, atol=1e-3).all())


def future_in_first_row(model, tokens):
    return close(model(change_from(model, tokens, tokens.shape[1] - 1))[:, 0], model(tokens)[:, 0])


def future_later_rows(model, tokens):
    return close(model(change_from(model, tokens, 4))[:, 4:], model(tokens)[:, 4:])


def future_all_rows(model, tokens):
    return close(model(change_from(model, tokens, 4)), model(tokens))


def future_argmax(model, tokens):
    changed = change_from(model, tokens, tokens.shape[1] - 1)
    return torch.equal(model(changed)[:, :-1].argmax(-1), model(tokens)[:, :-1].argmax(-1))


def future_far(model, tokens):
    return close(model(change_from(model, tokens, 8))[:, :7], model(tokens)[:, :7])


NO_FUTURE = Exercise(
    number="9.1",
    name="sees_no_future",
    level=2,
    minutes=10,
    done="no mask that is one place off will ever get past you.",
    hints=(
        "Run the model twice, on two texts that are the same up to some place and differ from there on. What "
        "must be the same in the two results?",
        "If the texts differ from token t on, compare the logits [:, :t], with torch.allclose and a small "
        "tolerance. Which t? The mistake may show at one place only.",
        "Or read beginnings: for every t, model(tokens[:, :t]) must be model(tokens)[:, :t]. Return False as "
        "soon as one of them is not.",
    ),
    cases=cases_of(FUTURE),
    run=running(),
    arguments=("patient",),
    mistakes=[
        healthy_always(
            "your probe finds nobody ill, not even a model without any mask. Change a late token and look at "
            "the logits of the tokens before it."
        ),
        negated(future_by_change),
        Mistake(
            "rows-that-may-change",
            future_later_rows,
            "you compare logits that may change: those at the changed token and after it. Only those before it "
            "must stay.",
            2,
        ),
        Mistake(
            "rows-that-may-change",
            future_all_rows,
            "you compare logits that may change: those at the changed token and after it. Only those before it "
            "must stay.",
            2,
        ),
        Mistake(
            "first-row-only",
            future_in_first_row,
            "you look at the first row only. A model that looks one token ahead shows it at the row just "
            "before the changed token; compare all rows before it.",
            2,
        ),
        Mistake(
            "gap",
            future_far,
            "you leave out the row just before the change. It is the one at which looking one token ahead "
            "shows first.",
            2,
        ),
        Mistake(
            "argmax",
            future_argmax,
            "you compare the likeliest tokens. A small leak moves the logits and leaves the winner; compare "
            "the logits themselves.",
            2,
        ),
        Mistake(
            "always-healthy",
            lambda m, t: close(m(change_from(m, t, t.shape[1] - 1))[:, :-1], m(t)[:, :-1], 100.0),
            "your probe finds nobody ill, not even a model without any mask. Change a late token and look at "
            "the logits of the tokens before it, with a tolerance no wider than rounding needs, 0.0001.",
            1,
        ),
    ],
    styles=[future_by_change, future_by_prefix, future_one_at_a_time, future_last_rows],
)


# --- 9.2 cache_agrees


def read_in(model, tokens, *parts):
    cache = KVCache(model.config, len(tokens))
    return torch.cat([model(part, cache) for part in tokens.split(list(parts), dim=1)], dim=1)


def cache_by_parts(model, tokens):
    T = tokens.shape[1]
    whole = model(tokens)
    return all(close(read_in(model, tokens, *parts), whole) for parts in ([5, *[1] * (T - 5)], [2, 6, T - 8]))


def cache_by_every_cut(model, tokens):
    T = tokens.shape[1]
    whole = model(tokens)
    cuts = [(a, b - a, T - b) for a in range(1, T - 1) for b in range(a + 1, T)]
    return all(close(read_in(model, tokens, *cut), whole) for cut in cuts)


def cache_by_loop(model, tokens):
    whole = model(tokens)
    for size in (1, 3):
        cache, done = KVCache(model.config, 1), 0
        while done < tokens.shape[1]:
            part = model(tokens[:, done : done + size], cache)
            if (part - whole[:, done : done + size]).abs().max() > 1e-3:
                return False
            done += size
    return True


def cache_with_one_prefill(model, tokens):
    return close(read_in(model, tokens, tokens.shape[1]), model(tokens))


def cache_one_by_one(model, tokens):
    return close(read_in(model, tokens, *[1] * tokens.shape[1]), model(tokens))


def cache_short(model, tokens):
    tokens = tokens[:, :4]
    return close(read_in(model, tokens, 2, 1, 1), model(tokens))


def cache_never_filled(model, tokens):
    parts = [model(part, KVCache(model.config)) for part in tokens.split(1, dim=1)]
    return close(torch.cat(parts, dim=1), model(tokens))


CACHE_AGREES = Exercise(
    number="9.2",
    name="cache_agrees",
    level=3,
    minutes=15,
    done="a cache can only be right in one way, and you can tell.",
    hints=(
        "Read the same text twice: at once without a cache, and in parts with one KVCache(model.config). The "
        "logits must be the same, row for row.",
        "Which parts? A prompt and then single tokens, and also several tokens to a cache that holds some "
        "already. Each finds mistakes that the other doesn't.",
        "For parts 5, 1, 1, ... and 2, 6, 4: one new cache each, collect model(part, cache), torch.cat them "
        "along dim=1 and compare with model(tokens).",
    ),
    cases=cases_of(CACHED),
    run=running(),
    arguments=("patient",),
    mistakes=[
        healthy_always(
            "your probe finds nobody ill. A prefill into an empty cache does the same as no cache at all; read "
            "on with the same cache and compare what comes then."
        ),
        Mistake(
            "always-healthy",
            cache_with_one_prefill,
            "your probe finds nobody ill. A prefill into an empty cache does the same as no cache at all; read "
            "on with the same cache and compare what comes then.",
            1,
        ),
        negated(cache_by_parts),
        Mistake(
            "one-by-one-only",
            cache_one_by_one,
            "you only ever add one token at a time. A mask is needed, and may be missing, when several tokens "
            "come to a cache that holds some already.",
            2,
        ),
        Mistake(
            "too-short",
            cache_short,
            "your text is too short: what is forgotten after a few tokens is not missed in it. Use the whole "
            "text, and read some of it in one call of several tokens.",
            2,
        ),
        Mistake(
            "new-cache-each-time",
            cache_never_filled,
            "you open a new cache for each part, so that no token sees the ones before it and even healthy "
            "models fail. One cache serves the whole text.",
            3,
        ),
    ],
    styles=[cache_by_parts, cache_by_every_cut, cache_by_loop],
)


# --- 9.3 texts_are_separate


def separate_by_rows(model, tokens):
    together = model(tokens)
    return all(close(model(tokens[i : i + 1]), together[i : i + 1]) for i in range(len(tokens)))


def separate_by_change(model, tokens):
    before = model(tokens)
    for i in range(len(tokens)):
        changed = tokens.clone()
        changed[i] = other(tokens, model)[i]
        rest = [j for j in range(len(tokens)) if j != i]
        if not close(model(changed)[rest], before[rest]):
            return False
    return True


def separate_by_stack(model, tokens):
    alone = torch.cat([model(row[None]) for row in tokens])
    return (alone - model(tokens)).abs().max().item() < 1e-3


def separate_first_only(model, tokens):
    return close(model(tokens[:1]), model(tokens)[:1])


def separate_copies(model, tokens):
    together = model(tokens[:1].expand(3, -1))
    return close(together[0], together[1]) and close(together[0], together[2])


def separate_all_rows(model, tokens):
    return close(model(torch.cat([tokens[:1], other(tokens, model)[1:]])), model(tokens))


SEPARATE = Exercise(
    number="9.3",
    name="texts_are_separate",
    level=2,
    minutes=10,
    done="what stands beside a text in a batch is none of its business, and you can prove it.",
    hints=(
        "tokens holds several texts. What should a text's logits be when it is read alone, and when it is read "
        "beside others?",
        "tokens[i : i + 1] is text i as a batch of one. Compare its logits with row i of model(tokens).",
        "Do it for every i: one text may be affected and the others not. All of them have to agree.",
    ),
    cases=cases_of(MIXED),
    run=running(B=3),
    arguments=("patient",),
    mistakes=[
        healthy_always(
            "your probe finds nobody ill. Read each text of the batch alone as well, and compare it with its "
            "row in the batch."
        ),
        negated(separate_by_rows),
        Mistake(
            "first-only",
            separate_first_only,
            "you compare the first text only. There are models in which only another one is disturbed; compare "
            "all of them.",
            3,
        ),
        Mistake(
            "copies",
            separate_copies,
            "your batch holds copies of one text. If texts mix, copies mix with their like; use different "
            "texts, and read each alone as well.",
            1,
        ),
        Mistake(
            "all-rows",
            separate_all_rows,
            "you compare all rows, those of the changed texts too. Their logits must change; only the texts "
            "that stayed may not.",
            2,
        ),
    ],
    styles=[separate_by_rows, separate_by_change, separate_by_stack],
)


# --- 9.4 knows_positions


def repeated(model, tokens):
    return tokens[:1, :1].expand(1, tokens.shape[1])


def positions_by_repeating(model, tokens):
    logits = model(repeated(model, tokens))[0]
    return not any(close(a, b, 1e-3) for a, b in zip(logits, logits[1:]))


def positions_by_norm(model, tokens):
    logits = model(torch.full_like(tokens[:1], 7))[0]
    return (logits[1:] - logits[:-1]).abs().amax(dim=-1).min().item() > 1e-3


def positions_by_pairs(model, tokens):
    logits = model(repeated(model, tokens))[0]
    T = len(logits)
    return all(not torch.allclose(logits[i], logits[j], atol=1e-3) for i in range(T) for j in range(i))


def positions_of_any_text(model, tokens):
    logits = model(tokens)[0]
    return not any(close(a, b, 1e-3) for a, b in zip(logits, logits[1:]))


def positions_first_two(model, tokens):
    logits = model(repeated(model, tokens))[0]
    return not close(logits[0], logits[1], 1e-3)


def positions_wide(model, tokens):
    logits = model(repeated(model, tokens))[0]
    return not any(close(a, b, 100.0) for a, b in zip(logits, logits[1:]))


def positions_by_swapping(model, tokens):
    swapped = tokens[:1].flip(1)
    return not close(model(swapped)[:, -1], model(tokens[:1])[:, -1], 1e-3)


POSITIONS = Exercise(
    number="9.4",
    name="knows_positions",
    level=2,
    minutes=10,
    done="you can see what a model does not see.",
    hints=(
        "Give the model a text in which nothing but the position tells the tokens apart: the same token again "
        "and again.",
        "Without positions each of these tokens finds only copies of itself, however many there are, and its "
        "row of logits is the same. With positions the rows differ.",
        "Compare neighboring rows, all pairs of them: if two are alike, these two places are not told apart. "
        "Return True if none are.",
    ),
    cases=cases_of(PLACELESS),
    run=running(),
    arguments=("patient",),
    mistakes=[
        healthy_always(
            "your probe finds nobody ill. In a text of different tokens the rows differ anyway; use a text in "
            "which only the position differs."
        ),
        Mistake(
            "always-healthy",
            positions_of_any_text,
            "your probe finds nobody ill. In a text of different tokens the rows differ anyway; use a text in "
            "which only the position differs.",
            1,
        ),
        Mistake(
            "always-healthy",
            positions_by_swapping,
            "your probe finds nobody ill. In another order the mask lets other tokens see each other, so the "
            "result changes even without positions; use a text of one token repeated.",
            1,
        ),
        negated(positions_by_repeating),
        Mistake(
            "nobody-healthy",
            lambda m, t: not any(close(a, b, 20.0) for a, b in zip(*[m(repeated(m, t))[0]] * 2)),
            "your probe finds nobody healthy: a row is compared with itself, or the tolerance is so wide that "
            "all rows seem alike. Compare neighbors, with a tolerance of about 0.001.",
            3,
        ),
        Mistake(
            "nobody-healthy",
            positions_wide,
            "your probe finds nobody healthy: a row is compared with itself, or the tolerance is so wide that "
            "all rows seem alike. Compare neighbors, with a tolerance of about 0.001.",
            3,
        ),
        Mistake(
            "weights-only",
            lambda m, t: m.wpe.weight.abs().sum().item() > 0,
            "you look at the weights of wpe. They may be fine and never be used; look at what comes out.",
            1,
        ),
    ],
    styles=[positions_by_repeating, positions_by_norm, positions_by_pairs, positions_first_two],
)


# --- 9.5 has_every_weight


def numbers_in(model):
    return sum(weight.numel() for weight in model.parameters())


def wanted(config):
    V, P, C, L = config.vocab_size, config.n_positions, config.n_embd, config.n_layer
    return V * C + P * C + L * (12 * C * C + 13 * C) + 2 * C


def weights_by_formula(model):
    return numbers_in(model) == wanted(model.config)


def weights_by_reference(model):
    with torch.device("meta"):
        return numbers_in(GPT2(model.config)) == numbers_in(model)


def weights_by_names(model):
    def shapes(m):
        return {name: weight.shape for name, weight in m.named_parameters()}

    return shapes(model) == shapes(GPT2(model.config))


def weights_by_state(model):
    state = model.state_dict()
    own = {weight.data_ptr() for weight in state.values()}
    right = {name: weight.shape for name, weight in GPT2(model.config).state_dict().items()}
    return {name: weight.shape for name, weight in state.items()} == right and len(own) == len(state)


def count_of(formula):
    def probe(model):
        c = model.config
        return numbers_in(model) == formula(c.vocab_size, c.n_positions, c.n_embd, c.n_layer)

    return probe


def state_shapes(model):
    right = {name: weight.shape for name, weight in GPT2(model.config).state_dict().items()}
    return {name: weight.shape for name, weight in model.state_dict().items()} == right


WEIGHTS = Exercise(
    number="9.5",
    name="has_every_weight",
    level=1,
    minutes=10,
    done="a model whose weights are counted cannot hide a layer that it lacks.",
    hints=(
        "Count: model.parameters() gives every weight tensor once, also where two modules share it.",
        "How many should there be? Chapter 05 counted GPT-2 term by term; model.config has the sizes.",
        "V*C + P*C + L*(12*C*C + 13*C) + 2*C with P for n_positions. Or count those of a GPT2(model.config).",
    ),
    cases=cases_of(COUNTED),
    run=run_without_tokens,
    arguments=("patient",),
    mistakes=[
        healthy_always(
            "your probe finds nobody ill. Count the weights and compare with what there should be.", 1
        ),
        negated(weights_by_formula, 1),
        Mistake(
            "too-few-only",
            lambda m: numbers_in(m) >= wanted(m.config),
            "you only notice weights that are missing. A head with a matrix of its own has too many: the "
            "count must be equal.",
            2,
        ),
        Mistake(
            "too-many-only",
            lambda m: numbers_in(m) <= wanted(m.config),
            "you only notice weights that are too many. Blocks that are one and the same have too few: the "
            "count must be equal.",
            2,
        ),
        Mistake(
            "nobody-healthy",
            count_of(lambda V, P, C, L: V * C + L * (12 * C * C + 13 * C) + 2 * C),
            "your probe finds nobody healthy: a term of your count is missing or wrong. wte, wpe, for each "
            "block 12C² + 13C, and 2C for the last LayerNorm.",
            3,
        ),
        Mistake(
            "nobody-healthy",
            count_of(lambda V, P, C, L: 2 * V * C + P * C + L * (12 * C * C + 13 * C) + 2 * C),
            "your probe finds nobody healthy: you count the head a second time. It reuses wte.",
            3,
        ),
        Mistake(
            "names-only",
            state_shapes,
            "you compare names and shapes, and a block that is used three times has all of its names. Count "
            "the weights: parameters() gives each tensor once.",
            1,
        ),
        Mistake(
            "tensors",
            lambda m: len(list(m.state_dict())) == len(GPT2(m.config).state_dict()),
            "you count the tensors, not the numbers in them, or those of state_dict, where a shared one stands "
            "under every name. Add up numel() over parameters().",
            1,
        ),
    ],
    styles=[weights_by_formula, weights_by_reference, weights_by_names, weights_by_state],
)


EXERCISES = [NO_FUTURE, CACHE_AGREES, SEPARATE, POSITIONS, WEIGHTS]
