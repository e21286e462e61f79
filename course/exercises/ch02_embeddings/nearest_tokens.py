"""2.3 nearest_tokens: what is computed. What is said stands in nearest_tokens.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw

arguments = ("token", "wte", "n")


def pointing(way, *row):
    """Return 40 rows of one direction (way 1), or of the opposite one (-1), and different lengths."""
    return way * torch.arange(2.0, 42.0)[:, None] * torch.tensor(row)


def cases():
    """The text's example; three small tables; random ones; rows that point one way, and the opposite way.

    The cosines of parallel rows differ in their last digit, and which of them is largest depends on the processor.
    With 40 of them something goes wrong on every processor.
    """
    example = torch.tensor([[1.0, 0.0], [6.0, 8.0], [-3.0, 0.0], [10.0, -10.0]])
    rows = torch.tensor([[1.0, 0.0], [6.0, 8.0], [3.0, -5.0], [2.0, 1.0], [-3.0, 0.5], [10.0, -10.0]])
    own, other = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 0.0, -2.0]])
    return [
        (0, example, 2),
        (0, rows, 3),
        (3, rows, 2),
        (2, rows, 5),
        (0, rows, 5),  # the last of them points nearly the opposite way
        (4, draw(20, 8, seed=27), 6),
        (19, draw(20, 8, seed=28), 4),
        (1, torch.cat([other, own, pointing(1, 1.0, 2.0, 3.0)]), 40),
        (1, torch.cat([other, own, pointing(-1, 1.0, 2.0, 3.0)]), 41),
    ]


def run(answer, token, wte, n):
    """Call the answer; put the cosine in the place of each id, since equally near ones may come in any order.

    The token itself, which a wrong answer may return, has no place in that order.
    """
    found = answer(token, wte, n)
    if isinstance(found, torch.Tensor):
        return "a tensor"
    cosines = F.cosine_similarity(wte[token].double(), wte.double(), dim=-1).tolist()

    def near(entry):
        if isinstance(entry, (list, tuple)):
            return type(entry)(near(part) for part in entry if not (isinstance(part, int) and part == token))
        return cosines[entry] if isinstance(entry, int) and 0 <= entry < len(wte) else entry

    def ids(entry):
        if isinstance(entry, (list, tuple)):
            return set().union(*map(ids, entry))
        return {entry} if isinstance(entry, int) else set()

    return {"cosines": near(found), "itself": token in ids(found), "different": len(ids(found))}


def by_key(token, wte, n):
    unit = wte / wte.norm(dim=1, keepdim=True)
    scores = (unit @ unit[token]).tolist()
    return sorted((i for i in range(len(wte)) if i != token), key=lambda i: (-scores[i], i))[:n]


def by_sort(token, wte, n):
    scores = F.cosine_similarity(wte[token].double(), wte.double(), dim=-1)
    scores[token] = -math.inf
    return torch.sort(scores, descending=True, stable=True).indices[:n].tolist()


def by_rounds(token, wte, n):
    unit = F.normalize(wte, dim=-1)
    scores, found = unit @ unit[token], []
    scores[token] = -2.0
    for _ in range(n):
        found.append(int(scores.argmax()))
        scores[found[-1]] = -2.0
    return found


styles = [by_key, by_sort, by_rounds]
