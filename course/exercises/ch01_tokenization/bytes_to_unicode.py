"""1.5 bytes_to_unicode: what is computed. What is said stands in bytes_to_unicode.md."""

PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]


def cases():
    """It takes no arguments."""
    return [()]


def run(answer):
    """Return the table and the order of its keys, because the order counts; what is no dict stays as it is."""
    table = answer()
    return {"the table": table, "the order": list(table)} if isinstance(table, dict) else table


def by_loop():
    table, n = {}, 0
    for byte in range(256):
        if chr(byte).isprintable() and byte not in (32,):
            table[byte] = chr(byte)
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + n)
            n += 1
    return table


def by_zip():
    order = PRINTABLE + [b for b in range(256) if b not in PRINTABLE]
    return dict(zip(order, map(chr, [*PRINTABLE, *range(256, 324)])))


def by_ranges():
    spans = [("!", "~"), ("¡", "¬"), ("®", "ÿ")]
    keep = [b for a, z in spans for b in range(ord(a), ord(z) + 1)]
    rest = sorted(set(range(256)) - set(keep))
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + rest.index(b)) for b in rest}}


styles = [by_loop, by_zip, by_ranges]
