"""The best that counting can do: Kneser-Ney n-grams, in bits per byte, beside a trained model.

    python benchmarks/ngram.py --text train.txt --validation validation.txt [--tokenizer DIRECTORY]

Interpolated Kneser-Ney (Chen and Goodman 1998, section 4.1.6) of every order up to --max-order, over
bytes and, with --tokenizer, over its tokens. The order is chosen on the validation text, which
favours the baseline.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from gpt2lib.tokenizer import Tokenizer


def numbered(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct keys, sorted, and how often each occurs."""
    return np.unique(keys, return_counts=True)


def look_up(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the place of each key in a sorted table, -1 where it is not there."""
    places = np.searchsorted(table, keys).clip(max=len(table) - 1)
    return np.where(table[places] == keys, places, -1)


class KneserNey:
    """An interpolated Kneser-Ney model of one order over symbols 0..size-1."""

    def __init__(self, symbols: np.ndarray, size: int, order: int):
        """Count every n-gram up to the order in the training symbols (N,)."""
        self.size, self.order = size, order
        self.tables, grams = [], np.zeros(len(symbols) + 1, dtype=np.int64)
        for n in range(1, order + 1):
            # a gram is the number of its first n-1 symbols times size, plus its last symbol
            keys = grams[: len(symbols) - n + 1] * size + symbols[n - 1 :]
            distinct, counts = numbered(keys)
            self.tables.append({"keys": distinct, "counts": counts})
            grams = look_up(distinct, keys)
        for n in range(1, order):  # lower orders count in how many contexts a gram continues something
            above = self.tables[n]
            firsts = self.suffixes(above["keys"], n + 1)
            self.tables[n - 1]["continues"] = np.bincount(firsts, minlength=len(self.tables[n - 1]["keys"]))
        for n, table in enumerate(self.tables, start=1):
            used = table["counts"] if n == order else table["continues"]
            ones, twos = np.sum(used == 1), np.sum(used == 2)
            contexts = table["keys"] // size
            length = 1 if n == 1 else len(self.tables[n - 2]["keys"])
            table["used"] = used
            table["discount"] = ones / max(1, ones + 2 * twos)
            table["total"] = np.bincount(contexts, weights=used, minlength=length)
            table["kinds"] = np.bincount(contexts, weights=used > 0, minlength=length)

    def suffixes(self, keys: np.ndarray, n: int) -> np.ndarray:
        """Return the numbers of the (n-1)-grams that are n-grams without their first symbol."""
        columns = []
        for _ in range(n):
            columns.insert(0, keys % self.size)
            keys = keys // self.size
            if len(columns) < n:
                keys = self.tables[n - 1 - len(columns)]["keys"][keys]
        return self.number(columns[1:])

    def number(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the number of each gram, given symbol by symbol; -1 where it was never seen."""
        grams = np.zeros_like(columns[0])
        for table, column in zip(self.tables, columns):
            grams = np.where(grams < 0, -1, look_up(table["keys"], grams * self.size + column))
        return grams

    def bits(self, symbols: np.ndarray) -> float:
        """Return the bits that all of these symbols take; the first ones have shorter contexts."""
        probability = np.full(len(symbols), 1.0 / self.size)
        contexts = np.zeros(len(symbols), dtype=np.int64)  # of length 0, then 1, ...
        for n, table in enumerate(self.tables, start=1):
            if n > 1:
                columns = [symbols[i : len(symbols) - n + 1 + i] for i in range(n - 1)]
                contexts = np.concatenate([np.full(n - 1, -1), self.number(columns)])
            known = contexts >= 0
            safe = np.where(known, contexts, 0)
            place = look_up(table["keys"], safe * self.size + symbols)
            seen = np.where(known & (place >= 0), table["used"][place], 0)
            total, kinds = table["total"][safe], table["kinds"][safe]
            with np.errstate(divide="ignore", invalid="ignore"):
                mixed = np.maximum(seen - table["discount"], 0) / total
                mixed += table["discount"] * kinds / total * probability
            probability = np.where(known & (total > 0), mixed, probability)
        return float(-np.log2(probability).sum())


def main() -> None:
    """Print bits per byte for each order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="a directory with merges.txt")
    parser.add_argument("--max-order", type=int, default=8)
    options = parser.parse_args()
    text, validation = (path.read_text("utf-8") for path in (options.text, options.validation))
    size = len(validation.encode())
    kinds = {"bytes": (lambda t: list(t.encode()), 256, options.max_order)}
    if options.tokenizer:
        tokenizer = Tokenizer.load(options.tokenizer)
        kinds["tokens"] = (lambda t: tokenizer.encode(t, allow_special=True), tokenizer.vocab_size, 5)
    best = (math.inf, "")
    for name, (encode, vocabulary, orders) in kinds.items():
        train, held_out = (np.array(encode(t), dtype=np.int64) for t in (text, validation))
        for order in range(1, orders + 1):
            bits = KneserNey(train, vocabulary, order).bits(held_out) / size
            best = min(best, (bits, f"{order}-grams of {name}"))
            print(f"{name:>7} order {order}: {bits:.3f} bits per byte", flush=True)
    print(f"best: {best[1]}, {best[0]:.3f} bits per byte")


if __name__ == "__main__":
    main()
