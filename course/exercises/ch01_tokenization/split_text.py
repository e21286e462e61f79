"""1.4 split_text: what is computed, and the mistakes. Hints stand in split_text.md.

A wrong pattern is the right one with something replaced, so the mistakes are rows of a table here: as diffs, most
of them would repeat the whole line.
"""

import re

import regex

from course.exercise import Mistake

ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
PATTERN = "|".join(ENDINGS) + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LETTERS, NUMBERS, OTHERS = r"\p{L}+", r"\p{N}+", r"[^\s\p{L}\p{N}]"
GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)


def cases():
    """The text's example; spaces, endings in both cases, digits, marks, other scripts, line breaks, quotes."""
    texts = [
        "a   b", "It's 2 dogs, don't!", "DON'T we'll they're I'm he'd", "x1 y22z 3.14", "a  b\n don't x1", " naïve café 中文 🙂🙂",
        "tab\there\n\n  end  ", "", "\n", "hello...  world?!", "it''s 'tis", "½ ² ٣ five", "2½ x²!", "it’s", "  two", "snake_case (x)",
        "we've 1234567 rock'em", "हिन्दी", "the cat the cat", "'hello' 'xs'", "a  7  'b'",
    ]  # fmt: skip
    return [(text,) for text in texts]


def by(pattern, engine=regex):
    """Return an answer that splits by this pattern."""
    return lambda text: engine.findall(pattern, text)


def but(old, new=""):
    """Return an answer with something replaced in the pattern."""
    assert old in PATTERN
    return by(PATTERN.replace(old, new))


def by_finditer(text):
    return [match.group() for match in regex.compile(PATTERN).finditer(text)]


def by_hand(text):
    chunks = []
    while text:
        match = regex.match(PATTERN, text)
        chunks.append(match[0])
        text = text[match.end() :]
    return chunks


def by_clauses(text):
    clauses = [
        r"'(?:[stmd]|re|ve|ll)",
        r"\ ?\p{L}+",
        r"\ ?\p{N}+",
        r"\ ?[^\s\p{L}\p{N}]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
    return regex.findall("|".join(clauses), text)


styles = [by_finditer, by_hand, by_clauses]
ENDINGS_FIRST = "|".join(ENDINGS) + "|"
ASCII = (
    PATTERN.replace(r"\p{L}", "a-zA-Z")
    .replace(" ?a-zA-Z+", " ?[a-zA-Z]+")
    .replace(r"\p{N}", "0-9")
    .replace(" ?0-9+", " ?[0-9]+")
)

# id, hint, why it is tempting, what is said, wrong answers
TABLE = [
    ("spaces-lost", 1, "shortcut", "You cut at spaces and throw them away. The chunks, joined, have to give you the text again.",
     [lambda text: text.split(), lambda text: text.split(" ")]),
    ("spaces-lost", 2, "shortcut", "Your spaces are lost. A space belongs to the word after it.",
     [by(pattern, engine) for pattern in (r"\w+|[^\w\s]+", r"\w+|[^\w\s]") for engine in (re, regex)]),
    ("spaces-alone", 2, "next-door", r"Your spaces are chunks of their own, and `\w` takes letters, digits and _ together. Write the clauses of the "
     "table, with a space and a question mark in front.", [by(r"\w+|[^\w\s]+|\s+", engine) for engine in (re, regex)]),
    ("no-lookahead", 3, "looks-finished", r"The last space of a run doesn't go with the next word. The clause `\s+(?!\S)` takes all the spaces except that "
     r"one, and it has to come before `\s+`: the first clause that matches wins.", [but(r"|\s+(?!\S)")]),
    ("letters-only-in-lookahead", 3, "at-the-edge", r"Your lookahead only watches for letters. The last space of a run goes with whatever follows it, a "
     r"digit or a quotation mark too: `\s+(?!\S)`.", [but(r"(?!\S)", r"(?!\p{L})")]),
    ("no-space-before", 2, "looks-finished", "The space before a word is a chunk of its own. Let each clause take one: put a space and a question mark in "
     "front.", [but(" ?")]),
    *(("no-space-before", 2, "looks-finished", f"A space before {name} is a chunk of its own. That clause takes one too: put a space and a question mark in "
       "front.", [but(f" ?{clause}", clause)]) for name, clause in (("letters", LETTERS), ("numbers", NUMBERS), ("punctuation", OTHERS))),
    ("no-endings", 1, "looks-finished", "The endings 's, 't, 're … aren't cut off. They are the first clause.", [but(ENDINGS_FIRST)]),
    *(("ending-missing", 1, "looks-finished", f"The ending {ending} isn't cut off. There are seven: {' '.join(ENDINGS)}.", [by(PATTERN.replace(f"{ending}|", "", 1))])
      for ending in ENDINGS),
    ("other-letters-as-ending", 1, "shortcut", "You cut off other letters after a ' as well. The endings are a list of seven.",
     [by(f"'{letters}|" + PATTERN[len(ENDINGS_FIRST) :]) for letters in ("[a-z]{1,2}", "[a-z]+", r"\p{L}+", "[stremvld]+", "[strevmld]{1,2}")]),
    ("any-case", 1, "one-step-more", "You cut off 'T and 'S as well. GPT-2's clause only knows small letters.",
     [by(f"(?i:{ENDINGS_FIRST[:-1]})" + PATTERN[len(ENDINGS_FIRST) - 1 :])]),
    ("curly-quotes", 1, "one-step-more", "You cut off ’s as well. GPT-2's clause only knows the straight '.", [but("'", "['’]")]),
    ("ascii-only", 1, "shortcut", r"Only English letters count as letters in your pattern. `\p{L}` is any letter, `\p{N}` any number sign.",
     [by(ASCII), but(LETTERS, "[A-Za-z]+"), by(PATTERN.replace(OTHERS, r"[^\sa-zA-Z\p{N}]").replace(LETTERS, "[a-zA-Z]+"))]),
    ("digits-only", 1, "sounds-alike", r"Only digits count as numbers in your pattern. ½ and ² do too: `\p{N}` is any number sign.",
     [but(r" ?\p{N}+", r" ?\d+"), but(r"\p{N}", r"\d"), by(PATTERN.replace(OTHERS, r"[^\s\p{L}0-9]").replace(NUMBERS, "[0-9]+"))]),
    ("one-by-one", 1, "other-recipe", "Your numbers are cut into digits. (Later models do that.) GPT-2 keeps them together.", [but(NUMBERS, r"\p{N}")]),
    ("one-by-one", 1, "other-recipe", "Your numbers are cut after three digits. (Later models do that.) GPT-2 keeps them together.", [but(NUMBERS, r"\p{N}{1,3}")]),
    ("one-by-one", 1, "looks-finished", "Your letters are cut one by one. The + after the class takes as many as there are.", [but(LETTERS, r"\p{L}")]),
    ("one-by-one", 1, "looks-finished", "Your punctuation is cut one by one. The + after the class takes as many as there are.", [but(OTHERS + "+", OTHERS)]),
    ("no-clauses-for-spaces", 3, "looks-finished", "Runs of spaces and line breaks are lost. The last two clauses take them.", [but(r"|\s+(?!\S)|\s+")]),
    ("single-space-lost", 3, "at-the-edge", r"A line break or a tab before a word is lost: `\s+(?!\S)` doesn't take it. The last clause, `\s+`, takes "
     "what's left.", [by(PATTERN.removesuffix(r"|\s+"))]),
    ("spaces-only", 3, "shortcut", r"Line breaks and tabs are lost. `\s` is any of them; a space in the pattern is only a space.", [but(r"\s+", " +")]),
    ("one-by-one", 3, "looks-finished", r"Your spaces are cut one by one. A + after `\s` takes as many as there are.", [but(r"\s+(?!\S)", r"\s(?!\S)")]),
    ("space-before-endings", 1, "one-step-more", "Your endings take a space with them. The first clause has none: 's, 't, 're … follow a word directly.",
     [by(f" ?{ENDINGS_FIRST[:-1]}".replace("|", "| ?") + PATTERN[len(ENDINGS_FIRST) - 1 :])]),
    ("letters-and-digits-together", 1, "shortcut", "Letters and digits stay together. x1 is two chunks, x and 1.", [but(r" ?\p{L}+| ?\p{N}+", r" ?[\p{L}\p{N}]+")]),
    ("letters-and-digits-together", 1, "shortcut", r"`\w` takes letters, digits and _ together. Letters and numbers are two clauses, and _ is in neither.",
     [but(r" ?\p{L}+| ?\p{N}+", r" ?\w+")]),
    ("pattern-of-gpt-4", 1, "other-recipe", "This is the pattern of GPT-4. GPT-2's is the one in the table: endings in small letters, numbers of any length, "
     "only a space before a word.", [by(GPT4)]),
    ("space-required", 2, "at-the-edge", "What has no space before it is lost. The question mark after the space says that it may be missing.",
     [but(" ?", " "), *(but(f" ?{clause}", f" {plus}{clause}") for clause in (LETTERS, NUMBERS, OTHERS) for plus in ("", "+"))]),
    ("any-space-before", 2, "shortcut", r"A line break or a tab goes with the word after it. Only a real space does: write a space, not `\s`.", [but(" ?", r"\s?")]),
    ("all-spaces-before", 2, "all-at-once", "All the spaces before a chunk go with it. Only the last one does: write a space and a question mark, not a star.",
     [but(" ?", " *"), *(but(f" ?{clause}", f" *{clause}") for clause in (LETTERS, NUMBERS, OTHERS))]),
    ("space-after", 2, "other-way-round", "The space goes with the word before it. It belongs to the word after it.",
     [by(ENDINGS_FIRST + r"\p{L}+ ?|\p{N}+ ?|[^\s\p{L}\p{N}]+ ?|\s+(?!\S)|\s+"), but(r" ?\p{L}+", r"\p{L}+ ?")]),
    ("punctuation-lost", 1, "shortcut", "Punctuation and emoji are lost. The fourth clause takes them.", [but(f"| ?{OTHERS}+")]),
    ("punctuation-lost", 1, "shortcut", r"`\p{P}` is only punctuation, so emoji and signs like = are lost. Take everything that is no space, letter or "
     "number.", [but(OTHERS, r"\p{P}")]),
    ("punctuation-lost", 1, "shortcut", r"What is neither `\p{P}` nor `\p{S}` is lost, such as the vowel signs of Hindi. Take everything that is no "
     "space, letter or number.", [but(OTHERS, r"[\p{P}\p{S}]")]),
    ("spaces-as-punctuation", 1, "looks-finished", r"Spaces count as punctuation in your pattern. The clause for the rest leaves out `\s` as well.",
     [but(OTHERS, r"[^\p{L}\p{N}]")]),
    ("capturing-group", 1, "python-itself", "Where a pattern has parentheses, findall returns only what's inside them. Write (?:...), which groups and captures "
     "nothing.", [by("'(s|t|re|ve|m|ll|d)" + PATTERN[len(ENDINGS_FIRST) - 1 :]), by(f"({ENDINGS_FIRST[:-1]})" + PATTERN[len(ENDINGS_FIRST) - 1 :])]),
    ("spaces-in-the-pattern", 1, "python-itself", "The spaces around | are part of your pattern. Write it without them.", [by(" | ".join(PATTERN.split("|")))]),
    ("arguments-swapped", 3, "other-way-round", "`findall` takes the pattern first, and then the text.", [lambda text: regex.findall(text, PATTERN)]),
    ("split-instead-of-findall", 3, "sounds-alike", "`split` returns what stands between the matches. `findall` returns the matches.",
     [lambda text: regex.split(PATTERN, text)]),
    ("re-instead-of-regex", 3, "sounds-alike", r"Python's own `re` doesn't know `\p{L}`. Use `regex.findall`.", [by(PATTERN, re)]),
    ("stripped", 3, "one-step-more", "The spaces at both ends of the text are lost. The chunks, joined, have to give you the whole text again.",
     [lambda text: regex.findall(PATTERN, text.strip())]),
    ("bytes-instead-of-str", 3, "next-door", "Your chunks are bytes. Return them as str; they are encoded later.",
     [lambda text: [chunk.encode() for chunk in regex.findall(PATTERN, text)]]),
]  # fmt: skip
extra = [Mistake(id, wrong, says, hint, why) for id, hint, why, says, answers in TABLE for wrong in answers]
