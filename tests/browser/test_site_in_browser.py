"""The website in a browser: it works on any screen, asks no other site, and the model answers on its pages."""

import contextlib

import pytest

from course import website
from course.source import chapters

SCREENS = [{"width": 1280, "height": 900}, {"width": 390, "height": 844}]
OWN = ("http://127.0.0.1:", "data:", "blob:")
PAGES = ("index", "play", "museum", "glossary", "references", "api", "api/attention", "search", "genindex")


@pytest.fixture(scope="module")
def site(server):
    """The address of the website, built here."""
    pytest.importorskip("myst_nb", reason='building the website needs pip install -e ".[site]"')
    return f"{server}/{website.site().relative_to(website.HERE.root).as_posix()}"


@contextlib.contextmanager
def opened(browser, address, **options):
    """Yield a page of the website; anything that goes wrong on it, or is asked of another site, fails."""
    wrong = []
    with contextlib.closing(browser.new_page(**options)) as page:
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and wrong.append(f"{said.type}: {said.text}"),
        )
        page.on("requestfailed", lambda asked: wrong.append(f"failed: {asked.url}"))
        page.on("request", lambda asked: asked.url.startswith(OWN) or wrong.append(f"foreign: {asked.url}"))
        page.goto(address)
        page.wait_for_load_state("networkidle")
        yield page
        assert not wrong


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", SCREENS, ids=lambda screen: f"{screen['width']}px")
@pytest.mark.parametrize("name", [*PAGES, *(f"chapters/{path.stem}" for path in chapters())])
def test_a_page_is_whole_on_every_screen(browser, site, name, viewport, color_scheme):
    with opened(browser, f"{site}/{name}.html", viewport=viewport, color_scheme=color_scheme) as page:
        assert page.locator("h1").count() == (name != "search")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not page.locator("img:not([alt])").count()
        text, ground = page.evaluate("""() => ["color", "backgroundColor"].map((what) =>
            getComputedStyle(document.body)[what].match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3)""")
        assert (ground - text > 120) if color_scheme == "light" else (text - ground > 120)
        if page.locator("span.math").count():
            page.locator("mjx-container").first.wait_for()
        for i in range(page.locator("[data-play]").count()):
            page.locator("[data-play]").nth(i).locator("section.play").wait_for()


def test_a_first_continuation_on_the_first_page(browser, site):
    loaded = []
    with opened(browser, f"{site}/index.html") as page:
        page.on("response", lambda answer: loaded.append(answer.url))
        text = page.get_by_label("The text so far")
        assert text.input_value().startswith("Once upon a time")
        text.fill("The old wolf said")  # the model comes now
        page.wait_for_function("document.querySelector('.play-bars button').ariaLabel?.length > 0")
        page.get_by_role("button", name="Write on").click()
        page.wait_for_function("document.querySelector('.play textarea').value.length > 40", timeout=120_000)
        page.get_by_role("button", name="Stop").click()
        assert text.input_value().startswith("The old wolf said")
        assert sum("model.safetensors" in url for url in loaded) == 1
        assert page.locator(".loading").is_hidden()


def test_every_toy_answers_when_it_is_touched(browser, site):
    touches = {
        "loop": lambda box: box.locator(".play-bars button").first.click(),
        "tokenizer_box": lambda box: box.locator("textarea").first.fill("strawberry"),
        "neighbors": lambda box: box.locator("input[type=text]").first.fill(" wolf"),
        "attention": lambda box: box.locator("select").first.select_option(index=1),
        "stream": lambda box: box.locator("input[type=text]").first.fill("The king said"),
        "cache": lambda box: box.locator("input[type=text]").first.fill("The king said to the"),
    }
    with opened(browser, f"{site}/play.html") as page:
        assert page.locator("[data-play]").count() == len(touches)
        for name, touch in touches.items():
            box = page.locator(f"[data-play={name}] section.play")
            box.wait_for()
            before = box.inner_html()
            touch(box)
            changed = "([name, before]) => document.querySelector(`[data-play=${name}] section.play`).innerHTML !== before"
            page.wait_for_function(changed, arg=[name, before], timeout=120_000)


def test_the_example_of_a_check_answers_to_what_is_chosen(browser, site):
    with opened(browser, f"{site}/index.html") as page:
        notes, choices = page.locator(".demo [data-answer]"), page.locator(".demo input")
        shown = set()
        for i in range(choices.count()):
            choices.nth(i).check()
            assert [notes.nth(j).is_visible() for j in range(notes.count())] == [
                i == j for j in range(notes.count())
            ]
            shown.add(notes.nth(i).inner_text())
        assert len(shown) == choices.count()


def test_the_museum_finds_mistakes_by_words(browser, site):
    with opened(browser, f"{site}/museum.html") as page:
        assert page.locator("#museum article:visible").count() == 0
        page.get_by_label("Find mistakes about").fill("softmax queries")
        visible = page.locator("#museum article:visible")
        assert 0 < visible.count() < 60
        assert all("softmax" in text.lower() for text in visible.all_inner_texts())
        page.get_by_label("Find mistakes about").fill("zzzz")
        assert page.locator("#museum .room:visible").count() == 0 and page.get_by_text("0 found").is_visible()


def test_the_museum_finds_mistakes_by_the_reason_for_them(browser, site):
    with opened(browser, f"{site}/museum.html") as page:
        page.get_by_label("Why it is tempting").select_option("off-by-one")
        visible = page.locator("#museum article:visible")
        assert (
            20 < visible.count() < 300 and f"{visible.count()} found" in page.locator("#found").inner_text()
        )
        title = "Why it is tempting: One too many, one too few"
        assert all(title in text for text in visible.all_inner_texts())
        reason = page.locator("#why-off-by-one")
        assert reason.is_hidden()
        visible.first.get_by_role("link").click()
        assert reason.is_visible()


def test_a_link_into_the_museum_opens_its_room(browser, site):
    with opened(browser, f"{site}/museum.html#mistakes-3-4") as page:
        assert page.locator("#mistakes-3-4 article").first.is_visible()
        assert page.locator("#mistakes-3-3 article").first.is_hidden()


def test_search_finds_a_function(browser, site):
    with opened(browser, f"{site}/search.html?q=causal_mask") as page:
        page.locator("ul.search li").first.wait_for()
        assert page.locator("ul.search li").count() > 1
