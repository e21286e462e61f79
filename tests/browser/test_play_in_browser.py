"""The explorables in a browser: gpt2.js gives Python's answers; mouse, keys, phones, a dark page, one file."""

import json

import pytest
import torch

import gpt2lib
from course import play
from course.play.page import page as write_page

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><link rel="stylesheet" href="/course/play/play.css">
<body><main id="here"></main></body></html>"""
READY = """async () => {
    window.g = await import("/course/play/gpt2.js");
    const answers = await import("/course/play/answers.js"), { here } = await import("/course/play/kit.js");
    const [model, tales] = await g.from_pretrained("/gpt2lib/data/tales");
    const merges = await (await fetch("/gpt2lib/data/gpt2/merges.txt")).text();
    const both = { "GPT-2": new g.Tokenizer(g.read_merges(merges)), tales };
    window.answers = (name) => name === "tokenizer_box" ? answers.tokenizer_box_answers(both) : answers[`${name}_answers`](model, tales);
    window.open_it = async (name, start) =>
        (await import(`/course/play/${name}.js`))[name](document.getElementById("here"), here(window.answers(name)), start);
}"""


@pytest.fixture(scope="module")
def site(page):
    """A page that can open each explorable, fed by gpt2.js."""
    page.route("**/play.html", lambda route: route.fulfill(content_type="text/html", body=PAGE))
    page.goto(page.url.replace("empty", "play"))
    page.evaluate(READY)
    return page


def alike(a, b, where="") -> None:
    """Fail where two answers differ by more than rounding."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            alike(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b)):
            alike(*pair, f"{where}[{i}]")
    elif isinstance(a, float):
        assert a == pytest.approx(b, abs=1e-3), where
    else:
        assert a == b, where


HOSTILE = ["", "The wolf", "naïve 🙂 中's", "a\tb\n\n  c", "the " * 60]
QUESTIONS = [
    *(("attention", "look", {"text": text, "layer": 3, "head": 1}) for text in HOSTILE),
    ("attention", "steps", {"text": "The king had a", "layer": 2, "head": 4, "position": 2}),
    *(("cache", "run", {"text": text}) for text in HOSTILE[:3]),
    *(("loop", "next", {"text": text, "temperature": 0.7, "top_k": 20, "top_p": 0.8}) for text in HOSTILE),
    ("loop", "next", {"text": "x", "ids": [5, 6, 7], "temperature": 0, "top_k": None, "top_p": None}),
    *(("neighbors", "nearest", {"token": text}) for text in HOSTILE),
    ("neighbors", "nearest", {"token": "naïve 🙂", "chosen": 1}),
    ("neighbors", "analogy", {"words": [" king", " man", " woman"]}),
    ("neighbors", "analogy", {"words": [" king", " manxyz", " woman"]}),
    *(("stream", "read", {"text": text, "position": None}) for text in HOSTILE),
    ("stream", "read", {"text": "Once upon a time", "position": 1}),
    *(("tokenizer_box", "tokens", {"text": text}) for text in [*HOSTILE, "🙂" * 400]),
    *(("tokenizer_box", "merges", {"chunk": c, "side": s}) for c in (" there", "🙂", "x") for s in (0, 1)),
]


@pytest.mark.parametrize("name, question, details", QUESTIONS)
def test_the_browser_answers_as_python_does(site, made, name, question, details):
    theirs = json.loads(json.dumps(made[name].questions[question](**details)))
    ours = site.evaluate(
        "([name, question, details]) => answers(name)[question](details)", [name, question, details]
    )
    alike(theirs, json.loads(json.dumps(ours)))


@pytest.fixture
def opened(site, made):
    """Return a function that opens an explorable as a notebook would, and gives its box."""

    def opening(name: str, width: int = 900, scheme: str = "light"):
        site.set_viewport_size({"width": width, "height": 900})
        site.emulate_media(color_scheme=scheme)
        details = {key: value for key, value in made[name].details.items()}
        site.evaluate("([name, start]) => open_it(name, start)", [name, details])
        site.wait_for_selector("#here .play input, #here .play-bar")
        site.wait_for_timeout(300)
        return site.locator("#here .play")

    return opening


@pytest.mark.parametrize("name", play.__all__)
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(opened, site, name, width):
    for scheme in ("light", "dark"):
        box = opened(name, width, scheme)
        assert site.evaluate("document.documentElement.scrollWidth") <= width
        smallest = box.evaluate(
            """box => Math.min(...[...box.querySelectorAll("*")].filter(e => e.textContent.trim() && !e.children.length)
                .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
        )
        assert smallest >= 13
        assert contrast(site, box) >= 4.5


def contrast(site, box) -> float:
    """Return the contrast of the text to the page, as WCAG 2 has it."""
    return box.evaluate(
        """box => {
            const canvas = new OffscreenCanvas(1, 1).getContext("2d");
            const luminance = (color) => {
                canvas.fillStyle = color;
                canvas.fillRect(0, 0, 1, 1);
                const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
                    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#ffffff";
            const [a, b] = [luminance(getComputedStyle(box).color), luminance(ground)];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }"""
    )


@pytest.mark.parametrize("name", play.__all__)
def test_everything_has_a_name_for_screen_readers(opened, name):
    box = opened(name)
    assert box.get_attribute("aria-label")
    nameless = box.evaluate(
        """box => [...box.querySelectorAll("button, input, select, textarea, [role=img]")].filter(e =>
            !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.textContent.trim())).length"""
    )
    assert nameless == 0
    assert box.locator("[role=status]").count() >= 1


def test_loop_by_keys_alone(opened, site, tales):
    box = opened("loop")
    text = box.get_by_label("The text so far")
    start = text.input_value()
    first = box.locator(".play-bar").first
    first.focus()
    token = first.locator(".play-name").inner_text().replace("␣", " ")
    site.keyboard.press("Enter")
    site.wait_for_function("start => document.querySelector('#here textarea').value !== start", arg=start)
    assert text.input_value() == start + token
    box.get_by_label("temperature").focus()
    for _ in range(30):
        site.keyboard.press("ArrowLeft")
    site.wait_for_function("document.querySelectorAll('#here .play-hollow').length === 9")
    assert "leaves 1 of" in box.locator("figcaption").inner_text()
    text.focus()
    site.keyboard.press("Control+A")
    site.keyboard.type("Once upon a")
    site.wait_for_timeout(500)
    box.get_by_role("button", name="Write on").focus()
    site.keyboard.press("Space")
    model, tokenizer = tales
    greedy = gpt2lib.complete(model, tokenizer, "Once upon a", 60)
    site.wait_for_function("document.querySelector('#here textarea').value.length > 60")
    site.keyboard.press("Space")
    site.wait_for_timeout(300)
    assert greedy.startswith(text.input_value()[:60])
    box.get_by_role("button", name="Take one back").click()
    site.wait_for_timeout(300)
    assert greedy.startswith(text.input_value()[:40])


def test_tokenizer_by_mouse_and_keys(opened, site):
    box = opened("tokenizer_box")
    box.get_by_label("Text to cut into tokens").fill("the otherworldly")
    site.wait_for_function("document.querySelectorAll('#here [data-side]').length === 2")
    site.wait_for_timeout(300)
    row = box.locator("[data-side='1'] .play-token")
    row.nth(1).click()
    site.wait_for_selector("#here .play-tree")
    bytes_of_word = len(" otherworldly")
    spans = box.locator(".play-tree span")
    assert spans.nth(0).inner_text() == "␣" and spans.count() > bytes_of_word
    box.get_by_label("merges", exact=True).focus()
    site.keyboard.press("Home")
    assert spans.count() == bytes_of_word
    site.keyboard.press("ArrowRight")
    assert spans.count() == 2 * bytes_of_word - 1 and box.locator(".play-made").count() == 1
    row.nth(1).locator("input").focus()
    site.keyboard.press("ArrowLeft")
    site.wait_for_timeout(300)
    assert "the has the id" in box.locator("[data-side='1']").inner_text()
    assert box.locator("[data-side='1'] input:checked").count() == 1


def test_neighbors_are_honest(opened, site):
    box = opened("neighbors")
    site.wait_for_function("document.querySelectorAll('#here .play-bars')[1]?.children.length === 8")
    answer = box.locator(".play-bars").nth(1).locator(".play-name")
    assert "␣king" in answer.all_inner_texts()  # what went in is not hidden
    box.get_by_role("checkbox").focus()
    site.keyboard.press("Space")
    assert "␣king" not in answer.all_inner_texts() and answer.count() == 8
    box.get_by_label("A token").fill(" fox")
    site.wait_for_function("document.querySelector('#here .play-status').textContent.includes('fox')")
    box.get_by_label("A token").fill("naïve")  # several tokens, some of them half a letter
    site.wait_for_selector("#here .play-token")
    box.locator(".play-token input:checked").focus()
    site.keyboard.press("Home")
    for piece in (box.locator(".play-token").nth(i) for i in range(2)):
        piece.click()
        site.wait_for_timeout(300)
        assert piece.locator("span").inner_text() in box.locator(".play-status").first.inner_text()


def test_attention_hovered_chosen_and_stepped(opened, site, made):
    box = opened("attention")
    tokens = box.locator(".play-token")
    status = box.locator(".play-status")
    tokens.nth(2).hover()
    assert status.inner_text().startswith("␣had takes most from")
    tokens.nth(4).click()
    site.wait_for_timeout(400)
    shares = made["attention"].first["shares"][4]
    numbers = box.locator(".play-number").all_inner_texts()
    assert float(numbers[4].rstrip("%")) == pytest.approx(100 * shares[4], abs=0.6) and numbers[-1] == "0%"
    box.get_by_label("step").focus()
    site.keyboard.press("ArrowLeft")
    assert box.locator(".play-number").all_inner_texts()[-1] == "−∞"
    site.keyboard.press("Home")
    assert box.locator(".play-strip").count() == 1 + tokens.count()
    site.keyboard.press("End")
    assert box.locator(".play-name").last.inner_text() == "the sum"
    box.get_by_label("layer").select_option("3")
    site.wait_for_timeout(600)
    assert box.locator("select").first.input_value() == "3" and "takes most" in status.inner_text()


def test_stream_by_keys(opened, site, made, tales):
    box = opened("stream")
    checked = box.locator("input:checked")
    before = checked.input_value()
    checked.focus()
    site.keyboard.press("ArrowLeft")
    site.wait_for_function(
        "before => document.querySelector('#here input:checked').value !== before", arg=before
    )
    site.wait_for_timeout(400)
    model, tokenizer = tales
    with torch.no_grad():
        best = (
            model(torch.tensor([tokenizer.encode(made["stream"].details["text"])[:-1]]))[0, -1]
            .argmax()
            .item()
        )
    label = tokenizer.decode([best]).replace(" ", "␣")
    assert f"At the end {label} is the most likely" in box.locator(".play-status").inner_text()
    assert box.locator("tbody tr").count() == 1 + model.config.n_layer
    site.keyboard.press("ArrowLeft")  # the keys still work after the redrawing
    site.wait_for_timeout(400)
    assert int(box.locator("input:checked").input_value()) == int(before) - 2


def test_cache_step_by_step(opened, site):
    box = opened("cache")
    step = box.get_by_label("step")
    step.focus()
    site.keyboard.press("Home")
    assert box.locator(".play-old").count() == 0
    site.keyboard.press("ArrowRight")
    layers = box.locator("tbody tr").count()
    assert box.locator(".play-new").count() == layers and box.locator(".play-old").count() == 4 * layers
    box.get_by_role("checkbox").check()
    assert box.locator(".play-old").count() == 0 and box.locator(".play-new").count() == 5 * layers


def test_an_error_is_shown_and_the_next_answer_comes(site):
    said = site.evaluate(
        """async () => {
            const { loop } = await import("/course/play/loop.js"), ask = answers("loop");
            let fail = true;
            await loop(document.getElementById("here"), async (question, details) => {
                if (fail) throw new Error("NameError: by hand");
                return ask[question](details);
            }, { text: "The" });
            const said = document.querySelector("#here [role=status]").textContent;
            fail = false;
            document.querySelector("#here [aria-label=top-k]").dispatchEvent(new Event("input"));
            await new Promise((ready) => setTimeout(ready, 500));
            return [said, document.querySelectorAll("#here .play-bar").length];
        }"""
    )
    assert said == ["NameError: by hand", 10]


def test_a_page_from_a_file_writes_what_the_model_writes(browser, tales, tmp_path):
    write_page("tales", tmp_path / "tales.html", "The wolf")
    page, asked, errors = browser.new_page(viewport={"width": 390, "height": 800}), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(error))
    page.goto((tmp_path / "tales.html").as_uri())
    page.wait_for_selector(".play-bar", timeout=60000)
    page.get_by_label("temperature").focus()
    page.keyboard.press("Home")  # greedy
    page.get_by_label("The text so far").fill("Once upon a")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Write on").click()
    page.wait_for_function("document.querySelector('textarea').value.length > 80", timeout=60000)
    page.get_by_role("button", name="Stop").click()
    written = page.get_by_label("The text so far").input_value()
    assert gpt2lib.complete(*tales, "Once upon a", 80).startswith(written[:80])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    assert asked == [(tmp_path / "tales.html").as_uri()] and not errors
