"""The best that counting can do: Kneser-Ney n-grams, in bits per byte, beside a trained model.

    python benchmarks/ngram.py --text train.txt --validation validation.txt [--tokenizer DIRECTORY]

Interpolated Kneser-Ney (Chen and Goodman 1998, section 4.1.6) of every order up to --max-order, over
bytes and, with --tokenizer, over its tokens. Several validation texts may be given. The order is chosen on
the first of them, which favors the baseline.
"""

import argparse
from functools import lru_cache
from pathlib import Path

import numpy as np

from gpt2lib.tokenizer import Tokenizer


def look_up(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the place of each key in a sorted table, -1 where it isn't there."""
    places = np.searchsorted(table, keys).clip(max=len(table) - 1)
    return np.where(table[places] == keys, places, -1)


class KneserNey:
    """Interpolated Kneser-Ney models of every order up to one, over symbols 0..size-1.

    An n-gram is stored as a key: the number of its first n - 1 symbols (their place among the sorted keys of
    that length) times size, plus its last symbol. So each order takes one sort and a few arrays as long as
    the text.
    """

    def __init__(self, symbols: np.ndarray, size: int, order: int):
        """Count every n-gram up to the order in the training symbols (N,).

        Raises ValueError if the order is below 1 or there are fewer symbols than that.
        """
        if not 1 <= order <= len(symbols):
            raise ValueError(
                f"order is {order}, but it must be from 1 to {len(symbols)}, the length of the text"
            )
        self.size, self.order = size, order
        self.keys, self.counts, self.continued = [], [], []
        # the number of the n-gram that starts at each place
        grams = np.zeros(len(symbols) + 1, dtype=np.int64)
        for n in range(1, order + 1):
            keys = grams[: len(symbols) - n + 1] * size + symbols[n - 1 :]
            distinct, first, numbers, counts = np.unique(keys, True, True, True)
            if n > 1:  # in how many contexts each (n - 1)-gram continues something
                self.continued.append(np.bincount(grams[first + 1], minlength=len(self.keys[-1])))
            self.keys.append(distinct)
            self.counts.append(counts)
            grams = numbers
        self.statistics = lru_cache(self._statistics)

    def _statistics(self, n: int, highest: bool) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        """Return the counts of order n, their discount, and by context their sum and number.

        The highest order takes plain counts, a lower one the number of contexts that an n-gram continues.
        """
        counts = self.counts[n - 1] if highest else self.continued[n - 1]
        ones, twos = np.sum(counts == 1), np.sum(counts == 2)
        # the formula would leave nothing for new n-grams
        discount = ones / (ones + 2 * twos) if ones else 0.5
        contexts = self.keys[n - 1] // self.size
        length = 1 if n == 1 else len(self.keys[n - 2])
        total = np.bincount(contexts, weights=counts, minlength=length)
        return counts, discount, total, np.bincount(contexts, weights=counts > 0, minlength=length)

    def probabilities(self, symbols: np.ndarray, order: int | None = None) -> np.ndarray:
        """Return the probability of each symbol after those before it: (N,) -> (N,).

        order is the highest one by default; the first symbols have shorter contexts.
        """
        order = self.order if order is None else order
        probability = np.full(len(symbols), 1.0 / self.size)
        # the numbers of contexts of n - 1 symbols, -1: never seen
        contexts = np.zeros(len(symbols), dtype=np.int64)
        for n in range(1, order + 1):
            counts, discount, total, kinds = self.statistics(n, n == order)
            places = look_up(self.keys[n - 1], np.where(contexts < 0, -1, contexts * self.size + symbols))
            seen = np.where(places < 0, 0, counts[places])
            known = (contexts >= 0) & (total[contexts] > 0)
            total, kinds = np.where(known, total[contexts], 1), kinds[contexts]
            mixed = (np.maximum(seen - discount, 0) + discount * kinds * probability) / total
            probability = np.where(known, mixed, probability)
            contexts = np.concatenate([[-1], places[:-1]])
        return probability

    def bits(self, symbols: np.ndarray, order: int | None = None) -> float:
        """Return the bits that all of these symbols take."""
        return float(-np.log2(self.probabilities(symbols, order)).sum())


def main(arguments: list[str] | None = None) -> None:
    """Print bits per byte for each order and each validation text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--validation", type=Path, nargs="+", required=True)
    parser.add_argument("--tokenizer", type=Path, help="a directory with merges.txt")
    parser.add_argument("--max-order", type=int, default=8, help="of bytes; that of tokens is at most 6")
    options = parser.parse_args(arguments)
    text = options.text.read_text("utf-8")
    held_out = [path.read_text("utf-8") for path in options.validation]
    kinds = {"bytes": (lambda t: np.frombuffer(t.encode(), dtype=np.uint8), 256, options.max_order)}
    if options.tokenizer:
        tokenizer = Tokenizer.load(options.tokenizer)
        orders = min(6, options.max_order)
        kinds["tokens"] = (lambda t: tokenizer.encode(t, allow_special=True), tokenizer.vocab_size, orders)
    found = []
    for name, (encode, vocabulary, orders) in kinds.items():
        ngram = KneserNey(np.array(encode(text), dtype=np.int64), vocabulary, orders)
        symbols = [np.array(encode(t), dtype=np.int64) for t in held_out]
        for order in range(1, orders + 1):
            bits = [ngram.bits(s, order) / len(t.encode()) for s, t in zip(symbols, held_out)]
            found.append((*bits, f"{order}-grams of {name}"))
            print(f"{found[-1][-1]}: {', '.join(f'{b:.3f}' for b in bits)} bits per byte", flush=True)
    *bits, name = min(found)
    print(f"best: {name}, {', '.join(f'{b:.3f}' for b in bits)} bits per byte")


if __name__ == "__main__":
    main()
