"""1.7 Tokenizer: what is computed. What is said stands in tokenizer.md."""

from course.exercises.ch01_tokenization.bytes_to_unicode import by_zip as bytes_to_unicode

arguments = ("merges", "call", "given")


def cases():
    """The text's example, then both directions.

    Texts with a pair across the edge of chunks, a word twice, capitals, letters of several bytes, spaces at both
    ends, the special token allowed and not; ids of joined symbols, of half a character, of the special token.
    """
    merges = [(b"h", b"i"), (b" ", b"hi"), (b"\xc3", b"\xa9"), (b"!", b"\n")]
    place = {byte: i for i, byte in enumerate(bytes_to_unicode())}
    emoji = [place[byte] for byte in "🙂".encode()]
    end = 256 + len(merges)
    plain, special = "encode(text)", "encode(text, allow_special=True)"
    texts = {
        plain: ["hi hi!", "hi!\nhi", "Hi", "é", "🙂", "  hi \n", "", "hi<|endoftext|>hi"],
        special: [
            "hi<|endoftext|>hi",
            "<|endoftext|>",
            " hi<|endoftext|><|endoftext|>\n hi hi<|endoftext|>",
            "hi",
        ],
    }
    ids = [
        [place[ord("h")], place[ord("i")]],
        [256, 257, place[33]],
        [256, 257, 256, 257],
        emoji,
        [256, *emoji, 257],
        emoji[:2],
        [place[0xC3], place[0xA9]],
        [end, 256],
        [257, place[32]],
        [258, 257],
        [place[byte] for byte in "e\u0301\r\n".encode()],
        [],
    ]
    return [
        (merges[:1], plain, "hi!"),
        *((merges, call, text) for call, some in texts.items() for text in some),
        *((merges, "decode(ids)", some) for some in ids),
    ]


def run(answer, merges, call, given):
    """Return what encode makes of a text, or decode of ids."""
    tokenizer = answer(merges)
    if call == "decode(ids)":
        return tokenizer.decode(given)
    return tokenizer.encode(given, allow_special=True) if "special" in call else tokenizer.encode(given)


# with the next part, and joined by map; by recursion, and by str; by the places in symbols, and byte by byte
styles = [
    """
    parts, ids = text.split(END_OF_TEXT) if allow_special else [text], []
    while parts:
        for chunk in split_text(parts.pop(0)):
            for symbol in self._merge(chunk.encode()):
                ids.append(self._ids[symbol])
        if parts:
            ids.append(self.end_of_text)
    return ids
    # next gap
    return b"".join(map(self.symbols.__getitem__, ids)).decode(errors="replace")
    """,
    """
    if allow_special and END_OF_TEXT in text:
        before, _, after = text.partition(END_OF_TEXT)
        return self.encode(before) + [self.end_of_text] + self.encode(after, allow_special=True)
    return [self._ids[symbol] for chunk in split_text(text) for symbol in self._merge(chunk.encode("utf-8"))]
    # next gap
    return str(b"".join([self.symbols[i] for i in ids]), "utf-8", "replace")
    """,
    """
    ids = []
    for document in text.split(END_OF_TEXT) if allow_special else (text,):
        for chunk in split_text(document):
            symbols = bpe([bytes([byte]) for byte in chunk.encode("utf-8")], self._ranks)
            ids.extend(self.symbols.index(symbol) for symbol in symbols)
        ids.append(self.end_of_text)
    return ids[:-1]
    # next gap
    return bytes(b for i in ids for b in self.symbols[i]).decode("utf-8", "replace")
    """,
]
