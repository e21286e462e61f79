"""1.1 count_pairs: what is computed. What is said stands in count_pairs.md."""

from collections import Counter


def cases():
    """The text's three words; a word with a repeated pair; longer symbols; no pair."""
    return [
        ({(b"h", b"u", b"g"): 10, (b"p", b"u", b"g"): 5, (b"h", b"u", b"g", b"s"): 5},),
        ({(b"a", b"a", b"a"): 2, (b"b",): 7, (b"a", b"b", b"a", b"b"): 3},),
        ({(b"ab", b"c"): 4, (b"a", b"bc"): 1, (b"c", b"ab"): 2},),
        ({(b"a",): 3},),
    ]


def run(answer, words):
    """Return the counts without zeros, as a plain dict, and whether it can say what is most common."""
    counts = answer(words)
    if not isinstance(counts, dict):
        return counts
    return {
        "counts": {pair: n for pair, n in counts.items() if n},
        "has most_common": hasattr(counts, "most_common"),
    }


def by_index(words):
    counts = {}
    for symbols in words:
        for i in range(len(symbols) - 1):
            pair = (symbols[i], symbols[i + 1])
            counts[pair] = counts.get(pair, 0) + words[symbols]
    return Counter(counts)


def by_sum(words):
    return sum(
        (Counter({p: k * n for p, k in Counter(zip(w, w[1:])).items()}) for w, n in words.items()), Counter()
    )


def by_repeat(words):
    return Counter(pair for word, n in words.items() for _ in range(n) for pair in zip(word[:-1], word[1:]))


styles = [by_index, by_sum, by_repeat]
