"""10.9 look_up: what is computed. What is said stands in look_up.md."""

from random import Random


def texts(seed: int, letters: int, length: int) -> list[int]:
    draw = Random(seed)
    return [draw.randrange(letters) for _ in range(length)]


def cases():
    """The example; an overlap; the latest of several; never; too short; once at the very start; repeats of all kinds."""
    return [
        ([5, 8, 2, 5, 8], 2),
        ([7, 7, 7], 2),
        ([1, 2, 3, 1, 2, 4, 9, 1, 2], 2),
        ([1, 2, 3, 4, 5], 2),
        ([3, 1, 2, 3, 2], 2),
        ([4], 1),
        ([4, 6], 2),
        ([4, 6], 3),
        ([], 1),
        ([0, 0, 5, 0, 0], 2),
        ([0, 3, 0], 1),
        ([6, 2, 9, 6, 2, 9, 1, 6, 2, 9], 3),
        ([8, 2, 9, 5, 3, 2, 9, 6, 1, 2, 9], 3),
        *((texts(seed, 3, 12), n) for seed in range(4) for n in (1, 2, 3)),
    ]


def by_tails(ids, n):
    tail = tuple(ids[-n:])
    found = None
    for i in range(len(ids) - n):
        if tuple(ids[i : i + n]) == tail:
            found = ids[i + n]
    return found


def by_list(ids, n):
    found = [ids[i + n] for i in range(len(ids) - n) if ids[i : i + n] == ids[len(ids) - n :]]
    return found[-1] if found else None


def by_table(ids, n):
    after = {}
    for i in range(len(ids) - n):
        after[tuple(ids[i : i + n])] = ids[i + n]
    return after.get(tuple(ids[-n:]))


def backwards(ids, n):
    start = len(ids) - n - 1
    while start >= 0:
        if all(ids[start + j] == ids[j - n] for j in range(n)):
            return ids[start + n]
        start -= 1
    return None


styles = [by_tails, by_list, by_table, backwards]
