"""Words, and runs of words that two texts share. Used by tales_text.py and reading.py."""

import re
import zlib
from functools import lru_cache

import numpy as np

RUN = 8  # words in a row that two texts hardly ever share by chance
FACTOR = np.uint64(0x9E3779B97F4A7C15)
_crc32 = lru_cache(maxsize=2**20)(lambda word: zlib.crc32(word.encode()) + 1)


def words(text: str) -> list[str]:
    """Return the words of a text in lowercase, in order: letters only, with `'s` and the like kept on."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())


def word_hashes(text: str) -> np.ndarray:
    """Return a hash of each word of a text, in order: (N,) of 33 bits, the same in every process."""
    return np.array([_crc32(word) for word in words(text)], dtype=np.uint64)


def longer(runs: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Return the hashes of runs of words with one more word after each: (N,), (N,) -> (N,)."""
    return runs * FACTOR + following  # modulo 2**64


def run_hashes(hashes: np.ndarray, length: int = RUN) -> np.ndarray:
    """Return a hash of each run of `length` words: (N,) -> (N - length + 1,), empty where N is smaller."""
    runs = hashes[: max(0, len(hashes) - length + 1)]
    for i in range(1, length):
        runs = longer(runs, hashes[i : i + len(runs)])
    return runs


def unseen(stories: list[str], others: list[np.ndarray], limit: float) -> list[str]:
    """Return the stories of which at most a share of `limit` of the 8-word runs is in other texts.

    others are word hashes (N,). A story that is too short for such a run is left out.
    """
    runs = [run_hashes(word_hashes(story)) for story in stories]
    met = np.zeros(0, dtype=np.uint64)
    for text in others:
        theirs = run_hashes(text)
        met = np.union1d(met, theirs[np.isin(theirs, np.concatenate(runs))])
    return [s for s, own in zip(stories, runs) if len(own) and np.isin(own, met).mean() <= limit]


def longest_shared(samples: list[str], text: np.ndarray) -> str:
    """Return the longest run of words of any sample that the text, as word hashes (N,), holds too."""
    apart = np.arange(1, len(samples) + 1, dtype=np.uint64) << np.uint64(40)  # no word has such a hash
    own = np.concatenate([part for i, s in enumerate(samples) for part in (word_hashes(s), apart[i : i + 1])])
    where = length = 0
    places = np.flatnonzero(np.isin(text, own))  # where a shared run of length + 1 may start
    runs = text[places]
    while True:
        ours = run_hashes(own, length + 1)
        shared = np.isin(runs, ours)
        if not shared.any():
            break
        length += 1
        where = int(np.flatnonzero(ours == runs[shared][0])[0])
        go_on = shared & (places + length < len(text))
        places = places[go_on]
        runs = longer(runs[go_on], text[places + length])
    every = [word for sample in samples for word in (*words(sample), "")]
    return " ".join(every[where : where + length])
