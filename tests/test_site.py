"""The website: its sources are whole and its links lead somewhere; what is folded and alive on its pages."""

import re
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from nbformat import v4

from course import website
from course.exercise import exercises
from course.score import kinds
from course.source import GAP, ROOT, chapters, code_cells, parsed, read

SITE = ROOT / "site"
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
KEY = re.compile(r'^<a id="([\w-]+)"></a>', re.M)
REFERENCE = re.compile(
    r'<a id="[a-z]\w+"></a>\*\*.+ \d{4}[a-z]?\.\*\* \[.+\]\(https?://[^\s)]+\)\. '
    r"(\[Chapter \d|Chapters \[\d|GPT-2 itself).*\."
)
TERM = re.compile(
    r'<a id="term-[\w-]+"></a>\*\*(?P<term>[^*]+)\*\*(?: · `(?P<symbol>[^`]+)`)? · (?P<chinese>[^·]*[\u4e00-\u9fff][^·]*)'
    r" · \[chapter (?P<chapter>\d+)\]\(\.\./solutions/(?P<file>\d\d_\w+\.ipynb)\)<br>\n(?P<sentence>[A-Z0-9e].*\.)"
)


def markdown():
    """Yield each page of Markdown in the repository, and each notebook, with its text."""
    pages = (
        *ROOT.glob("*.md"),
        *ROOT.glob("*/*.md"),
        *ROOT.glob("course/**/*.md"),
        *ROOT.glob("gpt2lib/**/*.md"),
    )
    for path in pages:
        if "_work" not in path.parts and not any(
            part.startswith(".") for part in path.relative_to(ROOT).parts
        ):
            yield path, path.read_text("utf-8")
    for path in (*chapters(), *sorted((ROOT / "notebooks").glob("*.ipynb"))):
        yield path, "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def without_code(text):
    return re.sub(r"^(`{3,}).*?^\1|`[^`\n]+`", "", text, flags=re.M | re.S)


def test_links_lead_to_files_and_places_that_are_there():
    dead = []
    for path, text in markdown():
        for link in LINK.findall(without_code(text)):
            file, _, place = unquote(link).partition("#")
            target = (path.parent / file).resolve() if file else path
            if path.name in ("index.md", "api.md") and path.parent == SITE and target.suffix == ".html":
                continue  # pages that are made: the test of the built site looks at them
            if not target.exists():
                dead.append(f"{path.name}: {link}")
            elif place and target.parent == SITE and place not in KEY.findall(target.read_text("utf-8")):
                dead.append(f"{path.name}: {link}")
    assert not dead


def entries(name):
    head, *found = (SITE / name).read_text("utf-8").split('\n<a id="')
    return ['<a id="' + entry.rstrip("\n") for entry in found]


def test_percent_signs_follow_their_number_at_once_outside_the_chapters_too():
    spaced = [path.name for path, text in markdown() if re.search(r"\d %(?!\w)", without_code(text))]
    for path in (*ROOT.glob("course/**/*.py"), *ROOT.glob("course/**/*.js"), *ROOT.glob("benchmarks/*.py")):
        if re.search(r"""[\d}] %["'`,.)]""", path.read_text("utf-8")):  # in code, % has its space
            spaced.append(path.name)
    assert not spaced


def test_references_have_one_form_and_one_order():
    found = entries("references.md")
    assert [entry for entry in found if not REFERENCE.fullmatch(entry)] == []
    keys = [KEY.match(entry)[1] for entry in found]
    assert keys == sorted(set(keys)) and len(keys) > 60


def test_references_name_the_chapters_that_cite_them():
    """By a link in the text, or in a docstring by name and year."""
    chapters = {path.name: path.read_text("utf-8") for path in (ROOT / "solutions").glob("*.ipynb")}
    for entry in entries("references.md"):
        key, name = re.match(r'<a id="(\w+)"></a>\*\*(.+?)\.\*\*', entry).groups()
        linked = {file for file, text in chapters.items() if f"references.md#{key})" in text}
        named = {file for file, text in chapters.items() if name in text}
        told = set(re.findall(r"solutions/(\w+\.ipynb)", entry)) or set(chapters)
        assert linked <= told and (told <= linked | named or "GPT-2 itself" in entry), (key, linked, named)


def test_every_term_has_a_chinese_name_a_chapter_and_a_sentence():
    found = [TERM.fullmatch(entry) for entry in entries("glossary.md")]
    assert len(found) >= 80 and all(found), entries("glossary.md")[found.index(None)]
    terms = [match["term"] for match in found]
    assert terms == sorted(set(terms), key=str.lower)
    for match in found:
        assert (
            int(match["file"][:2]) == int(match["chapter"]) and (ROOT / "solutions" / match["file"]).exists()
        )
        assert len(re.findall(r"[.?!](?= [A-Z])", match["sentence"])) == 0, match["sentence"]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("[Vaswani](../site/references.md#vaswani2017)", "[Vaswani](#vaswani2017)"),
        ("[a](references.md#b1999), [c](../site/references.md#d2000)", "[a](#b1999), [c](#d2000)"),
        ("[words](../site/glossary.md)", "[words](../glossary.md)"),
        ("[chapter 4](04_mlp.ipynb)", "[chapter 4](04_mlp.ipynb)"),
        ("[chapter 4](../solutions/04_mlp.ipynb)", "[chapter 4](../chapters/04_mlp.ipynb)"),
        ('<a id="ba2016"></a>**Ba**', "(ba2016)=\n**Ba**"),
        ("[home](https://example.org/references.md#x)", "[home](https://example.org/references.md#x)"),
    ],
)
def test_links_and_anchors_as_sphinx_takes_them(text, becomes):
    assert website.for_sphinx(text, up="../") == becomes


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_chapters_page_folds_answers_and_names_its_pictures(path):
    page = website.chapter(path)
    text = "\n".join(cell.source for cell in page.cells)
    code = "\n".join(cell.source for cell in code_cells(page))
    models = re.findall(r'^(\w+), \w+ = from_pretrained\("tales"', code, re.M)
    toys = re.findall(r"^play\.\w+\(\s*(\w+|\{)", code, re.M)
    assert text.count("data-play=") == sum(first == "{" or first in models for first in toys)
    assert "### BEGIN SOLUTION" not in code and "#| export" not in code and "checks itself" not in code
    assert "# Imports for this page" in code and "NotInstalled" not in code
    folded = [cell.source for cell in code_cells(page) if "hide-input" in cell.metadata.get("tags", [])]
    for cell in code_cells(read(path)):
        if match := GAP.search(cell.source):
            assert any(match[2].rstrip() in source for source in folded)
            assert not any(match[2].rstrip() in c.source for c in code_cells(page) if c.source not in folded)
    for cell in code_cells(page):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert len(cell.metadata.mystnb["image"]["alt"]) > 20
    for exercise in exercises().values():
        if exercise.chapter == path:
            assert f'id="{website.place(exercise)}"' in text
            assert f"museum.html#{website.place(exercise, 'mistakes')}" in text


@pytest.mark.parametrize(
    ("source", "name", "details"),
    [
        ("play.loop(model, tokenizer, 'The wolf', top_k=5)", "loop", {"text": "The wolf", "top_k": 5}),
        (
            "x = 1\nplay.attention(model, t, layer=2, head=1, attend=attend)",
            "attention",
            {"layer": 2, "head": 1},
        ),
        ("play.neighbors(model, tokenizer, token=' wolf')", "neighbors", {"token": " wolf"}),
        ("from course.play import stream\nstream(model, tokenizer, story)", "stream", {}),
        ("play.tokenizer_box({'tales': t}, text='Ah')", "tokenizer_box", {"text": "Ah"}),
        ("play.loop(mine, tokenizer)", None, None),
        ("play.loop(model, tokenizer)\nprint(1)", None, None),
        ("player = 1\nplayer", None, None),
    ],
)
def test_an_explorable_starts_on_its_page_as_in_the_notebook(source, name, details):
    found = website.explorable_in(v4.new_code_cell(source), {"model"})
    assert (found and found.name) == name
    if found:
        assert found.details | details == found.details
        assert name != "tokenizer_box" or [side["name"] for side in found.first["sides"]] == ["tales"]
        assert f'data-play="{name}"' in website.alive(found) and "\n\n" not in website.alive(found)


def test_the_museum_shows_every_mistake():
    page = website.museum()
    first = page.partition('<div id="museum">')[0]  # a visitor sees one before any room is opened
    assert first.count("<article>") == first.count("<ins>") == 1 and "exp(0) is 1" in first
    for exercise in exercises().values():
        assert f'id="{website.place(exercise, "mistakes")}"' in page
    shown = page.removeprefix(first).count("<article>")
    assert shown == sum(len(website.grouped(exercise)) for exercise in exercises().values())
    assert f"{sum(map(kinds, exercises().values())):,} kinds" in page
    assert "sees exactly one token too many" in page and "<del>" in page and "<ins>" in page
    assert '<span class="whole">-inf</span>,' in first


def test_the_first_page_shows_what_a_check_says():
    shown = website.demonstration()
    assert shown.count("data-answer=") == shown.count("<input") == len(website.DEMO) + 1
    assert shown.count("✓") == 1 and shown.count("tril(") >= 3


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://github.com/someone/gpt2", "someone/gpt2"),
        ("git@github.com:some-one/gpt.2.git", "some-one/gpt.2"),
        ("https://example.org/someone/gpt2", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("written", [True, False], ids=["in pyproject.toml", "in git"])
def test_the_first_page_knows_where_the_course_is(monkeypatch, origin, name, written):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.setattr(website, "repository", lambda: origin if written else "")
    remote = "" if written else f"{origin}\n"
    monkeypatch.setattr(website.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=remote))
    assert website.address() == name
    assert ("git clone" in website.ways_in(name)) == bool(name)
    first = website.chapter(chapters("03")[0]).cells[1].source
    assert (f"/{name}/blob/main/notebooks/03_masked_attention.ipynb" in first) == bool(name)


def test_the_library_page_names_each_exercise():
    own = {e.name for e in exercises().values() if website.where_in_library(e)}
    for path in chapters():
        for cell in code_cells(read(path)):
            if cell.source.startswith("#| export") and GAP.search(cell.source):
                names = {s.name for s in parsed(cell) if hasattr(s, "name")}
                assert names & own, names


def test_the_workflow_publishes_what_make_builds():
    text = (ROOT / ".github" / "workflows" / "site.yml").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.M)
    called = re.findall(r"make ([a-z-]+)", text)
    assert "site" in called and set(called) <= set(targets)
    assert re.search(r"actions/upload-pages-artifact@v\d+\n\s+with: {path: site/_build}", text)
    assert "actions/deploy-pages@" in text and {"pages: write", "id-token: write"} <= set(
        re.findall(r"\S+: write", text)
    )


@pytest.fixture(scope="module")
def built():
    """The website's folder, built here."""
    pytest.importorskip("myst_nb", reason='building the website needs pip install -e ".[site]"')
    return website.site()


def test_every_link_of_the_built_site_leads_somewhere_on_it(built):
    pages = {path: path.read_text("utf-8") for path in built.rglob("*.html")}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    dead = []
    for path, text in pages.items():
        for link in re.findall(r'<(?:a|img|script|link)\b[^>]*?\b(?:href|src)="([^"]+)"', text):
            found = urlsplit(link)
            if found.scheme or not (found.path or found.fragment):
                continue
            target = (path.parent / unquote(found.path)).resolve() if found.path else path
            there = target.exists() and (
                target not in ids or not found.fragment or unquote(found.fragment) in ids[target]
            )
            if not there:
                dead.append(f"{path.relative_to(built)}: {link}")
    assert not dead


def test_the_built_site_loads_nothing_from_elsewhere(built):
    for path in built.rglob("*.html"):
        text = path.read_text("utf-8")
        loaded = re.findall(
            r'<(?:img|script|link|iframe|source)\b[^>]*?\b(?:href|src)="((?:https?:)?//[^"]+)"', text
        )
        assert not loaded, path
        for image in re.findall(r"<img\b[^>]*>", text):
            assert (
                'alt="' in image and 'alt=""' not in image and not re.search(r'alt="[^"]*_images/', image)
            ), image
