"""course/play/gpt2.js gives gpt2lib's ids, logits and texts, in a real browser."""

import importlib
import pkgutil
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import END, KNOWN, mixed

import gpt2lib
from gpt2lib import Sampler, complete, from_pretrained, generate, save_pretrained
from gpt2lib.sampling import keep_top_k, keep_top_p

TALES = "gpt2lib/data/tales"
quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@pytest.fixture(scope="module")
def js(page):
    """Run JavaScript with gpt2.js as `g`, and each tokenizer and model as `gpt2`, `tales`."""
    page.evaluate(
        """async (folder) => {
            window.g = await import("/course/play/gpt2.js");
            [window.model, window.tales] = await g.from_pretrained(folder);
            const merges = await fetch("/gpt2lib/data/gpt2/merges.txt");
            window.gpt2 = new g.Tokenizer(g.read_merges(await merges.text()));
        }""",
        f"/{TALES}",
    )
    return page.evaluate


@pytest.fixture(scope="module")
def tales():
    return from_pretrained("tales")


@quick
@given(texts=st.lists(st.one_of(mixed, st.text(KNOWN, max_size=40)), min_size=20, max_size=60))
def test_ids_and_texts_are_the_tokenizers(js, gpt2_tokenizer, tales, texts):
    for name, tokenizer in (("gpt2", gpt2_tokenizer), ("tales", tales[1])):
        ids = js(f"texts => texts.map(text => {name}.encode(text))", texts)
        assert ids == [tokenizer.encode(text) for text in texts]
        special = js(f"texts => texts.map(text => {name}.encode(text, true))", texts)
        assert special == [tokenizer.encode(text, allow_special=True) for text in texts]
        assert js(f"ids => ids.map(ids => {name}.decode(ids))", ids) == texts


def test_every_character_is_cut_as_gpt2lib_cuts_it(js, gpt2_tokenizer):
    """Letters newer than the browser's or Python's Unicode are left out, as in test_tokenizer.py."""
    for start in range(0, 0x20000, 0x1000):
        letters = [chr(i) for i in range(start, start + 0x1000) if known(chr(i))]
        text = "".join(f"a{c}b 1{c} {c}{c}!{c}  {c}\n" for c in letters)
        assert js("text => gpt2.encode(text)", text) == gpt2_tokenizer.encode(text), hex(start)


def known(letter: str) -> bool:
    """Tell whether a letter is in the running Python's Unicode and can stand alone."""
    return unicodedata.category(letter) not in ("Cn", "Cs")


def test_halves_of_surrogate_pairs_are_read_alike(js, gpt2_tokenizer):
    texts = [r"a\ud83d", r"\ude42b", r"\ud83d\ude42", r"\ude42\ud83d \ud83d\ud83d", r" \udc00's"]
    for text in texts:  # JavaScript reads its own escapes, as no half can travel there
        assert js(f'gpt2.encode("{text}")') == gpt2_tokenizer.encode(eval(f'"{text}"')), text


@quick
@given(ids=st.lists(st.integers(0, 50256), max_size=60))
def test_decode_takes_any_valid_ids(js, gpt2_tokenizer, ids):
    assert js("ids => gpt2.decode(ids)", ids) == gpt2_tokenizer.decode(ids)


def difference(page, folder: str, ids: list[int], logits: torch.Tensor) -> float:
    """Return how far the browser's logits (T, V) are from these at most."""
    body = logits.numpy().astype("<f4").tobytes()
    page.route("**/logits", lambda route: route.fulfill(content_type="application/octet-stream", body=body))
    return page.evaluate(
        """async ([folder, ids]) => {
            const theirs = new Float32Array(await (await fetch("/logits")).arrayBuffer());
            const [model] = await g.from_pretrained(folder), cache = new g.KVCache(model.config);
            const ours = [model.forward(ids.slice(0, 5), cache), model.forward(ids.slice(5), cache)];
            const whole = [...ours[0], ...ours[1]];
            if (whole.length !== theirs.length) throw new Error(`${whole.length} and ${theirs.length} logits`);
            return whole.reduce((most, z, i) => Math.max(most, Math.abs(z - theirs[i])), 0);
        }""",
        [folder, ids],
    )


def test_logits_over_a_whole_context(js, page, tales):
    model, tokenizer = tales
    start = tokenizer.encode("The king's daughter went into the wood.\n\n")
    ids = (
        start
        + torch.randint(
            tokenizer.vocab_size,
            (model.config.n_positions - len(start),),
            generator=torch.Generator().manual_seed(0),
        ).tolist()
    )
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
    assert difference(page, f"/{TALES}", ids, logits) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_logits_of_a_saved_model_of_odd_sizes(js, page, small, gpt2_tokenizer, tmp_path, dtype):
    """Random gains and biases, V not a multiple of 4, an eps that shows; saved as either kind."""
    small = small.to(dtype)
    save_pretrained(small, gpt2_tokenizer, tmp_path)
    for path in tmp_path.iterdir():
        page.route(f"**/odd/{path.name}", lambda route, _, path=path: route.fulfill(path=path))
    ids = list(range(3, 3 + small.config.n_positions * 7, 7))
    with torch.no_grad():
        logits = small.float()(torch.tensor([ids]))[0]
    assert difference(page, "/odd", ids, logits) < 1e-3
    page.unroute("**/odd/*")


@pytest.mark.parametrize("prompt", ["Once upon a", "The wolf said: 'Little pig,", "naïve 🙂", END])
def test_greedy_text_is_equal(js, tales, prompt):
    model, tokenizer = tales
    assert js("prompt => g.complete(model, tales, prompt, 60)", prompt) == complete(
        model, tokenizer, prompt, 60
    )


def test_a_text_that_outgrows_the_context_goes_on_alike(js, tales, small, gpt2_tokenizer, tmp_path, page):
    save_pretrained(small, gpt2_tokenizer, tmp_path)
    for path in tmp_path.iterdir():
        page.route(f"**/short/{path.name}", lambda route, _, path=path: route.fulfill(path=path))
    theirs = [new.item() for new in generate(small, torch.tensor([[5, 6, 7]]), 40)]
    for use_cache in ("true", "false"):
        ours = js(
            f"""async () => {{
                const [model] = await g.from_pretrained("/short");
                return [...g.generate(model, [5, 6, 7], 40, {{ use_cache: {use_cache} }})];
            }}"""
        )
        assert ours == theirs


LOGITS = [1.0, 3.0, 3.0, -2.0, 3.0, 0.5, 1.0, 2.5, -4.0, 2.0]


@pytest.mark.parametrize("t", [0, 0.3, 1, 2])
@pytest.mark.parametrize("k", [None, 1, 2, 3, 7, 99])
@pytest.mark.parametrize("p", [None, 1e-6, 0.3, 0.6, 0.9, 1.0])
def test_the_samplers_distribution_is_gpt2libs(js, t, k, p):
    theirs = Sampler(t, k, p).distribution(torch.tensor([LOGITS]).double())[0].numpy()
    ours = js(
        "([z, temperature, top_k, top_p]) => [...g.Sampler({ temperature, top_k, top_p }).distribution(z)]",
        [LOGITS, t, k, p],
    )
    assert ((theirs == 0) == (np.array(ours) == 0)).all()
    assert np.abs(theirs - ours).max() < 1e-6


def test_top_k_keeps_exactly_k_and_top_p_the_token_that_crosses(js):
    for k in range(1, 11):
        kept = keep_top_k(torch.tensor([LOGITS]), k)[0].isfinite().tolist()
        assert (
            sum(kept) == k and js("([z, k]) => g.keep_top_k(z, k).map(Number.isFinite)", [LOGITS, k]) == kept
        )
    even = [0.0] * 4
    for p in (0.25, 0.2501, 0.5, 0.75, 0.99):
        kept = keep_top_p(torch.tensor([even]), p)[0].isfinite().tolist()
        assert js("([z, p]) => g.keep_top_p(z, p).map(Number.isFinite)", [even, p]) == kept


def test_the_same_seed_draws_the_same_and_as_often_as_the_probabilities_say(js):
    draw = "n => { const s = g.Sampler({ generator: g.Generator(4) }); return Array.from({ length: n }, () => s(%s)) }"
    logits = [0.0, 1.0, -1.0, float("-inf"), 0.5]
    code = draw % "[0, 1, -1, -Infinity, 0.5]"
    drawn = js(code, 20000)
    assert drawn == js(code, 20000)
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    expected = torch.tensor(logits).softmax(0).numpy()
    assert np.abs(shares - expected).max() < 0.015 and shares[3] == 0


@pytest.mark.parametrize(
    "code, part",
    [
        ("model.forward([])", "needs one to start from"),
        ("model.forward(Array(9999).fill(0))", "at most"),
        ("model.forward([-1])", "not in this vocabulary"),
        ("model.forward([1.5])", "not in this vocabulary"),
        ("tales.decode([1e9])", "not in this vocabulary"),
        ("g.Sampler({ temperature: -1 })", "0 or more"),
        ("g.Sampler({ top_k: 0 })", "at least 1"),
        ("g.Sampler({ top_p: 1.5 })", "at most 1"),
        ("""g.read_config('{"model_type": "llama"}')""", "load another model"),
        ("""g.read_config('{"n_embd": 8, "n_inner": 5}')""", "n_inner"),
        ("""g.from_pretrained("/nowhere")""", "can't be read"),
    ],
)
def test_errors_say_what_to_do(js, code, part):
    message = js(f"async () => {{ try {{ await ({code}) }} catch (error) {{ return error.message }} }}")
    assert message and part in message


def test_tokens_per_second_are_told(js, tales, capsys):
    """Told, not judged: other work on the machine counts too."""
    count, seconds = js(
        """() => {
            const ids = tales.encode("Once upon a time"), start = performance.now();
            const written = [...g.generate(model, ids, 100)];
            return [written.length, (performance.now() - start) / 1000];
        }"""
    )
    assert count == 100
    parameters = sum(p.numel() for p in tales[0].parameters()) / 1e6
    with capsys.disabled():
        print(f"\ngpt2.js, {parameters:.1f} M parameters: {count / seconds:.0f} tokens/s in this browser")


def test_the_names_are_gpt2libs(js):
    """What is not in gpt2lib either has torch or Python's own there, or is a step of one of its functions."""
    theirs = {name for path in pkgutil.iter_modules(gpt2lib.__path__) for name in names_in(path.name)}
    extra = {
        "BYTE_OF",
        "Generator",
        "best_pair",
        "from_files",
        "from_float16",
        "linear",
        "softmax",
        "to_symbols",
    }
    assert set(js("Object.keys(g)")) - theirs == extra


def names_in(module: str) -> list[str]:
    """Return the names of a module of gpt2lib."""
    return dir(importlib.import_module(f"gpt2lib.{module}"))
