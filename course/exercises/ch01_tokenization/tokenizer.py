"""1.7 Tokenizer: what is computed. What is said stands in tokenizer.md."""

from course.exercises.ch01_tokenization.bytes_to_unicode import by_zip as bytes_to_unicode

arguments = ("merges", "ids")


def cases():
    """Plain text, joined symbols, one id twice, an emoji in pieces, half a character, the special token, an accent."""
    merges = [(b"h", b"i"), (b" ", b"hi"), (b"\xc3", b"\xa9")]
    place = {byte: i for i, byte in enumerate(bytes_to_unicode())}
    emoji = [place[byte] for byte in "🙂".encode()]
    return [
        (merges, [place[ord("h")], place[ord("i")]]),
        (merges, [256, 257, place[33]]),
        (merges, [256, 257, 256, 257]),
        (merges, emoji),
        (merges, [256, *emoji, 257]),
        (merges, emoji[:2]),
        (merges, [place[0xC3], place[0xA9]]),
        (merges, [259, 256]),
        (merges, [257, place[32]]),
        (merges, [258, 257]),
        (merges, [place[byte] for byte in "e\u0301\r\n".encode()]),
        (merges, []),
    ]


def run(answer, merges, ids):
    """Return what decode makes of ids."""
    return answer(merges).decode(ids)


# joined by map; by str; byte by byte
styles = [
    """
    return b"".join(map(self.symbols.__getitem__, ids)).decode(errors="replace")
    """,
    """
    return str(b"".join([self.symbols[i] for i in ids]), "utf-8", "replace")
    """,
    """
    return bytes(b for i in ids for b in self.symbols[i]).decode("utf-8", "replace")
    """,
]
