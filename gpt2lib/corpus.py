"""Texts of any size: read piece by piece, tokenized once into a mapped file. Built in chapter 08."""

import codecs
import hashlib
import io
import json
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from numbers import Integral
from pathlib import Path

import numpy as np
import regex
from tqdm import tqdm

from gpt2lib.files import locked, replacing
from gpt2lib.tokenizer import END_OF_TEXT, Tokenizer, check_tokenizer, count_words

PIECE = 2**22  # bytes that are read at a time
ENOUGH = 2**30  # bytes of text that a tokenizer is trained on, at most


# Reading text files in pieces
def text_files(path: str | Path) -> list[Path]:
    """Return the text file, or all .txt files in a folder and its subfolders, sorted.

    A tokenizer's merges.txt is not text. Raises FileNotFoundError if there is no file.
    """
    path = Path(os.path.expanduser(path))
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder called {path}; pass a text file or a folder")
        return [path]
    files = sorted(file for file in path.rglob("*.txt") if file.is_file() and file.name != "merges.txt")
    if not files:
        raise FileNotFoundError(f"{path} holds no .txt file; pass a text file or a folder of them")
    return files


def _decoded(file: Path, digest: "hashlib._Hash | None") -> Iterator[str]:
    """Yield the text of a UTF-8 file bit by bit, its line ends as "\n", and add its bytes to a digest."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    start, data = 0, b"?"
    with file.open("rb") as source:
        while data:
            data = source.read(PIECE)
            if digest:
                digest.update(data)
            try:
                yield decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                byte = start + len(data) - len(error.object) + error.start
                raise ValueError(f"{file} is not UTF-8 (byte {byte}); convert it first") from error
            start += len(data)


def read_pieces(files: Sequence[Path], digest: "hashlib._Hash | None" = None) -> Iterator[str]:
    """Yield the texts of files, `<|endoftext|>` between them, in pieces that can be encoded one by one.

    A piece ends between a character and white space, where no chunk of `split_text` goes on. digest is
    updated with the bytes read. Raises ValueError if a file is not UTF-8 or there is only white space.
    """
    parts, size, empty = [], 0, True
    for i, file in enumerate(files):
        if i:
            parts.append(END_OF_TEXT)
            if digest:
                digest.update(END_OF_TEXT.encode())
        for text in _decoded(file, digest):
            empty = empty and not text.strip()
            parts.append(text)
            size += len(text)
            if size >= PIECE:
                joined = "".join(parts)
                last = regex.search(r"(?r)\S(?=\s)", joined)  # from the right
                if last:
                    yield joined[: last.end()]
                    joined = joined[last.end() :]
                parts, size = [joined], len(joined)
    if empty:
        raise ValueError(f"{files[0]} is empty; pass a text with something to learn from")
    yield "".join(parts)


def read_text(path: str | Path) -> str:
    """Return the text of a file, or of all .txt files in a folder with `<|endoftext|>` between them.

    Raises FileNotFoundError if there is none, ValueError if a file is not UTF-8 or all are empty.
    """
    return "".join(read_pieces(text_files(path)))


# Learning a vocabulary and encoding, on all processors
def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_order(pool: Executor, work: Callable, pieces: Iterable[str]) -> Iterator:
    """Yield work(piece) for each piece, in order; only a few pieces are in memory at a time."""
    waiting = deque()
    for piece in pieces:
        waiting.append(pool.submit(work, piece))
        if len(waiting) > 2 * _processors():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def train_tokenizer(files: Sequence[Path], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary of vocab_size ids from files, as `Tokenizer.train` does from a text.

    Of more than `ENOUGH` bytes, pieces spread evenly over the text are counted.
    """
    size = sum(file.stat().st_size for file in files)
    pieces = islice(read_pieces(files), 0, None, -(-size // ENOUGH) or 1)
    words = Counter()
    if size <= 4 * PIECE:  # sooner done than processes are started
        for piece in pieces:
            words.update(count_words(piece))
    else:
        here = get_context("spawn")  # Ctrl+C is for the process that waits, not for these
        with ProcessPoolExecutor(_processors(), here, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            for counts in _in_order(pool, count_words, pieces):
                words.update(counts)
    return Tokenizer.of_words(words, vocab_size)


def encode_pieces(pieces: Iterable[str], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """Yield the ids of each piece of a text, (n,) uint16 or int32, made on all processors.

    The ids are those of `tokenizer.encode(piece, allow_special=True)`. tiktoken makes them, in
    threads: it needs no lock of Python's while it works.
    """
    dtype = "<u2" if tokenizer.vocab_size <= 2**16 else "<i4"
    encoding = tokenizer.to_tiktoken()

    def encode(piece: str) -> np.ndarray:
        if regex.search(r"\s{1000}", piece):  # tiktoken's regular expressions give up on long ones
            return np.array(tokenizer.encode(piece, allow_special=True), dtype)
        return encoding.encode_to_numpy(piece, allowed_special={END_OF_TEXT}).astype(dtype)

    with ThreadPoolExecutor(_processors()) as pool:
        yield from _in_order(pool, encode, pieces)


# A text as a mapped file of token ids
@dataclass(frozen=True)
class Corpus:
    """A text as token ids in a file that is mapped into memory: only what is looked at is read."""

    tokens: np.ndarray  # (N,) uint16 or int32
    largest: int  # id among them
    tokenizer: Tokenizer
    text_sha256: str


def open_corpus(path: str | Path, folder: str | Path, tokenizer: Tokenizer | int) -> Corpus:
    """Return the tokens of a text file or of the .txt files in a folder, `<|endoftext|>` between them.

    They are made once and kept in folder / "tokens.bin"; whoever comes next maps that file, and waits
    while another process makes it. It is made again if the text, the tokenizer or the file itself has
    changed: sizes and times tell, and where they differ, SHA-256 digests decide. tokenizer may be the
    size of a vocabulary that is learned from the text first. Raises what `text_files` and `read_pieces`
    raise, OSError if `folder` cannot be written, TypeError for what is no tokenizer.
    """
    if isinstance(tokenizer, Integral):
        tokenizer = int(tokenizer)  # as JSON holds it
    else:
        check_tokenizer(tokenizer)
    files, folder = text_files(path), Path(os.path.expanduser(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".tokens.lock"):
        record = _record_in(folder, files, tokenizer) or _make(folder, files, tokenizer)
        tokens = np.memmap(folder / "tokens.bin", record["dtype"], mode="r")
    if isinstance(tokenizer, int):
        tokenizer = Tokenizer(tuple(map(bytes.fromhex, pair)) for pair in record["merges"])
    return Corpus(tokens, record["largest"], tokenizer, record["text"]["sha256"])


def _record_in(folder: Path, files: list[Path], tokenizer: Tokenizer | int) -> dict | None:
    """Return what tokens.json says about tokens.bin, or None if that must be made."""
    try:
        record = json.loads((folder / "tokens.json").read_text("utf-8"))
        if record["asked"] != tokenizer and record["merges"] != _in_hex(tokenizer):
            return None
        for name, now in (("text", files), ("tokens", [folder / "tokens.bin"])):
            if record[name]["seen"] != (seen := _seen(now)):
                if record[name]["sha256"] != _sha256(now):
                    return None
                record[name]["seen"] = seen
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing is there, or nothing that was written here
    return _write_record(folder, record)


def _make(folder: Path, files: list[Path], tokenizer: Tokenizer | int) -> dict:
    """Write tokens.bin and, in tokens.json, what it was made of; return that."""
    for left in folder.glob(".tokens.*.part"):  # by a process that was killed
        left.unlink()
    asked, text = None, {"seen": _seen(files)}
    if isinstance(tokenizer, int):
        asked, tokenizer = tokenizer, train_tokenizer(files, tokenizer)
    read, written, largest = hashlib.sha256(), hashlib.sha256(), 0
    size = sum(file.stat().st_size for file in files)
    bar = tqdm(total=size, desc="tokenizing", unit="B", unit_scale=True, disable=size < 2**26)
    with replacing(folder / "tokens.bin") as temporary, temporary.open("wb") as file, bar:

        def told() -> Iterator[str]:
            for piece in read_pieces(files, read):
                bar.update(len(piece.encode()))
                yield piece

        for ids in encode_pieces(told(), tokenizer):
            file.write(ids.data)
            written.update(ids.data)
            largest = max(largest, int(ids.max(initial=0)))
    text["sha256"] = read.hexdigest()
    tokens = {"seen": _seen([folder / "tokens.bin"]), "sha256": written.hexdigest()}
    record = {"asked": asked, "merges": _in_hex(tokenizer), "text": text, "tokens": tokens}
    return _write_record(folder, record | {"dtype": ids.dtype.str, "largest": largest})


def _write_record(folder: Path, record: dict) -> dict:
    """Write tokens.json and return what is in it."""
    with replacing(folder / "tokens.json") as path:
        path.write_text(json.dumps(record), "utf-8")
    return record


def _in_hex(tokenizer: Tokenizer | int) -> list[list[str]] | None:
    """Return the merges of a tokenizer as JSON can hold them, None for one that is to be learned."""
    if isinstance(tokenizer, int):
        return None
    return [[part.hex() for part in pair] for pair in tokenizer.merges]


def _seen(files: Sequence[Path]) -> list[list]:
    """Return name, size and time of change of each file."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _sha256(files: Sequence[Path]) -> str:
    """Return the digest of files with `<|endoftext|>` between them."""
    digest = hashlib.sha256()
    for i, file in enumerate(files):
        digest.update(END_OF_TEXT.encode() if i else b"")
        with file.open("rb") as source:
            while data := source.read(PIECE):
                digest.update(data)
    return digest.hexdigest()
