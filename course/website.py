"""`make site`: the course as a website, which needs no program on a server and nothing from other sites.

The chapters are the complete edition with the outputs stored in it: no notebook is run. The pages made here go to
site/_work, and Sphinx turns them into site/_build.
"""

import ast
import contextlib
import html
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from textwrap import dedent

from nbformat import NotebookNode, v4

from course import play
from course.build import IMPORTS, dumps, elsewhere, learners_edition, on_github, repository
from course.edits import answer_in
from course.exercise import Exercise, Mistake, exercises, find, reasons
from course.score import kinds
from course.source import (
    EXPORT,
    GAP,
    HERE,
    MARKS,
    CourseError,
    chapters,
    code_cells,
    module_of,
    names_of,
    parsed,
    read,
)
from gpt2lib import Tokenizer, from_pretrained

SOURCE = HERE.root / "site"
WORK, BUILT = SOURCE / "_work", SOURCE / "_build"
CHECK = re.compile(r"^(\w+) = check\(\1\)", re.M)
TALES = re.compile(r'^(\w+), \w+ = (?:gpt2lib\.)?from_pretrained\("tales"', re.M)
GUARD = re.compile(r"# This page checks itself\b")  # cells for those who write the course
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>[ \t]*')
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2/")  # of the package sphinx-mathjax-offline
START = {"loop": {"temperature": 0.8, "top_p": 0.95}, "attention": {"layer": 4, "head": 1}}  # on site/*.md
LARGEST = 2_500_000  # bytes of a page
ON_SHOW = "3.4", "zero-score"  # the mistake that a visitor of the museum sees first
DEMO = ("no-mask", "no-self", "sees-one-too-many", "ignores-seen")  # mistakes of causal_mask


def site() -> Path:
    """Build the website and return its folder. Raises CourseError where a page can't be made."""
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        message = 'the website needs Sphinx and its friends: pip install -c constraints.txt -e ".[site]"'
        raise CourseError(message) from None
    for folder in (WORK, BUILT):
        shutil.rmtree(folder, ignore_errors=True)
    for name, content in [*pages(), *files()]:
        target = WORK / "pages" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_text(content, "utf-8")
    folders = [WORK / "pages", WORK / "site"]  # what Sphinx and myst-nb leave beside the site stays in WORK
    if build_main(["-W", "--keep-going", "-q", *map(str, ("-c", SOURCE, "-d", WORK / "doctrees", *folders))]):
        raise CourseError("Sphinx is not content with the pages; its warnings stand above")
    folders[1].rename(BUILT)
    for path in BUILT.rglob("*.html"):
        if path.stat().st_size > LARGEST:
            raise CourseError(
                f"{path.name} has {path.stat().st_size:,} bytes; a page should load with at most {LARGEST:,}"
            )
    return BUILT


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each page that Sphinx reads, and its text."""
    for path in sorted(SOURCE.glob("*.md")):
        text = for_sphinx(path.read_text("utf-8"))
        for name in play.__all__:
            if f"<!-- {name} -->" in text:
                text = text.replace(f"<!-- {name} -->", alive(explorable(name, **START.get(name, {}))))
        text = text.replace("<!-- the check -->", demonstration())
        yield path.name, text.replace("<!-- the address -->", ways_in(address()))
    yield "museum.md", museum()
    for module in modules():
        members = f".. automodule:: gpt2lib.{module}\n   :members:"
        yield f"api/{module}.md", f"# {module}\n\n```{{eval-rst}}\n{members}\n```\n"
    for path in chapters():
        yield f"chapters/{path.name}", dumps(chapter(path))


def files() -> Iterator[tuple[str, Path]]:
    """Yield the name of each file that pages load, and where it comes from."""
    data = HERE.library / "data"
    for path in (SOURCE / "static").iterdir():
        yield f"static/{path.name}", path
    for path in (*HERE.root.glob("course/play/*.js"), HERE.root / "course/play/play.css"):
        yield f"static/play/{path.name}", path
    for name in ("config.json", "merges.txt", "model.safetensors"):
        yield f"static/tales/{name}", data / "tales" / name
    yield "static/gpt2/merges.txt", data / "gpt2" / "merges.txt"
    try:
        shipped = importlib.metadata.files("sphinx-mathjax-offline") or []
    except importlib.metadata.PackageNotFoundError:
        raise CourseError(
            "formulas need MathJax: pip install -c constraints.txt sphinx-mathjax-offline"
        ) from None
    for path in shipped:
        name = path.as_posix().partition("static/mathjax/")[2]
        if name.startswith(MATHJAX):
            yield f"static/mathjax/{name}", Path(path.locate())


def modules() -> list[str]:
    """Return the modules of the library in the order of the chapters that build them."""
    cells = (cell for path in chapters() for cell in code_cells(read(path)))
    return list(dict.fromkeys(filter(None, map(module_of, cells))))


def for_sphinx(text: str, up: str = "") -> str:
    """Return Markdown with its links and anchors as Sphinx takes them; `up` leads from the page to the top."""
    text = re.sub(r"\]\((?:\.\./site/)?references\.md#([\w-]+)\)", r"](#\1)", text)
    text = re.sub(r"\]\(\.\./site/([\w.#-]+)\)", rf"]({up}\1)", text)
    text = re.sub(r"\]\((?:\.\./)?(?:notebooks|solutions)/(\d\d_\w+\.ipynb)\)", rf"]({up}chapters/\1)", text)
    return ANCHOR.sub(r"(\1)=\n", text)


# ---------------------------------------------------------------------------------------------- chapters


def chapter(path: Path) -> NotebookNode:
    """Return a chapter as its page: answers and drawings folded, explorables alive, pictures with their alt text.

    Cells in which the page only checks itself are left out.
    """
    stubs = {cell.id: cell.source for cell in learners_edition(read(path)).cells}
    page, cells = read(path), []
    own = [exercise for exercise in exercises().values() if exercise.chapter == path]
    models = set(TALES.findall("\n".join(cell.source for cell in page.cells)))
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = for_sphinx(cell.source, up="../")
            cells.append(cell)
            continue
        if GUARD.match(cell.source) and not cell.outputs:
            continue
        options = {"image": {"alt": alt_of(cell)}}
        if GAP.search(cell.source):
            names = {name for statement in parsed(cell) for name in names_of(statement)}
            targets = (place(exercise) for exercise in own if exercise.name in names)
            cells += [
                v4.new_markdown_cell(f'<span class="target" id="{target}"></span>') for target in targets
            ]
            cells.append(v4.new_code_cell(EXPORT.sub("", stubs[cell.id])))
            options |= folded("The answer")
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            options |= folded(first_comment(cell.source))
        found, checked = explorable_in(cell, models), CHECK.findall(cell.source)
        if found:
            cell.outputs = [output for output in cell.outputs if output.output_type == "stream"]
        cell.source = IMPORTS.sub(r"\1", MARKS.sub("", EXPORT.sub("", cell.source))).strip("\n")
        cell.metadata = NotebookNode(
            tags=["hide-input"] if "code_prompt_show" in options else [], mystnb=options
        )
        cells.append(cell)
        if found:
            cells.append(v4.new_markdown_cell(alive(found)))
        cells += [v4.new_markdown_cell(beside(exercise)) for exercise in own if exercise.name in checked]
    if known := address():
        cells.insert(1, v4.new_markdown_cell(f"Run this chapter on {elsewhere(known, path.stem)}."))
    page.cells = cells
    return page


def folded(what: str) -> dict:
    """Return the options of a cell whose code is folded under a line that says what it is."""
    return {"code_prompt_show": what, "code_prompt_hide": what}


def first_comment(source: str) -> str:
    """Return what the first line of a cell says for people, or that it is code."""
    line = EXPORT.sub("", source).strip().partition("\n")[0]
    said = re.match(r'(?:#+|""")\s*(.+?)(?:""")?$', line)
    return said[1].rstrip(".") if said else "Code"


def alt_of(cell: NotebookNode) -> str:
    """Return the alt text of the picture below a cell, if there is one. Raises CourseError for two pictures."""
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    if len(pictures) > 1:
        raise CourseError(
            f"cell {cell.id} shows {len(pictures)} pictures; give each a cell, so that each has its alt text"
        )
    described = "".join(output.metadata.get("image/png", {}).get("alt", "") for output in pictures)
    return described or "The picture that the code above draws"


def place(exercise: Exercise, kind: str = "exercise") -> str:
    """Return the name of an exercise's place on its chapter's page, or of kind "mistakes" in the museum."""
    return f"{kind}-{exercise.number.replace('.', '-')}"


def beside(exercise: Exercise) -> str:
    """Return the line below the check of an exercise: where its answer and its mistakes stand."""
    found, links = where_in_library(exercise), []
    if found:
        page = f"../api/{found.partition('.')[0]}.html#gpt2lib.{found}"
        links.append(f'<a href="{page}"><code>{exercise.name}</code> in the library</a>')
    target = place(exercise, "mistakes")
    links.append(f'<a href="../museum.html#{target}">{kinds(exercise)} known mistakes</a>')
    return f'<p class="beside">{" · ".join(links)}</p>'


@cache
def places_in_library() -> dict[str, str]:
    """Return where the library has each name that a cell with a gap defines: `attention.attend`."""
    found = {}
    for path in chapters():
        for cell in code_cells(read(path)):
            if (module := module_of(cell)) and GAP.search(cell.source):
                found |= {
                    s.name: f"{module}.{s.name}"
                    for s in parsed(cell)
                    if isinstance(s, (ast.FunctionDef, ast.ClassDef))
                }
    return found


def where_in_library(exercise: Exercise) -> str | None:
    """Return the module and name of an exercise's answer in the library, or None."""
    return places_in_library().get(exercise.name)


# ------------------------------------------------------------------------------------------- explorables


@cache
def tales() -> tuple:
    """Return the model and the tokenizer that the pages play with."""
    return from_pretrained("tales")


def explorable_in(cell: NotebookNode, models: set[str]) -> "play.explorable.Explorable | None":
    """Return the explorable that a cell ends with, as the same call on the course's own functions makes it.

    models are the names that the notebook has for `tales`; with another model there is none: the page has only this.
    """
    if cell.cell_type != "code" or "play" not in cell.source or not (statements := parsed(cell)):
        return None
    call = statements[-1].value if isinstance(statements[-1], ast.Expr) else None
    if not isinstance(call, ast.Call) or not call.args:
        return None
    name, first = ast.unparse(call.func).removeprefix("play."), call.args[0]
    if name not in play.__all__ or not (isinstance(first, ast.Dict) or ast.unparse(first) in models):
        return None
    given = {word.arg: word.value for word in call.keywords if word.arg}
    bound = inspect.signature(getattr(play, name)).bind_partial(*call.args, **given).arguments
    settings = {}
    for key, node in (bound | bound.pop("settings", {})).items():
        with contextlib.suppress(ValueError):  # a name of the notebook's: a model, a function
            settings[key] = ast.literal_eval(node)
    if isinstance(first, ast.Dict):
        settings["only"] = [ast.literal_eval(key) for key in first.keys]
    return explorable(name, **settings)


def explorable(name: str, only=("GPT-2", "tales"), **settings) -> "play.explorable.Explorable":
    """Return an explorable of `tales`; the tokenizer box has the vocabularies that `only` names."""
    make = getattr(play, name)
    if name != "tokenizer_box":
        return make(*tales(), **settings)
    known = {"GPT-2": Tokenizer.gpt2(), "tales": tales()[1]}
    return make({name: known[name] for name in only}, **settings)


def alive(explorable: "play.explorable.Explorable") -> str:
    """Return the place where a page's script opens an explorable; without the script it is a text."""
    start = json.dumps({**explorable.details, "first": explorable.first}).replace("<", "\\u003c")
    text = html.escape(explorable.text).replace("\n\n", "\n&#8203;\n")  # an empty line would end the block
    return (
        f'<div class="explorable" data-play="{explorable.name}"><pre>{text}</pre>'
        f'<script type="application/json">{start}</script></div>'
    )


# --------------------------------------------------------------------------------- the museum of mistakes


def grouped(exercise: Exercise) -> list[tuple[str, str, str, list[str]]]:
    """Return the mistakes of an exercise: what each is called, what is said to it, why it's tempting, its spellings."""
    found = []
    for (name, says, why), same in groupby(exercise.mistakes, key=attrgetter("id", "says", "why")):
        if callable(says):
            says = "The message depends on what came out."
        found.append((name, says, why, [spelling for mistake in same if (spelling := code_of(mistake))]))
    return found


def code_of(mistake) -> str:
    """Return a mistake's diff or code."""
    if not isinstance(mistake, Mistake):
        return mistake.code
    try:
        return dedent(inspect.getsource(mistake.wrong))
    except (OSError, TypeError):  # made by code
        return ""


def museum() -> str:
    """Return the page with every mistake that the checks know."""
    rooms, count, tempting = [], 0, Counter()
    for exercise in exercises().values():
        target = place(exercise, "mistakes")
        count += kinds(exercise)
        mistakes = grouped(exercise)
        tempting.update(why for _, _, why, _ in mistakes)
        cards = "".join(card(*mistake) for mistake in mistakes)
        rooms.append(
            f'<details class="room" id="{target}"><summary><strong>{exercise.number} {exercise.name}</strong> '
            f'<span>{kinds(exercise)} mistakes</span></summary><p><a href="chapters/{exercise.chapter.stem}.html#{place(exercise)}">'
            f"The exercise, in chapter {int(exercise.chapter.name[:2])}</a></p>{cards}</details>"
        )
    text = (SOURCE / "static" / "museum.html").read_text("utf-8")
    number, name = ON_SHOW
    first = next(card(*mistake) for mistake in grouped(find(number)) if mistake[0] == name)
    choices = "".join(
        f'<option value="{word}">{title} ({tempting[word]})</option>'
        for word, (title, _) in reasons().items()
    )
    about = "".join(
        f'<dt id="why-{word}">{title}</dt><dd>{coded(says)}</dd>' for word, (title, says) in reasons().items()
    )
    parts = {
        "count": f"{count:,}",
        "first": first,
        "choices": choices,
        "reasons": about,
        "rooms": "\n".join(rooms),
    }
    page = re.sub(r"\{(\w+)\}", lambda field: parts[field[1]], text)
    fence = "`" * 9  # longer than any in a mistake
    return f"# The museum of mistakes\n\n{fence}{{raw}} html\n{page}\n{fence}\n"


def card(name: str, says: str, why: str, spellings: list[str]) -> str:
    """Return one mistake: its name, what is said to it, the code, and why it's tempting."""
    code = "".join(
        f"<pre>{''.join(map(colored, spelling.rstrip().split(chr(10))))}</pre>" for spelling in spellings
    )
    said = coded(re.sub(r"\{\w+[^}]*\}", "…", says))
    said = re.sub(r"(?<![\w-])-\w+", r'<span class="whole">\g<0></span>', said)  # no line ends after a minus
    tempting = f'<p class="why">Why it is tempting: <a href="#why-{why}">{reasons()[why][0]}</a></p>'
    return f"<article><h4>{html.escape(name.replace('-', ' '))}</h4><p>{said}</p>{code}{tempting}</article>"


def coded(text: str) -> str:
    """Return a sentence as HTML, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def colored(line: str) -> str:
    """Return a line of code; one that a diff takes out or puts in is marked."""
    kind = {"-": "del", "+": "ins"}.get(line[:1], "span")
    return f"<{kind}>{html.escape(line, quote=False) or ' '}</{kind}>"


# ------------------------------------------------------------------------------------------ the first page


def demonstration() -> str:
    """Return answers to one exercise to choose from, and below them what its check says to the chosen one."""
    exercise = next(e for e in exercises().values() if e.name == "causal_mask")
    answer = answer_in(exercise.chapter, exercise.name)
    shown = [(answer.text, "✓", exercise.done)]
    for name in DEMO:
        mistake = next(m for m in exercise.mistakes if m.id == name)
        shown.insert(-1, (answer.edited(mistake.edits[0]), "✗", mistake.says))
    choices, notes = [], []
    for i, (text, sign, says) in enumerate(shown):
        line = html.escape(text.rstrip().rpartition("\n")[2].strip())
        first = " checked" if i == 0 else ""
        choices.append(
            f'<label><input type="radio" name="answer" value="{i}"{first}> <code>{line}</code></label>'
        )
        notes.append(
            f'<p class="{"right" if sign == "✓" else "wrong"}" data-answer="{i}"{" hidden" if i else ""}>'
            f"<strong>{sign} {exercise.number} {exercise.name}</strong> – {html.escape(says)}</p>"
        )
    return (
        f'<div class="demo"><fieldset><legend>Which line do you write?</legend>{"".join(choices)}</fieldset>'
        f'<div role="status">{"".join(notes)}</div></div>'
    )


def address() -> str | None:
    """Return this repository as GitHub names it, "owner/name"; None where it is not known or elsewhere."""
    if named := os.environ.get("GITHUB_REPOSITORY"):
        return named
    command, found = ["git", "-C", str(HERE.root), "remote", "get-url", "origin"], repository()
    with contextlib.suppress(OSError):
        found = found or subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return on_github(found)


def ways_in(repository: str | None) -> str:
    """Return how to get the course, here or elsewhere if it is known where it is."""
    if not repository:
        return "In the folder of the course:"
    name = repository.partition("/")[2]
    return f"""Without installing anything: {elsewhere(repository)}. On Colab, the first cell gets the rest of the course;
if it asks for an address, this is it: `https://github.com/{repository}`

On your own machine:

```bash
git clone https://github.com/{repository}
cd {name}
```"""
