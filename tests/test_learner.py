"""A learner's whole course: every gap filled in, kept as the library, and that library at work."""

import ast
import shutil
import subprocess
import sys

import pytest

from course import build, keeping, source
from course.checking import check
from course.exercise import exercises

LIBRARY_TEST = """
import torch
from gpt2lib import *
from gpt2lib.fast import fast
tokenizer = Tokenizer.gpt2()
assert tokenizer.decode(tokenizer.encode(" naïve 中文 🙂 ")) == " naïve 中文 🙂 "
model, own = from_pretrained("tales")
text = complete(model, own, "Once upon a time", 12)
assert complete(fast(model), own, "Once upon a time", 12) == text
tokens = torch.tensor([own.encode(text)])
cache = KVCache(model.config)
with torch.no_grad():
    parts = torch.cat([model(part, cache) for part in tokens.split(3, dim=1)], dim=1)
    assert torch.allclose(parts, model(tokens), atol=1e-4)
torch.manual_seed(0)
pupil = GPT2(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2))
losses = [p.loss for p in Trainer(pupil, torch.arange(40) % 5, TrainingConfig(steps=30, context=12, peak_lr=0.01, warmup_steps=2))]
assert losses[-1] < losses[0] - 1, losses[-1]
print("works")
"""

# Answers in another style, for pieces of the library; each stands for the rest of its kind.
OTHER_STYLE = {
    "bpe": '''
def lowest(symbols, ranks):
    """Return the rank and the place of the best pair."""
    found = [(ranks[pair], i) for i, pair in enumerate(zip(symbols, symbols[1:])) if pair in ranks]
    return min(found, default=None)


def bpe(symbols, ranks):
    """Mine."""
    symbols = list(symbols)
    while (best := lowest(symbols, ranks)) is not None:
        rank = best[0]
        i = 0
        while i < len(symbols) - 1:
            if ranks.get((symbols[i], symbols[i + 1])) == rank:
                symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
            i += 1
    return symbols
''',
    "unembed": '''
def unembed(x, wte):
    """Mine."""
    return torch.einsum("...c,vc->...v", x, wte)
''',
    "attend": '''
import numpy as np


def attend(q, k, v, mask=None):
    """Mine."""
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / float(np.sqrt(q.shape[-1]))
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    return torch.einsum("bhts,bhsd->bhtd", torch.softmax(scores, 3), v)
''',
    "split_heads": '''
def split_heads(x, n_head):
    """Mine."""
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)
''',
    "gelu": '''
def gelu(x):
    """Mine."""
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
''',
    "layer_norm": '''
def layer_norm(x, weight, bias, eps):
    """Mine."""
    x = x - x.mean(-1, keepdim=True)
    return weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) + bias
''',
    "next_token_loss": '''
def next_token_loss(logits, targets):
    """Mine."""
    return -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()
''',
}


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A learner's copy of the library and of the notebooks, all gaps open."""
    for room in ("NOTEBOOKS", "LIBRARY"):
        folder = tmp_path / ("gpt2lib" if room == "LIBRARY" else "notebooks")
        shutil.copytree(getattr(source, room), folder, ignore=shutil.ignore_patterns("__pycache__"))
        for module in (build, keeping):
            if hasattr(module, room):
                monkeypatch.setattr(module, room, folder)
    monkeypatch.setattr(keeping, "SAVED", tmp_path / "saved")
    return tmp_path


def fill_in(answers):
    """Write answers into the notebooks' gaps: name -> source, or those of the solutions where there is none."""
    for path in source.chapters():
        notebook, solution = source.read(keeping.NOTEBOOKS / path.name), source.read(path)
        for theirs, ours in zip(notebook.cells, solution.cells):
            if source.GAP.search(ours.source):
                name = next((n for n in keeping.defined(ours) if n in answers), None)
                mark = ours.source.splitlines()[0] + "\n" if source.module_of(ours) else ""
                theirs.source = mark + answers[name].strip() if name else source.MARKS.sub("", ours.source)
        (keeping.NOTEBOOKS / path.name).write_text(build.dumps(build.normalise(notebook)), "utf-8")


def works(folder):
    """Run the learner's library in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY_TEST], cwd=folder, capture_output=True, text=True, timeout=120
    )
    return done.stdout.strip() == "works", done.stderr


def exported():
    """Return the exercises whose answers go into the library."""
    names = {name for path in source.LIBRARY.glob("*.py") for name in names_in(path.read_text("utf-8"))}
    return {exercise.name for exercise in exercises().values()} & names


def names_in(text):
    return {s.name for s in ast.parse(text).body if isinstance(s, (ast.FunctionDef, ast.ClassDef))}


def test_the_reference_filled_in_everywhere_becomes_the_library(learner):
    fill_in({})
    keeping.keep()
    kept = {name for names in keeping.kept_names().values() for name in names}
    assert kept == exported()
    for path in source.LIBRARY.glob("*.py"):
        mine, theirs = (
            ast.parse((folder / path.name).read_text("utf-8")) for folder in (source.LIBRARY, keeping.LIBRARY)
        )
        assert ast.dump(ast.Module(mine.body[1:], [])) == ast.dump(ast.Module(theirs.body[1:], []))
    ok, errors = works(learner)
    assert ok, errors


def test_answers_in_another_style_become_the_library(learner):
    fill_in(OTHER_STYLE)
    keeping.keep()
    kept = {name for names in keeping.kept_names().values() for name in names}
    assert kept >= set(OTHER_STYLE)
    texts = "".join(path.read_text("utf-8") for path in keeping.LIBRARY.glob("*.py"))
    assert texts.count('"""Mine."""') == len(OTHER_STYLE)
    assert "def lowest(" in texts and "import numpy as np" in texts  # what they lean on comes along
    ok, errors = works(learner)
    assert ok, errors


def raising(*args, **kwargs):
    """Stand for any answer with a mistake that stops it."""
    raise ZeroDivisionError("a mistake")


@pytest.mark.parametrize("number", list(exercises()))
def test_an_answer_that_raises_does_not_stop_a_notebook(number, capsys, tmp_path, monkeypatch):
    exercise = exercises()[number]
    monkeypatch.setattr("course.mapping.FILE", tmp_path / "progress.json", raising=False)
    answer = type("Answer", (), {"__init__": raising}) if isinstance(exercise.reference, type) else raising
    answer.__name__ = exercise.name
    assert check(answer) is exercise.reference
