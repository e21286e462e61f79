"""9.4 keeps_texts_apart: what is computed. What is said stands in keeps_texts_apart.md."""

import torch

from course.exercises.ch09_clinic import comparisons, near, run_probe
from course.exercises.ch09_clinic.patients import (
    BLANK,
    HEALTHY,
    LARGER,
    ROUNDS,
    WHOLE,
    adds_the_one_before,
    ids,
    mixing,
    moved_at,
    newest_alone,
    no_positions,
    norm_over_texts,
    patient,
)

arguments = ("model", "tokens")
run = run_probe


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
    """Return the part of a patient whose logits the first token of another text moves: move(logits, ids (B, 1, 1))."""

    def finish(self, logits, tokens, start, cached):
        return move(logits, tokens[:, 0].roll(1)[:, None, None]) if len(tokens) > 1 else logits

    return {"finish": finish}


def cases():
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
        (patient("tokens see only themselves, and have no positions", alone), two),
        (ROUNDS, two[:1].repeat(2, 1)),
        (patient("every norm runs over the texts", {"norm": norm_over_texts}), three),
        mixes("each text adds the one before it", adds_the_one_before, three),
        mixes("each text adds a little of the others", lambda x: x + 0.0005 * x.sum(0).roll(1, -1), two),
        mixes("each text adds the one before it, before training", adds_the_one_before, two, spread=0.001),
    ]


def by_differences(model, tokens):
    alone = torch.cat([model(text[None]) for text in tokens])
    return (alone - model(tokens)).abs().max() < 1e-3


def by_changes(model, tokens):
    together = model(tokens)
    for b in range(len(tokens)):
        others = (tokens + 1) % model.config.vocab_size
        others[b] = tokens[b]
        if not near(model(others)[b], together[b], 1e-4):
            return False
    return True


def by_parts(model, tokens):
    """Every part of the batch, from a text to the one before another."""
    together, B = model(tokens), len(tokens)
    parts = [(start, end) for start in range(B) for end in range(start + 1, B + 1)]
    return all(near(model(tokens[start:end]), together[start:end]) for start, end in parts)


def by_rows(model, tokens):
    together = model(tokens)
    alone = torch.empty_like(together)
    for b in range(tokens.size(0)):
        alone[b] = model(tokens[[b]]).squeeze(0)
    return bool(((alone - together).abs() < 1e-3).all())


styles = [by_differences, by_changes, by_parts, by_rows]


def one_by_one(close):
    """Return the answer with another comparison, of one text after the other."""

    def probe(model, tokens):
        batch = model(tokens)
        return all(bool(close(model(tokens[b : b + 1]), batch[b : b + 1])) for b in range(len(tokens)))

    return probe


def all_at_once(close):
    """Return the answer with another comparison, of all texts together."""

    def probe(model, tokens):
        return bool(close(torch.cat([model(text) for text in tokens.split(1)]), model(tokens)))

    return probe


extra = comparisons(one_by_one) + comparisons(all_at_once, "mean-instead-of-largest")
