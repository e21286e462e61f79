"""8.2 sample_batch: what is computed. What is said stands in sample_batch.md."""

import torch

arguments = ("tokens", "batch_size", "context")


def cases():
    """The text's example, drawn often; tokens that occur once each, so that one tells its place; one possible start."""
    once = 7 * torch.arange(1, 41) % 101
    return [(torch.tensor([5, 0, 8, 3]), 30, 2), (once[::2], 3, 5), (once[:14], 200, 5), (once[:7], 4, 6)]


def run(answer, tokens, batch_size, context):
    """Return what must hold of a random batch, however it was drawn."""
    torch.manual_seed(1)
    batch = answer(tokens, batch_size, context, torch.Generator().manual_seed(0))
    if batch is None:
        return None
    if len(batch) != 2 or not all(isinstance(part, torch.Tensor) for part in batch):
        return {"what is returned": "one tensor" if isinstance(batch, torch.Tensor) else "not two tensors"}
    inputs, targets = batch
    if inputs.ndim != 2:
        return {"shape of the inputs": tuple(inputs.shape)}
    again, _ = answer(tokens, batch_size, context, torch.Generator().manual_seed(0))
    other, _ = answer(tokens, batch_size, context, torch.Generator().manual_seed(5))
    starts = len(tokens) - context
    found = sorted(set(inputs[:, 0].tolist()))
    place_of = {token: place for place, token in enumerate(tokens.tolist())}
    places, next_places = (
        torch.tensor([place_of.get(i, -1000) for i in part.flatten().tolist()]).view(part.shape)
        for part in (inputs, targets)
    )
    facts = {
        "shape of the inputs": tuple(inputs.shape),
        "shape of the targets": tuple(targets.shape),
        "dtype": (inputs.dtype, targets.dtype),
        "places from an input to its target": sorted(set((next_places - places).flatten().tolist()))
        if inputs.shape == targets.shape
        else "other shapes",
        "each stretch is in one piece": bool((places.diff(dim=-1) == 1).all()),
        "same generator, same batch": torch.equal(inputs, again),
        "the stretches differ": starts == 1 or len(found) > 1,
        "another seed, another batch": starts == 1 or not torch.equal(inputs, other),
    }
    if batch_size > 10 * starts:
        often = inputs[:, 0].unique(return_counts=True)[1].max().item()
        facts["first tokens"] = found
        facts["each start about as often"] = often < 2.7 * batch_size / starts
    return facts


def by_stack(tokens, batch_size, context, generator=None):
    starts = torch.randint(0, len(tokens) - context, (batch_size,), generator=generator).tolist()
    inputs = torch.stack([tokens[i : i + context] for i in starts])
    return inputs, torch.stack([tokens[i + 1 : i + context + 1] for i in starts])


def by_unfold(tokens, batch_size, context, generator=None):
    windows = tokens.unfold(0, context + 1, 1)
    rows = windows[torch.randint(len(windows), (batch_size,), generator=generator)]
    return rows[:, :-1].clone(), rows[:, 1:].clone()


def by_rand(tokens, batch_size, context, generator=None):
    starts = (torch.rand(batch_size, generator=generator) * (len(tokens) - context)).long()
    places = starts.unsqueeze(1) + torch.arange(context).unsqueeze(0)
    return tokens.take(places), tokens.take(places + 1)


def by_loop(tokens, batch_size, context, generator=None):
    rows = []
    for _ in range(batch_size):
        start = torch.randint(len(tokens) - context, (), generator=generator).item()
        rows.append(tokens[start : start + context + 1])
    rows = torch.stack(rows)
    return [rows[:, :-1].contiguous(), rows[:, 1:].contiguous()]


styles = [by_stack, by_unfold, by_rand, by_loop]
