"""The exercises of chapter 1: pairs, merges, chunks, printable bytes, encoding and decoding."""
