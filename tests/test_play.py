"""The explorables' Python side: answers, texts, the learner's functions in them, and life without a widget."""

import json
import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import gpt2lib
from course import play
from course.build import normalise
from course.comparing import same
from course.play.explorable import FOLDER, WIDGET, Explorable, script
from course.play.page import page
from course.source import CourseError

NAMES = play.__all__
TEXTS = ["", "The wolf", "naïve 🙂 中", "a\tb\n\n c", "the " * 400]


def ask(explorable, question: str, **details) -> dict:
    """Return the answer to a question as it travels."""
    message = {"id": 7, "question": question, "details": details}
    answer = json.loads(json.dumps(explorable.answer(message), allow_nan=False))
    assert answer["id"] == 7
    return answer.get("answer") or answer


def test_there_are_six_and_each_has_a_module_of_its_own(made):
    assert sorted(made) == sorted(NAMES) and len(NAMES) == 6
    for name, explorable in made.items():
        assert (
            explorable.name == name
            and (FOLDER / f"{name}.js").is_file()
            and (FOLDER / f"{name}.py").is_file()
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_text_form_says_what_the_picture_shows(made, name):
    explorable = made[name]
    text = repr(explorable)
    assert text == explorable.text and len(text.splitlines()) >= 3
    assert not re.search(r"\d\.\d{5}", text)  # stored outputs must be the same elsewhere
    for line in text.splitlines():
        assert line == line.rstrip()
    label = {"loop": "top", "neighbors": "nearest"}.get(name, "tokens")
    answer = explorable.first if name != "tokenizer_box" else explorable.first["sides"][1]
    assert answer[label][-1]["label"] in text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_any_text_gets_an_answer(made, name, text):
    explorable = made[name]
    question = next(iter(explorable.questions))
    details = explorable.details | ({"token": text} if name == "neighbors" else {"text": text})
    answer = ask(explorable, question, **details)
    assert "error" not in answer, answer


@pytest.mark.parametrize("name", NAMES)
def test_the_widget_starts_with_the_answer_and_the_kernel_answers_the_rest(made, name):
    pytest.importorskip("anywidget")
    data, _ = made[name]._repr_mimebundle_()
    assert data.keys() == {WIDGET, "text/plain"} and data["text/plain"] == repr(made[name])
    widget, sent = made[name].widget(), []
    widget.send = sent.append
    question = next(iter(made[name].questions))
    details = {k: v for k, v in made[name].details.items() if k != "analogy"}
    widget._handle_custom_msg({"id": 1, "question": question, "details": details}, [])
    assert len(sent) == 1 and sent[0].keys() == {"id", "answer"} and sent[0]["id"] == 1
    assert same(sent[0]["answer"], widget.start["first"], 1e-4)


def test_without_anywidget_there_is_the_text_and_one_sentence(made, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # as if it were not installed
    monkeypatch.setattr(Explorable, "told", False)
    for explorable in made.values():
        assert explorable._repr_mimebundle_() == {"text/plain": repr(explorable)}
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "pip install anywidget" in said


def test_what_fails_in_the_learners_code_is_said_and_not_raised(made, tales):
    assert "KeyError" in ask(made["loop"], "no such question")["error"]
    calls = []

    def attend(q, k, v, mask=None):
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError("by hand")
        return gpt2lib.attend(q, k, v, mask)

    explorable = play.attention(*tales, attend=attend)
    error = ask(explorable, "steps", text="a b", layer=0, head=0, position=0)["error"]
    assert error == "ZeroDivisionError: by hand"


def test_a_head_that_is_not_there_is_refused(tales):
    with pytest.raises(ValueError, match="layers 0 to"):
        play.attention(*tales, layer=99)


class Coin(gpt2lib.Sampler):
    """A sampler that knows two tokens."""

    def distribution(self, logits):
        two = F.one_hot(torch.tensor([5, 9]), max(10, logits.shape[-1]))
        return two.sum(0, keepdim=True) / 2


def test_the_numbers_are_those_of_the_functions_that_were_passed(tales):
    model, tokenizer = tales
    assert [t["id"] for t in play.loop(model, tokenizer, sampler=Coin).first["top"][:2]] == [5, 9]

    def last(q, k, v, mask=None):
        return v[:, :, -1:].expand_as(v)

    shares = play.attention(model, tokenizer, attend=last).first["shares"]
    assert all(row[-1] == 1 and sum(row) == 1 for row in shares)
    seen = play.attention(
        model, tokenizer, "a b c", causal_mask=lambda T, S: torch.ones(T, S, dtype=torch.bool)
    )
    assert seen.first["shares"][0][-1] > 0
    nearest = play.neighbors(model, tokenizer, cosines=lambda a, b: -torch.arange(len(b)).float()[None])
    assert [t["id"] for t in nearest.first["nearest"][:3]] == [0, 1, 2]
    letters = play.tokenizer_box({"tales": tokenizer}, "ab", split_text=list)
    assert [t["chunk"] for t in letters.first["sides"][0]["tokens"]] == [0, 1]
    lazy = play.tokenizer_box({"tales": tokenizer}, merge_pair=lambda symbols, pair: symbols)
    assert "merge_pair did not join" in ask(lazy, "merges", chunk=" the", side=0)["error"]

    class Forgetful(gpt2lib.KVCache):
        length = 0

    assert play.cache(model, tokenizer, KVCache=Forgetful).first["steps"][3]["start"] == 0


def test_the_loop_counts_what_stays(tales):
    model, tokenizer = tales
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode("The king")]))[:, -1]
    chances = gpt2lib.Sampler(0.7, 40, 0.8).distribution(logits)[0]
    first = play.loop(model, tokenizer, "The king", temperature=0.7, top_k=40, top_p=0.8).first
    assert first["kept"] == (chances > 0).sum()
    assert first["top"][0]["chance"] == pytest.approx(chances.max().item(), rel=1e-4)
    assert [rank for rank, _ in first["curve"]] == sorted({rank for rank, _ in first["curve"]})
    assert first["curve"][-1][1] == pytest.approx(1, abs=1e-4)


def test_the_loop_goes_on_with_ids_and_draws_by_its_seed(tales):
    model, tokenizer = tales
    ids = [*tokenizer.encode("The"), 67, 68]  # bytes that merges would join
    made = [play.loop(model, tokenizer, seed=3) for _ in range(2)]
    assert [t["id"] for t in ask(made[0], "next", ids=ids)["tokens"]] == ids
    drawn = [ask(explorable, "draw", ids=ids, temperature=1.5)["ids"] for explorable in made]
    assert drawn[0] == drawn[1] and drawn[0][:-1] == ids
    full = [5] * model.config.n_positions
    assert ask(made[0], "next", ids=full)["room"] == 0


def test_merges_end_at_the_tokens(made, tales):
    for word in [" there", " naïve", "🙂", "x"]:
        found = ask(made["tokenizer_box"], "merges", chunk=word, side=1)
        assert len(found["rows"]) == len(found["steps"]) + 1
        assert len(found["rows"][-1]) == len(tales[1].encode(word))
        assert all(sum(s["bytes"] for s in row) == len(word.encode()) for row in found["rows"])


def test_the_steps_of_attention_fit_together(made):
    steps = ask(made["attention"], "steps", text="The king had a daughter", layer=2, head=1, position=3)
    scores = torch.tensor(steps["scores"]).masked_fill(~torch.tensor(steps["seen"]), float("-inf"))
    shares = scores.softmax(0)
    assert torch.allclose(shares, torch.tensor(steps["shares"]), atol=1e-5)
    assert torch.allclose(shares @ torch.tensor(steps["values"]), torch.tensor(steps["sum"]), atol=1e-4)


def test_the_stream_ends_at_what_the_model_says(made, tales):
    model, tokenizer = tales
    found = ask(made["stream"], "read", text="Once upon a time", position=2)
    with torch.no_grad():
        p = model(torch.tensor([tokenizer.encode("Once upon a time")]))[0, 2].softmax(0)
    assert len(found["rows"]) == model.config.n_layer + 1
    assert found["rows"][-1]["top"][0]["p"] == pytest.approx(p.max().item(), abs=1e-4)
    assert not model.h[0]._forward_hooks and not model.h[0]._forward_pre_hooks


def test_the_caches_steps_are_those_of_generate(made, tales):
    model, tokenizer = tales
    found = made["cache"].first
    prompt = torch.tensor([tokenizer.encode("Once upon a time")])
    written = [new.item() for new in gpt2lib.generate(model, prompt, 12)]
    assert [t["id"] for t in found["tokens"][found["prompt"] :]] == written and found["same"]
    assert all(step["with"] <= step["without"] for step in found["steps"])


def test_analogies_are_told_with_the_tokens_that_went_in(made):
    found = ask(made["neighbors"], "analogy", words=[" king", " man", " woman"])["found"]
    assert any(t["given"] for t in found) and any(not t["given"] for t in found)
    assert (
        "not one token"
        in ask(made["neighbors"], "analogy", words=[" kingdoms of", " man", " woman"])["problem"]
    )


def test_modules_are_joined_to_one():
    joined = script("gpt2", "kit", "answers", *NAMES)
    assert not re.search(r"^(import|export)\b", joined, flags=re.M)
    for name in NAMES:
        assert re.search(rf"^(async )?function {name}\(", joined, flags=re.M)


def test_a_stored_notebook_keeps_the_text_and_not_the_widget():
    import nbformat

    output = nbformat.v4.new_output("execute_result", {WIDGET: {"model_id": "1"}, "text/plain": "text"})
    cell = nbformat.v4.new_code_cell("loop(model, tokenizer)", outputs=[output], execution_count=3)
    notebook = normalise(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"x": 1}}))
    assert notebook.cells[0].outputs[0].data == {"text/plain": "text"} and "widgets" not in notebook.metadata


def test_a_page_is_one_file_and_asks_for_nothing(small, gpt2_tokenizer, tmp_path):
    gpt2lib.save_pretrained(small, gpt2_tokenizer, tmp_path / "mine")
    size = page(tmp_path / "mine", tmp_path / "page.html", "Hi </script><b>")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert size == (tmp_path / "page.html").stat().st_size
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", text)
    assert text.count("</script>") == 3 and "<title>mine," in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "page.html"]


def test_the_command_writes_a_page_or_says_in_one_sentence_why_not(tmp_path):
    def course(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "course", "page", *arguments], capture_output=True, text=True
        )

    done = course("tales", str(tmp_path / "tales.html"))
    assert done.returncode == 0 and "wrote" in done.stdout and (tmp_path / "tales.html").stat().st_size > 1e7
    missing = course(str(tmp_path / "nothing"), str(tmp_path / "x.html"))
    assert (
        missing.returncode == 1 and missing.stderr.startswith("course: ") and missing.stderr.count("\n") == 1
    )
    with pytest.raises(CourseError, match="can't be written"):
        page("tales", tmp_path / "no" / "x.html")


def test_the_library_needs_none_of_it():
    code = (
        "import gpt2lib, sys; gpt2lib.from_pretrained; assert not {'course', 'anywidget'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
