"""From a book of Project Gutenberg to its stories: what is cut, joined, rewritten and left out, rule by rule.

`stories(text, name)` is all that others need. A book goes through these steps, in this order:

 1. `body`: what stands between Gutenberg's marker lines. `plain`: ASCII. `without_notes`: no brackets.
 2. `blocks_of`: lines without an empty one between are a block, which knows how many stand before it.
 3. `until_the_end`: THE END late in a book ends it, and so do NOTES, GLOSSARY, INDEX and advertisements.
 4. `pieces_of`: a heading begins a new piece. `from_the_first_chapter`: what stands before it goes.
 5. `write`: a piece becomes paragraphs: no captions, lists and imprints, little verse, nothing unkind.
 6. `why_not`: a piece goes if it is a preface, an advertisement, a play, mostly verse, torn, too short.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from tales_words import is_filtered, load

SHORTEST, LONGEST = 350, 60_000  # characters in a story; a longer piece has no chapters that could be found
SECTION = 4_000  # characters that a piece has before a bare number begins the next one
VERSE = 8  # lines of verse that may stand in a story
TORN = 0.15  # share of paragraphs left out as unkind that makes a story a torn one

ASCII = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("–‒‑‐", "-"),
    **{"—": "--", "―": "--", "…": "...", "\xa0": " ", "\t": "    ", "½": " 1/2", "¼": " 1/4", "¾": " 3/4"},
    **{"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
}
STARTS = re.compile(
    r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG[^*]*\*\*\*.*$|^\*END\*? ?THE SMALL PRINT.*$", re.M
)
ENDS = re.compile(r"^(?:\*\*\* ?END OF|End of (?:The |This |the )?Project Gutenberg).*$", re.M)

NUMBER = r"(?:[IVXLC]+|\d{1,3}|(?:THE )?[A-Z]+(?:[ -][A-Z]+)?)"
CHAPTER = re.compile(
    r"(?:CHAPTER|CHAP\.|BOOK|PART|STORY|LESSON|TALE|ADVENTURE|NIGHT|EVENING|LETTER|SECTION) +"
    rf"{NUMBER}\b[.:,]?(?:[ -].*)?",
    re.I,
)
ROMAN = re.compile(r"[IVXLC]+[.:)]?|(?:[IVXLC]{1,7}|\d{1,3})[.:)] +[\"']?[A-Z].{1,80}[^.,;:]")
BARE_NUMBER = re.compile(r"(?:[IVXLC]+|\d{1,3})\.?")
THE_END = re.compile(r"(?:THE END\b.{0,30}|FINIS|END OF .{0,60})\.?", re.I)
CREDIT = re.compile(r"\(?(?:by|from|adapted|retold|told by|after|translated)\b", re.I)
NO_STORY = re.compile(  # the heading of what is no story
    r"(?:THE |AN? |SOME |AUTHOR'?S |EDITOR'?S |TO |TABLE OF |LISTS? OF |A (?:SHORT|FEW) "
    r")*(?:CONTENTS|ILLUSTRATIONS?|"
    r"PREFACE|INTRODUCT\w+|FOREWORD|PREFATORY|DEDICAT\w+|ADVERTISEMENTS?|GLOSSARY|INDEX|VOCABULARY|"
    r"BIBLIOGRAPHY|"
    r"APPENDIX|FOOTNOTES?|NOTES?|ACKNOWLEDG\w+|ERRATA|PRONUNCIATIONS?|WORD LIST|NEW WORDS|"
    r"SUGGESTIONS|TEACHERS'?|"
    r"(?:MY |FRIENDLY |YOUNG )?READERS?|PARENTS|MOTHERS|COPYRIGHT|EXERCISES?|QUESTIONS|BOOKS? (?:BY|"
    r"FOR)|OTHER BOOKS|"
    r"TRANSCRIBER\w*)(?![A-Z'])(?:[ .:;,-].{0,60})?|.*\b(?:SERIES|PUBLISHERS?|12MO)\b.*"
)
BACK_MATTER = re.compile(  # in the last part of a book it ends it
    r"NOTES?|NOTES? (?:ON|TO|AND) .*|GLOSSARY.*|INDEX.*|APPENDIX.*|TRANSCRIBER.*|ADVERTISEMENTS?|"
    r"BIBLIOGRAPHY.*|"
    r"VOCABULARY.*|SUGGESTIONS .*|PRONUNC.*|WORD LIST.*|.*BOOKS (?:BY|FOR) .*"
)
JUNK = re.compile(
    r"gutenberg|proofread|https?:|www\.|e-?text\b|transcriber|scanned by|internet archive|typographical", re.I
)
IMPRINT = re.compile(
    r"copyright|all rights reserved|printed in (?:the )?(?:u|great|england|america)|published by|"
    r"publishers\b|"
    r"illustrated by|author of \W|\b(?:8|12|16|24)(?:mo|vo)\b|post-?paid|price,? (?:per|\$|\d|net)|"
    r"\$\d+\.\d\d|"
    r"\d cents (?:each|per|net)|per volume|cloth,? (?:bound|illus|gilt)|& co\b|volumes? (?:in|of) "
    r"th(?:e|is) series|"
    r"(?:handsomely|beautifully|attractively) (?:illus|bound)|by all booksellers|frontispiece",
    re.I,
)
BOOKISH = re.compile(  # words of those who write about stories
    r"\b(?:volumes?|editions?|editors?|translat\w+|publish\w+|readers?|authors?|literature|"
    r"folk-?lore\w*|narratives?|"
    r"versions?|collections?|illustrat\w+|story-?telling|this (?:little )?book|these (?:stories|"
    r"tales|pages))\b"
)
# in a play
SPEAKER = re.compile(
    r"[A-Z][a-zA-Z']+(?: [A-Z][a-zA-Z']*){0,3}(?:: (?![\"'])|\.--|\.: )|[A-Z][A-Z' ]{2,24}\. "
)

MOCKERY = re.compile(
    r"\bcolou?red (?:m[ae]n|boys?|girls?|wom[ae]n|people|cook|folks?|persons?|servants?|maid|lady|"
    r"porter|waiter|race|"
    r"gentlem[ae]n|mammy|child|children)\b|\bblack (?:cook|woman|maid|servants?|mammy|nurse|boys?|"
    r"girls?|butler)\b|"
    r"\bhalf-breeds?\b"
)
STRONG = set(  # marks of stage dialect, and words that may be one
    "gwine chillun chillen massa marse nebber heah suah dat dat's dis dem dey wid ob sho' lawsy "
    "lawd wuz hab dese "
    "dose ebber ebery befo' foh yere yo' mah".split()
)
WEAK = STRONG | set(
    "nuffin dere dere's den wif ole chile fo' axes mistah missus sah laws honey lamb jes' ain't "
    "hain't de ovah afo' "
    "dar an' er ter git kin".split()
)
ELISIONS = set(  # they begin with an apostrophe that opens no speech
    "tis twas twill twere em til till cause bout round way most fraid spect nother d ll s re ve m t "
    "cept fore gainst "
    "mid neath board un scuse spose n course low im is e and ard ouse ome gator possum coon twixt pon".split()
)


def body(text: str, name: str) -> str:
    """Return what stands between Project Gutenberg's marker lines. Raises ValueError without them."""
    start, end = list(STARTS.finditer(text)), list(ENDS.finditer(text))
    if not start or not end or start[-1].end() > end[0].start():
        raise ValueError(
            f"{name} has no lines *** START OF and *** END OF; pass a text from Project Gutenberg"
        )
    return text[start[-1].end() : end[0].start()]


def plain(text: str) -> str:
    """Return a text in ASCII: quotes and dashes replaced, accents taken off, the rest left out."""
    text = re.sub(r"\[[=:'`^~]([A-Za-z]{1,2})\]", r"\1", text)  # [=a] is an a with a bar
    text = text.translate(str.maketrans(ASCII))
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def without_notes(text: str) -> str:
    """Leave out footnotes, and what stands in brackets: illustrations, notes, page numbers."""
    text = re.sub(r"(?m)^ *\[(?:\d{1,3}|[A-Z]|\*+)\]:? \S[^\n]*(?:\n[^\n]+)*", "", text)
    while (shorter := re.sub(r"\[[^\[\]]{0,3000}\]|\{[^{}]{0,1000}\}", "", text)) != text:  # inner ones first
        text = shorter
    text = re.sub(r"(?<=[.!?,;\"'a-z])\(\d{1,2}\)(?=\s|$)", "", text)
    return re.sub(r"\[Illustration[^\]\n]*\n?", "", text)  # never closed


@dataclass
class Block:
    """Lines without an empty one between them."""

    empty: int  # lines before it
    lines: list[str]

    def __post_init__(self):
        self.text = join(self.lines)


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a text; a line of stars or dashes counts as empty, page numbers are left out."""
    found, lines, empty = [], [], 3
    for line in [*text.split("\n"), ""]:
        line = line.rstrip()
        if re.search("[A-Za-z0-9]", line):
            lines.append(line)
            continue
        if len(lines) > 1 and re.fullmatch(r" *\d{1,3}", lines[0]):  # a page number
            del lines[0]
        if lines:
            found.append(Block(empty, lines))
            lines, empty = [], 0
        empty += 1
    return [block for block in found if block.text]


def join(lines: list[str]) -> str:
    """Return the lines of a paragraph as one; a dash or hyphen at the end of a line takes no space."""
    text = "\n".join(line.strip() for line in lines)
    text = re.sub(r"(?<=\w)-\n(?=[a-z])", "-", text)
    text = re.sub(r"\s*--+\s*", "--", text)
    text = re.sub(r"[_*<>|^~=]", "", text).replace("''", '"')
    text = " ".join(text.split())
    text = re.sub(r"(?:\. ){2,}\.|\.{4,}", "...", text)
    return re.sub(r" +([,;!?]|\.(?!\.))", r"\1", text)


def is_title(text: str) -> bool:
    """Tell whether a text is written like a title: short, no full stop, its longer words with capitals."""
    long = [word for word in re.findall(r"[A-Za-z][A-Za-z'-]*", text) if len(word) > 3]
    if not long or len(text) > 90 or text[0] in "\"'" or re.search(r"[.!?,;:]['\")]*$", text):
        return False
    return sum(word[0].isupper() for word in long) >= 0.75 * len(long)


def is_capitals(text: str) -> bool:
    """Tell whether a text has capitals only, three or more."""
    return not re.search("[a-z]", text) and len(re.findall("[A-Z]", text)) > 2


def is_numbered(text: str) -> bool:
    """Tell whether a heading has a number: CHAPTER TWO, STORY V, IV. The Cat, 3. The Dog."""
    return bool(CHAPTER.fullmatch(text) or ROMAN.fullmatch(text) or BARE_NUMBER.fullmatch(text))


def is_heading(block: Block, set_off: bool) -> bool:
    """Tell whether a block is a heading. In a book that sets its headings off, they have two empty lines."""
    text, far = block.text, block.empty >= 2 or not set_off
    if len(block.lines) > 4 or len(text) > 130:
        return False
    if THE_END.fullmatch(text) or CHAPTER.fullmatch(text) and (far or text.isupper()):
        return True
    if ROMAN.fullmatch(text):
        return far and not re.match("I [a-z]", text)
    if is_capitals(text):
        return far and text.count('"') % 2 == 0
    return block.empty >= 3 and len(block.lines) <= 2 and is_title(text)


def sets_headings_off(blocks: list[Block]) -> bool:
    """Tell whether a book has two empty lines before its headings; capitals with one are captions then."""
    return sum(block.empty >= 2 and is_heading(block, True) for block in blocks) >= 3


def until_the_end(blocks: list[Block]) -> list[Block]:
    """Return the blocks up to THE END or back matter, if these stand in the last part of the book."""
    total, seen = sum(len(block.text) for block in blocks), 0
    for i, block in enumerate(blocks):
        if len(block.lines) <= 3 and len(block.text) < 90:
            if seen > 0.6 * total and BACK_MATTER.fullmatch(block.text.upper().rstrip(":")):
                return blocks[:i]
            if seen > 0.85 * total and THE_END.fullmatch(block.text):
                return blocks[:i]
        seen += len(block.text)
    return blocks


@dataclass
class Piece:
    """What stands under one heading, and, once written, what became of it."""

    title: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    verse: int = 0  # characters of verse
    unkind: int = 0  # paragraphs left out for it

    @property
    def size(self) -> int:
        """Return how many characters the blocks have."""
        return sum(len(block.text) for block in self.blocks)


def pieces_of(blocks: list[Block]) -> list[Piece]:
    """Cut a book at its headings; a bare number only cuts what is long, else it counts parts of a story."""
    set_off = sets_headings_off(blocks)
    pieces, chapter = [Piece()], 0
    for block, following in zip(blocks, [*blocks[1:], Block(0, [])]):
        piece = pieces[-1]
        bare = BARE_NUMBER.fullmatch(block.text)
        counts_up = bare and block.text.rstrip(".") == str(chapter + 1) and block.empty >= 2
        chapter += bool(counts_up)
        if bare and not counts_up and block.text[0].isdigit():
            continue  # a page number
        titled = is_heading(following, set_off) or len(following.lines) < 3 and is_title(following.text)
        if bare and piece.blocks and piece.size < SECTION and not titled:
            continue  # a section
        if counts_up or is_heading(block, set_off):
            if piece.blocks:
                pieces.append(piece := Piece())
            piece.title.append(block.text)
        elif (
            piece.title
            and not piece.blocks
            and len(block.lines) <= 2
            and (is_title(block.text) or CREDIT.match(block.text) and len(block.text) < 90)
        ):
            piece.title.append(block.text)
        else:
            piece.blocks.append(block)
    return pieces


def from_the_first_chapter(pieces: list[Piece]) -> list[Piece]:
    """Leave out the little that stands before chapter 1 of a book in chapters, but for a prologue."""
    numbered = [any(map(is_numbered, piece.title[-2:])) for piece in pieces]
    if sum(numbered) < max(3, 0.6 * len(numbered)):
        return pieces
    first = numbered.index(True)
    before, total = (sum(piece.size for piece in part) for part in (pieces[:first], pieces))
    if before > 0.12 * total:
        return pieces
    return [p for i, p in enumerate(pieces) if i >= first or "PROLOGUE" in " ".join(p.title).upper()]


def is_list(block: Block) -> bool:
    """Tell whether a block is a table of contents or another list: short lines that end no sentence."""
    page = re.compile(r"(?:\. ?\. ?\.|\s{2,}|\" )\s*\w{0,3}\d{1,3}\.?$|^\s*PAGE$")
    pages = sum(bool(page.search(line)) for line in block.lines)
    short = all(len(x.strip()) < 60 and not re.search(r"[.!?,;]['\"]?$", x) for x in block.lines)
    return pages >= max(1, len(block.lines) / 2) or len(block.lines) > 2 and short


def is_verse(block: Block, width: int) -> bool:
    """Tell whether a block is set in verse: its lines are short or set in, and begin with capitals.

    width is that of the lines of the book's prose.
    """
    lines = block.lines
    capitals = sum(bool(re.match(r"\s*[\"'(]*[A-Z]", line)) for line in lines) >= 0.7 * len(lines)
    indented = sum(line.startswith("   ") for line in lines)
    if len(lines) == 1:
        return lines[0].startswith("    ") and len(lines[0].strip()) < 60
    short = sum(len(line) < width - 14 for line in lines[:-1]) >= 0.8 * (len(lines) - 1)
    if short and (capitals or indented >= 0.6 * len(lines)):
        return True
    return len(lines) > 2 and capitals and indented >= 0.9 * len(lines)


def width_of(blocks: list[Block]) -> int:
    """Return the width at which a book's lines of prose are broken."""
    lengths = sorted(len(line) for block in blocks if len(block.lines) > 2 for line in block.lines[:-1])
    return min(lengths[int(len(lengths) * 0.8)], 76) if lengths else 72


@dataclass
class Book:
    """What the rules ask of a whole book."""

    width: int  # of its lines of prose
    spelled: Counter  # its words in mid-sentence, as they are spelled
    raccoons: bool  # whether an animal has the short name of a raccoon
    words: frozenset[str]  # that a paragraph must not hold


def is_unkind(paragraph: str, book: Book) -> bool:
    """Tell whether a paragraph has a filtered word, speaks of people by race, or is in stage dialect.

    Dialect is two strong marks and one word in twenty that may be one, or one strong mark and one in ten.
    """
    every = re.findall(r"[a-z']+", paragraph.lower())
    names = {"coon", "coons"} if book.raccoons else set()
    if any(is_filtered(word, book.words) for word in set(re.findall(r"[a-z]+", paragraph.lower())) - names):
        return True
    strong, weak = sum(word in STRONG for word in every), sum(word in WEAK for word in every)
    if strong >= 2 and weak >= 0.05 * len(every) or strong and weak >= max(2, 0.1 * len(every)):
        return True
    return bool(MOCKERY.search(paragraph))


def double_quotes(paragraph: str) -> str:
    """Write speech in single quotes with double ones, if there are no others and they come out even."""
    if '"' in paragraph or "'" not in paragraph:
        return paragraph
    marks, opened = [], False
    for match in re.finditer("'", paragraph):
        i = match.start()
        before, after = paragraph[i - 1 : i] or " ", paragraph[i + 1 : i + 2] or " "
        word = re.match("[A-Za-z]*", paragraph[i + 1 :])[0].lower()
        inside = i > 0 and paragraph[i - 2 : i - 1] not in tuple(",.;:!?-")
        elided = word in ELISIONS and (inside or word in ("tis", "twas", "twill", "twere"))
        opens = not before.isalnum() and before not in ".,!?" and (after.isalnum() or after in ".-")
        if not opened and opens:
            if elided:
                continue
        elif not opened or before not in ".,!?;:-" or after.isalnum():
            continue
        opened = not opened
        marks.append(i)
    if opened and marks != [0]:  # speech that goes on in the next paragraph stays open
        return paragraph
    return "".join('"' if i in marks else letter for i, letter in enumerate(paragraph))


def lowered(paragraph: str, spelled: Counter) -> str:
    """Write the capitals that open a story as elsewhere; spelled counts the book's words in mid-sentence."""
    token = r"(?:(?:MRS|MR|DR|ST)\.|[A-Z][A-Z'-]*[A-Z],?|[AIO]\b)"
    match = re.match(rf"([\"']*)({token}(?: {token})*)(?=[ ,;.!?:\"'-])", paragraph)
    if not match or not re.search("[A-Z]{2}", match[2]) or not re.search("[a-z]", paragraph):
        return paragraph
    opening = []
    for i, word in enumerate(match[2].split()):
        key = word.rstrip(",").lower()
        is_name = spelled[key.capitalize()] > spelled[key] or word == "I" or word.endswith(".")
        opening.append(word.capitalize() if i == 0 or is_name else word.lower())
    return match[1] + " ".join(opening) + paragraph[match.end() :]


def write(piece: Piece, book: Book) -> None:
    """Make the paragraphs of a piece from its blocks, and count what is left out of it."""
    written, stanzas = piece.paragraphs, []
    for block in [*piece.blocks, None]:  # None ends verse that ends the piece
        if block and is_no_prose(block, written):
            continue
        if block and is_verse(block, book.width) and book.width >= 50:
            piece.verse += len(block.text)
            stanzas.append(block)
            continue
        if written and sum(len(stanza.lines) for stanza in stanzas) <= VERSE:
            written += [double_quotes(stanza.text) for stanza in stanzas if not is_unkind(stanza.text, book)]
        elif stanzas and written:
            written[-1] = re.sub("(?:[:,]|--)$", ".", written[-1])  # what announced it
        stanzas = []
        if block is None:
            continue
        text = double_quotes(block.text)
        if is_unkind(text, book):
            piece.unkind += 1
        elif written and text[0].islower() and not ends_a_sentence(written[-1]):
            space = "" if written[-1].endswith("--") else " "
            written[-1] += space + text  # a picture stood in the paragraph
        else:
            written.append(text if written else lowered(text, book.spelled))


def ends_a_sentence(text: str) -> bool:
    """Tell whether a paragraph is complete."""
    return bool(re.search(r"[.!?:;][\"')]*$|--[\"']?$", text))


def is_no_prose(block: Block, written: list[str]) -> bool:
    """Tell whether a block is a list, a caption, an imprint, a note, or about the file itself."""
    text = block.text
    if JUNK.search(text) or is_list(block) or not re.search("[a-z]", text):
        return True
    if re.match(r"Footnote|Note[.:]|NOTE[.:]|Illustration:|Plate \d|Fig\. \d", text):
        return True
    if len(text) < 900 and text[0] != '"' and len(IMPRINT.findall(text)) > (0 if len(text) < 200 else 2):
        return True
    return bool(written) and len(text) < 70 and is_title(text)  # a caption


def why_not(piece: Piece) -> str:
    """Return why a piece is no story, "" for a story."""
    text, heads = "\n\n".join(piece.paragraphs), [head.upper().strip(" .:\"'") for head in piece.title[-2:]]
    words, ends = len(text.split()) + 1, len(re.findall(r"[.!?][\"')]*(?:\s|$)", text))
    if any(map(NO_STORY.fullmatch, heads)) and not any(map(is_numbered, heads)):
        return "not a story by its heading"
    if piece.unkind > TORN * (piece.unkind + len(piece.paragraphs)):
        return "torn"
    if len(re.findall(r"\bJews?\b", text)) > 2 and not re.search("Rabbi|Sabbath|Jerusalem|Israel", text):
        return "about a Jew, and not kindly"
    if piece.verse > 0.4 * (len(text) + 1):
        return "verse"
    if len(text) < SHORTEST:
        return "short"
    if sum(len(p) for p in piece.paragraphs if ends_a_sentence(p) or p.endswith(",")) < 0.6 * len(text):
        return "no sentences"
    if len(text) < 6_000 and len(IMPRINT.findall(text)) > max(2, len(text) / 1500):
        return "an advertisement"
    if len(text) < 8_000 and len(BOOKISH.findall(text)) > 0.014 * words:
        return "about books"
    if sum(bool(SPEAKER.match(p)) for p in piece.paragraphs) > 0.3 * len(piece.paragraphs):
        return "a play"
    if words > 45 * max(1, ends) or len(re.findall(r"\d", text)) > 0.03 * len(text):
        return "no story's sentences"
    return ""


def cut(paragraphs: list[str]) -> list[str]:
    """Return a story, cut at its paragraphs where it is one of the few that are as long as a book."""
    if sum(map(len, paragraphs)) <= LONGEST:
        return ["\n\n".join(paragraphs)]
    parts = [[]]
    for paragraph in paragraphs:
        if sum(map(len, parts[-1])) > LONGEST / 3:
            parts.append([])
        parts[-1].append(paragraph)
    return ["\n\n".join(part) for part in parts]


def stories(text: str, name: str, words: frozenset[str] | None = None) -> tuple[list[str], Counter]:
    """Return the stories of a book and, by reason, the characters of the pieces that are none.

    A story has one paragraph a line with an empty line between. words are those that a paragraph must not
    hold, by default the ones in tales_words.txt. Raises ValueError for a book without marker lines.
    """
    text = without_notes(plain(body(text, name)))
    blocks = until_the_end(blocks_of(text))
    book = Book(
        width=width_of(blocks),
        spelled=Counter(re.findall(r"(?<=[a-z,] )[A-Za-z][A-Za-z'-]*", text)),
        raccoons=len(re.findall(r"\bcoons?\b", text, re.I)) >= 3
        or bool(re.search("[Rr]acc?oon|[a-z.] Coon", text)),
        words=load() if words is None else words,
    )
    found, left_out = [], Counter()
    for piece in from_the_first_chapter(pieces_of(blocks)):
        write(piece, book)
        why = why_not(piece)
        if why:
            left_out[why] += piece.size
        else:
            found += cut(piece.paragraphs)
    return found, left_out
