"""2.8 analogy: what is computed. What is said stands in analogy.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw

arguments = ("a", "b", "c", "wte", "leave_out")


def cases():
    """The text's example, both ways; tables in which each of the three is nearest; random ones; only negative cosines."""
    example = torch.tensor([[2.0, 2.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 2.0], [4.0, -1.0]])
    first = torch.tensor([[1.0, 4.0], [9.0, 1.0], [0.5, 1.0], [1.0, 0.5], [-1.0, 9.0]])
    middle = torch.tensor([[-1.0, 1.0], [-4.0, 1.0], [-6.0, 0.5], [0.0, 9.0], [-1.0, -9.0]])
    opposite = torch.tensor(
        [[3.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [-3.0, -1.0, -1.2], [-1.0, 0.0, 0.2]]
    )
    return [
        (0, 1, 2, example, True),
        (0, 1, 2, example, False),
        (3, 2, 0, first, True),
        (0, 2, 3, first, False),
        (0, 1, 2, middle, True),
        (0, 1, 2, middle, False),
        (0, 1, 2, opposite, True),
        *(
            (a, b, c, draw(24, 6, seed=50 + a), yes)
            for a, b, c in ((3, 17, 8), (20, 5, 11))
            for yes in (True, False)
        ),
        *(
            (a, b, c, draw(40, 3, seed=60 + a), True)
            for a, b, c in ((7, 30, 2), (1, 4, 22), (12, 9, 33), (38, 6, 0))
        ),
    ]


def run(answer, a, b, c, wte, leave_out):
    """Call the answer, which may do without the last argument where it's True, as it is by default."""
    found = answer(a, b, c, wte) if leave_out else answer(a, b, c, wte, leave_out=False)
    return "a tensor" if isinstance(found, torch.Tensor) else found


def by_key(a, b, c, wte, leave_out=True):
    unit, x = F.normalize(wte, dim=-1), wte[a] - wte[b] + wte[c]
    scores = (unit @ x).tolist()
    return max((i for i in range(len(wte)) if not leave_out or i not in (a, b, c)), key=scores.__getitem__)


def by_similarity(a, b, c, wte, leave_out=True):
    scores = F.cosine_similarity((wte[a] - wte[b] + wte[c]).double(), wte.double(), dim=-1)
    for i in (a, b, c) if leave_out else ():
        scores[i] = -math.inf
    return int(scores.argmax())


def by_rank(a, b, c, wte, leave_out=True):
    x = wte[a] + (wte[c] - wte[b])
    order = ((wte @ x) / (wte.norm(dim=1) * x.norm())).argsort(descending=True).tolist()
    return next(i for i in order if not (leave_out and i in {a, b, c}))


styles = [by_key, by_similarity, by_rank]
