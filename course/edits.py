"""A mistake as a diff: an answer as text, and what becomes of it when lines of it are changed."""

import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache, cached_property
from pathlib import Path
from textwrap import dedent, indent

from course.source import EXPORT, GAP, CourseError, code_cells, definitions, read

NEXT_GAP = re.compile(r"^# next gap\n", re.M)


@dataclass(frozen=True)
class Edit:
    """One change of a text: what stands from `start` to `end` becomes `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Answer:
    """A right answer as text: the cell in solutions/, without marks and without comments after code."""

    name: str
    notebook: Path
    text: str
    gaps: tuple[tuple[int, int], ...]  # where the learner's lines stand in the text

    def edited(self, edits: Iterable[Edit]) -> str:
        """Return the text after changes that don't overlap."""
        text = self.text
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
            text = text[: edit.start] + edit.new + text[edit.end :]
        return text

    def run(self, text: str) -> Callable:
        """Return what a text defines under this answer's name, among the names of its notebook."""
        namespace = dict(definitions(self.notebook))
        exec(compile(text, f"<{self.name}>", "exec"), namespace)
        return namespace[self.name]

    def whole(self, code: str) -> list[Edit]:
        """Return the changes that put code into the gaps, or into the place of everything if it defines the name.

        Where there are several gaps, a line `# next gap` in the code parts them.
        Raises CourseError if the parts are not as many as the gaps.
        """
        if re.search(rf"^(?:def|class) {self.name}\b", code, re.M):
            return [Edit(0, len(self.text), code)]
        parts = NEXT_GAP.split(code)
        if len(parts) != len(self.gaps):
            raise CourseError(
                f"{self.name} has {len(self.gaps)} gaps, but there is code for {len(parts)} of them; "
                f"write a line `# next gap` between them:\n{code}"
            )
        return [
            Edit(start, end, indent(dedent(part), re.match(r"[ \t]*", self.text[start:end])[0]))
            for part, (start, end) in zip(parts, self.gaps)
        ]

    def with_gap(self, code: str) -> "Answer":
        """Return the answer with other code in its gaps."""
        edits = self.whole(code)
        text = self.edited(edits)
        if edits[0].end == len(self.text) and edits[0].start == 0:
            return replace(self, text=text, gaps=((0, len(text)),))
        gaps, moved = [], 0
        for edit in edits:
            gaps.append((edit.start + moved, edit.start + moved + len(edit.new)))
            moved += len(edit.new) - (edit.end - edit.start)
        return replace(self, text=text, gaps=tuple(gaps))

    def places(self, lines: str) -> list[int]:
        """Return where whole lines stand: in the gaps, or else in the code around them."""
        pattern = re.compile("^" + re.escape(lines), re.M)
        found = [
            start + match.start()
            for start, end in self.gaps
            for match in pattern.finditer(self.text[start:end])
        ]
        return found or [match.start() for match in pattern.finditer(self.text)]


@cache
def answer_in(notebook: Path, name: str) -> Answer:
    """Return the answer to an exercise. Raises CourseError if no cell with a gap defines it."""
    for cell in code_cells(read(notebook)):
        if GAP.search(cell.source) and re.search(rf"^(?:def|class) {name}\b", cell.source, re.M):
            break
    else:
        raise CourseError(f"{notebook.name} has no cell with a gap that defines {name}")
    source = without_comments(EXPORT.sub("", cell.source)) + "\n"
    text, gaps, last = "", [], 0
    for gap in GAP.finditer(source):
        text += source[last : gap.start()]
        gaps.append((len(text), len(text) + len(gap[2])))
        text += gap[2]
        last = gap.end() + 1
    return Answer(name, notebook, text + source[last:], tuple(gaps))


def without_comments(code: str) -> str:
    """Return code without the comments that stand after something else on their line."""
    lines = code.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT and lines[row - 1][:column].strip():
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(lines)


def hunks(diff: str) -> list[tuple[str, str]]:
    """Return the changes of a diff: for each the lines that stand there and the lines that come instead.

    A change ends where a line without + follows one with it. Lines without a mark say where; they stay.
    Raises CourseError for a line that begins otherwise.
    """
    found: list[tuple[list, list, set]] = [([], [], set())]
    for line in diff.splitlines():
        mark, text = line[:1] or " ", line[1:] + "\n"
        if mark not in "+- ":
            raise CourseError(
                f"a line of a diff begins with + or - or a space, but this one doesn't: {line!r}"
            )
        old, new, marks = found[-1]
        if mark != "+" and "+" in marks and old:
            old, new, marks = [], [], set()
            found.append((old, new, marks))
        marks.add(mark)
        if mark != "+":
            old.append(text)
        if mark != "-":
            new.append(text)
    if len(found) > 1 and not found[-1][2] & {"+", "-"}:  # lines after the last change belong to it
        for part, more in zip(found[-2], found.pop()[:2]):
            part += more
    return [("".join(old), "".join(new)) for old, new, _ in found]


def within(edit: Edit, old: str) -> list[Edit]:
    """Return an edit of lines as edits of the words that it changes, if most of them stay."""
    before, after = (re.findall(r"\w+|[^\S\n]+|.|\n", text) for text in (old, edit.new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < 0.6:
        return [edit]
    at = [edit.start]
    for word in before:
        at.append(at[-1] + len(word))
    return [
        Edit(at[start], at[end], "".join(after[first:last]))
        for what, start, end, first, last in matcher.get_opcodes()
        if what != "equal"
    ]


@dataclass(frozen=True, eq=False)
class EditedMistake:
    """A mistake that is told as a diff of a right answer; its code is made when it is first run."""

    id: str
    says: str  # with fields like {got}, which `course.telling` fills in
    hint: int
    why: str  # the reason for which it is tempting, one of `course.exercise.reasons()`
    code: str
    is_diff: bool  # otherwise the code takes the place of the whole gap
    bases: Callable[[], Sequence[Answer]]  # the right answers it may be a diff of, that of solutions/ first

    @cached_property
    def edits(self) -> dict[int, list[Edit]]:
        """What it changes, under the index of each right answer in which its lines stand.

        Raises CourseError if there is none, or a line stands there several times.
        """
        bases = self.bases()
        if not self.is_diff:
            return {0: bases[0].whole(self.code)}
        changes, found, worst = hunks(self.code), {}, None
        for i, base in enumerate(bases):
            edits = []
            for old, new in changes:
                places = base.places(old)
                if len(places) != 1:
                    worst = worst or (old, len(places))
                    break
                edits.append(Edit(places[0], places[0] + len(old), new))
            else:
                found[i] = edits
        if not found:
            old, times = worst
            raise CourseError(
                f"the mistake {self.id} of {bases[0].name} changes these lines, but they stand {times} times "
                f"in the answer in {bases[0].notebook.name}, and must stand there once:\n{old}"
            )
        return found

    @cached_property
    def wrong(self) -> Callable:
        """The wrong answer itself."""
        i, edits = next(iter(self.edits.items()))
        base = self.bases()[i]
        return base.run(base.edited(edits))

    @cached_property
    def narrow(self) -> dict[int, list[Edit]]:
        """The same edits, of words where `edits` has lines."""
        bases = self.bases()
        return {
            i: [small for edit in edits for small in within(edit, bases[i].text[edit.start : edit.end])]
            for i, edits in self.edits.items()
        }

    def with_other(self, other: "EditedMistake") -> Callable | None:
        """Return an answer with both mistakes in it, or None if they are about the same words."""
        for i in sorted(self.narrow.keys() & other.narrow.keys()):
            first, second = self.narrow[i], other.narrow[i]
            if any(overlap(a, b) for a in first for b in second):
                continue
            base = self.bases()[i]
            try:
                return base.run(base.edited([*first, *second]))
            except Exception:  # two changes that fit each alone need not fit together
                return None
        return None


def overlap(a: Edit, b: Edit) -> bool:
    """Tell whether two edits change the same words, or put words at the same place."""
    return a.start < b.end and b.start < a.end or a.start == b.start


def pairs(
    mistakes: Sequence, others: Sequence = ()
) -> Iterator[tuple[EditedMistake, EditedMistake, Callable]]:
    """Make every two mistakes that can be made together: the two, and the answer with both.

    With others, one of the two is of them. Those that stand first in a list are tried first.
    """
    first, second = ([m for m in part if isinstance(m, EditedMistake)] for part in (mistakes, others))
    if second:
        order = ((a, b) for a in first for b in second)
    else:
        order = ((a, b) for i, b in enumerate(first) for a in first[:i])
    for a, b in order:
        if a.id != b.id and (wrong := a.with_other(b)):
            yield a, b, wrong
