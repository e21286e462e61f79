"""0.4 may_look_at: what is computed. What is said stands in may_look_at.md."""


def cases():
    """Every pair of four words for GPT-2 and BERT, of five with a source of two for the original; other sources."""
    cases = [("gpt2", i, j, 0) for i in range(4) for j in range(4)]
    cases += [("bert", i, j, 0) for i in range(3) for j in range(3)]
    cases += [("original", i, j, 2) for i in range(5) for j in range(5)]
    return cases + [("original", 0, 2, 3), ("original", 3, 2, 3), ("original", 1, 3, 3)]


def by_table(kind, i, j, source=0):
    table = {"gpt2": i >= j, "bert": True, "original": (j < source) if i < source else (i >= j)}
    return table[kind]


def by_or(kind, i, j, source=0):
    return (
        kind == "bert"
        or (kind == "original" and max(i, j) < source)
        or (not (kind == "original" and i < source <= j) and j <= i)
    )


def by_range(kind, i, j, source=0):
    visible = {
        "gpt2": range(i + 1),
        "bert": range(10**6),
        "original": range(source if i < source else i + 1),
    }[kind]
    return j in visible


styles = [by_table, by_or, by_range]
