"""0.3 continue_text: what is computed. What is said stands in continue_text.md."""

arguments = ("next_word", "words", "n")


def longer(words):
    """Stand in for a model: ["a", "bc"] makes "a2b", from the first word, their number and the last."""
    return f"{words[0]}{len(words)}{words[-1][:1]}"


def again(words):
    """Stand in for a model that goes in circles: its next word is the first one."""
    return words[0]


def cases():
    """One word, three more; two words; nothing to do; a word that comes again; more words than fit in a window."""
    return [
        (longer, ["a"], 3),
        (longer, ["x", "yy"], 4),
        (longer, ["q"], 0),
        (again, ["b", "c"], 3),
        (longer, list("abcdefgh"), 9),
    ]


def by_recursion(next_word, words, n):
    return list(words) if n == 0 else by_recursion(next_word, [*words, next_word(words)], n - 1)


def by_sum(next_word, words, n):
    for _ in range(n):
        words = words + [next_word(words)]
    return words[:]


def by_while(next_word, words, n):
    text = words.copy()
    while len(text) - len(words) < n:
        text += [next_word(text)]
    return tuple(text)


styles = [by_recursion, by_sum, by_while]
