"""8.7 fit: what is computed. What is said stands in fit.md."""

import torch
import torch.nn.functional as F

from course.exercises.ch08_training import small_model_and_tokens

arguments = ("steps", "lr", "B", "T")


def cases():
    """One update, then several, with other sizes and rates; old gradients are in the model."""
    return [(1, 0.5, 1, 4), (3, 0.5, 2, 3), (5, 0.1, 3, 5)]


def run(answer, steps, lr, B, T):
    """Return the losses and the weights that an answer leaves in a small model."""
    model, tokens = small_model_and_tokens(B, T)
    with torch.enable_grad():
        losses = answer(model, tokens[:, :-1], tokens[:, 1:], steps, lr)
    facts = {"losses": losses, "weights": [parameter.detach() for parameter in model.parameters()]}
    if isinstance(losses, (list, tuple)):
        facts["tensors among the losses"] = sum(isinstance(loss, torch.Tensor) for loss in losses)
    return facts


def by_sgd(model, inputs, targets, steps, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def by_data(model, inputs, targets, steps, lr):
    losses = []
    while len(losses) < steps:
        loss = F.cross_entropy(model(inputs).transpose(1, 2), targets)
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        for parameter in model.parameters():
            parameter.data.sub_(parameter.grad, alpha=lr)
        losses.append(float(loss.detach()))
    return losses


def by_autograd(model, inputs, targets, steps, lr):
    parameters, losses = list(model.parameters()), []
    for _ in range(steps):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter.copy_(parameter - lr * gradient)
        losses.append(loss.item())
    return losses


styles = [by_sgd, by_data, by_autograd]
