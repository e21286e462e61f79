"""8.6 accumulate_gradients: what is computed. What is said stands in accumulate_gradients.md."""

import torch
import torch.nn.functional as F

from course.exercises.ch08_training import small_model_and_tokens

arguments = ("micro_batches", "B", "T", "there are old gradients")


def cases():
    """Two, three and one micro-batch, then a model without gradients; the texts are cut from longer ones."""
    return [(2, 4, 3, True), (3, 6, 5, True), (1, 2, 4, True), (2, 4, 3, False)]


def run(answer, micro_batches, B, T, old):
    """Return the loss and the gradients that an answer leaves in a small model."""
    model, tokens = small_model_and_tokens(B, T, old)
    before, passes = [p.clone() for p in model.parameters()], []
    model[1].register_forward_hook(lambda module, x, y: passes.append(f"{len(y)} forward"))
    model[1].register_full_backward_hook(lambda *_: passes.append("backward"))
    with torch.enable_grad():
        loss = answer(model, tokens[:, :-1], tokens[:, 1:], micro_batches)
    same = all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    return {
        "loss": loss,
        "the loss is a tensor": isinstance(loss, torch.Tensor),
        "gradients": [p.grad for p in model.parameters()],
        "texts in each pass": ", ".join(passes),
        "weights": "as before" if same else "changed",
    }


def loss_of(model, x, y, **options):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), **options)


def by_sums(model, inputs, targets, micro_batches):
    for parameter in model.parameters():
        parameter.grad = None
    losses = []
    for x, y in zip(inputs.chunk(micro_batches), targets.chunk(micro_batches)):
        loss = loss_of(model, x, y, reduction="sum") / targets.numel()
        loss.backward()
        losses.append(loss.detach())
    return float(sum(losses))


def by_scale(model, inputs, targets, micro_batches):
    model.zero_grad(set_to_none=False)
    size = len(inputs) // micro_batches
    total = 0.0
    for i in range(micro_batches):
        part = slice(i * size, (i + 1) * size)
        loss = loss_of(model, inputs[part], targets[part])
        loss.backward(torch.tensor(1 / micro_batches))
        total += loss.item()
    return total / micro_batches


def by_autograd(model, inputs, targets, micro_batches):
    ps = list(model.parameters())
    grads, total = [torch.zeros_like(p) for p in ps], 0.0
    for x, y in zip(inputs.split(len(inputs) // micro_batches), targets.split(len(inputs) // micro_batches)):
        loss = loss_of(model, x, y) / micro_batches
        for total_grad, grad in zip(grads, torch.autograd.grad(loss, ps)):
            total_grad += grad
        total += loss.item()
    for p, g in zip(ps, grads):
        p.grad = g
    return total


styles = [by_sums, by_scale, by_autograd]
