"""The exercises of chapter 01: pairs, merges, chunks, printable bytes, encoding and decoding."""

import itertools
import re
from collections import Counter

import regex

from course.exercise import Exercise, Mistake

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def sym(text):
    """Return a text as symbols of one byte."""
    return [bytes([byte]) for byte in text.encode("utf-8")]


# --- 1.1 count_pairs ---------------------------------------------------------------------------------


def pair_cases():
    """The text's three words; a word with a repeated pair; longer symbols; no pair."""
    return [
        ({(b"h", b"u", b"g"): 10, (b"p", b"u", b"g"): 5, (b"h", b"u", b"g", b"s"): 5},),
        ({(b"a", b"a", b"a"): 2, (b"b",): 7, (b"a", b"b", b"a", b"b"): 3},),
        ({(b"ab", b"c"): 4, (b"a", b"bc"): 1, (b"c", b"ab"): 2},),
        ({(b"a",): 3},),
    ]


def run_pairs(answer, words):
    """Return the counts without zeros, as a plain dict; what is no dict stays as it is."""
    counts = answer(words)
    return {pair: n for pair, n in counts.items() if n} if isinstance(counts, dict) else counts


def make_pairs(weight=True, neighbours=True, once=False, ordered=True, start=0, joined=False):
    """Return a count with the asked-for slips in it."""

    def count_pairs(words):
        counts = Counter()
        for symbols, n in words.items():
            pairs = list(zip(symbols[start:], symbols[start + 1 :]))
            if not neighbours:
                pairs = [(a, b) for i, a in enumerate(symbols) for b in symbols[i + 1 :]]
            if once:
                pairs = set(pairs)
            for pair in pairs:
                pair = pair if ordered else tuple(sorted(pair))
                counts[pair[0] + pair[1] if joined else pair] += n if weight else 1
        return counts

    return count_pairs


def count_symbols(words):
    counts = Counter()
    for symbols, n in words.items():
        for symbol in symbols:
            counts[symbol] += n
    return counts


def pairs_of_first_word(words):
    for symbols, n in words.items():
        counts = Counter()
        for pair in zip(symbols, symbols[1:]):
            counts[pair] += n
        return counts


def pairs_of_last_word(words):
    for symbols, n in words.items():
        counts = Counter()
        for pair in zip(symbols, symbols[1:]):
            counts[pair] += n
    return counts


def pairs_past_the_end(words):
    counts = Counter()
    for symbols, n in words.items():
        for i in range(len(symbols)):
            counts[symbols[i], symbols[i + 1]] += n
    return counts


def pairs_turned(words):
    counts = Counter()
    for symbols, n in words.items():
        for pair in zip(symbols[1:], symbols):
            counts[pair] += n
    return counts


def pairs_around(words):
    counts = Counter()
    for symbols, n in words.items():
        for i in range(len(symbols)):
            counts[symbols[i - 1], symbols[i]] += n
    return counts


def pairs_by_index(words):
    counts = {}
    for symbols in words:
        for i in range(len(symbols) - 1):
            pair = (symbols[i], symbols[i + 1])
            counts[pair] = counts.get(pair, 0) + words[symbols]
    return counts


def pairs_by_sum(words):
    return sum(
        (Counter({p: k * n for p, k in Counter(zip(w, w[1:])).items()}) for w, n in words.items()), Counter()
    )


def pairs_by_repeat(words):
    return Counter(pair for word, n in words.items() for _ in range(n) for pair in zip(word[:-1], word[1:]))


# --- 1.2 merge_pair ------------------------------------------------------------------------------------


def merge_cases():
    """A run of three and of four; in the middle; longer symbols; half a pair; nothing to do."""
    return [
        (sym("aaa"), (b"a", b"a")),
        (sym("aaaa"), (b"a", b"a")),
        (sym("xaby"), (b"a", b"b")),
        (sym("abab"), (b"a", b"b")),
        ([b"ab", b"c", b"ab", b"c", b"c"], (b"ab", b"c")),
        ([b"a", b"bc", b"ab", b"c"], (b"ab", b"c")),
        (sym("acab"), (b"a", b"b")),
        (sym("ba"), (b"a", b"b")),
        (sym("b"), (b"a", b"b")),
        ([], (b"a", b"b")),
    ]


def merge_overlapping(symbols, pair):
    symbols, out = list(symbols), []
    for i, symbol in enumerate(symbols):
        if i + 1 < len(symbols) and (symbol, symbols[i + 1]) == pair:
            out.append(symbol + symbols[i + 1])
        elif not (i and (symbols[i - 1], symbol) == pair):
            out.append(symbol)
    return out


def merge_loses_last(symbols, pair):
    symbols, out, i = list(symbols), [], 0
    while i < len(symbols) - 1:
        if (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_first_only(symbols, pair):
    symbols = list(symbols)
    for i in range(len(symbols) - 1):
        if (symbols[i], symbols[i + 1]) == pair:
            return symbols[:i] + [pair[0] + pair[1]] + symbols[i + 2 :]
    return symbols


def merge_by_bytes(symbols, pair):
    out, i = [], 0
    symbols = list(symbols)
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] + symbols[i + 1] == pair[0] + pair[1]:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_keeps_second(symbols, pair):
    symbols, out = list(symbols), []
    for i, symbol in enumerate(symbols):
        joined = i + 1 < len(symbols) and (symbol, symbols[i + 1]) == pair
        out.append(symbol + symbols[i + 1] if joined else symbol)
    return out


def merge_as_tuple(symbols, pair):
    symbols, out, i = list(symbols), [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(pair)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_either_order(symbols, pair):
    symbols, out, i = list(symbols), [], 0
    while i < len(symbols):
        if len(symbols[i : i + 2]) == 2 and set(symbols[i : i + 2]) == set(pair):
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_last_twice(symbols, pair):
    return merge_loses_last(symbols, pair) + [symbols[-1]]


def merge_past_the_end(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_past_the_end_by_for(symbols, pair):
    return [a + b for a, b in ((symbols[i], symbols[i + 1]) for i in range(len(symbols)))]


def merge_shrinking(symbols, pair):
    symbols = list(symbols)
    for i in range(len(symbols) - 1):
        if (symbols[i], symbols[i + 1]) == pair:
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return symbols


def merge_from_the_right(symbols, pair):
    symbols, out, i = list(symbols), [], len(symbols) - 1
    while i >= 0:
        if i and (symbols[i - 1], symbols[i]) == pair:
            out.insert(0, symbols[i - 1] + symbols[i])
            i -= 2
        else:
            out.insert(0, symbols[i])
            i -= 1
    return out


def merge_first_symbol_only(symbols, pair):
    symbols, out, i = list(symbols), [], 0
    while i < len(symbols):
        if symbols[i] == pair[0] and i + 1 < len(symbols):
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_by_twos(symbols, pair):
    symbols, out = list(symbols), []
    for i in range(0, len(symbols), 2):
        joined = tuple(symbols[i : i + 2]) == pair
        out.append(symbols[i] + symbols[i + 1] if joined else symbols[i])
    return out


def merge_in_a_copy(symbols, pair):
    symbols, i = list(symbols), 0
    while i < len(symbols) - 1:
        if (symbols[i], symbols[i + 1]) == pair:
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        i += 1
    return symbols


def merge_by_while(symbols, pair):
    symbols, out, i = list(symbols), [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == tuple(pair):
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def merge_by_stack(symbols, pair):
    stack = []
    for symbol in symbols:
        if stack and (stack[-1], symbol) == pair:
            stack.append(stack.pop() + symbol)
        else:
            stack.append(symbol)
    return tuple(stack)


def merge_by_recursion(symbols, pair):
    symbols = list(symbols)
    if len(symbols) < 2:
        return symbols
    if (symbols[0], symbols[1]) == pair:
        return [symbols[0] + symbols[1], *merge_by_recursion(symbols[2:], pair)]
    return [symbols[0], *merge_by_recursion(symbols[1:], pair)]


# --- 1.3 train_merges ------------------------------------------------------------------------------------


def train_cases():
    """The text's words; ties; a text that runs out of pairs; more words; no merges."""
    return [
        ({b"hug": 10, b"pug": 5, b"hugs": 5}, 4),
        ({b"ab": 3, b"cd": 3, b"ba": 1}, 2),
        ({b"ab": 2}, 5),
        ({b"aaaa": 3, b"aab": 2, b"abcabc": 1}, 6),
        ({b" the": 9, b" then": 4, b" other": 3, b"the": 2, b"hen": 5}, 8),
        ({b"abc": 1}, 0),
        ({"né".encode(): 3, "één".encode(): 2, b"\xc3": 4}, 4),
    ]


def run_train(answer, word_counts, n_merges):
    """Return the merges; pairs that cannot be keys of a dict are told apart from tuples."""
    merges = answer(word_counts, n_merges)
    if isinstance(merges, list) and any(isinstance(pair, list) for pair in merges):
        return "pairs that are lists"
    return merges


def make_train(
    weight=True, tie="largest", stop=True, update=True, result="pairs", pick="most", once=False, cut=None
):
    """Return the plain loop with the asked-for slips in it."""

    def train_merges(word_counts, n_merges):
        words = [((cut or sym_of)(word), n) for word, n in word_counts.items()]
        merges = []
        for _ in range(n_merges):
            counts = Counter()
            for symbols, n in words:
                pairs = list(zip(symbols, symbols[1:]))
                for pair in set(pairs) if once else pairs:
                    counts[pair] += n if weight else 1
            if not counts and stop != "never":
                break
            if tie == "largest":
                best = max(counts, key=lambda pair: (counts[pair], pair))
            elif tie == "smallest":
                best = min(counts, key=lambda pair: (-counts[pair], pair))
            elif tie == "joined":
                best = max(counts, key=lambda pair: (counts[pair], pair[0] + pair[1]))
            else:
                best = max(counts, key=counts.get)
            if pick == "least":
                best = min(counts, key=lambda pair: (counts[pair], pair))
            if stop == "rare" and counts[best] < 2:
                break
            merges.append((best, counts[best]) if result == "counts" else best)
            if update:
                words = [(merge_by_while(symbols, best), n) for symbols, n in words]
        return [a + b for a, b in merges] if result == "joined" else merges

    return train_merges


def sym_of(word):
    return [bytes([byte]) for byte in word]


def train_without_update(word_counts, n_merges):
    counts = Counter()
    for word, n in word_counts.items():
        for pair in zip(sym_of(word), sym_of(word)[1:]):
            counts[pair] += n
    return sorted(counts, key=lambda pair: (counts[pair], pair), reverse=True)[:n_merges]


def train_one_more(word_counts, n_merges):
    return make_train()(word_counts, n_merges + 1)


def train_one_less(word_counts, n_merges):
    return make_train()(word_counts, n_merges - 1)


def train_first_only(word_counts, n_merges):
    return make_train()(word_counts, 1) if n_merges else None


def characters_of(word):
    return list(word.decode())


def encoded_characters_of(word):
    return [character.encode() for character in word.decode()]


def train_by_dict(word_counts, n_merges):
    words, merges = {tuple(sym_of(w)): n for w, n in word_counts.items()}, []
    while len(merges) < n_merges:
        counts = pairs_by_index(words)
        if not counts:
            return merges
        top = max(counts.values())
        merges.append(max(pair for pair in counts if counts[pair] == top))
        new = {}
        for word, n in words.items():
            key = tuple(merge_by_stack(word, merges[-1]))
            new[key] = new.get(key, 0) + n
        words = new
    return merges


def train_by_sorting(word_counts, n_merges):
    words, merges = [(sym_of(w), n) for w, n in word_counts.items()], []
    for _ in range(n_merges):
        flat = Counter()
        for w, n in words:
            flat.update({p: n * k for p, k in Counter(zip(w, w[1:])).items()})
        ranking = sorted(flat.items(), key=lambda item: (item[1], item[0]))
        if ranking:
            merges.append(ranking[-1][0])
            words = [(merge_by_recursion(w, merges[-1]), n) for w, n in words]
    return merges


# --- 1.4 split_text ----------------------------------------------------------------------------------------


def split_cases():
    """Spaces, contractions in both cases, digits, marks, other scripts, line breaks at the end."""
    texts = [
        "a   b", "It's 2 dogs, don't!", "DON'T we'll they're I'm he'd", "x1 y22z 3.14", "a  b\n don't x1", " naïve café 中文 🙂🙂",
        "tab\there\n\n  end  ", "", "\n", "hello...  world?!", "it''s 'tis", "½ ² ٣ five", "2½ x²!", "it’s", "  two", "snake_case (x)",
        "we've 1234567", "हिन्दी", "the cat the cat",
    ]  # fmt: skip
    return [(text,) for text in texts]


def make_split(pattern, engine=regex):
    """Return a split by this pattern."""

    def split_text(text):
        return engine.findall(pattern, text)

    return split_text


NO_LOOKAHEAD = PATTERN.replace(r"|\s+(?!\S)", "")
NO_SPACE = PATTERN.replace(" ?", "")
NO_CONTRACTIONS = PATTERN.replace("'s|'t|'re|'ve|'m|'ll|'d|", "")
ANY_CASE = "(?i:'s|'t|'re|'ve|'m|'ll|'d)" + PATTERN[len("'s|'t|'re|'ve|'m|'ll|'d") :]
ASCII_ONLY = (
    PATTERN.replace(r"\p{L}", "a-zA-Z")
    .replace(" ?a-zA-Z+", " ?[a-zA-Z]+")
    .replace(r"\p{N}", "0-9")
    .replace(" ?0-9+", " ?[0-9]+")
)
ONE_DIGIT = PATTERN.replace(r" ?\p{N}+", r" ?\p{N}")
NO_END = PATTERN.removesuffix(r"|\s+(?!\S)|\s+")
TOGETHER = PATTERN.replace(r" ?\p{L}+| ?\p{N}+", r" ?[\p{L}\p{N}]+")


GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPACE_AFTER = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+ ?|\p{N}+ ?|[^\s\p{L}\p{N}]+ ?|\s+(?!\S)|\s+"
CLAUSES = {"letters": r"\p{L}+", "numbers": r"\p{N}+", "punctuation": r"[^\s\p{L}\p{N}]+"}
OTHERS = r"[^\s\p{L}\p{N}]"  # the class in the clause for punctuation


def without_ending(ending):
    """Return the pattern without one of the endings."""
    return PATTERN.replace(f"{ending}|", "", 1)


def split_by_finditer(text):
    return [match.group() for match in regex.compile(PATTERN).finditer(text)]


def split_by_hand(text):
    chunks = []
    while text:
        match = regex.match(PATTERN, text)
        chunks.append(match[0])
        text = text[match.end() :]
    return chunks


def split_by_clauses(text):
    clauses = [
        r"'(?:[stmd]|re|ve|ll)",
        r"\ ?\p{L}+",
        r"\ ?\p{N}+",
        r"\ ?[^\s\p{L}\p{N}]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
    return regex.findall("|".join(clauses), text)


# --- 1.5 bytes_to_unicode --------------------------------------------------------------------------------------


def run_letters(answer):
    """Return the table and the order of its keys, for the order counts; what is no dict stays as it is."""
    table = answer()
    return {"the table": table, "the order": list(table)} if isinstance(table, dict) else table


PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]


def make_letters(printable=PRINTABLE, order="printable first", first=256):
    """Return a table with the asked-for slips in it."""

    def bytes_to_unicode():
        others = [byte for byte in range(256) if byte not in printable]
        table = {byte: chr(byte) for byte in printable} | {
            byte: chr(first + i) for i, byte in enumerate(others)
        }
        return dict(sorted(table.items())) if order == "bytes" else table

    return bytes_to_unicode


def letters_of_numbers():
    return {byte: ord(letter) for byte, letter in make_letters()().items()}


def letters_inverted():
    return {letter: byte for byte, letter in make_letters()().items()}


def letters_offset():
    return {byte: chr(byte) for byte in PRINTABLE} | {
        b: chr(256 + b) for b in range(256) if b not in PRINTABLE
    }


def letters_all_256():
    return {byte: chr(byte) if byte in PRINTABLE else chr(256) for byte in make_letters()()}


def letters_of_symbols():
    return {bytes([byte]): letter for byte, letter in make_letters()().items()}


def letters_by_loop():
    table, n = {}, 0
    for byte in range(256):
        if chr(byte).isprintable() and byte not in (32,):
            table[byte] = chr(byte)
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + n)
            n += 1
    return table


def letters_by_zip():
    order = PRINTABLE + [b for b in range(256) if b not in PRINTABLE]
    return dict(zip(order, map(chr, [*PRINTABLE, *range(256, 324)])))


def letters_by_ranges():
    spans = [("!", "~"), ("¡", "¬"), ("®", "ÿ")]
    keep = [b for a, z in spans for b in range(ord(a), ord(z) + 1)]
    rest = sorted(set(range(256)) - set(keep))
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + rest.index(b)) for b in rest}}


# --- 1.6 bpe -------------------------------------------------------------------------------------------------


def bpe_cases():
    """The text's example; then ranks in which leftmost, longest, most frequent and lowest differ."""
    ranks = {(b"b", b"c"): 0, (b"a", b"b"): 1}
    more = {
        (b"l", b"l"): 0,
        (b"h", b"e"): 1,
        (b"he", b"ll"): 2,
        (b"e", b"ll"): 3,
        (b"hell", b"o"): 4,
        (b"l", b"o"): 5,
    }
    often = {(b"c", b"d"): 0, (b"a", b"b"): 1, (b"b", b"c"): 2}
    runs = {(b"a", b"a"): 0, (b"aa", b"aa"): 1, (b"aa", b"a"): 2}
    return [
        (sym("abc"), ranks),
        (sym("abcabc"), ranks),
        (sym("hello"), more),
        (sym("ello"), more),
        (sym("aaaaa"), runs),
        (sym("aaaaaaa"), runs),
        (sym("abcbcd"), often),
        (sym("x"), ranks),
        ([], ranks),
        (sym("xyz"), {}),
        ([b"a", b"b", b"c", b"dd"], {(b"a", b"b"): 1, (b"b", b"c"): 0, (b"c", b"dd"): 2, (b"b", b"cdd"): 3}),
        (sym("abc"), {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"a", b"bc"): 2}),
    ]


def make_bpe(choose):
    """Return an encoder that picks the next pair by this rule."""

    def bpe(symbols, ranks):
        symbols = list(symbols)
        while True:
            known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
            if not known:
                return symbols
            symbols = merge_by_while(symbols, choose(known, ranks))

    return bpe


def bpe_leftmost_at_once(symbols, ranks):
    symbols, i = list(symbols), 0
    while i < len(symbols) - 1:
        if (symbols[i], symbols[i + 1]) in ranks:
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
            i = 0
        else:
            i += 1
    return symbols


def bpe_in_table_order(symbols, ranks):
    for pair in ranks:
        symbols = merge_by_while(list(symbols), pair)
    return list(symbols)


def bpe_without_stop(symbols, ranks):
    symbols = list(symbols)
    while len(symbols) > 1:
        best = min(zip(symbols, symbols[1:]), key=lambda pair: ranks.get(pair, float("inf")))
        symbols = merge_by_while(symbols, best)
    return symbols


def bpe_one_round(symbols, ranks):
    symbols = list(symbols)
    known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
    return merge_by_while(symbols, min(known, key=ranks.get)) if known else symbols


def bpe_bytes(symbols, ranks):
    return [b"".join(make_bpe(lambda known, ranks: min(known, key=ranks.get))(symbols, ranks))]


def bpe_longest_match(symbols, ranks):
    vocabulary = {a + b for a, b in ranks} | set(symbols)
    text, out = b"".join(symbols), []
    while text:
        piece = max((text[:n] for n in range(1, len(text) + 1) if text[:n] in vocabulary), key=len)
        out.append(piece)
        text = text[len(piece) :]
    return out


def bpe_nothing(symbols, ranks):
    return list(symbols)


def bpe_ids(symbols, ranks):
    done = make_bpe(lambda known, ranks: min(known, key=ranks.get))(symbols, ranks)
    return [ranks.get(symbol, -1) for symbol in done]


def bpe_in_rank_order(symbols, ranks):
    symbols = list(symbols)
    for pair in sorted(ranks, key=ranks.get):
        symbols = merge_by_while(symbols, pair)
    return symbols


def bpe_by_index(symbols, ranks):
    symbols = list(symbols)
    while len(symbols) > 1:
        scored = [(ranks.get((a, b), float("inf")), i) for i, (a, b) in enumerate(zip(symbols, symbols[1:]))]
        rank, i = min(scored)
        if rank == float("inf"):
            break
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return symbols


def bpe_by_recursion(symbols, ranks):
    symbols = tuple(symbols)
    known = {pair: ranks[pair] for pair in zip(symbols, symbols[1:]) if pair in ranks}
    if not known:
        return symbols
    return bpe_by_recursion(merge_by_stack(symbols, min(known, key=known.get)), ranks)


# --- 1.7 Tokenizer -----------------------------------------------------------------------------------------------


def run_tokenizer(answer, merges, ids):
    """Return what decode makes of ids."""
    return answer(merges).decode(ids)


def tokenizer_cases():
    """Plain text, joined symbols, an emoji in pieces, half a character, the special token, an accent apart."""
    merges = [(b"h", b"i"), (b" ", b"hi"), (b"\xc3", b"\xa9")]
    table = list(make_letters()())
    place = {byte: i for i, byte in enumerate(table)}
    emoji = [place[byte] for byte in "🙂".encode()]
    return [
        (merges, [place[ord("h")], place[ord("i")]]),
        (merges, [256, 257, place[33]]),
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


class Bytes:
    """The ids of a byte-level tokenizer: 256 bytes, merges, the special token."""

    def __init__(self, merges):
        self.merges = list(merges)
        self.symbols = (
            [bytes([b]) for b in make_letters()()] + [a + b for a, b in merges] + [b"<|endoftext|>"]
        )
        self.end_of_text = len(self.symbols) - 1


def decoder(decode):
    """Return a tokenizer with this decode."""
    return type("Tokenizer", (Bytes,), {"decode": decode})


def pairs_at(words, places):
    """Count the slices of two symbols that begin at some places of each word."""
    counts = Counter()
    for w, n in words.items():
        for i in places(w):
            counts[tuple(w[i : i + 2])] += n
    return counts


def bpe_by_default(*default):
    """Return an encoder that gives pairs that are not in ranks this rank."""

    def bpe(symbols, ranks):
        symbols = list(symbols)
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda pair: ranks.get(pair, *default))
            if best not in ranks:
                break
            symbols = merge_by_while(symbols, best)
        return symbols

    return bpe


def bpe_by_lookup(symbols, ranks):
    symbols = list(symbols)
    while len(symbols) > 1:
        symbols = merge_by_while(symbols, min(zip(symbols, symbols[1:]), key=lambda pair: ranks[pair]))
    return symbols


def bpe_of_nothing(symbols, ranks):
    symbols = list(symbols)
    while True:
        best = min(zip(symbols, symbols[1:]), key=lambda pair: ranks.get(pair, float("inf")))
        if best not in ranks:
            return symbols
        symbols = merge_by_while(symbols, best)


def bpe_without_rank_zero(symbols, ranks):
    return make_bpe(lambda known, ranks: min(known, key=ranks.get))(
        symbols, {pair: rank for pair, rank in ranks.items() if rank}
    )


def bpe_of_first_pairs(symbols, ranks):
    symbols = list(symbols)
    for pair in sorted({pair for pair in zip(symbols, symbols[1:]) if pair in ranks}, key=ranks.get):
        symbols = merge_by_while(symbols, pair)
    return symbols


def bpe_by_bytes(symbols, ranks):
    symbols, known = list(symbols), {a + b: rank for (a, b), rank in ranks.items()}
    while True:
        scored = [(known[a + b], i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if a + b in known]
        if not scored:
            return symbols
        i = min(scored)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


EXERCISES = [
    Exercise(
        number="1.1",
        name="count_pairs",
        level=1,
        minutes=10,
        done="you can see which neighbors a text likes best.",
        hints=(
            "zip(symbols, symbols[1:]) gives the pairs of neighbors of one word.",
            "A pair counts as often as its word occurs: add n, not 1.",
            "counts = Counter(); for symbols, n in words.items(): for each pair: counts[pair] += n.",
        ),
        cases=pair_cases,
        run=run_pairs,
        mistakes=[
            Mistake(
                "unweighted",
                make_pairs(weight=False),
                "each word counts once in yours. A pair in a word that occurs 10 times counts 10.",
                2,
            ),
            Mistake(
                "not-neighbors",
                make_pairs(neighbours=False),
                "you count pairs that are not neighbors. Only symbols right beside each other can be joined.",
                1,
            ),
            Mistake(
                "once-a-word",
                make_pairs(once=True),
                "a pair that is twice in one word counts once in yours. Count every occurrence.",
                3,
            ),
            Mistake(
                "unordered",
                make_pairs(ordered=False),
                "(a, b) and (b, a) are the same in yours. The order counts.",
                1,
            ),
            Mistake(
                "first-skipped",
                make_pairs(start=1),
                "the first pair of each word is missing. Begin at the first symbol, index 0.",
                1,
            ),
            Mistake(
                "joined",
                make_pairs(joined=True),
                "your keys are joined symbols. The key is the pair, a tuple: (ab, c) and (a, bc) are different.",
                3,
            ),
            Mistake("symbols", count_symbols, "you count symbols. Count pairs of neighbors.", 1),
            Mistake(
                "overwrites",
                lambda words: Counter({pair: n for w, n in words.items() for pair in zip(w, w[1:])}),
                "a later word replaces what earlier ones counted. Add to the count: counts[pair] += n.",
                2,
            ),
            Mistake(
                "last-pair-missing",
                lambda words: pairs_at(words, lambda w: range(len(w) - 2)),
                "the last pair of each word is missing. A word of n symbols has n - 1 pairs.",
                1,
            ),
            Mistake(
                "every-other",
                lambda words: pairs_at(words, lambda w: range(0, len(w) - 1, 2)),
                "you skip every other pair. Pairs overlap: in a b c there are (a, b) and (b, c).",
                1,
            ),
            Mistake(
                "a-lone-symbol",
                lambda words: pairs_at(words, lambda w: range(len(w))),
                "the last symbol of each word stands alone among your pairs. Stop one earlier: a word of n symbols has n - 1 pairs.",
                1,
            ),
            Mistake(
                "swapped",
                pairs_turned,
                "the two symbols of each pair have changed places. The left neighbor comes first.",
                1,
            ),
            Mistake(
                "first-word-only",
                pairs_of_first_word,
                "only the first word is counted. Does your return stand inside the loop over the words?",
                3,
            ),
            Mistake(
                "last-word-only",
                pairs_of_last_word,
                "only the last word is counted. Make the Counter once, before the loop over the words.",
                3,
            ),
            Mistake(
                "past-the-end",
                pairs_past_the_end,
                "the last symbol has no right neighbor, so symbols[i + 1] raises IndexError. Stop one earlier: a word of n symbols has n - 1 pairs.",
                1,
            ),
            Mistake(
                "around",
                pairs_around,
                "the last and the first symbol of a word count as neighbors: symbols[-1] is the last one. Begin with i = 1 when you look back.",
                1,
            ),
        ],
        styles=[pairs_by_index, pairs_by_sum, pairs_by_repeat],
    ),
    Exercise(
        number="1.2",
        name="merge_pair",
        level=2,
        minutes=10,
        done="you can join a pair wherever it occurs.",
        hints=(
            "Walk through the symbols with an index. At each place: is this one and the next the pair?",
            "After a match go on two places further, otherwise one. Mind the last symbol.",
            "Or build a list and look at its last symbol: if (last, symbol) is the pair, join them there, otherwise append.",
        ),
        cases=merge_cases,
        mistakes=[
            Mistake(
                "T03",
                merge_overlapping,
                "your matches overlap: after a match, its second symbol is used again. Go on after the pair.",
                2,
            ),
            Mistake(
                "T03-last",
                merge_loses_last,
                "the last symbol gets lost when it is in no pair. Add it after the loop, or let the loop reach it.",
                2,
            ),
            Mistake(
                "first-only", merge_first_only, "only the first occurrence is joined. Join all of them.", 1
            ),
            Mistake(
                "by-bytes",
                merge_by_bytes,
                "you join whenever the bytes together are those of the pair. (a, bc) is not (ab, c): compare both symbols.",
                1,
            ),
            Mistake(
                "keeps-second",
                merge_keeps_second,
                "the second symbol of a match stays behind. Leave it out.",
                2,
            ),
            Mistake(
                "as-tuple",
                merge_as_tuple,
                "you put the pair itself into the list. Join it: pair[0] + pair[1].",
                3,
            ),
            Mistake("either-order", merge_either_order, "you join (b, a) as well. The order counts.", 1),
            Mistake(
                "last-twice",
                merge_last_twice,
                "the last symbol is added even when it is part of a match already. Add it only where the loop stopped before it.",
                2,
            ),
            Mistake(
                "past-the-end",
                merge_past_the_end,
                "the last symbol has no right neighbor, so symbols[i + 1] raises IndexError. Ask first whether i + 1 is below len(symbols).",
                2,
            ),
            Mistake(
                "past-the-end",
                merge_past_the_end_by_for,
                "the last symbol has no right neighbor, so symbols[i + 1] raises IndexError. Ask first whether i + 1 is below len(symbols).",
                2,
            ),
            Mistake(
                "shrinking",
                merge_shrinking,
                "your list gets shorter while the loop still counts to its old length, so the index runs past the end. Build a new list, or use while.",
                2,
            ),
            Mistake(
                "from-the-right",
                merge_from_the_right,
                "you go from right to left, so in a a a the last two are joined. Go from left to right.",
                1,
            ),
            Mistake(
                "first-symbol-only",
                merge_first_symbol_only,
                "you join the first symbol of the pair with whatever follows it. Both have to match.",
                1,
            ),
            Mistake(
                "by-twos",
                merge_by_twos,
                "you go on two places even where there is no match. Only after a match; otherwise one.",
                2,
            ),
            Mistake(
                "nothing",
                lambda symbols, pair: list(symbols),
                "nothing is joined. A slice of a list never equals a tuple: compare tuple(symbols[i : i + 2]) with the pair.",
                1,
            ),
        ],
        styles=[merge_by_while, merge_by_stack, merge_by_recursion, merge_in_a_copy],
    ),
    Exercise(
        number="1.3",
        name="train_merges",
        level=3,
        minutes=20,
        done="any text can teach you its own vocabulary.",
        hints=(
            "Start with words as tuples of single bytes: tuple(bytes([b]) for b in word).",
            "In each round: count the pairs, take the best, note it, merge it in every word.",
            "max(counts, key=lambda pair: (counts[pair], pair)) is the best with the tie rule. Stop when counts is empty.",
        ),
        cases=train_cases,
        run=run_train,
        mistakes=[
            Mistake(
                "pairs-as-lists",
                lambda word_counts, n_merges: [list(pair) for pair in make_train()(word_counts, n_merges)],
                "your pairs are lists. Make them tuples: only those can be the keys of a dict, which the ranks "
                "of the merges will be.",
                2,
            ),
            Mistake(
                "unweighted",
                make_train(weight=False),
                "the words' counts are not used. A pair in a word that occurs 10 times counts 10.",
                2,
            ),
            Mistake(
                "tie-smallest",
                make_train(tie="smallest"),
                "of equally frequent pairs you take the smaller one. The larger one goes first.",
                3,
            ),
            Mistake(
                "tie-first",
                make_train(tie="first"),
                "of equally frequent pairs you take the one that you met first. The larger one as a tuple goes first.",
                3,
            ),
            Mistake(
                "no-update",
                train_without_update,
                "you count once and take the most frequent pairs. Merge each in the words before you count again: new pairs arise.",
                2,
            ),
            Mistake("joined", make_train(result="joined"), "you return joined symbols. Return the pairs.", 2),
            Mistake(
                "least", make_train(pick="least"), "you merge the rarest pair. Take the most frequent.", 3
            ),
            Mistake(
                "stops-at-one",
                make_train(stop="rare"),
                "you stop when the best pair occurs once. Go on while there are pairs.",
                3,
            ),
            Mistake(
                "one-more",
                train_one_more,
                "you learn one merge too many. n_merges is the most that the list may hold.",
                2,
            ),
            Mistake(
                "one-less",
                train_one_less,
                "your list has one merge too few. Where pairs are left, go on until there are n_merges.",
                2,
            ),
            Mistake(
                "tie-joined",
                make_train(tie="joined"),
                "of equally frequent pairs you take the one whose joined bytes are larger. Compare the pairs as tuples: their first symbols, then their second.",
                3,
            ),
            Mistake(
                "with-counts",
                make_train(result="counts"),
                "you return each pair together with its count. Return the pairs alone.",
                2,
            ),
            Mistake(
                "never-merged",
                make_train(update=False),
                "you find the same pair in every round: it is never joined in the words. Put the result of merge_pair in the place of each word before you count again.",
                2,
            ),
            Mistake(
                "numbers",
                make_train(cut=tuple),
                "your symbols are numbers: a byte taken out of bytes is an int. bytes([b]) makes a symbol of it again.",
                1,
            ),
            Mistake(
                "uncut",
                lambda word_counts, n_merges: [],
                "your list is empty. A word that is one symbol has no pairs: cut it into single bytes first.",
                1,
            ),
            Mistake(
                "no-stop",
                make_train(stop="never"),
                "when no pair is left, max has nothing to choose from and raises ValueError. Leave the loop when there are no counts.",
                3,
            ),
            Mistake(
                "first-only",
                train_first_only,
                "you return after the first merge. Does your return stand inside the loop?",
                2,
            ),
            Mistake(
                "T07",
                make_train(cut=characters_of),
                "you cut words into characters. GPT-2's symbols are bytes, and é is two of them: take the bytes of the word one by one.",
                1,
            ),
            Mistake(
                "T07",
                make_train(cut=encoded_characters_of),
                "you cut words into characters. GPT-2's symbols are bytes, and é is two of them: take the bytes of the word one by one.",
                1,
            ),
            Mistake(
                "once-a-word",
                make_train(once=True),
                "a pair that is twice in one word counts once in yours. Count every occurrence.",
                2,
            ),
        ],
        styles=[make_train(), train_by_dict, train_by_sorting],
    ),
    Exercise(
        number="1.4",
        name="split_text",
        level=2,
        minutes=15,
        done="merges know where they must stop.",
        hints=(
            "Join the clauses of the table with |, in that order, in a raw string r'...'.",
            r"The space in ` ?\p{L}+` is a real space, with a question mark: it may be there.",
            "regex.findall(pattern, text). Put \\s+(?!\\S) before \\s+: the first clause that matches wins.",
        ),
        cases=split_cases,
        mistakes=[
            Mistake(
                "T05",
                lambda text: text.split(),
                "you cut at spaces and throw them away. The chunks, joined, must give the text again.",
                1,
            ),
            Mistake(
                "T05",
                lambda text: text.split(" "),
                "you cut at spaces and throw them away. The chunks, joined, must give the text again.",
                1,
            ),
            Mistake(
                "T05-words",
                make_split(r"\w+|[^\w\s]+", re),
                "spaces are lost. A space belongs to the word after it.",
                2,
            ),
            *(
                Mistake(
                    "T05-words",
                    make_split(pattern, engine),
                    "spaces are lost. A space belongs to the word after it.",
                    2,
                )
                for pattern, engine in (
                    (r"\w+|[^\w\s]", re),
                    (r"\w+|[^\w\s]", regex),
                    (r"\w+|[^\w\s]+", regex),
                )
            ),
            *(
                Mistake(
                    "words-and-spaces",
                    make_split(r"\w+|[^\w\s]+|\s+", engine),
                    r"spaces are chunks of their own in yours, and \w takes letters, digits and _ together. Write the clauses of the table, with a space and a question mark in front.",
                    2,
                )
                for engine in (re, regex)
            ),
            Mistake(
                "T06",
                make_split(NO_LOOKAHEAD),
                r"the last space of a run does not go with the next word. The clause \s+(?!\S) takes all spaces but that one, and it must stand before \s+: the first that matches wins.",
                3,
            ),
            Mistake(
                "no-space",
                make_split(NO_SPACE),
                "the space before a word is a chunk of its own. Let each clause take one: a space and a question mark in front.",
                2,
            ),
            Mistake(
                "no-contractions",
                make_split(NO_CONTRACTIONS),
                "the endings 's, 't, 're … are not cut off. They are the first clause.",
                1,
            ),
            Mistake(
                "any-case",
                make_split(ANY_CASE),
                "you cut 'T and 'S off as well. GPT-2's clause knows small letters only.",
                1,
            ),
            Mistake(
                "ascii",
                make_split(ASCII_ONLY),
                r"only English letters count as letters. \p{L} is any letter, \p{N} any number sign.",
                1,
            ),
            Mistake(
                "one-digit",
                make_split(ONE_DIGIT),
                "your numbers are cut into digits. (Later models do that.) GPT-2 keeps them together.",
                1,
            ),
            Mistake(
                "spaces-lost",
                make_split(NO_END),
                "runs of spaces and line breaks are lost. The two last clauses take them.",
                3,
            ),
            Mistake(
                "letters-and-digits",
                make_split(TOGETHER),
                "letters and digits stay together. x1 is two chunks, x and 1.",
                1,
            ),
            *(
                Mistake(
                    "ending-missing",
                    make_split(without_ending(ending)),
                    f"the ending {ending} is not cut off. There are seven: 's 't 're 've 'm 'll 'd.",
                    1,
                )
                for ending in "'s 't 're 've 'm 'll 'd".split()
            ),
            *(
                Mistake(
                    "no-space-before-some",
                    make_split(PATTERN.replace(f" ?{clause}", clause)),
                    f"a space before {name} is a chunk of its own. That clause takes one too: a space and a question mark in front.",
                    2,
                )
                for name, clause in CLAUSES.items()
            ),
            *(
                Mistake(
                    "one-by-one",
                    make_split(PATTERN.replace(clause, clause.removesuffix("+"))),
                    f"your {name} are cut one by one. The + behind the class takes as many as there are.",
                    1,
                )
                for name, clause in CLAUSES.items()
                if name != "numbers"
            ),
            Mistake(
                "gpt4",
                make_split(GPT4),
                "this is the pattern of GPT-4. GPT-2's is the one in the table: endings in small letters, numbers of any length, only a space before a word.",
                1,
            ),
            Mistake(
                "three-digits",
                make_split(PATTERN.replace(r" ?\p{N}+", r" ?\p{N}{1,3}")),
                "your numbers are cut after three digits. (Later models do that.) GPT-2 keeps them together.",
                1,
            ),
            Mistake(
                "space-required",
                make_split(PATTERN.replace(" ?", " ")),
                "words without a space before them are lost. The question mark after the space says that it may be missing.",
                2,
            ),
            Mistake(
                "any-space-before",
                make_split(PATTERN.replace(" ?", r"\s?")),
                r"a line break or a tab goes with the word after it. Only a real space does: write a space, not \s.",
                2,
            ),
            Mistake(
                "all-spaces-before",
                make_split(PATTERN.replace(" ?", " *")),
                "all spaces before a word go with it. Only the last one does: a space and a question mark, not a star.",
                2,
            ),
            Mistake(
                "space-after",
                make_split(SPACE_AFTER),
                "the space goes with the word before it. It belongs to the word after it.",
                2,
            ),
            Mistake(
                "no-punctuation",
                make_split(PATTERN.replace(f"| ?{OTHERS}+", "")),
                "punctuation and emoji are lost. The fourth clause takes them.",
                1,
            ),
            Mistake(
                "punctuation-with-spaces",
                make_split(PATTERN.replace(OTHERS, r"[^\p{L}\p{N}]")),
                r"spaces count as punctuation in yours. The clause for the rest leaves out \s as well.",
                1,
            ),
            Mistake(
                "word-characters",
                make_split(PATTERN.replace(r" ?\p{L}+| ?\p{N}+", r" ?\w+")),
                r"\w takes letters, digits and _ together. Letters and numbers are two clauses, and _ is in neither.",
                1,
            ),
            Mistake(
                "some-signs-lost",
                make_split(PATTERN.replace(OTHERS, r"\p{P}")),
                r"\p{P} is punctuation only, so emoji and signs like = are lost. Take everything that is no space, letter or number.",
                1,
            ),
            Mistake(
                "some-signs-lost",
                make_split(PATTERN.replace(OTHERS, r"[\p{P}\p{S}]")),
                r"what is neither \p{P} nor \p{S} is lost, such as the vowel signs of Hindi. Take everything that is no space, letter or number.",
                1,
            ),
            Mistake(
                "curly",
                make_split(PATTERN.replace("'", "['’]")),
                "you cut ’s off as well. GPT-2's clause knows the straight ' only.",
                1,
            ),
            Mistake(
                "ascii",
                make_split(
                    PATTERN.replace(OTHERS, r"[^\sa-zA-Z\p{N}]").replace(CLAUSES["letters"], "[a-zA-Z]+")
                ),
                r"only English letters count as letters. \p{L} is any letter.",
                1,
            ),
            *(
                Mistake(
                    "digits-only",
                    make_split(pattern),
                    r"only digits count as numbers in yours. ½ and ² do too: \p{N} is any number sign.",
                    1,
                )
                for pattern in (
                    PATTERN.replace(r" ?\p{N}+", r" ?\d+"),
                    PATTERN.replace(r"\p{N}", r"\d"),
                    PATTERN.replace(OTHERS, r"[^\s\p{L}0-9]").replace(CLAUSES["numbers"], "[0-9]+"),
                )
            ),
            Mistake(
                "group",
                make_split(PATTERN.replace("'s|'t|'re|'ve|'m|'ll|'d", "'(s|t|re|ve|m|ll|d)")),
                "where a pattern has parentheses, findall returns only what is inside them. Write (?:...), which groups and captures nothing.",
                1,
            ),
            Mistake(
                "spaces-in-pattern",
                make_split(" | ".join(PATTERN.split("|"))),
                "the spaces around | are part of your pattern. Write it without them.",
                1,
            ),
            Mistake(
                "single-space-lost",
                make_split(PATTERN.removesuffix(r"|\s+")),
                r"a line break or a tab before a word is lost: \s+(?!\S) does not take it. The last clause, \s+, takes what is left.",
                3,
            ),
            Mistake(
                "spaces-alone",
                make_split(PATTERN.replace(r"\s+", " +")),
                r"line breaks and tabs are lost. \s is any of them, a space in the pattern only a space.",
                3,
            ),
            Mistake(
                "re",
                make_split(PATTERN, re),
                r"Python's own re does not know \p{L}. Use regex.findall.",
                3,
            ),
            Mistake(
                "stripped",
                lambda text: regex.findall(PATTERN, text.strip()),
                "the spaces at both ends of the text are lost. The chunks, joined, must give the whole text again.",
                3,
            ),
            Mistake(
                "as-bytes",
                lambda text: [chunk.encode() for chunk in regex.findall(PATTERN, text)],
                "your chunks are bytes. Return them as str; they are encoded later.",
                3,
            ),
        ],
        styles=[split_by_finditer, split_by_hand, split_by_clauses],
    ),
    Exercise(
        number="1.5",
        name="bytes_to_unicode",
        level=2,
        minutes=10,
        done="every byte can be written into a text file.",
        hints=(
            "range(ord('!'), ord('~') + 1) is the first of the three ranges. range does not include its end.",
            "The other bytes are those of range(256) that are not in the three ranges, in order. Number them from 0.",
            "{byte: chr(byte) for printable ones} and then {byte: chr(256 + i) for i, byte in enumerate(others)}, the first dict first.",
        ),
        cases=lambda: [()],
        run=run_letters,
        mistakes=[
            Mistake(
                "byte-order",
                make_letters(order="bytes"),
                "the characters are right, but your order is that of the bytes. The printable ones come first.",
                3,
            ),
            Mistake(
                "tilde",
                make_letters(printable=[*range(33, 126), *range(161, 172), *range(174, 255)]),
                "the last one of each range is missing: range does not include its end.",
                1,
            ),
            Mistake(
                "space",
                make_letters(printable=[*range(32, 127), *range(161, 173), *range(174, 256)]),
                "the space stands for itself in yours. It must not: it separates the two symbols on a line.",
                1,
            ),
            Mistake(
                "soft-hyphen",
                make_letters(printable=[*range(33, 127), *range(161, 256)]),
                "byte 173, the soft hyphen, is not printable. The ranges stop at 172 and go on at 174.",
                1,
            ),
            Mistake(
                "from-257",
                make_letters(first=257),
                "the others begin at character 257. They begin at 256.",
                2,
            ),
            Mistake(
                "offset",
                letters_offset,
                "you add 256 to the byte. The others are numbered among themselves: the first gets 256, the second 257.",
                2,
            ),
            Mistake(
                "numbers",
                letters_of_numbers,
                "your values are numbers. Use chr to make characters of them.",
                3,
            ),
            Mistake(
                "inverted",
                letters_inverted,
                "your table goes from character to byte. It should go from byte to character.",
                3,
            ),
            Mistake(
                "ascii-only",
                make_letters(printable=[*range(33, 127)]),
                "only ASCII stands for itself in yours. ¡ to ¬ and ® to ÿ do too.",
                1,
            ),
            *(
                Mistake(
                    "tilde",
                    make_letters(printable=[byte for byte in PRINTABLE if byte != end]),
                    f"byte {end}, {chr(end)}, does not stand for itself. It is the last one of its range: range does not include its end.",
                    1,
                )
                for end in (126, 172, 255)
            ),
            Mistake(
                "latin",
                lambda: {byte: chr(byte) for byte in range(256)},
                "every byte stands for itself in yours, the line break too. The 68 that cannot be printed get the characters from 256 on.",
                2,
            ),
            Mistake(
                "others-first",
                lambda: dict(sorted(make_letters()().items(), key=lambda item: item[0] in PRINTABLE)),
                "the characters are right, but the other bytes come first. The printable ones do.",
                3,
            ),
            Mistake(
                "printable-only",
                lambda: {byte: chr(byte) for byte in PRINTABLE},
                "your table has 188 bytes. The other 68 need a character too.",
                2,
            ),
            Mistake(
                "all-256",
                letters_all_256,
                "the other bytes all get character 256. Count on: the second gets 257.",
                2,
            ),
            Mistake(
                "symbols",
                letters_of_symbols,
                "your keys are bytes objects. A key is the byte as a number, from 0 to 255.",
                3,
            ),
            Mistake(
                "pairs",
                lambda: list(make_letters()().items()),
                "you return a list of pairs. Make a dict of them.",
                3,
            ),
        ],
        styles=[letters_by_loop, letters_by_zip, letters_by_ranges],
    ),
    Exercise(
        number="1.6",
        name="bpe",
        level=2,
        minutes=15,
        done="you encode exactly as GPT-2 was trained.",
        hints=(
            "As long as there are at least two symbols: which pairs of neighbors are in ranks?",
            "min(pairs, key=...) with the rank as the key; ranks.get(pair, infinity) for those that have none.",
            "Merge that pair with merge_pair and look again. Stop when the best pair is not in ranks.",
        ),
        cases=bpe_cases,
        mistakes=[
            Mistake(
                "T01",
                make_bpe(lambda known, ranks: known[0]),
                "you merge the leftmost pair. The one with the lowest rank goes first.",
                2,
            ),
            Mistake(
                "T01",
                bpe_leftmost_at_once,
                "you merge the leftmost pair. The one with the lowest rank goes first.",
                2,
            ),
            Mistake(
                "T01-table-order",
                bpe_in_table_order,
                "you go through ranks in the order in which they stand in the dict. The order is in the "
                "numbers: the lowest rank goes first.",
                2,
            ),
            Mistake(
                "T01-unknown-pairs",
                bpe_without_stop,
                "you go on when no pair is left in ranks, and merge pairs that were never learned. Stop when "
                "the best pair is not in ranks.",
                3,
            ),
            Mistake(
                "T01-highest",
                make_bpe(lambda known, ranks: max(known, key=ranks.get)),
                "you merge the pair with the highest rank. The lowest was learned first.",
                2,
            ),
            Mistake(
                "T01-longest",
                make_bpe(lambda known, ranks: max(known, key=lambda pair: len(pair[0] + pair[1]))),
                "you merge the longest pair first. The one with the lowest rank goes first.",
                2,
            ),
            Mistake(
                "greedy-match",
                bpe_longest_match,
                "you look for the longest known piece from the left. BPE merges pairs in the order of their ranks.",
                2,
            ),
            Mistake(
                "one-round", bpe_one_round, "you merge one pair and stop. Go on until no pair is in ranks.", 3
            ),
            Mistake("everything", bpe_bytes, "you join all symbols in the end. Return them as a list.", 3),
            Mistake(
                "nothing",
                bpe_nothing,
                "nothing is merged. Keep what merge_pair returns: it makes a new list.",
                3,
            ),
            Mistake("ids", bpe_ids, "you return numbers. Return the symbols.", 3),
            Mistake(
                "T01-unknown-first",
                bpe_by_default(0),
                "ranks.get(pair, 0) gives a pair that was never learned the best rank of all. Give it the worst: infinity.",
                2,
            ),
            Mistake(
                "T01-unknown-first",
                bpe_by_default(-1),
                "ranks.get(pair, -1) gives a pair that was never learned the best rank of all. Give it the worst: infinity.",
                2,
            ),
            Mistake(
                "T01-no-default",
                bpe_by_default(),
                "ranks.get(pair) is None for a pair that was never learned, and None cannot be compared with a number. Give get a second argument: infinity.",
                2,
            ),
            Mistake(
                "T01-no-default",
                bpe_by_lookup,
                "ranks[pair] raises KeyError for a pair that was never learned. ranks.get(pair, infinity) does not.",
                2,
            ),
            Mistake(
                "T01-frequent",
                make_bpe(lambda known, ranks: max(known, key=known.count)),
                "you merge the pair that occurs most often in the chunk. The one with the lowest rank goes first.",
                2,
            ),
            Mistake(
                "no-key",
                make_bpe(lambda known, ranks: min(known)),
                "you merge the pair that is smallest as bytes. min needs key=ranks.get to go by the rank.",
                2,
            ),
            Mistake(
                "rank-zero",
                bpe_without_rank_zero,
                "the pair with rank 0 is never merged: 0 counts as false. Ask whether the pair is in ranks.",
                3,
            ),
            Mistake(
                "no-pairs-left",
                bpe_of_nothing,
                "one symbol has no pairs, and min of nothing raises ValueError. Go on only while there are two symbols or more.",
                1,
            ),
            Mistake(
                "first-pairs",
                bpe_of_first_pairs,
                "you look for pairs once, at the beginning. A merge makes new pairs: look again after each.",
                3,
            ),
            Mistake(
                "by-bytes",
                bpe_by_bytes,
                "you merge whenever the joined bytes are known. (a, bc) is not (ab, c): the pair itself has to be in ranks.",
                1,
            ),
        ],
        styles=[bpe_by_index, bpe_by_recursion, bpe_in_rank_order],
    ),
    Exercise(
        number="1.7",
        name="Tokenizer",
        level=3,
        minutes=20,
        done="text becomes ids and ids become text, without loss.",
        hints=(
            "self.symbols[i] is the bytes of id i.",
            "b''.join(...) first, .decode once.",
            "bytes.decode('utf-8', errors='replace') puts U+FFFD where the bytes are no character.",
        ),
        cases=tokenizer_cases,
        run=run_tokenizer,
        arguments=("merges", "ids"),
        mistakes=[
            Mistake(
                "T09",
                decoder(
                    lambda self, ids: "".join(self.symbols[i].decode("utf-8", errors="replace") for i in ids)
                ),
                "you decode each token by itself. A character may be spread over several: join the bytes first.",
                2,
            ),
            Mistake(
                "strict",
                decoder(lambda self, ids: b"".join(self.symbols[i] for i in ids).decode("utf-8")),
                "half a character makes yours raise an error. A model may stop there: errors='replace'.",
                3,
            ),
            Mistake(
                "ignored",
                decoder(
                    lambda self, ids: b"".join(self.symbols[i] for i in ids).decode("utf-8", errors="ignore")
                ),
                "half a character vanishes silently. Show it: errors='replace'.",
                3,
            ),
            Mistake(
                "latin",
                decoder(lambda self, ids: b"".join(self.symbols[i] for i in ids).decode("latin-1")),
                "you decode as Latin-1, where each byte is a character. The bytes are UTF-8.",
                3,
            ),
            Mistake(
                "raw-bytes",
                decoder(lambda self, ids: b"".join(self.symbols[i] for i in ids)),
                "you return bytes. Decode them to a str.",
                2,
            ),
            Mistake(
                "spaced",
                decoder(
                    lambda self, ids: b" ".join(self.symbols[i] for i in ids).decode(
                        "utf-8", errors="replace"
                    )
                ),
                "you put spaces between the tokens. They carry their spaces themselves: join with nothing.",
                2,
            ),
            Mistake(
                "special-lost",
                decoder(
                    lambda self, ids: b"".join(self.symbols[i] for i in ids if i != self.end_of_text).decode(
                        "utf-8", errors="replace"
                    )
                ),
                "<|endoftext|> is left out. decode shows every id.",
                1,
            ),
            Mistake(
                "byte-ids",
                decoder(lambda self, ids: bytes(i for i in ids if i < 256).decode("utf-8", errors="replace")),
                "you take ids for bytes. Ids have another order and there are merges: look up self.symbols.",
                1,
            ),
            *(
                Mistake(
                    "T09",
                    decoder(decode),
                    "you decode each token by itself. A character may be spread over several: join the bytes first.",
                    2,
                )
                for decode in (
                    lambda self, ids: "".join(self.symbols[i].decode("utf-8", errors="ignore") for i in ids),
                    lambda self, ids: "".join(self.symbols[i].decode("utf-8") for i in ids),
                )
            ),
            Mistake(
                "byte-ids",
                decoder(lambda self, ids: bytes(ids).decode("utf-8", errors="replace")),
                "you take ids for bytes. Ids have another order and there are merges: look up self.symbols.",
                1,
            ),
            Mistake(
                "byte-ids",
                decoder(
                    lambda self, ids: b"".join(
                        self.symbols[i] if i >= 256 else bytes([i]) for i in ids
                    ).decode("utf-8", errors="replace")
                ),
                "you take the ids below 256 for bytes. They have another order: look all of them up in self.symbols.",
                1,
            ),
            Mistake(
                "ascii",
                decoder(
                    lambda self, ids: b"".join(self.symbols[i] for i in ids).decode("ascii", errors="replace")
                ),
                "you decode as ASCII, which has English letters only. The bytes are UTF-8.",
                3,
            ),
            Mistake(
                "special-unknown",
                decoder(
                    lambda self, ids: b"".join(dict(enumerate(self.symbols[:-1]))[i] for i in ids).decode(
                        "utf-8", errors="replace"
                    )
                ),
                "your table has no entry for <|endoftext|>; self._ids leaves it out. self.symbols has every id.",
                1,
            ),
            Mistake(
                "stops-at-special",
                decoder(
                    lambda self, ids: b"".join(
                        self.symbols[i] for i in itertools.takewhile(lambda i: i != self.end_of_text, ids)
                    ).decode("utf-8", errors="replace")
                ),
                "you stop at <|endoftext|>. decode shows every id, those after it too.",
                1,
            ),
            Mistake(
                "stripped",
                decoder(
                    lambda self, ids: (
                        b"".join(self.symbols[i] for i in ids).decode("utf-8", errors="replace").strip()
                    )
                ),
                "the spaces at both ends are gone. They belong to the text: leave them.",
                2,
            ),
            Mistake(
                "letters",
                decoder(
                    lambda self, ids: "".join(make_letters()()[byte] for i in ids for byte in self.symbols[i])
                ),
                "you return the characters of the file of merges, in which a space is Ġ. Decode the bytes themselves.",
                2,
            ),
            Mistake(
                "written-out",
                decoder(lambda self, ids: str(b"".join(self.symbols[i] for i in ids))),
                "str writes bytes out as Python does, with b'...' around them. Use .decode('utf-8', ...).",
                2,
            ),
            Mistake(
                "joined-as-str",
                decoder(lambda self, ids: "".join(self.symbols[i] for i in ids)),
                "the symbols are bytes, and ''.join takes only str. Join them with b''.join.",
                2,
            ),
        ],
        styles=[
            decoder(lambda self, ids: b"".join(map(self.symbols.__getitem__, ids)).decode(errors="replace")),
            decoder(lambda self, ids: str(b"".join([self.symbols[i] for i in ids]), "utf-8", "replace")),
            decoder(
                lambda self, ids: bytes(b for i in ids for b in self.symbols[i]).decode("utf-8", "replace")
            ),
        ],
    ),
]
