"""0.2 count_followers: what is computed. What is said stands in count_followers.md."""

from collections import Counter, defaultdict


def cases():
    """The text's example; repeated pairs; one pair often; capitals; one word; none."""
    return [
        (["a", "b", "a", "c"],),
        ("the cat saw the dog and the cat ran".split(),),
        ("no no no no yes".split(),),
        ("The cat saw the Cat and the cat".split(),),
        (["alone"],),
        ([],),
    ]


def run(answer, words):
    """Return the counts as plain dicts; words without followers may be there or not."""
    found = answer(words)
    if not hasattr(found, "items"):
        return found
    plain = {word: dict(counts) if hasattr(counts, "items") else counts for word, counts in found.items()}
    return {word: counts for word, counts in plain.items() if counts != {}}


def by_defaultdict(words):
    found = defaultdict(Counter)
    for i in range(len(words) - 1):
        found[words[i]][words[i + 1]] += 1
    return found


def by_comprehension(words):
    return {w: Counter(b for a, b in zip(words, words[1:]) if a == w) for w in set(words[:-1])}


def by_pairs(words):
    found = {}
    for (a, b), n in Counter(zip(words, words[1:])).items():
        found.setdefault(a, {})[b] = n
    return found


def with_an_entry_for_every_word(words):
    found = {word: {} for word in words}
    for a, b in zip(words, words[1:]):
        found[a][b] = found[a].get(b, 0) + 1
    return found


styles = [by_defaultdict, by_comprehension, by_pairs, with_an_entry_for_every_word]
