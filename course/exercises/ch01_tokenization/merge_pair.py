"""1.2 merge_pair: what is computed. What is said stands in merge_pair.md."""


def sym(text):
    """Return a text as symbols of one byte."""
    return [bytes([byte]) for byte in text.encode("utf-8")]


def cases():
    """The text's runs of three and of four; in the middle; longer symbols; spaces; half a pair; nothing to do."""
    return [
        (sym("aaa"), (b"a", b"a")),
        (sym("aaaa"), (b"a", b"a")),
        (sym("xaby"), (b"a", b"b")),
        (sym("abab"), (b"a", b"b")),
        ([b"ab", b"c", b"ab", b"c", b"c"], (b"ab", b"c")),
        ([b"a", b"bc", b"ab", b"c"], (b"ab", b"c")),
        ([b"ba", b"b", b" ", b"a", b"b", b"\n", b"ab", b"b", b"a", b"bc", b"d"], (b"a", b"b")),
        (sym("acab"), (b"a", b"b")),
        (sym("ba"), (b"a", b"b")),
        (sym("b"), (b"a", b"b")),
        ([], (b"a", b"b")),
    ]


def by_stack(symbols, pair):
    stack = []
    for symbol in symbols:
        if stack and (stack[-1], symbol) == pair:
            stack.append(stack.pop() + symbol)
        else:
            stack.append(symbol)
    return tuple(stack)


def by_recursion(symbols, pair):
    symbols = list(symbols)
    if len(symbols) < 2:
        return symbols
    if (symbols[0], symbols[1]) == pair:
        return [symbols[0] + symbols[1], *by_recursion(symbols[2:], pair)]
    return [symbols[0], *by_recursion(symbols[1:], pair)]


def in_a_copy(symbols, pair):
    symbols, i = list(symbols), 0
    while i < len(symbols) - 1:
        if (symbols[i], symbols[i + 1]) == pair:
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        i += 1
    return symbols


by_index = """
    symbols, merged, i = list(symbols), [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged
"""
styles = [by_index, by_stack, by_recursion, in_a_copy]
