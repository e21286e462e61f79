"""1.3 train_merges: what is computed. What is said stands in train_merges.md."""

from collections import Counter

from course.exercises.ch01_tokenization.count_pairs import by_index as count_pairs
from course.exercises.ch01_tokenization.merge_pair import by_stack as merge_pair


def cases():
    """The text's words; ties; a text that runs out of pairs; more words; no merges; accents."""
    return [
        ({b"hug": 10, b"pug": 5, b"hugs": 5}, 4),
        ({b"ab": 3, b"cd": 3, b"ba": 1}, 2),
        ({b"ab": 2}, 5),
        ({b"aaaa": 3, b"aab": 2, b"abcabc": 1}, 6),
        ({b" the": 9, b" then": 4, b" other": 3, b"the": 2, b"hen": 5}, 8),
        ({b"abc": 1}, 0),
        ({"né".encode(): 3, "één".encode(): 2, b"\xc3": 4}, 4),
    ]


def run(answer, word_counts, n_merges):
    """Return the merges; pairs that cannot be keys of a dict are told apart from tuples."""
    merges = answer(word_counts, n_merges)
    if isinstance(merges, list) and any(isinstance(pair, list) for pair in merges):
        return "pairs that are lists"
    return merges


def by_dict(word_counts, n_merges):
    words, merges = {tuple(bytes([b]) for b in w): n for w, n in word_counts.items()}, []
    while len(merges) < n_merges:
        counts = count_pairs(words)
        if not counts:
            return merges
        top = max(counts.values())
        merges.append(max(pair for pair in counts if counts[pair] == top))
        new = {}
        for word, n in words.items():
            key = merge_pair(word, merges[-1])
            new[key] = new.get(key, 0) + n
        words = new
    return merges


def by_sorting(word_counts, n_merges):
    words, merges = [([bytes([b]) for b in w], n) for w, n in word_counts.items()], []
    for _ in range(n_merges):
        flat = Counter()
        for w, n in words:
            flat.update({p: n * k for p, k in Counter(zip(w, w[1:])).items()})
        ranking = sorted(flat.items(), key=lambda item: (item[1], item[0]))
        if ranking:
            merges.append(ranking[-1][0])
            words = [(merge_pair(w, merges[-1]), n) for w, n in words]
    return merges


plain = """
    words = [([bytes([byte]) for byte in word], n) for word, n in word_counts.items()]
    merges = []
    for _ in range(n_merges):
        counts = Counter()
        for symbols, n in words:
            for pair in zip(symbols, symbols[1:]):
                counts[pair] += n
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = [(merge_pair(symbols, best), n) for symbols, n in words]
    return merges
"""
styles = [plain, by_dict, by_sorting]
