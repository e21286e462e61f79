"""9.5 head_is_tied: what is computed. What is said stands in head_is_tied.md."""

import torch
from torch import nn
from torch.nn import functional as F

from course.exercises.ch09_clinic import near, verdict
from course.exercises.ch09_clinic.patients import (
    HEALTHY,
    LARGER,
    ROUNDS,
    VOCABULARY,
    OwnHead,
    patient,
)

arguments = ("model", "tokens")


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


def cases():
    """Healthy ones, one of them before training; then heads that are not wte, or not wholly."""
    tokens, two = torch.tensor([[2, 8, 9, 8, 4, 11]]), torch.tensor([[6, 9, 7, 7], [10, 8, 6, 11]])
    all_but_two = [row for row in range(VOCABULARY) if row not in (9, 11)]
    rising = 1.0 + torch.arange(VOCABULARY) / 4
    up_and_down = torch.tensor([1.0, -1.0] * 8 + [0.0])
    fourth, fifth = F.one_hot(torch.tensor([4, 5]), VOCABULARY)

    def in_part(says, tied):
        return patient(
            f"the head has {says} of wte and copies of the others", {"tied": tied}, TiedInPart
        ), tokens

    def biased(says, bias):
        parts = {"finish": lambda self, logits, tokens, start, cached: logits + bias}
        return patient(f"the head is wte with {says}", parts), tokens

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
        in_part("rows 0 to 11", range(12)),
        in_part("rows 5 to 16", range(5, VOCABULARY)),
        in_part("all rows but 9 and 11", all_but_two),
        (patient("the head is wte and a small table of its own", kind=SmallCorrection), tokens),
        biased("biases below 0", -rising),
        biased("biases above 0", rising),
        biased("biases of 0.003 and -0.003", 0.003 * up_and_down),
        biased("a bias of -0.012 for one token", -0.012 * fourth),
        biased("biases of 5 and -5 for two tokens", 5.0 * (fourth - fifth)),
    ]


COUNTED = patient("a healthy model whose calls are counted")


def wishes():
    """As many calls as a vocabulary has tokens: here nobody waits for them, in the notebook for minutes."""
    says = "It calls the model once for each token of the vocabulary, though. `tales` has thousands, and that takes minutes."
    return [((COUNTED, torch.tensor([[2, 8, 9, 8]])), says)]


def run(answer, patient, tokens):
    """Let a probe examine a patient, and tell whether it left the weights as they were."""
    model = patient.model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    calls = []
    model.register_forward_hook(lambda *_: calls.append(None))
    with torch.no_grad():
        result = verdict(answer(model, tokens))
    if result is None:
        return None
    if patient == COUNTED:
        return {"a call for each token of the vocabulary": len(calls) >= VOCABULARY}
    kept = all(near(weight, before[name], 1e-5) for name, weight in model.state_dict().items())
    return {"tied": result, "the weights afterwards": "as before" if kept else "changed"}


def wiped(model, tokens, rows=slice(None)):
    """Return the logits that a model gives while some rows of wte are 0."""
    saved = model.wte.weight.clone()
    model.wte.weight[rows] = 0
    logits = model(tokens)
    model.wte.weight.copy_(saved)
    return logits


def token_by_token(model, tokens):
    for token in range(model.config.vocab_size):
        if wiped(model, tokens, [token])[..., token].abs().max().item() > 1e-3:
            return False
    return True


def by_doubling(model, tokens):
    unused = [token for token in range(model.config.vocab_size) if token not in tokens]
    used = tokens.unique()
    before, saved = model(tokens), model.wte.weight.clone()
    model.wte.weight[unused] *= 2
    doubled = model(tokens)
    model.wte.weight.copy_(saved)
    return near(doubled[..., unused], 2 * before[..., unused]) and near(
        wiped(model, tokens, used)[..., used], torch.tensor(0.0)
    )


def by_shuffling(model, tokens):
    """Exchange the rows of wte and the ids of the text: only the columns of the logits change places."""
    V = model.config.vocab_size
    order = torch.arange(V).roll(1)  # token t gets the vector of token t - 1
    before, saved = model(tokens), model.wte.weight.clone()
    model.wte.weight.copy_(saved[order])
    after = model((tokens + 1) % V)
    model.wte.weight.copy_(saved)
    return near(after, before[..., order])


def exactly(model, tokens):
    """A sum of zeros is 0 to the last digit."""
    table = model.wte.weight
    saved = table.clone()
    try:
        table.fill_(0.0)
        return not model(tokens).any()
    finally:
        table.copy_(saved)


styles = [token_by_token, by_doubling, by_shuffling, exactly]
