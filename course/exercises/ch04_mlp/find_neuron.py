"""4.6 find_neuron: what is computed. What is said stands in find_neuron.md."""

import torch

from course.exercises.common import numbers

arguments = ("inside", "outside")


def cases():
    """The text's example; a single token each; only negative differences; texts of different lengths, drawn at random."""
    return [
        (torch.tensor([[4.0, 1.0, 3.0]]), torch.tensor([[5.0, -0.1, 0.0], [5.0, 0.1, 0.0]])),
        (torch.tensor([[-0.1, -0.1]]), torch.tensor([[-0.05, -0.15]])),
        (torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 3.0], [4.0, 3.0]])),
        (torch.tensor([[1.0, 0.0, 5.0], [1.0, 3.0, 5.0]]), torch.tensor([[9.0, 0.0, 4.8]])),
        # one loud token in neuron 0; many quiet ones in neuron 1
        (torch.tensor([[6.0, 2.0]] + [[0.0, 2.0]] * 5), torch.tensor([[0.0, 0.5]] * 3)),
        # many tokens outside
        (torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[0.1, 0.9]] * 12)),
        *((numbers(T, 20, seed=s), numbers(S, 20, seed=s + 1)) for T, S, s in [(7, 9, 61), (30, 4, 63)]),
    ]


def run(answer, inside, outside):
    """Call the answer; a tensor or a float can't be an index in the cells that follow."""
    found = answer(inside, outside)
    number = found.item() if isinstance(found, torch.Tensor) and found.numel() == 1 else found
    if (number is not found or isinstance(found, float)) and float(number).is_integer():
        raise TypeError(f"it returns {found!r}, but a neuron's number has to be an int, to be an index")
    return number


def by_loop(inside, outside):
    best, found = None, 0
    for n in range(inside.shape[1]):
        difference = inside[:, n].mean() - outside[:, n].mean()
        if best is None or difference > best:
            best, found = difference, n
    return found


def by_ranking(inside, outside):
    difference = inside.sum(0) / len(inside) - outside.sum(0) / len(outside)
    return difference.sort(descending=True).indices[0].item()


def by_topk(inside, outside):
    return int((inside.mean(0) - outside.mean(0)).topk(1).indices)


styles = [by_loop, by_ranking, by_topk]
