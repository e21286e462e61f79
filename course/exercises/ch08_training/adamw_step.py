"""8.8 adamw_step: what is computed. What is said stands in adamw_step.md."""

import torch

from course.exercises.common import numbers

arguments = ("parameter", "gradients of the updates", "lr", "weight_decay", "betas", "eps")


def cases():
    """The text's example; updates in a row; no decay; an eps that shows where it stands; a gradient of 0."""
    return [
        (torch.tensor([1.0]), torch.tensor([[0.5]]), 0.1, 0.1, (0.9, 0.95), 1e-8),
        (numbers(2, 3), numbers(4, 2, 3, seed=1), 0.1, 0.5, (0.9, 0.95), 1e-8),
        (numbers(4), 100 * numbers(3, 4, seed=2), 0.05, 0.0, (0.8, 0.99), 1e-8),
        (numbers(3), 0.1 * numbers(3, 3, seed=3), 0.1, 0.2, (0.9, 0.999), 0.1),
        (numbers(3), torch.zeros(2, 3), 0.1, 0.3, (0.9, 0.95), 1e-8),
    ]


def run(answer, parameter, gradients, lr, weight_decay, betas, eps):
    """Return what the updates leave in the parameter and in its two averages."""
    parameter = torch.nn.Parameter(parameter.clone())
    m, v = torch.zeros_like(parameter, requires_grad=False), torch.zeros_like(parameter, requires_grad=False)
    same = True
    for i, gradient in enumerate(gradients):
        before = gradient.clone()
        answer(parameter, gradient, m, v, i + 1, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps)
        same = same and torch.equal(before, gradient)
    return {
        "parameter": parameter.detach(),
        "m": m,
        "v": v,
        "gradient": "as before" if same else "changed",
    }


@torch.no_grad()
def by_lerp(parameter, gradient, m, v, step, *, lr, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8):
    m.lerp_(gradient, 1 - betas[0])
    v.lerp_(gradient.square(), 1 - betas[1])
    size = (v / (1 - betas[1] ** step)).sqrt() + eps
    direction = m / (1 - betas[0] ** step) / size
    parameter -= lr * (direction + weight_decay * parameter)


@torch.no_grad()
def by_operators(parameter, gradient, m, v, step, *, lr, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8):
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * gradient
    v *= b2
    v += (1 - b2) * gradient * gradient
    parameter *= 1 - lr * weight_decay
    parameter -= lr / (1 - b1**step) * m / (v.sqrt() / (1 - b2**step) ** 0.5 + eps)


@torch.no_grad()
def by_torch(parameter, gradient, m, v, step, *, lr, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8):
    new = parameter.clone()
    optimizer = torch.optim.AdamW([new], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    state = {"step": torch.tensor(step - 1.0), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.state[new] = state
    new.grad = gradient.clone()
    optimizer.step()
    parameter.copy_(new)
    m.copy_(state["exp_avg"])
    v.copy_(state["exp_avg_sq"])


styles = [by_lerp, by_operators, by_torch]
