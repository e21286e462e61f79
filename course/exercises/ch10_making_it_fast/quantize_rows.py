"""10.3 quantize_rows: what is computed. What is said stands in quantize_rows.md."""

import torch

from course.exercises.common import numbers as normal

tolerance = 1e-6


def cases():
    """The row of the text, a row of zeros, rows of all sizes (one of them tiny), and rows that are columns.

    Every row has a positive entry, and in many of them the largest entry is a negative one.
    """
    weight = normal(6, 7, seed=4) * torch.tensor([1.0, 10.0, 0.0, 3.0, 1e-20, 0.1])[:, None]
    return [
        (torch.tensor([[0.5, -2.0, 0.0]]),),
        (torch.tensor([[1.0, -0.3, 0.26], [0.0, 0.0, 0.0]]),),
        (normal(4, 6, seed=2),),
        (weight,),
        (normal(6, 6, seed=3).T,),
    ]


def run(answer, weight):
    """Return both results and their dtypes by name."""
    result = answer(weight)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return {"results": 1}
    numbers, scale = result
    return {
        "results": 2,
        "dtype of the numbers": str(getattr(numbers, "dtype", type(numbers))),
        "numbers": numbers,
        "dtype of the scale": str(getattr(scale, "dtype", type(scale))),
        "scale": scale,
    }


def by_loop(weight):
    numbers, scales = [], []
    for row in weight:
        unit = row.abs().max().item() / 127 or 1.0
        scales.append(unit)
        numbers.append([round(entry / unit) for entry in row.double().tolist()])
    return torch.tensor(numbers).to(torch.int8), torch.tensor(scales)


def by_norm(weight):
    scale = torch.linalg.vector_norm(weight, torch.inf, dim=-1) / 127
    scale[scale == 0] = 1
    return torch.round(weight / scale.unsqueeze(-1)).char(), scale


def by_extremes(weight):
    weight = weight.double()
    low, high = torch.aminmax(weight, dim=1)
    scale = torch.maximum(high, -low).div(127)
    scale.masked_fill_(scale == 0, 1.0)
    return (weight.T / scale).T.round().type(torch.int8), scale.float()


def by_parts(weight):
    most = weight.abs().max(dim=1, keepdim=True).values
    part = torch.where(most > 0, weight / most, 0.0)  # of the largest entry
    numbers = (127 * part).round().clamp(-127, 127).to(torch.int8)
    return numbers, torch.where(most > 0, most / 127, torch.ones_like(most)).squeeze(1)


styles = [by_loop, by_norm, by_extremes, by_parts]
