"""The exercises of chapter 00: a model that counts, the loop that writes, who may look at whom."""

from collections import Counter, defaultdict

from course.exercise import Exercise, Mistake


def likely_cases():
    """The text's example; the likeliest in the middle and at the end; one word; words that mislead by name or length."""
    return [
        ({"cat": 0.5, "dog": 0.3, "rug": 0.2},),
        ({"rug": 0.2, "mat": 0.6, "zebra": 0.15, "a": 0.05},),
        ({"longest": 0.25, "b": 0.3, "z": 0.45},),
        ({"only": 1.0},),
    ]


def likely_by_loop(probabilities):
    best, highest = None, -1.0
    for word, p in probabilities.items():
        if p > highest:
            best, highest = word, p
    return best


def likely_by_sorting(probabilities):
    return sorted(probabilities.items(), key=lambda item: item[1])[-1][0]


def likely_by_counter(probabilities):
    return Counter(probabilities).most_common(1)[0][0]


def followers_cases():
    """The text's example; repeated pairs; one word; none."""
    return [
        (["a", "b", "a", "c"],),
        ("the cat saw the dog and the cat ran".split(),),
        ("no no no no yes".split(),),
        (["alone"],),
        ([],),
    ]


def run_followers(answer, words):
    """Return the counts as plain dicts without zeros."""
    found = answer(words)
    if not hasattr(found, "items"):
        return found
    plain = {
        word: {w: n for w, n in counts.items() if n} if hasattr(counts, "items") else counts
        for word, counts in found.items()
    }
    return {word: counts for word, counts in plain.items() if counts != {}}


def followers_by(pairs, weight=1):
    """Return an answer that counts the pairs that a rule finds."""

    def count_followers(words):
        found = {}
        for a, b in pairs(words):
            found.setdefault(a, {}).setdefault(b, 0)
            found[a][b] = found[a][b] + 1 if weight else 1
        return found

    return count_followers


def followers_last_only(words):
    return {a: {b: 1} for a, b in zip(words, words[1:])}


def followers_lists(words):
    found = {}
    for a, b in zip(words, words[1:]):
        found.setdefault(a, []).append(b)
    return found


def followers_totals(words):
    return dict(Counter(words[:-1]))


def followers_first_pair(words):
    for a, b in zip(words, words[1:]):
        return {a: {b: 1}}


def followers_shared(words):
    counts = Counter(words[1:])
    return {word: counts for word in words[:-1]}


def followers_without_first(words):
    found = {}
    for a, b in zip(words, words[1:]):
        if a not in found:
            found[a] = Counter()
        else:
            found[a][b] += 1
    return found


def followers_without_new(words):
    found = {}
    for a, b in zip(words, words[1:]):
        if a not in found:
            found[a] = {b: 1}
        elif b in found[a]:
            found[a][b] += 1
    return found


def followers_moved(by):
    """Return an answer in which each count is too high or too low by so much."""
    return lambda words: {
        a: {b: n + by for b, n in counts.items()} for a, counts in followers_comprehension(words).items()
    }


def followers_shares(words):
    return {
        a: {b: n / counts.total() for b, n in counts.items()}
        for a, counts in followers_comprehension(words).items()
    }


def followers_past_the_end(words):
    found = {}
    for i in range(len(words)):
        found.setdefault(words[i], Counter())[words[i + 1]] += 1
    return found


def followers_without_dict(words):
    found = {}
    for a, b in zip(words, words[1:]):
        found[a][b] += 1
    return found


def followers_without_zero(words):
    found = {}
    for a, b in zip(words, words[1:]):
        found.setdefault(a, {})
        found[a][b] += 1
    return found


def followers_defaultdict(words):
    found = defaultdict(Counter)
    for i in range(len(words) - 1):
        found[words[i]][words[i + 1]] += 1
    return found


def followers_comprehension(words):
    return {w: Counter(b for a, b in zip(words, words[1:]) if a == w) for w in set(words[:-1])}


def followers_pairs(words):
    found = {}
    for (a, b), n in Counter(zip(words, words[1:])).items():
        found.setdefault(a, {})[b] = n
    return found


def longer(words):
    """Stand in for a model: its next word depends on all words so far."""
    return f"{words[0]}{len(words)}{words[-1][:1]}"


def again(words):
    """Stand in for a model that goes in circles: its next word is the first one."""
    return words[0]


def text_cases():
    """One word, three more; two words; nothing to do; a word that comes again."""
    return [(longer, ["a"], 3), (longer, ["x", "yy"], 4), (longer, ["q"], 0), (again, ["b", "c"], 3)]


def text_in_place(next_word, words, n):
    for _ in range(n):
        words.append(next_word(words))
    return words


def text_from_prompt(next_word, words, n):
    return list(words) + [next_word(words) for _ in range(n)]


def text_last_word(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words.append(next_word(words[-1:]))
    return words


def text_last_word_itself(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words.append(next_word(words[-1]))
    return words


def text_return_inside(next_word, words, n):
    for _ in range(n):
        return [*words, next_word(words)]


def text_of_new_words(next_word, words, n):
    new = []
    for _ in range(n):
        new.append(next_word(new or words))
    return words + new


def text_of_append(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words = words.append(next_word(words))
    return words


def text_new_only(next_word, words, n):
    words, start = list(words), len(words)
    for _ in range(n):
        words.append(next_word(words))
    return words[start:]


def text_one(next_word, words, n):
    return [*words, next_word(words)]


def text_up_to(next_word, words, n):
    words = list(words)
    while len(words) < n:
        words.append(next_word(words))
    return words


def text_joined(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words.append(next_word(words))
    return " ".join(words)


def text_front(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words.insert(0, next_word(words))
    return words


def text_by_recursion(next_word, words, n):
    return list(words) if n == 0 else text_by_recursion(next_word, [*words, next_word(words)], n - 1)


def text_by_sum(next_word, words, n):
    for _ in range(n):
        words = words + [next_word(words)]
    return words[:]


def text_by_while(next_word, words, n):
    text = words.copy()
    while len(text) - len(words) < n:
        text += [next_word(text)]
    return tuple(text)


def look_cases():
    """Every pair of four words for GPT-2 and BERT, of five with a source of two for the original."""
    cases = [("gpt2", i, j, 0) for i in range(4) for j in range(4)]
    cases += [("bert", i, j, 0) for i in range(3) for j in range(3)]
    return (
        cases
        + [("original", i, j, 2) for i in range(5) for j in range(5)]
        + [("original", 0, 2, 3), ("original", 3, 2, 3), ("original", 1, 3, 3)]
    )


def make_look(
    gpt2=lambda i, j: j <= i,
    bert=lambda i, j: True,
    reads=lambda i, j, s: j < s,
    writes=lambda i, j, s: j <= i,
):
    """Return an answer made of one rule for each kind."""

    def may_look_at(kind, i, j, source=0):
        if kind == "gpt2":
            return gpt2(i, j)
        if kind == "bert":
            return bert(i, j)
        return reads(i, j, source) if i < source else writes(i, j, source)

    return may_look_at


def look_by_table(kind, i, j, source=0):
    table = {"gpt2": i >= j, "bert": True, "original": (j < source) if i < source else (i >= j)}
    return table[kind]


def look_by_or(kind, i, j, source=0):
    return (
        kind == "bert"
        or (kind == "original" and max(i, j) < source)
        or (not (kind == "original" and i < source <= j) and j <= i)
    )


def look_by_any(kind, i, j, source=0):
    visible = {
        "gpt2": range(i + 1),
        "bert": range(10**6),
        "original": range(source if i < source else i + 1),
    }[kind]
    return j in visible


def text_of_letters(next_word, words, n):
    words = list(words)
    for _ in range(n):
        words += next_word(words)
    return words


EXERCISES = [
    Exercise(
        number="0.1",
        name="most_likely",
        level=1,
        minutes=3,
        done="this is what your phone does.",
        hints=(
            "Look at all words; which one has the largest number?",
            "max(dict) looks at the keys. It has an argument `key` that says what to compare.",
            "max(probabilities, key=...): the key is a function that takes a word and returns its probability. A dict has such a method.",
        ),
        cases=likely_cases,
        mistakes=[
            Mistake(
                "least",
                lambda p: min(p, key=p.get),
                "you return the least likely word. Look for the largest probability.",
                1,
            ),
            Mistake(
                "alphabet",
                lambda p: max(p),
                "you return the last word of the alphabet: max compares the words themselves. Compare their probabilities.",
                2,
            ),
            Mistake(
                "probability",
                lambda p: max(p.values()),
                "you return the probability. Return the word that has it.",
                2,
            ),
            Mistake(
                "first",
                lambda p: next(iter(p)),
                "you return the first word. It is not always the likeliest.",
                1,
            ),
            Mistake(
                "last",
                lambda p: list(p)[-1],
                "you return the last word. If you keep the best word of a loop, keep its probability with it.",
                1,
            ),
            Mistake(
                "longest",
                lambda p: max(p, key=len),
                "you return the longest word. Compare probabilities, not lengths.",
                2,
            ),
            Mistake(
                "pair",
                lambda p: max(p.items(), key=lambda item: item[1]),
                "you return the word with its probability. Return the word alone.",
                3,
            ),
        ],
        styles=[likely_by_loop, likely_by_sorting, likely_by_counter],
    ),
    Exercise(
        number="0.2",
        name="count_followers",
        level=2,
        minutes=10,
        done="you have trained your first language model, by counting.",
        hints=(
            "zip(words, words[1:]) pairs each word with the one after it.",
            "For each pair (a, b): in the dict of a, the count of b goes up by one. The dict of a may not be there yet.",
            "followers.setdefault(a, Counter())[b] += 1 does both.",
        ),
        cases=followers_cases,
        run=run_followers,
        mistakes=[
            Mistake(
                "backwards",
                followers_by(lambda w: zip(w[1:], w)),
                "you count what came before each word. Count what comes after it.",
                1,
            ),
            Mistake(
                "wraps",
                followers_by(lambda w: zip(w, w[1:] + w[:1])),
                "your last word is followed by the first one. Nothing follows the last word.",
                1,
            ),
            Mistake(
                "not-counted",
                followers_by(lambda w: zip(w, w[1:]), weight=0),
                "you note that a word follows, but not how often. Add 1 each time.",
                2,
            ),
            Mistake(
                "overwrites",
                followers_last_only,
                "a later follower replaces the earlier ones. Keep a dict of counts for each word.",
                2,
            ),
            Mistake(
                "all-later",
                followers_by(lambda w: [(a, b) for i, a in enumerate(w) for b in w[i + 1 :]]),
                "you count all later words. Only the one right after counts.",
                1,
            ),
            Mistake("lists", followers_lists, "you collect the followers in lists. Return counts.", 3),
            Mistake(
                "totals",
                followers_totals,
                "you count the words themselves. For each word, count what follows it.",
                2,
            ),
            Mistake(
                "skips",
                followers_by(lambda w: list(zip(w, w[1:]))[::2]),
                "you skip every other pair. Each word, but the last, has a follower.",
                1,
            ),
            Mistake(
                "pairs-as-keys",
                lambda words: Counter(zip(words, words[1:])),
                "your keys are pairs of words. Make a dict of dicts: for each word, how often each word follows it.",
                2,
            ),
            Mistake(
                "last-pair-missing",
                followers_by(lambda w: list(zip(w, w[1:]))[:-1]),
                "the last pair is missing. With n words there are n - 1 pairs.",
                1,
            ),
            Mistake(
                "last-follower",
                lambda words: dict(zip(words, words[1:])),
                "each word has a single follower in yours, and no count. Make a dict of counts for each word.",
                2,
            ),
            Mistake(
                "first-pair-only",
                followers_first_pair,
                "only the first pair is counted. Does your return stand inside the loop?",
                2,
            ),
            Mistake(
                "shared",
                followers_shared,
                "all words share one dict of counts. Each needs its own.",
                2,
            ),
            Mistake(
                "first-follower-lost",
                followers_without_first,
                "the first follower of each word is not counted: then its dict is made, and nothing more. Make the dict, then count in any case.",
                2,
            ),
            Mistake(
                "new-followers-lost",
                followers_without_new,
                "only the first follower of each word is counted. Another one has to be added with the count 1.",
                2,
            ),
            Mistake(
                "one-too-low",
                followers_moved(-1),
                "each count is too low by one. The first time counts as 1.",
                2,
            ),
            Mistake(
                "counted-twice",
                followers_moved(1),
                "each count is too high by one. If the first time sets 1, do not add 1 to it in the same round.",
                2,
            ),
            Mistake(
                "probabilities",
                followers_shares,
                "you return probabilities. Return the counts, before they are divided.",
                2,
            ),
            Mistake(
                "most-common-lists",
                lambda words: {a: c.most_common() for a, c in followers_comprehension(words).items()},
                "you return lists of pairs. Return the counts as a dict for each word: the Counter itself is one.",
                3,
            ),
            Mistake(
                "past-the-end",
                followers_past_the_end,
                "the last word has no follower, so words[i + 1] raises IndexError. Stop one earlier: n words have n - 1 pairs.",
                1,
            ),
            Mistake(
                "not-there-yet",
                followers_without_dict,
                "a dict raises KeyError for a key that is not there yet. Begin with an empty count: setdefault, or a Counter for each word.",
                3,
            ),
            Mistake(
                "not-there-yet",
                followers_without_zero,
                "a dict raises KeyError for a key that is not there yet. Begin with an empty count: setdefault, or a Counter for each word.",
                3,
            ),
        ],
        styles=[followers_defaultdict, followers_comprehension, followers_pairs],
    ),
    Exercise(
        number="0.3",
        name="continue_text",
        level=1,
        minutes=10,
        done="this is the loop in which every language model writes.",
        hints=(
            "Start with a copy: list(words).",
            "n times: ask next_word for the next word of everything so far, and append it.",
            "Write for _ in range(n). In the loop, append what next_word returns for the whole list; return the list after the loop.",
        ),
        cases=text_cases,
        arguments=("next_word", "words", "n"),
        mistakes=[
            Mistake(
                "not-fed-back",
                text_from_prompt,
                "every word is predicted from the prompt alone. Predict from everything so far, the new words included.",
                2,
            ),
            Mistake(
                "last-word",
                text_last_word,
                "you hand only the last word to next_word. Hand over all words so far.",
                2,
            ),
            Mistake("new-only", text_new_only, "you return only the new words. Return the whole text.", 3),
            Mistake("one", text_one, "you append one word. Append n.", 2),
            Mistake("up-to-n", text_up_to, "you stop when there are n words in all. Append n new ones.", 2),
            Mistake("joined", text_joined, "you return one string. Return a list of words.", 3),
            Mistake("front", text_front, "you put new words in front. They belong at the end.", 2),
            Mistake(
                "one-too-few",
                lambda next_word, words, n: text_by_while(next_word, words, max(n - 1, 0)),
                "one word is missing at the end. Append n new words.",
                2,
            ),
            Mistake(
                "one-too-many",
                lambda next_word, words, n: text_by_while(next_word, words, n + 1),
                "there is one word too many. Append n new words.",
                2,
            ),
            Mistake(
                "letters",
                text_of_letters,
                "`words += word` takes a word apart into its letters. Append it: words.append(word).",
                2,
            ),
            Mistake(
                "not-called",
                lambda next_word, words, n: [*words, *[next_word] * n],
                "you append the function itself. Call it with the words so far: next_word(words).",
                2,
            ),
            Mistake(
                "last-word",
                text_last_word_itself,
                "you hand the last word alone to next_word. It takes the list of all words so far.",
                2,
            ),
            Mistake(
                "return-inside",
                text_return_inside,
                "you return after the first new word. Does your return stand inside the loop?",
                3,
            ),
            Mistake(
                "prompt-forgotten",
                text_of_new_words,
                "once there are new words, only those are handed to next_word. Hand over all words so far.",
                2,
            ),
            Mistake(
                "append-is-none",
                text_of_append,
                "words.append changes the list and returns None, so words = words.append(...) makes words None. Leave the assignment out.",
                3,
            ),
        ],
        styles=[text_by_recursion, text_by_sum, text_by_while],
    ),
    Exercise(
        number="0.4",
        name="may_look_at",
        level=2,
        minutes=10,
        done="you know what sets GPT-2 apart from BERT.",
        hints=(
            "GPT-2: the lower triangle of the picture. Is j behind i or not?",
            "BERT: the whole square.",
            "The original: if i is in the source, j must be in the source. Otherwise it is GPT-2's rule.",
        ),
        cases=look_cases,
        mistakes=[
            Mistake(
                "future",
                make_look(gpt2=lambda i, j: j >= i, writes=lambda i, j, s: j >= i or j < s),
                "your GPT-2 looks at the future. It looks at itself and back: j <= i.",
                1,
            ),
            Mistake(
                "no-self",
                make_look(gpt2=lambda i, j: j < i),
                "the words of your GPT-2 do not see themselves. A word may look at itself too: j <= i.",
                1,
            ),
            Mistake(
                "swapped",
                make_look(gpt2=lambda i, j: i <= j),
                "your GPT-2 looks forward. The word at i looks, the word at j is looked at: j may not be "
                "behind i.",
                1,
            ),
            Mistake(
                "original-sees-all",
                make_look(reads=lambda i, j, s: True, writes=lambda i, j, s: True),
                "your original sees everything. Its source words see the source only, and its translation "
                "does not see what comes later in itself.",
                3,
            ),
            Mistake(
                "writer-not-self",
                make_look(writes=lambda i, j, s: j < i or j < s),
                "in the original, a word of the translation does not see itself in your version. It may: "
                "j <= i.",
                3,
            ),
            Mistake(
                "source-off-by-one",
                make_look(reads=lambda i, j, s: j <= s),
                "your source has one word too many. The source words are those at 0 to source - 1.",
                3,
            ),
            Mistake(
                "gpt2-sees-all",
                make_look(gpt2=lambda i, j: True),
                "your GPT-2 sees everything. That is BERT.",
                1,
            ),
            Mistake(
                "bert-masked",
                make_look(bert=lambda i, j: j <= i),
                "your BERT cannot look ahead. It can: it reads finished texts.",
                2,
            ),
            Mistake(
                "source-masked",
                make_look(reads=lambda i, j, s: j <= i),
                "your source words do not see what comes later in the source. In the original they see all of it.",
                3,
            ),
            Mistake(
                "source-sees-all",
                make_look(reads=lambda i, j, s: True),
                "your source words see the translation. In the original they do not: it is not written yet.",
                3,
            ),
            Mistake(
                "no-cross",
                make_look(writes=lambda i, j, s: s <= j <= i),
                "your translation does not see the source. In the original its words see the source as well.",
                3,
            ),
            Mistake(
                "writer-sees-all",
                make_look(writes=lambda i, j, s: True),
                "your translation sees its own later words. In the original it does not: j <= i.",
                3,
            ),
            Mistake(
                "self-only-before",
                make_look(bert=lambda i, j: j != i),
                "your BERT's words do not see themselves. A word may always look at itself.",
                2,
            ),
            Mistake(
                "future",
                make_look(gpt2=lambda i, j: j > i),
                "your GPT-2 looks at the future. It looks at itself and back: j <= i.",
                1,
            ),
            Mistake(
                "no-self",
                make_look(gpt2=lambda i, j: j < i, writes=lambda i, j, s: j < i or j < s),
                "your words do not see themselves. A word may look at itself too: j <= i.",
                1,
            ),
            Mistake(
                "swapped",
                make_look(
                    gpt2=lambda i, j: i <= j,
                    reads=lambda i, j, s: True,
                    writes=lambda i, j, s: s <= i <= j,
                ),
                "your words look forward. The word at i looks, the word at j is looked at: in the picture i "
                "counts down the side, j along the bottom.",
                1,
            ),
            Mistake(
                "always-three",
                lambda kind, i, j, source=0: make_look()(kind, i, j, 3),
                "your source is always 3 words long, as in the picture. How long it is stands in `source`.",
                3,
            ),
            Mistake(
                "original-swapped",
                make_look(reads=lambda i, j, s: True, writes=lambda i, j, s: s <= i <= j),
                "in the original, i and j have changed places in yours. The word at i looks, the word at j is "
                "looked at.",
                3,
            ),
            Mistake(
                "kinds-swapped",
                make_look(gpt2=lambda i, j: True, bert=lambda i, j: j <= i),
                "GPT-2 and BERT have changed places. BERT sees everything, GPT-2 never what comes later.",
                2,
            ),
            Mistake(
                "one-rule",
                lambda kind, i, j, source=0: j <= i,
                "you apply GPT-2's rule to all three. BERT's words see everything, and the source of the "
                "original is read whole.",
                2,
            ),
            Mistake(
                "all-see-all",
                lambda kind, i, j, source=0: True,
                'everyone sees everything in yours. Look at kind, and know that `kind == "a" or "b"` is always '
                "true.",
                1,
            ),
            Mistake(
                "source-only",
                make_look(writes=lambda i, j, s: j < s),
                "in the original, the words of the translation see only the source in yours. They see "
                "themselves and the words of the translation before them, too.",
                3,
            ),
        ],
        styles=[look_by_table, look_by_or, look_by_any],
    ),
]
