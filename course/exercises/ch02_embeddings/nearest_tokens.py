"""2.3 nearest_tokens: what is computed. What is said stands in nearest_tokens.md."""

import itertools
import math

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw

arguments = ("token", "wte", "n")


def cases():
    """The text's example; two tokens with one direction, asked for in both orders; all others; random; equal rows."""
    rows = torch.tensor([[1.0, 0.0], [6.0, 8.0], [3.0, -5.0], [2.0, 0.0], [-3.0, 0.0], [10.0, -10.0]])
    return [
        (0, torch.tensor([[1.0, 0.0], [6.0, 8.0], [-3.0, 0.0], [10.0, -10.0]]), 2),
        (0, rows, 3),
        (3, rows, 2),
        (2, rows, 5),
        (0, rows, 5),  # the last of them points the opposite way
        (4, draw(20, 8, seed=27), 6),
        (19, draw(20, 8, seed=28), 4),
        (2, torch.tensor([[1.0, 0.0], [6.0, 8.0], [-3.0, 0.0], [10.0, -10.0]]), 3),
        (1, torch.tensor([[1.0, 0.0], [2.0, 1.0], [2.0, 1.0], [0.0, 3.0]]), 2),
    ]


def run(answer, token, wte, n):
    """Call the answer; put neighbors that are equally near, which may come in any order, in one order."""
    found = answer(token, wte, n)
    if isinstance(found, torch.Tensor):
        return "a tensor"
    if not isinstance(found, list) or any(i not in range(len(wte)) for i in found):
        return found
    cosines = F.cosine_similarity(wte[token].double(), wte.double(), dim=-1)
    near = [round(cosine, 5) for cosine in cosines.tolist()]
    groups = itertools.groupby(found, key=lambda i: near[i])
    return [i for _, group in groups for i in sorted(group)]


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
