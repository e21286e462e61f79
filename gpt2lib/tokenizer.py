"""Byte-level BPE: text to token ids and back. Built in chapter 01."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

import regex
import tiktoken

from gpt2lib.files import replacing

SPLIT_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
GPT2_MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
Pair = tuple[bytes, bytes]


def count_pairs(words: Mapping[tuple[bytes, ...], int]) -> Counter[Pair]:
    """Count the pairs of neighbouring symbols in words, each as often as its word occurs.

    words maps a word, cut into symbols, to the number of its occurrences.
    """
    counts = Counter()
    for symbols, n in words.items():
        for pair in zip(symbols, symbols[1:]):
            counts[pair] += n
    return counts


def merge_pair(symbols: Iterable[bytes], pair: Pair) -> list[bytes]:
    """Join each occurrence of a pair of neighbours, from left to right and without overlap."""
    merged = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def train_merges(word_counts: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """Learn up to n_merges merges: join the most frequent pair of neighbours, again and again.

    Of pairs that are equally frequent, the one that is larger as a tuple of bytes goes first. Ends
    early when no pair is left. Source: Sennrich et al. 2016, algorithm 1. Only the words that
    contain the pair are counted anew after a merge; the result is the same and comes much sooner.
    """
    words = [tuple(bytes([byte]) for byte in word) for word in word_counts]
    occurrences = list(word_counts.values())
    counts = count_pairs(Counter(dict(zip(words, occurrences))))
    where = defaultdict(set)  # pair -> indices of the words that contain it
    for i, symbols in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            where[pair].add(i)

    merges = []
    while counts and len(merges) < n_merges:
        most = max(counts.values())
        best = max(pair for pair, n in counts.items() if n == most)
        merges.append(best)
        for i in where.pop(best):
            old, new = words[i], tuple(merge_pair(words[i], best))
            counts.subtract(count_pairs({old: occurrences[i]}))
            counts.update(count_pairs({new: occurrences[i]}))
            for pair in zip(new, new[1:]):
                where[pair].add(i)
            words[i] = new
        counts = +counts  # drop the pairs that no word contains any more
    return merges


def split_text(text: str) -> list[str]:
    """Cut a text into the chunks that merges never cross: words with their leading space, numbers, ...

    The chunks joined give the text again. Source: the pattern in OpenAI's `encoder.py`.
    """
    return regex.findall(SPLIT_PATTERN, text)


def bytes_to_unicode() -> dict[int, str]:
    """Return a printable character for each of the 256 bytes, in the order of GPT-2's first 256 ids.

    Bytes that are printable Latin-1 characters stand for themselves. The other 68, the space among
    them, take the characters from code point 256 on. Source: OpenAI's `encoder.py`, which writes
    its vocabulary file with these characters.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def bpe(symbols: Iterable[bytes], ranks: Mapping[Pair, int]) -> list[bytes]:
    """Merge the symbols of one chunk as training would have: the pair with the lowest rank first.

    ranks maps a pair to its place in the list of merges. Source: Sennrich et al. 2016, section 3.2.
    """
    symbols = list(symbols)
    while len(symbols) > 1:
        pair = min(zip(symbols, symbols[1:]), key=lambda pair: ranks.get(pair, len(ranks)))
        if pair not in ranks:
            break
        symbols = merge_pair(symbols, pair)
    return symbols


def _to_symbols(chunk: str) -> list[bytes]:
    """Return the UTF-8 bytes of a chunk, each as a symbol of its own."""
    return [bytes([byte]) for byte in chunk.encode("utf-8")]


def _without_surrogates(text: str) -> str:
    """Return the text with halves of surrogate pairs, which UTF-8 cannot hold, made whole or U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def read_merges(text: str) -> list[Pair]:
    """Return the merges in the text of a `merges.txt`: two symbols a line, in `bytes_to_unicode`.

    Raises ValueError for a line that is not two such symbols.
    """
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#version") or not line:
            continue
        try:
            left, right = (bytes(byte_of[letter] for letter in symbol) for symbol in line.split(" "))
        except (KeyError, ValueError):
            raise ValueError(
                f"line {number} of the merges is {line!r}, but a merge is two symbols with a space between"
            ) from None
        merges.append((left, right))
    return merges


END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token: it stood between documents in training


class Tokenizer:
    """Turn text into token ids and back, without loss.

    The ids are GPT-2's: first the 256 bytes, then one for each merge in the order they were
    learned, last `<|endoftext|>`. Source: Radford et al. 2019, section 2.2.
    """

    def __init__(self, merges: Iterable[Pair]):
        """Make a tokenizer of these merges, the first learned first.

        Raises ValueError if a merge joins symbols that no byte or earlier merge makes.
        """
        self.merges = list(merges)
        self.symbols = [bytes([byte]) for byte in bytes_to_unicode()]  # id -> bytes
        known = set(self.symbols)
        for left, right in self.merges:
            if not {left, right} <= known or left + right in known:
                raise ValueError(
                    f"merge {left!r} + {right!r} does not follow from the merges before it; "
                    f"pass all merges, each once, in the order in which they were learned"
                )
            known.add(left + right)
            self.symbols.append(left + right)
        self.symbols.append(END_OF_TEXT.encode())
        self.end_of_text = len(self.symbols) - 1
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols[:-1])}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._encode_chunk = lru_cache(maxsize=2**18)(self._encode_new_chunk)  # most chunks come again

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 256 bytes, the merges and `<|endoftext|>`."""
        return len(self.symbols)

    @classmethod
    def gpt2(cls) -> "Tokenizer":
        """Return the tokenizer of the published GPT-2 models, from the merges that come with gpt2lib.

        Raises ValueError if the file of merges is not OpenAI's.
        """
        data = resources.files("gpt2lib").joinpath("data/gpt2/merges.txt").read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != GPT2_MERGES_SHA256:
            raise ValueError(
                f"gpt2lib/data/gpt2/merges.txt has the digest {digest}, but OpenAI's file has "
                f"{GPT2_MERGES_SHA256}; install gpt2lib again"
            )
        return cls(read_merges(data.decode("utf-8")))

    @classmethod
    def train(cls, text: str, vocab_size: int) -> "Tokenizer":
        """Learn a vocabulary of vocab_size ids from a text, `<|endoftext|>` included.

        Merges never cross `<|endoftext|>`. The vocabulary comes out smaller if the text is too short
        for that many merges. Raises ValueError if vocab_size is below 257 or the text is empty.
        """
        if vocab_size < 257:
            raise ValueError(
                f"vocab_size is {vocab_size}, but it must be at least 257: 256 bytes and {END_OF_TEXT}"
            )
        words = Counter()
        for document in _without_surrogates(text).split(END_OF_TEXT):
            words.update(split_text(document))
        if not words:
            raise ValueError("the text is empty, and nothing can be learned from it; pass a longer one")
        return cls(train_merges({word.encode(): n for word, n in words.items()}, vocab_size - 257))

    @classmethod
    def load(cls, directory: str | Path) -> "Tokenizer":
        """Read the tokenizer that `save`, or a GPT-2 tokenizer of transformers, wrote.

        Reads `merges.txt` (and checks `vocab.json` beside it) or `tokenizer.json`. Raises
        FileNotFoundError if there is neither, ValueError if they are not a GPT-2 tokenizer.
        """
        directory = Path(directory)
        vocab = None
        try:
            if (directory / "merges.txt").is_file():
                merges = read_merges((directory / "merges.txt").read_text("utf-8"))
                if (directory / "vocab.json").is_file():
                    vocab = json.loads((directory / "vocab.json").read_text("utf-8"))
            elif (directory / "tokenizer.json").is_file():
                model = json.loads((directory / "tokenizer.json").read_text("utf-8"))["model"]
                vocab = model["vocab"]
                pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
                merges = read_merges("\n".join(pairs))
            else:
                raise FileNotFoundError(
                    f"{directory} has neither merges.txt nor tokenizer.json; "
                    f"pass a directory that Tokenizer.save wrote"
                )
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"the tokenizer files in {directory} cannot be read ({error!r}); save them again"
            ) from error
        tokenizer = cls(merges)
        if vocab is not None and vocab | {END_OF_TEXT: tokenizer.end_of_text} != tokenizer._vocab():
            raise ValueError(
                f"the vocabulary in {directory} numbers its tokens differently from GPT-2 (256 bytes, the "
                f"merges in order, {END_OF_TEXT}); only tokenizers laid out like GPT-2's can be read"
            )
        return tokenizer

    def save(self, directory: str | Path) -> None:
        """Write `merges.txt` and `vocab.json`, which transformers' GPT-2 tokenizers read too.

        Each file is replaced whole or not at all.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        letters = bytes_to_unicode()
        lines = (" ".join("".join(letters[byte] for byte in part) for part in pair) for pair in self.merges)
        with replacing(directory / "merges.txt") as path:
            path.write_text("\n".join(["#version: 0.2", *lines, ""]), "utf-8", newline="\n")
        with replacing(directory / "vocab.json") as path:
            path.write_text(json.dumps(self._vocab(), ensure_ascii=False), "utf-8")

    def _vocab(self) -> dict[str, int]:
        """Return each token in the characters of `bytes_to_unicode`, with its id."""
        letters = bytes_to_unicode()
        vocab = {"".join(letters[byte] for byte in symbol): i for symbol, i in self._ids.items()}
        return vocab | {END_OF_TEXT: self.end_of_text}

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Return the ids of a text.

        With allow_special, `<|endoftext|>` in the text becomes its one id; without, it is text like
        any other, which is the safe way to read what a stranger wrote. Half a surrogate pair, which
        no UTF-8 can hold, is read as U+FFFD.
        """
        if not isinstance(text, str):
            raise TypeError(f"text is a {type(text).__name__}, but encode takes a str; decode bytes first")
        if allow_special and END_OF_TEXT in text:
            first, *rest = text.split(END_OF_TEXT)
            ids = self.encode(first)
            for part in rest:
                ids += [self.end_of_text, *self.encode(part)]
            return ids
        ids = []
        for chunk in split_text(_without_surrogates(text)):
            ids += self._encode_chunk(chunk)
        return ids

    def _encode_new_chunk(self, chunk: str) -> list[int]:
        """Return the ids of one chunk. Bytes that are a symbol need no merging: they would end as it."""
        if (whole := self._ids.get(chunk.encode("utf-8"))) is not None:
            return [whole]
        return [self._ids[symbol] for symbol in bpe(_to_symbols(chunk), self._ranks)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are not UTF-8, as in half a character, become U+FFFD.

        Raises ValueError for an id outside the vocabulary.
        """
        ids = list(ids)
        for i in ids:
            if not 0 <= i < len(self.symbols):
                raise ValueError(
                    f"id {i} is not in this vocabulary, which has the ids 0 to {len(self.symbols) - 1}"
                )
        return b"".join(self.symbols[i] for i in ids).decode("utf-8", errors="replace")

    def to_tiktoken(self) -> tiktoken.Encoding:
        """Return a tiktoken encoding that gives the same ids, several times faster.

        It takes special tokens as tiktoken does: pass `allowed_special={"<|endoftext|>"}`.
        """
        return tiktoken.Encoding(
            name=f"gpt2lib-{self.vocab_size}",
            pat_str=SPLIT_PATTERN,
            mergeable_ranks=self._ids,
            special_tokens={END_OF_TEXT: self.end_of_text},
        )
