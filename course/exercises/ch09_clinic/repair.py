"""9.7 repair: what is computed. What is said stands in repair.md."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import torch
from torch import nn

from course.exercises.ch09_clinic import near
from course.exercises.ch09_clinic.patients import ids
from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("patient", "tokens")


@cache
def bodies():
    """Return sick kinds of the library's GPT2. Imported late: `progress` works without the library."""
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

    class OwnBias(GPT2):
        """A GPT2 that adds a bias of its own to its logits."""

        def __init__(self, config):
            super().__init__(config)
            self.logit_bias = nn.Parameter(torch.zeros(config.vocab_size))

        def forward(self, tokens, cache=None, *, last_only=False):
            return super().forward(tokens, cache, last_only=last_only) + self.logit_bias

    return SimpleNamespace(
        ahead=ReadsAhead, lost=LosesPositions, mixed=MixesTexts, own_table=OwnTable, own_bias=OwnBias
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
                parameter.copy_(0.3 * numbers(*parameter.shape, seed=seed))
        return model


def cases():
    """One of each illness; the shape of the second is like that of no other."""
    tokens = ids(13, 2, 5) % 11
    return [
        (Sick("a model that reads ahead", "ahead", (11, 8, 8, 1, 2)), tokens),
        (Sick("a model that looks positions up with the tokens' ids", "lost", (17, 6, 9, 2, 3)), tokens),
        (Sick("a model whose norms run over the texts", "mixed", (11, 8, 8, 2, 4)), tokens),
        (Sick("a model with a head of its own", "own_table", (11, 8, 8, 1, 2)), tokens),
        (Sick("a model with a bias of its own on its logits", "own_bias", (11, 8, 8, 1, 2)), tokens),
    ]


def as_before(model, tokens, before):
    """Tell whether a model still gives the logits that it gave before."""
    try:
        return near(model(tokens), before, 1e-5)
    except AttributeError:  # a part of it is gone
        return False


def run(answer, patient, tokens):
    """Let a patient be repaired; return whose weights the new model has, its logits, and how the patient is."""
    sick = patient.model()
    before, kind = sick(tokens), type(sick)
    theirs = {name: weight.clone() for name, weight in sick.named_parameters()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # as in the notebook
        torch.manual_seed(0)  # for the weights of a new model
        healed = answer(sick)
    if not isinstance(healed, nn.Module):
        return healed
    mine = healed.named_parameters()
    lost = [name for name, weight in mine if name not in theirs or not torch.equal(weight, theirs[name])]
    untouched = type(sick) is kind and as_before(sick, tokens, before)
    logits = None if lost else healed(tokens).detach()
    with torch.no_grad():
        for weight in healed.parameters():
            weight.add_(1.0)
    apart = lost or as_before(sick, tokens, before)
    return {
        "weights that are not the patient's": ", ".join(lost) or "none",
        "the patient afterwards": "as before" if untouched else "changed",
        "logits": logits,
        "if a weight of the new model changes": f"the patient {'stays' if apart else 'changes'}",
    }


styles = [
    """
    healthy = GPT2(model.config)
    theirs = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in healthy.named_parameters():
            parameter.copy_(theirs[name])
    return healthy
    """,
    """
    healthy = GPT2(model.config)
    weights = {name: w.clone() for name, w in model.state_dict().items() if name in healthy.state_dict()}
    healthy.load_state_dict(weights, assign=True)
    return healthy
    """,
    """
    from dataclasses import replace

    healthy, weights = GPT2(replace(model.config)), model.state_dict()
    healthy.load_state_dict({name: weights[name] for name in healthy.state_dict()})
    return healthy.eval()
    """,
]
