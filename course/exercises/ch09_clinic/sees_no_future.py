"""9.1 sees_no_future: what is computed. What is said stands in sees_no_future.md."""

import torch
from torch.nn import functional as F

from course.exercises.ch09_clinic import comparisons, too_wide, verdict
from course.exercises.ch09_clinic.patients import (
    HEALTHY,
    LARGER,
    ROUNDS,
    VOCABULARY,
    WHOLE,
    ids,
    in_layer,
    lower,
    merged_by_reshape,
    moved_at,
    one_ahead,
    patient,
)

arguments = ("model", "tokens")


def everywhere(mask):
    """Return the part of a patient whose attention has another mask in every layer."""
    return {"mask": lambda self, layer, T, S, cached: mask(T, S)}


def one_head_open(T, S):
    return torch.stack([lower(T, S), torch.ones(T, S, dtype=torch.bool)])


def with_open(row, column):
    """Return a causal mask with one place open."""

    def mask(T, S):
        opened = lower(T, S)
        if column < S:
            opened[row, column] = True
        return opened

    return mask


def open_after_5(T, S):
    return torch.cat([lower(T, S)[:5], one_ahead(T, S)[5:]])


def played_down(T, S):
    return torch.zeros(T, S).masked_fill(~lower(T, S), -5.0)


def norm_over_tokens(self, x):
    return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()


def by_next_token(move):
    """Return the part of a patient whose logits the id of the next token moves: move(logits, ids (B, T, 1))."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, F.pad(tokens[:, 1:], (0, 1))[..., None])

    return {"finish": finish}


def cases():
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
        (
            patient("a model whose tokens see only themselves", everywhere(lambda T, S: torch.eye(T, S) > 0)),
            tokens,
        ),
        (patient("in layer 3 of 3 each token sees one ahead", in_layer(2, one_ahead), layers=3), longer),
        (patient("in layer 2 one of 2 heads has no mask", in_layer(1, one_head_open)), longer),
        (patient("tokens from place 5 on see one ahead", everywhere(open_after_5)), tokens),
        (patient("the future is played down, not hidden", in_layer(1, played_down)), tokens),
        (patient("heads are merged without transposing back", {"merge": merged_by_reshape}), tokens),
        (patient("LayerNorm runs over the tokens", {"norm": norm_over_tokens}), longer),
    ]


def run(answer, patient, tokens):
    """Let a probe examine a patient; one that draws tokens at random, again and again until its verdict changes."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model = patient.model()
        torch.manual_seed(0)
        before = torch.get_rng_state()
        result = verdict(answer(model, tokens))
        if torch.equal(before, torch.get_rng_state()) or "token 0 sees token 1" not in patient.says:
            return result
        again = (verdict(answer(model, tokens)) for _ in range(150))
        return "now True, now False" if any(other != result for other in again) else result


def by_prefixes(model, tokens):
    whole = model(tokens)
    for length in range(1, tokens.shape[1]):
        if (model(tokens[:, :length]) - whole[:, :length]).abs().max() > 1e-4:
            return False
    return True


def by_endings(model, tokens):
    before, worst = model(tokens), 0.0
    for j in range(1, tokens.shape[1]):
        other = torch.cat([tokens[:, :j], (tokens[:, j:] + 5) % model.config.vocab_size], dim=1)
        worst = max(worst, (model(other) - before)[:, :j].abs().max().item())
    return worst < 1e-3


def by_matrix(model, tokens):
    text, T = tokens[:1], tokens.shape[1]
    texts = text.repeat(T, 1)
    texts[range(T), range(T)] = (texts.diagonal() + 3) % model.config.vocab_size
    influence = torch.stack([(model(t[None]) - model(text))[0].abs().amax(-1) for t in texts], dim=1)
    return influence.triu(1).max() < 1e-3  # row i, column j: what token j does to row i


def backwards(model, tokens):
    """From the last token on, each change stays."""
    before, changed = model(tokens), tokens.clone()
    for j in reversed(range(1, tokens.shape[1])):
        changed[:, j] = (changed[:, j] + 1) % model.config.vocab_size
        if not torch.allclose(model(changed)[:, :j].double(), before[:, :j].double(), atol=1e-3):
            return False
    return True


styles = [by_prefixes, by_endings, by_matrix, backwards]


def probe_with(close):
    """Return the answer with another comparison."""

    def probe(model, tokens):
        before = model(tokens)
        for j in range(1, tokens.shape[1]):
            changed = tokens.clone()
            changed[:, j] = (changed[:, j] + 1) % model.config.vocab_size
            if not close(model(changed)[:, :j], before[:, :j]):
                return False
        return True

    return probe


def prefixes_with(close):
    """Return the probe that cuts the text off instead, with another comparison."""

    def probe(model, tokens):
        whole = model(tokens)
        return all(bool(close(model(tokens[:, :n]), whole[:, :n])) for n in range(1, tokens.shape[1]))

    return probe


extra = comparisons(prefixes_with, "no-tolerance") + comparisons(prefixes_with, "most-likely-only")
extra += comparisons(probe_with) + too_wide(probe_with, 0.05, 0.1, 0.2, 0.5, 1.0)
