"""8.1 next_token_loss: what is computed. What is said stands in next_token_loss.md."""

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise import Mistake
from course.exercises.common import numbers

arguments = ("logits", "targets")


def cases():
    """The two rows of the text; a batch; logits that overflow in exp; cut from a batch, so with gaps in memory."""
    tokens = torch.randint(5, (3, 5), generator=torch.Generator().manual_seed(0))
    wild = torch.tensor([[[200.0, 0.0, 0.0, -50.0], [-300.0, 10.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    return [
        (torch.tensor([[[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]]), torch.tensor([[0, 2]])),
        (3 * numbers(2, 4, 5), tokens[:2, :4].clone()),
        (wild, torch.tensor([[1, 1, 3]])),
        (numbers(3, 5, 5, seed=1)[:, :-1], tokens[:, 1:]),
    ]


def run(answer, logits, targets):
    """Return the loss, and whether training could learn from it."""
    with torch.enable_grad():
        loss = answer(logits.requires_grad_(), targets)
    learns = isinstance(loss, torch.Tensor) and loss.requires_grad
    return {
        "loss": loss.detach() if isinstance(loss, torch.Tensor) else loss,
        "a gradient gets back to the logits": learns,
    }


def chosen(values, targets):
    """Return the value of each target: (B, T, V), (B, T) -> (B, T)."""
    return values.gather(-1, targets[..., None]).squeeze(-1)


def by_logsumexp(logits, targets):
    return (logits.logsumexp(-1) - chosen(logits, targets)).mean()


def by_nll(logits, targets):
    return F.nll_loss(logits.double().log_softmax(-1).transpose(1, 2), targets)


def by_loops(logits, targets):
    B, T, _ = logits.shape
    total = sum(logits[b, t].logsumexp(0) - logits[b, t, targets[b, t]] for b in range(B) for t in range(T))
    return total / (B * T)


def by_one_hot(logits, targets):
    shifted = logits - logits.max(-1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(-1, keepdim=True).log()
    return -(F.one_hot(targets, logits.shape[-1]) * log_p).sum(-1).mean()


def by_einsum(logits, targets):
    right = F.one_hot(targets, logits.shape[-1]).double()
    return -torch.einsum("btv,btv->", logits.double().log_softmax(-1), right) / targets.numel()


def by_texts(logits, targets):
    return sum(nn.CrossEntropyLoss()(text, right) for text, right in zip(logits, targets)) / len(logits)


styles = [by_logsumexp, by_nll, by_loops, by_one_hot, by_einsum, by_texts]


def with_floor(smallest):
    """Return an answer that hides the overflow behind a small number."""
    return lambda logits, targets: -(chosen(logits.softmax(-1), targets) + smallest).log().mean()


extra = [  # one slip, with whatever small number people take
    Mistake(
        "tiny-instead-of-zero",
        with_floor(smallest),
        "You add or clamp to a small number before the logarithm, so a surprise of 200 nats is reported as far "
        "less. With `logsumexp` or `log_softmax` you don't need to add anything.",
        1,
        "one-step-more",
    )
    for smallest in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-20)
]
