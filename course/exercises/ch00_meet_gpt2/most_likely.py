"""0.1 most_likely: what is computed. What is said stands in most_likely.md."""

from collections import Counter


def cases():
    """The text's example; the best one in the middle and at the end; one word; numbers that are hard to rank."""
    return [
        ({"cat": 0.5, "dog": 0.3, "rug": 0.2},),
        ({"rug": 0.2, "mat": 0.6, "zebra": 0.15, "a": 0.05},),
        ({"longest": 0.25, "b": 0.3, "z": 0.45},),
        ({"only": 1.0},),
        ({"a": 0.5, "b": 0.1, "c": 0.4},),  # more than the one before isn't more than the best
        ({"b": 0.31, "c": 0.34, "a": 0.33},),  # alike when rounded
        ({"rare": 1e-05, "d": 0.2, "e": 0.79999},),  # as text, 1e-05 comes last
        ({"x": 0.0001, "y": 0.0003, "z": 0.0002},),  # far from adding up to 1
    ]


def by_loop(probabilities):
    best, highest = None, -1.0
    for word, p in probabilities.items():
        if p > highest:
            best, highest = word, p
    return best


def by_sorting(probabilities):
    return sorted(probabilities.items(), key=lambda item: item[1])[-1][0]


def by_counter(probabilities):
    return Counter(probabilities).most_common(1)[0][0]


styles = [by_loop, by_sorting, by_counter]
