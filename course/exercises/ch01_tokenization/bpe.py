"""1.6 bpe: what is computed. What is said stands in bpe.md."""

from course.exercises.ch01_tokenization.merge_pair import by_stack as merge_pair
from course.exercises.ch01_tokenization.merge_pair import sym


def cases():
    """The text's example; then ranks in which leftmost, longest, most frequent and lowest differ."""
    ranks = {(b"b", b"c"): 0, (b"a", b"b"): 1}
    more = {
        (b"l", b"l"): 0,
        (b"h", b"e"): 1,
        (b"he", b"ll"): 2,
        (b"e", b"ll"): 3,
        (b"hell", b"o"): 4,
        (b"l", b"o"): 5,
    }
    often = {(b"c", b"d"): 0, (b"a", b"b"): 1, (b"b", b"c"): 2}
    runs = {(b"a", b"a"): 0, (b"aa", b"aa"): 1, (b"aa", b"a"): 2}
    return [
        (sym("abc"), ranks),
        (sym("abcabc"), ranks),
        (sym("hello"), more),
        (sym("ello"), more),
        (sym("aaaaa"), runs),
        (sym("aaaaaaa"), runs),
        (sym("abcbcd"), often),
        (sym("x"), ranks),
        ([], ranks),
        (sym("xyz"), {}),
        ([b"a", b"b", b"c", b"dd"], {(b"a", b"b"): 1, (b"b", b"c"): 0, (b"c", b"dd"): 2, (b"b", b"cdd"): 3}),
        (sym("abc"), {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"a", b"bc"): 2}),
        ([b"z", b"y", b"bb"], {(b"z", b"y"): 1, (b"y", b"bb"): 0}),
    ]


def by_index(symbols, ranks):
    symbols = list(symbols)
    while len(symbols) > 1:
        scored = [(ranks.get((a, b), float("inf")), i) for i, (a, b) in enumerate(zip(symbols, symbols[1:]))]
        rank, i = min(scored)
        if rank == float("inf"):
            break
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return symbols


def by_recursion(symbols, ranks):
    symbols = tuple(symbols)
    known = {pair: ranks[pair] for pair in zip(symbols, symbols[1:]) if pair in ranks}
    return by_recursion(merge_pair(symbols, min(known, key=known.get)), ranks) if known else symbols


def in_order_of_rank(symbols, ranks):
    symbols = list(symbols)
    for pair in sorted(ranks, key=ranks.get):
        symbols = list(merge_pair(symbols, pair))
    return symbols


by_list = """
    symbols = list(symbols)
    while True:
        known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
        if not known:
            return symbols
        pair = min(known, key=ranks.get)
        symbols = merge_pair(symbols, pair)
"""
styles = [by_list, by_index, by_recursion, in_order_of_rank]
