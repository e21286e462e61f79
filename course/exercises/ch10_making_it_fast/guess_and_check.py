"""10.12 guess_and_check: what is computed. What is said stands in guess_and_check.md."""

import torch

from course.exercises.ch10_making_it_fast.accept_guesses import likeliest
from course.exercises.common import numbers

arguments = ("ids", "tokens in the cache", "guesses", "dice", "seed")
V = 12  # ids of the toy vocabulary


class Remembered:
    """A cache that holds the ids themselves."""

    def __init__(self, ids: list[int]):
        self.ids = list(ids)

    @property
    def length(self) -> int:
        return len(self.ids)

    def truncate(self, length: int) -> None:
        if not 0 <= length <= len(self.ids):
            raise ValueError(f"cannot cut a cache of {len(self.ids)} tokens to {length}")
        del self.ids[length:]


class Toy:
    """A model whose next token depends on the last two ids that it has seen, and a draft that half agrees."""

    def __init__(self, seed: int):
        self.logits = 3 * numbers(V, V, V, seed=seed)
        self.guesses = (self.logits + 2 * numbers(V, V, V, seed=seed + 1)).softmax(-1)
        self.read, self.asked = [], []

    def __call__(self, tokens: torch.Tensor, cache: Remembered) -> torch.Tensor:
        rows = []
        for token in tokens[0].tolist():
            rows.append(self.logits[cache.ids[-1] if cache.ids else 0, token])
            cache.ids.append(token)
        self.read.append(tokens[0].tolist())
        return torch.stack(rows)[None]

    def draft(self, ids: list[int]) -> torch.Tensor:
        self.asked.append(list(ids))
        return self.guesses[ids[-2] if len(ids) > 1 else 0, ids[-1]]


def cases():
    """The text's example; all kept; none; a fresh cache; no guesses; no guesses and a fresh cache; more of each kind."""
    return [
        ([5, 8], 1, 2, [0.2, 0.95], 5634),
        ([3, 1, 4, 1], 3, 3, [0.0, 0.0, 0.0], 10),
        ([2, 7, 1], 2, 2, [0.999, 0.999], 20),
        ([6, 2, 6, 2, 9], 0, 2, [0.0, 0.9], 30),
        ([1, 2, 3], 2, 0, [], 40),
        ([4, 4, 8], 0, 0, [], 50),
        ([9], 0, 3, [0.5, 0.4, 0.3], 60),
        *(([seed % V, 3, 5, 7], 3, 4, [0.1, 0.1, 0.97, 0.1], seed) for seed in range(70, 76)),
    ]


def run(answer, ids, seen, guesses, dice, seed):
    """Return what a round gives, what the model and the draft were asked for, and what the cache holds then."""
    toy, cache, text = Toy(seed), Remembered(ids[:seen]), list(ids)
    guessed, taken = answer(toy, toy.draft, text, cache, guesses, lambda n: dice[:n], likeliest)
    return {
        "guessed": [int(token) for token in guessed],
        "taken": [int(token) for token in taken],
        "the model read": toy.read,
        "the draft was asked about": toy.asked,
        "in the cache": cache.ids,
        "ids, afterward": text,
    }


by_appending = """
    text, drafts = list(ids), []
    for i in range(guesses):
        probabilities = draft(text)
        drafts.append(probabilities)
        text.append(draw(probabilities))
    guessed = text[len(ids) :]
    logits = model(torch.tensor(text[cache.length :]).unsqueeze(0), cache).squeeze(0)
    taken = accept_guesses(logits[len(logits) - guesses - 1 :].softmax(dim=-1), drafts, guessed, roll(guesses), draw)
    cache.truncate(cache.length - (guesses + 1 - len(taken)))
    return guessed, taken
"""

by_pairs = """
    rounds = []
    while len(rounds) < guesses:
        q = draft([*ids, *(token for token, _ in rounds)])
        rounds.append((draw(q), q))
    guessed, drafts = [token for token, _ in rounds], [q for _, q in rounds]
    unread = ids[cache.length :] + guessed
    p = torch.softmax(model(torch.tensor([unread]), cache), dim=-1)[0]
    taken = accept_guesses(p[-(guesses + 1) :], drafts, guessed, roll(len(guessed)), draw)
    cache.truncate(len(ids + taken) - 1)
    return guessed, taken
"""


def first_the_rows(model, draft, ids, cache, guesses, roll, draw):
    from gpt2lib.speculation import accept_guesses

    guessed, drafts = [], []
    for _ in range(guesses):
        drafts += [draft(ids + guessed)]
        guessed += [draw(drafts[-1])]
    seen = cache.length
    logits = model(torch.tensor([ids[seen:] + guessed]), cache)[0]
    targets = logits[len(ids) - 1 - seen :].softmax(-1)
    taken = accept_guesses(targets, drafts, guessed, roll(guesses), draw)
    cache.truncate(len(ids) + len(taken) - 1)
    return guessed, taken


styles = [by_appending, by_pairs, first_the_rows]
