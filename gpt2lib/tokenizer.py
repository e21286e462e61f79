"""Byte-level BPE: text to token ids and back. Built in chapter 01."""

import hashlib
import json
import operator
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from heapq import heapify, heappop, heappush
from importlib import resources
from numbers import Integral
from pathlib import Path
from typing import Any

import regex
import tiktoken

from gpt2lib.files import replacing_together

Pair = tuple[bytes, bytes]


def count_pairs(words: Mapping[tuple[bytes, ...], int]) -> Counter[Pair]:
    """Count the pairs of neighboring symbols in words, each as often as its word occurs.

    words maps a word, cut into symbols, to the number of its occurrences.
    """
    counts = Counter()
    for symbols, n in words.items():
        for pair in zip(symbols, symbols[1:]):
            counts[pair] += n
    return counts


def merge_pair(symbols: Iterable[bytes], pair: Pair) -> list[bytes]:
    """Join each occurrence of a pair of neighbors, from left to right and without overlap."""
    merged = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def train_merges(word_counts: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """Learn up to n_merges merges: join the most frequent pair of neighbors, again and again.

    Of pairs that are equally frequent, the one that is larger as a tuple of bytes goes first. Ends
    early when no pair is left. Source: Sennrich et al. 2016, algorithm 1.
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


SPLIT_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


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


# The tables of a tokenizer, and how it is learned
def count_words(text: str) -> Counter[str]:
    """Count the chunks of `split_text` in a text; none of them crosses `<|endoftext|>`."""
    return Counter(chunk for document in text.split(END_OF_TEXT) for chunk in split_text(document))


class _Vocabulary:
    """The tables of a tokenizer, how they are learned, loaded and saved, and how a chunk is merged."""

    def __init__(self, merges: Iterable[Pair]):
        """Make a tokenizer of these merges, the first learned first.

        Raises ValueError if a merge joins symbols that no byte or earlier merge makes, TypeError for what
        is no merges.
        """
        self.merges = _valid_merges(merges)
        self.symbols = [bytes([byte]) for byte in bytes_to_unicode()]  # id -> bytes
        self.symbols += [left + right for left, right in self.merges] + [END_OF_TEXT.encode()]
        self.end_of_text = len(self.symbols) - 1
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols[:-1])}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._merge = _Merged(self._merge_new).__getitem__

    def __reduce__(self):
        """Pickle and copy the merges alone, which everything else follows from."""
        return type(self), (self.merges,)

    @property
    def vocab_size(self) -> int:
        """The number of ids: 256 bytes, the merges and `<|endoftext|>`."""
        return len(self.symbols)

    @classmethod
    def gpt2(cls) -> "Tokenizer":
        """Return the tokenizer of the published GPT-2 models, from the merges that come with gpt2lib.

        Raises ValueError if the file of merges is not OpenAI's.
        """
        return cls(_gpt2_merges())

    @classmethod
    def train(cls, text: str, vocab_size: int) -> "Tokenizer":
        """Learn a vocabulary of vocab_size ids from a text, `<|endoftext|>` included.

        Merges never cross `<|endoftext|>`. The vocabulary comes out smaller if the text is too short
        for that many merges. Raises ValueError if vocab_size is no whole number from 257 on or the text is
        empty, TypeError unless it is one str.
        """
        text = _valid_text(text, "train takes one str; join the texts first")
        return cls.of_words(count_words(text), vocab_size)

    @classmethod
    def of_words(cls, words: Mapping[str, int], vocab_size: int) -> "Tokenizer":
        """Do what `train` does with a text of which `count_words` counted the words."""
        n_merges = _merges_to_learn(words, vocab_size)
        counts = {word.encode(): n for word, n in words.items()}
        learn = train_merges if max(map(len, counts)) < LONG else _train_merges_of_long
        return cls(learn(counts, n_merges))

    @classmethod
    def load(cls, directory: str | Path) -> "Tokenizer":
        """Read the tokenizer that `save`, or a GPT-2 tokenizer of transformers, wrote.

        Reads `merges.txt` and `vocab.json`, or `tokenizer.json`, and looks at what lies beside them.
        Raises FileNotFoundError if there is no tokenizer, ValueError for one that would give other ids
        than this class does: another kind, added tokens, files that contradict each other.
        """
        return _loaded(cls, Path(os.path.expanduser(directory)))

    def save(self, directory: str | Path) -> None:
        """Write `merges.txt` and `vocab.json`, which transformers' GPT-2 tokenizers read too.

        Both are replaced or none is, and files of another tokenizer that transformers would read
        instead are removed.
        """
        _save(self, Path(os.path.expanduser(directory)))

    def _merge_new(self, data: bytes) -> tuple[bytes, ...]:
        """Return the symbols of a chunk. One that is itself a symbol needs no merging."""
        if data in self._ids:
            return (data,)
        symbols = [bytes([byte]) for byte in data]
        return tuple((bpe if len(symbols) < LONG else _bpe_of_long)(symbols, self._ranks))

    def _valid_ids(self, ids: Iterable[int]) -> list[int]:
        """Return ids as a list of int. Raises TypeError and ValueError as decode does."""
        return _valid_ids(ids, len(self.symbols))

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


END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token: it separated documents during training


class Tokenizer(_Vocabulary):
    """A byte-level BPE tokenizer: text to token ids and back, without loss.

    The ids are GPT-2's: first the 256 bytes, then one for each merge in the order they were
    learned, last `<|endoftext|>`. Source: Radford et al. 2019, section 2.2.
    """

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Return the ids of a text. Raises TypeError unless it is one str.

        With allow_special, `<|endoftext|>` in the text becomes its one id; without, it is text like
        any other, which is the safe way to read what a stranger wrote. Half a surrogate pair, a
        broken character that no UTF-8 can hold, is read as U+FFFD.
        """
        text = _valid_text(text)
        ids = []
        documents = text.split(END_OF_TEXT) if allow_special else [text]
        for i, document in enumerate(documents):
            if i > 0:
                ids.append(self.end_of_text)
            for chunk in split_text(document):
                ids += [self._ids[symbol] for symbol in self._merge(chunk.encode("utf-8"))]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are not UTF-8, as in half a character, become U+FFFD.

        Raises TypeError unless ids is a flat list (tuple, tensor, array) of whole numbers, ValueError
        for an id outside the vocabulary.
        """
        ids = self._valid_ids(ids)
        return b"".join(self.symbols[i] for i in ids).decode("utf-8", errors="replace")


# Long words: the same merges in n log n steps
LONG = 500  # bytes from which a word is merged in another way, since the plain one takes their square


class _Chain:
    """Symbols in a row, where two neighbors can be joined without moving the others.

    None stands for what was joined to the symbol before it, and between words.
    """

    def __init__(self, symbols: Iterable[bytes | None]):
        self.symbols = [None, *symbols, None]
        self.left = [i - 1 for i in range(len(self.symbols))]  # place -> place of the neighbor
        self.right = [*range(1, len(self.symbols)), len(self.symbols) - 1]

    def pair_at(self, i: int) -> Pair | None:
        """Return the symbol at place i and its right neighbor, or None if there are no two."""
        first, second = self.symbols[i], self.symbols[self.right[i]]
        return (first, second) if first and second else None

    def join(self, i: int) -> None:
        """Join the symbol at place i and its right neighbor, at place i."""
        j = self.right[i]
        self.symbols[i] += self.symbols[j]
        self.symbols[j] = None
        self.right[i] = self.right[j]
        self.left[self.right[i]] = i


def _bpe_of_long(symbols: Iterable[bytes], ranks: Mapping[Pair, int]) -> list[bytes]:
    """Do what `bpe` does in n log n steps: a heap knows the pair with the lowest rank."""
    chain = _Chain(symbols)
    places = range(1, len(chain.symbols) - 2)
    heap = [(ranks[pair], i) for i in places if (pair := chain.pair_at(i)) in ranks]
    heapify(heap)
    while heap:
        rank, i = heappop(heap)
        if ranks.get(chain.pair_at(i)) != rank:
            continue  # one of the two was joined to another symbol meanwhile
        chain.join(i)
        for place in (chain.left[i], i):
            if (pair := chain.pair_at(place)) in ranks:
                heappush(heap, (ranks[pair], place))
    return [symbol for symbol in chain.symbols if symbol]


class _Candidate(tuple):
    """A count and a pair, in an order in which the most frequent pair, and of those the largest, is first."""

    def __lt__(self, other: "_Candidate") -> bool:
        return tuple.__gt__(self, other)


def _train_merges_of_long(word_counts: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """Do what `train_merges` does in n log n steps: only the places of the merged pair are looked at."""
    row, occurrences = [], [0]
    for word, n in word_counts.items():
        row += [*(word[i : i + 1] for i in range(len(word))), None]
        occurrences += [n] * (len(word) + 1)
    chain, counts, places = _Chain(row), Counter(), defaultdict(set)
    for i in range(1, len(row) + 1):
        if pair := chain.pair_at(i):
            counts[pair] += occurrences[i]
            places[pair].add(i)
    heap = [_Candidate((n, pair)) for pair, n in counts.items()]
    heapify(heap)

    merges = []
    while heap and len(merges) < n_merges:
        n, best = heappop(heap)
        if counts[best] != n or not n:
            continue  # an old count
        merges.append(best)
        changed = set()
        for i in sorted(places.pop(best)):
            if chain.pair_at(i) != best:
                continue
            around = (chain.left[i], i, chain.right[i])
            for sign in (-1, 1):
                for place in around:
                    if pair := chain.pair_at(place):
                        counts[pair] += sign * occurrences[place]
                        changed.add(pair)
                        if sign > 0:
                            places[pair].add(place)
                if sign < 0:
                    chain.join(i)
        for pair in changed:
            heappush(heap, _Candidate((counts[pair], pair)))
    return merges


# Reading and writing the files of a tokenizer, and saying what is wrong with them
GPT2_MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
# files that transformers would read beside, or instead of, merges.txt and vocab.json
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.*",
)


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


def _gpt2_merges() -> list[Pair]:
    """Return OpenAI's merges, which come with gpt2lib. Raises ValueError if the file isn't OpenAI's."""
    data = resources.files("gpt2lib").joinpath("data/gpt2/merges.txt").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != GPT2_MERGES_SHA256:
        raise ValueError(
            f"gpt2lib/data/gpt2/merges.txt has the digest {digest}, but OpenAI's file has "
            f"{GPT2_MERGES_SHA256}; install gpt2lib again"
        )
    return read_merges(data.decode("utf-8"))


def _vocab(tokenizer: "Tokenizer") -> dict[str, int]:
    """Return each token in the characters of `bytes_to_unicode`, with its id."""
    letters = bytes_to_unicode()
    symbols = ("".join(letters[byte] for byte in symbol) for symbol in tokenizer.symbols[:-1])
    return {symbol: i for i, symbol in enumerate(symbols)} | {END_OF_TEXT: tokenizer.end_of_text}


def _loaded(kind: type["Tokenizer"], directory: Path) -> "Tokenizer":
    """Do what `Tokenizer.load` does."""
    try:
        merges, vocabs = _read_tokenizer(directory)
        tokenizer = kind(merges)
        same = all({END_OF_TEXT: tokenizer.end_of_text} | vocab == _vocab(tokenizer) for vocab in vocabs)
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        RecursionError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"the tokenizer files in {directory} cannot be read ({error!r}); save them again"
        ) from error
    if not same:
        raise ValueError(
            f"the vocabulary in {directory} numbers its tokens differently from GPT-2 (256 bytes, the "
            f"merges in order, {END_OF_TEXT}); only tokenizers laid out like GPT-2's can be read"
        )
    return tokenizer


def _save(tokenizer: "Tokenizer", directory: Path) -> None:
    """Do what `Tokenizer.save` does."""
    directory.mkdir(parents=True, exist_ok=True)
    letters = bytes_to_unicode()
    pairs = (" ".join("".join(letters[byte] for byte in part) for part in pair) for pair in tokenizer.merges)
    with replacing_together(directory, key="merges.txt", stale=TOKENIZER_FILES) as folder:
        merges, vocab = "\n".join(["#version: 0.2", *pairs, ""]), _vocab(tokenizer)
        (folder / "merges.txt").write_text(merges, "utf-8", newline="\n")
        (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")


def _read_tokenizer(directory: Path) -> tuple[list[Pair], list[dict[str, int]]]:
    """Return the merges in a directory and the vocabularies beside them, each token with its id.

    Raises FileNotFoundError without a tokenizer, ValueError for another than a plain GPT-2 tokenizer.
    """
    found = {}
    for name in ("merges.txt", "vocab.json", *(name for name in TOKENIZER_FILES if name.endswith(".json"))):
        if (directory / name).is_file():
            text = (directory / name).read_text("utf-8-sig")  # some Windows programs begin with a mark
            found[name] = json.loads(text) if name.endswith(".json") else text
    if strange := _what_is_strange(found):
        raise ValueError(
            f"the tokenizer in {directory} {strange}, so it gives other ids than a plain GPT-2 tokenizer, "
            f"the only kind that gpt2lib has; encode the texts with the program that wrote it"
        )
    lists, vocabs = [], [found["vocab.json"]] if "vocab.json" in found else []
    if "merges.txt" in found:
        lists.append(read_merges(found["merges.txt"]))
    if "tokenizer.json" in found:
        model = found["tokenizer.json"]["model"]
        vocabs.append(model["vocab"])
        pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
        lists.append(read_merges("\n".join(pairs)))
    if not lists:
        others = ", ".join(sorted(path.name for path in directory.glob("*") if _is_of_a_tokenizer(path)))
        raise (ValueError if others else FileNotFoundError)(
            f"{directory} has neither merges.txt nor tokenizer.json"
            + (f", but {others}, which is another kind of tokenizer or a part of one" if others else "")
            + "; pass a directory that Tokenizer.save wrote"
        )
    if lists[0] != lists[-1]:
        raise ValueError(
            f"merges.txt and tokenizer.json in {directory} are two different tokenizers; "
            f"delete the one that doesn't belong to the model"
        )
    return lists[0], vocabs


def _is_of_a_tokenizer(path: Path) -> bool:
    """Tell from its name whether a file is part of a tokenizer, of whatever kind."""
    patterns = ("merges*", "vocab*", "*tokenizer*", "*tokens*.json", "*.model", "*.tiktoken", "encoder.json")
    return path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns)


def _what_is_strange(found: Mapping[str, Any]) -> str | None:
    """Return what in these files makes a tokenizer give other ids than `Tokenizer` does, or None."""
    whole, settings = found.get("tokenizer.json", {}), found.get("tokenizer_config.json", {})
    added = [token["content"] for token in whole.get("added_tokens", [])]
    added += [token["content"] for token in settings.get("added_tokens_decoder", {}).values()]
    added += found.get("added_tokens.json", {})
    for name, special in (settings | found.get("special_tokens_map.json", {})).items():
        for token in special if isinstance(special, list) else [special]:
            if name.endswith(("_token", "_tokens")) and token and not isinstance(token, bool):
                added.append(token["content"] if isinstance(token, dict) else token)
    if strangers := sorted(set(added) - {END_OF_TEXT}):
        return f"has added tokens ({', '.join(strangers[:5])})"
    for name in ("add_prefix_space", "add_bos_token", "add_eos_token"):
        if settings.get(name):
            return f"says {name} in tokenizer_config.json"
    kind = settings.get("tokenizer_class") or "GPT2Tokenizer"
    if not whole and not kind.startswith("GPT2"):
        return f"is a {kind}"
    if not whole:
        return None
    model, splitter = whole["model"], whole.get("pre_tokenizer") or {}
    if model.get("type", "BPE") != "BPE" or splitter.get("type") != "ByteLevel":
        return f"is of the type {model.get('type')}, cut by {splitter.get('type')}, in tokenizer.json"
    if splitter.get("add_prefix_space") or not splitter.get("use_regex", True):
        return "cuts texts in another way (pre_tokenizer in tokenizer.json)"
    if whole.get("normalizer") or (whole.get("post_processor") or {}).get("special_tokens"):
        return "changes texts or adds tokens (normalizer, post_processor in tokenizer.json)"
    names = ("dropout", "byte_fallback", "ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")
    return next((f"has {name} in tokenizer.json" for name in names if model.get(name)), None)


# What can be no tokenizer, text or ids, and a memory for merged chunks
def _valid_merges(merges: Iterable[Pair]) -> list[Pair]:
    """Return merges as a list. Raises TypeError and ValueError as `Tokenizer` does."""
    merges = list(merges) if isinstance(merges, Iterable) else [merges]
    if not all(isinstance(pair, tuple) and [*map(type, pair)] == [bytes, bytes] for pair in merges):
        raise TypeError(
            f"merges are {merges!r:.60}, but a Tokenizer is made of tuples of two bytes; "
            f"Tokenizer.gpt2() is GPT-2's, Tokenizer.load(directory) reads a saved one"
        )
    known = {bytes([byte]) for byte in range(256)}
    for left, right in merges:
        if not {left, right} <= known or left + right in known:
            raise ValueError(
                f"merge {left!r} + {right!r} does not follow from the merges before it; "
                f"pass all merges, each once, in the order in which they were learned"
            )
        known.add(left + right)
    return merges


def _merges_to_learn(words: Mapping[str, int], vocab_size: int) -> int:
    """Return how many merges make a vocabulary of this size. Raises ValueError as `Tokenizer.train` does."""
    if not isinstance(vocab_size, Integral) or vocab_size < 257:
        raise ValueError(
            f"vocab_size is {vocab_size!r}, but it must be a whole number of at least 257: 256 bytes and "
            f"{END_OF_TEXT}"
        )
    if not words:
        raise ValueError("the text is empty, and nothing can be learned from it; pass a longer one")
    return vocab_size - 257


def _valid_ids(ids: Iterable[int], vocab_size: int) -> list[int]:
    """Return ids as a list of int. Raises TypeError and ValueError as `Tokenizer.decode` does."""
    try:
        if isinstance(ids, (bytes, bytearray)):  # whose items are numbers, but no ids
            raise TypeError
        ids = [operator.index(i) for i in ids]
    except TypeError:
        raise TypeError(
            f"ids are {ids!r:.60}, but decode takes a flat list of whole numbers, the ids of one text; "
            f"for a batch decode each row"
        ) from None
    for i in ids:
        if not 0 <= i < vocab_size:
            raise ValueError(f"id {i} is not in this vocabulary, which has the ids 0 to {vocab_size - 1}")
    return ids


ONE_TEXT = "encode takes one str; decode bytes first, and encode the texts of a list one at a time"


def _valid_text(text: str, remedy: str = ONE_TEXT) -> str:
    """Return a text without halves of surrogate pairs. Raises TypeError unless it is one str."""
    if not isinstance(text, str):
        raise TypeError(f"text is a {type(text).__name__}, but {remedy}")
    return _without_surrogates(text)


def _without_surrogates(text: str) -> str:
    """Return the text with halves of surrogate pairs, which UTF-8 cannot hold, made whole or U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def check_tokenizer(tokenizer: Any) -> None:
    """Raise TypeError for what is no tokenizer of gpt2lib."""
    if not all(hasattr(tokenizer, name) for name in ("encode", "save", "end_of_text", "vocab_size")):
        raise TypeError(
            f"tokenizer is a {type(tokenizer).__name__}, but it must be a gpt2lib Tokenizer; "
            f"Tokenizer.load reads what transformers saved"
        )


class _Merged(dict):
    """The symbols of the chunks merged so far, by their bytes: most chunks come again."""

    MOST = 2**18  # chunks that are remembered

    def __init__(self, merge: Callable[[bytes], tuple[bytes, ...]]):
        self.merge = merge

    def __missing__(self, data: bytes) -> tuple[bytes, ...]:
        symbols = self.merge(data)
        if len(data) < LONG:  # a longer one would take much memory, and hardly comes again
            if len(self) >= self.MOST:
                self.clear()
            self[data] = symbols
        return symbols
