"""The tokenizer box: type, and see the tokens; choose one, and see the merges that made it. Chapter 01."""

from collections.abc import Callable

import gpt2lib.tokenizer
from course.play.explorable import Explorable, visible, written
from gpt2lib.tokenizer import Tokenizer

SHOWN = 300  # letters; more would not be looked at


def tokenizer_box(
    tokenizers: dict[str, Tokenizer],
    text: str = "Once upon a time, naïve Cinderella",
    *,
    split_text: Callable = gpt2lib.tokenizer.split_text,
    merge_pair: Callable = gpt2lib.tokenizer.merge_pair,
) -> Explorable:
    """Show a text's tokens in one vocabulary or several, side by side, and how merges make each word.

    tokenizers has a name for each. split_text cuts the text, merge_pair does each step of a word.
    """

    def tokens(text: str) -> dict:
        chunks = split_text(text[:SHOWN])
        sides = []
        for name, tokenizer in tokenizers.items():
            found = [(token, c) for c, chunk in enumerate(chunks) for token in tokenizer.encode(chunk)]
            sides.append(
                {
                    "name": name,
                    "vocab_size": tokenizer.vocab_size,
                    "tokens": [
                        {
                            "id": token,
                            "label": written(tokenizer.symbols[token]),
                            "chunk": c,
                            "bytes": tokenizer.symbols[token].hex(" "),
                        }
                        for token, c in found
                    ],
                }
            )
        return {"text": text[:SHOWN], "chunks": chunks, "sides": sides}

    def merges(chunk: str, side: int) -> dict:
        """Return the symbols of a chunk after each merge: how each is written, and how many bytes it spans."""
        tokenizer = list(tokenizers.values())[side]
        ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
        symbols, steps = [bytes([byte]) for byte in chunk.encode()], []
        rows = [symbols]
        while pair := min(set(zip(symbols, symbols[1:])) & ranks.keys(), key=ranks.get, default=None):
            symbols = merge_pair(symbols, pair)
            if symbols == rows[-1] or len(steps) > len(chunk.encode()):
                raise ValueError(
                    f"merge_pair did not join {pair[0]!r} and {pair[1]!r}; look at its check again"
                )
            rows.append(symbols)
            steps.append({"left": written(pair[0]), "right": written(pair[1]), "rank": ranks[pair]})
        return {
            "chunk": visible(chunk),
            "rows": [[{"label": written(symbol), "bytes": len(symbol)} for symbol in row] for row in rows],
            "steps": steps,
        }

    return Explorable("tokenizer_box", {"tokens": tokens, "merges": merges}, in_words, text=text)


def in_words(answer: dict) -> str:
    """Return each vocabulary's tokens with their ids."""
    lines = [answer["text"]]
    for side in answer["sides"]:
        lines += [f"{side['name']} ({side['vocab_size']} ids) makes {len(side['tokens'])} tokens of it:"]
        lines += ["  " + "  ".join(f"{token['label']} {token['id']}" for token in side["tokens"])]
    return "\n".join(lines)
