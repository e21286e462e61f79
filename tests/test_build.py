"""One source: what the build writes is what is committed, and it refuses what must not get through."""

import ast
import importlib
import re
import subprocess
import sys

import nbformat
import pytest

from course import build, source
from course.exercise import exercises

MODULES = (
    "attention cache checkpoint config corpus embeddings fast files generation memory mlp model sampling "
    "speculation tokenizer train training"
).split()


@pytest.fixture
def course_of(tmp_path):
    """An empty course in a folder of its own; calling it writes one of its chapters.

    A cell that begins with # is code, with % is text.
    """
    course = source.Course(tmp_path)

    def chapter(*cells, name="01_first"):
        made = [
            nbformat.v4.new_markdown_cell(text[1:], id=f"c{i}")
            if text.startswith("%")
            else nbformat.v4.new_code_cell(text, id=f"c{i}")
            for i, text in enumerate(cells)
        ]
        text = build.dumps(build.normalise(nbformat.v4.new_notebook(cells=made)))
        source.write_whole(course.solutions / f"{name}.ipynb", text)

    chapter.course = course
    return chapter


def test_nothing_has_drifted():
    assert build.drift() == []


def test_the_library_has_these_modules():
    assert sorted(module.name for module in build.modules()) == MODULES


@pytest.mark.parametrize("path", sorted(source.HERE.library.glob("*.py")), ids=lambda path: path.stem)
def test_every_module_imports_in_a_fresh_interpreter(path, tmp_path):
    module = "gpt2lib" if path.stem == "__init__" else f"gpt2lib.{path.stem}"
    code = (
        f"import sys, {module}\n"
        "unwanted = {'IPython', 'jupyterlab', 'notebook', 'ipykernel', 'matplotlib', 'transformers', 'course'}\n"
        "assert not unwanted & set(sys.modules), unwanted & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_check_loads_no_grammar_of_web_addresses():
    """It would cost each kernel a second, for a format that no notebook has."""
    code = "import sys, course.verdicts; assert 'nbformat' in sys.modules and 'lark' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=source.ROOT)
    assert done.returncode == 0, done.stderr


WANTED = """GPT2Config GPT2 Block CausalSelfAttention MLP KVCache LayerCache Tokenizer Sampler END_OF_TEXT
    causal_mask attend split_heads merge_heads gelu layer_norm scale_temperature keep_top_k keep_top_p greedy
    generate complete from_pretrained save_pretrained next_token_loss sample_batch learning_rate decay_groups
    train Trainer TrainingConfig fast FastGPT2""".split()
INTERNAL = "is_near plain vectors_met aten_int8 onednn first_that_suits replacing check_tokens STATE".split()


def test_the_package_offers_what_a_user_needs_and_not_its_innards():
    import gpt2lib

    assert set(WANTED) <= set(gpt2lib.__all__)
    assert not set(INTERNAL) & set(gpt2lib.__all__)
    assert set(gpt2lib.__all__) <= set(dir(gpt2lib))
    for name in gpt2lib.__all__:
        value = getattr(gpt2lib, name)
        module = importlib.import_module(f"gpt2lib.{gpt2lib._MODULE_OF[name]}")
        assert value is getattr(module, name) or callable(value)
    with pytest.raises(AttributeError, match="no_such_name"):
        gpt2lib.no_such_name


@pytest.mark.parametrize(
    "first", ["import gpt2lib", "import gpt2lib.fast, gpt2lib.train", "from gpt2lib import *"]
)
def test_fast_and_train_are_functions_and_modules_whatever_was_imported_first(first):
    """A package's attribute becomes the module once that is imported: both ways of using it must go on."""
    code = f"""if True:
        {first}
        import gpt2lib, gpt2lib.fast as module
        from gpt2lib import fast, train, GPT2, GPT2Config, TrainingConfig
        from gpt2lib.fast import FastGPT2
        import torch
        model = GPT2(GPT2Config(300, 8, 12, 1, 2))
        for call in (fast, gpt2lib.fast, gpt2lib.fast.fast, module.fast):
            assert isinstance(call(model.eval()), FastGPT2)
        config = TrainingConfig(steps=2, batch_size=2, context=4, warmup_steps=1)
        for call in (train, gpt2lib.train):
            assert len(list(call(model.train(), torch.arange(40), config))) == 2
        assert gpt2lib.train.main.__module__ == "gpt2lib.train"
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=source.ROOT)
    assert done.returncode == 0, done.stderr


def test_type_checkers_see_the_names_that_are_there_at_run_time():
    import gpt2lib

    tree = ast.parse((source.HERE.library / "__init__.py").read_text("utf-8"))
    (block,) = [s for s in tree.body if isinstance(s, ast.If)]
    seen = {
        alias.name: statement.module.removeprefix("gpt2lib.")
        for statement in block.body
        for alias in statement.names
    }
    (names,) = [s.value for s in tree.body if isinstance(s, ast.Assign) and s.targets[0].id == "__all__"]
    assert seen == gpt2lib._MODULE_OF and sorted(seen) == ast.literal_eval(names)


@pytest.mark.parametrize("path", sorted(source.HERE.library.glob("*.py")), ids=lambda path: path.stem)
def test_modules_read_as_written_by_hand(path):
    text = path.read_text("utf-8")
    for trace in ("#|", "BEGIN SOLUTION", "END SOLUTION", "# %%", "AUTOGENERATED", "import *", "YOUR CODE"):
        assert trace not in text
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    if path.stem != "__init__":
        assert re.search(r"Built in chapter \d\d", ast.get_docstring(tree))
    seen_definition = False
    for statement in tree.body[1:]:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            assert not seen_definition, f"an import below line {statement.lineno - 1}"
        seen_definition |= isinstance(statement, (ast.FunctionDef, ast.ClassDef))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            parts = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [
                part.arg for part in parts if part.annotation is None and part.arg not in ("self", "cls")
            ]
            assert not untyped, f"{node.name}({', '.join(untyped)}) without types"


def test_learners_do_not_get_the_answers():
    gaps = 0
    for path in source.chapters():
        solution, learners = source.read(path), source.read(source.HERE.notebooks / path.name)
        assert [cell.id for cell in solution.cells] == [cell.id for cell in learners.cells]
        for theirs, ours in zip(learners.cells, solution.cells):
            assert "SOLUTION" not in theirs.source
            for _, answer in source.GAP.findall(ours.source):
                gaps += 1
                lines = [line.strip() for line in answer.splitlines() if len(line.strip()) > 20]
                assert not any(line in theirs.source for line in lines)
                assert "raise NotImplementedError" in theirs.source
    assert gaps >= len(exercises())


def test_stored_checks_say_what_they_should():
    """In solutions/ every answer is right; in notebooks/ none is written."""
    for folder, sign in ((source.HERE.solutions, "✓"), (source.HERE.notebooks, "○")):
        for path in source.chapters():
            for cell in source.code_cells(source.read(folder / path.name)):
                answer = re.fullmatch(r"(\w+) = check\(\1\)", cell.source)
                if answer:
                    shown = [o.get("data", {}).get("text/plain", "") for o in cell.outputs]
                    assert [text[0] for text in shown] == [sign], (
                        f"{folder.name}/{path.name}, {answer[1]}: {shown}"
                    )


def test_what_ran_in_one_edition_ran_in_the_other():
    """A cell has an output in both editions or in none, and every cell has been run."""
    for path in source.chapters():
        both = [
            source.code_cells(source.read(f / path.name))
            for f in (source.HERE.solutions, source.HERE.notebooks)
        ]
        for ours, theirs in zip(*both):
            assert bool(ours.outputs) == bool(theirs.outputs), f"{path.name}, cell {ours.id}"
            assert ours.execution_count and theirs.execution_count, f"{path.name}, cell {ours.id}"


def test_notebooks_have_no_noise():
    for folder in (source.HERE.solutions, source.HERE.notebooks):
        for path in folder.glob("*.ipynb"):
            found = source.read(path)
            assert found.metadata == build.NOTEBOOK_METADATA
            for cell in found.cells:
                assert set(cell.metadata) <= set(build.KEPT_METADATA)
            for cell in source.code_cells(found):
                text = str([{k: v for k, v in o.items() if k != "data"} for o in cell.outputs])
                text += str([o.get("data", {}).get("text/plain", "") for o in cell.outputs])
                for noise in ("/root/", "/home/", "/tmp/", str(source.ROOT), "Warning:", "Traceback"):
                    assert noise not in text, f"{path.name}, cell {cell.id}: {noise}"
                assert not any(o.output_type == "error" for o in cell.outputs), f"{path.name}, cell {cell.id}"


GOOD = '#| export first\n"""A module."""\n\nimport math'
DEFINE = (
    '#| export first\ndef area(r: float) -> float:\n    """Return the area."""\n    return math.pi * r**2'
)


def test_a_course_of_two_chapters(course_of):
    course_of("%# One", GOOD, DEFINE, "print(area(1))", name="01_first")
    course_of(
        '#| export second\n"""Another."""\n\nfrom typing import TYPE_CHECKING\n\nfrom gpt2lib.first import area\n'
        "if TYPE_CHECKING:\n    from gpt2lib.third import later",
        '#| export second\nimport os\n\nLIMIT = 3  # a constant\n\n\ndef twice(r: float, x: "later") -> float:\n'
        '    """Return it twice."""\n    ### BEGIN SOLUTION\n    return 2 * area(r)\n    ### END SOLUTION',
        '#| export third\n"""A third."""',
        '#| export third\ndef later() -> None:\n    """Do nothing."""',
        name="02_second",
    )
    build.build(course_of.course)
    assert build.drift(course_of.course) == []
    assert (course_of.course.library / "second.py").read_text() == (
        '"""Another. Built in chapter 02."""\n\nfrom typing import TYPE_CHECKING\n\nfrom gpt2lib.first import area\n\n'
        "if TYPE_CHECKING:\n    from gpt2lib.third import later\n\nLIMIT = 3  # a constant\n\n\n"
        'def twice(r: float, x: "later") -> float:\n    """Return it twice."""\n    return 2 * area(r)\n'
    )
    learners = (course_of.course.notebooks / "02_second.ipynb").read_text()
    assert "YOUR CODE HERE" in learners and "2 * area" not in learners
    before = {
        path: path.read_bytes()
        for folder in (course_of.course.library, source.HERE.notebooks)
        for path in folder.iterdir()
        if path.is_file()  # chapters that run at the same time make folders
    }
    build.build(course_of.course)
    assert before == {path: path.read_bytes() for path in before}
    (course_of.course.library / "first.py").write_text("x = 1\n")
    (course_of.course.library / "stray.py").write_text("")
    stale = (course_of.course.notebooks / "01_first.ipynb").read_text().replace("area(1)", "area(2)")
    (course_of.course.notebooks / "01_first.ipynb").write_text(stale)
    drift = "\n".join(build.drift(course_of.course))
    for place in ("first.py, line 1", "stray.py comes from no notebook", "01_first.ipynb, cell c3"):
        assert place in drift


def test_exporti_builds_a_name_and_does_not_offer_it(course_of):
    internal = "#| exporti first\nLIMIT = 3\n\n\ndef inner(r: float) -> float:\n"
    course_of(
        GOOD, DEFINE, internal + '    """Return r."""\n    return r', "#| export first\nSIZE = 2\n_OWN = 4"
    )
    build.build(course_of.course)
    text = (course_of.course.library / "__init__.py").read_text()
    assert (
        '__all__ = [\n    "SIZE",\n    "area",\n]\n' in text
        and "from gpt2lib.first import SIZE, area" in text
    )
    assert "def inner" in (course_of.course.library / "first.py").read_text()


def test_a_build_starts_ruff_twice_whatever_the_number_of_modules(course_of, monkeypatch):
    count, run = [], subprocess.run
    monkeypatch.setattr(build.subprocess, "run", lambda *a, **k: count.append(a) or run(*a, **k))
    course_of(GOOD, DEFINE, *(f'#| export m{i}\n"""Module {i}."""' for i in range(5)))
    build.build(course_of.course)
    assert len(count) == 2


def test_outputs_of_unchanged_cells_survive_a_build(course_of):
    course_of("print(1)", "print(2)")
    build.build(course_of.course)
    path = course_of.course.notebooks / "01_first.ipynb"
    found = source.read(path)
    for cell in found.cells:
        cell.outputs = [nbformat.v4.new_output("stream", text="old\n")]
    path.write_text(build.dumps(build.normalise(found)))
    course_of("print(1)", "print(3)")
    build.build(course_of.course)
    assert [len(cell.outputs) for cell in source.read(path).cells] == [1, 0]


def test_every_page_begins_with_what_gets_the_course(course_of, monkeypatch):
    own = "# Imports for this page, and one name\nimport os\n\nx = 1"
    course_of("%# One", own, "print(x)")
    path = course_of.course.solutions / "01_first.ipynb"
    found = source.read(path)
    found.cells[2].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    path.write_text(build.dumps(found))
    readme = course_of.course.root / "README.md"
    readme.write_text("# The course\n<!-- badges: make build -->\n")
    link = "(https://colab.research.google.com/github/some.one/course/blob/main/notebooks/"
    for address in ("", "https://github.com/some.one/course.git", "https://example.org/some.one/course", ""):
        monkeypatch.setattr(build, "repository", lambda address=address: address)
        assert "01_first.ipynb, how it begins" in "\n".join(build.drift(course_of.course))
        build.build(course_of.course)
        assert build.drift(course_of.course) == []
        for page in map(source.read, (path, course_of.course.notebooks / path.name)):
            text = page.cells[1].source
            assert text.count(f'\nCOURSE = "{address}"') == text.count("raise NotInstalled") == 1
            assert build.IMPORTS.sub(r"\1", text) == own
        assert source.read(path).cells[2].outputs == found.cells[2].outputs
        (first, *_), known = source.read(course_of.course.notebooks / path.name).cells, "github" in address
        assert (
            (f"[Colab]{link}01_first.ipynb)" in first.source) == (f"]{link}00" in readme.read_text()) == known
        )
        assert known or (first.source == "# One" and readme.read_text().endswith("build -->\n"))


def test_a_heading_loses_what_it_says_to_learners_only(course_of):
    heads = ["# Areas (given)", "# Volumes (given; chapter 2 shows why)", "# A circle (not a disk)"]
    course_of(
        GOOD,
        *(
            f"#| export first\n{head}\n{DEFINE.split(chr(10), 1)[1].replace('area', 'f' * i)}"
            for i, head in enumerate(heads, 1)
        ),
    )
    build.build(course_of.course)
    text = (course_of.course.library / "first.py").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# Areas", "# Volumes", heads[2]]


REFUSED = {
    "does more than define": ([GOOD, "#| export first\nprint(1)"], "c1.*print"),
    "a loop": ([GOOD, "#| export first\nfor i in range(3):\n    pass"], "c1.*for"),
    "defined twice": ([GOOD, DEFINE, DEFINE], "c2.*area is defined already.*c1"),
    "defined in two modules": (
        [GOOD, DEFINE, '#| export other\n"""Other."""\nimport math', DEFINE.replace("first", "other")],
        "c3.*area is defined already",
    ),
    "a name from nowhere": ([GOOD, DEFINE.replace("math.pi", "tau")], "first.py.*tau"),
    "a name from a cell that is not exported": (["tau = 6.28", GOOD, DEFINE.replace("math.pi", "tau")], "tau"),
    "an import of what is not there": ([GOOD, "#| export first\nfrom gpt2lib.first import volume"], "volume"),
    "no docstring": ([GOOD, "#| export first\ndef area(r):\n    return r"], "c1.*area has no docstring"),
    "a method without": (
        [GOOD, '#| export first\nclass A:\n    """An a."""\n\n    def b(self):\n        return 1'], "c1.*A.b has no docstring"
    ),
    "no module docstring": (["#| export first\nimport math"], "docstring"),
    "no module docstring, and no import": (["#| exporti first\nX = 1"], "docstring"),
    "half a mark": ([GOOD, "def f():\n    ### BEGIN SOLUTION\n    return 1"], "c1.*mark"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_build_refuses(course_of, case):
    cells, reason = REFUSED[case]
    course_of(*cells)
    with pytest.raises(source.CourseError, match=f"(?s){reason}"):
        build.build(course_of.course)


def test_a_module_belongs_to_one_chapter(course_of):
    course_of(GOOD, DEFINE)
    course_of(DEFINE.replace("area", "volume"), name="02_second")
    with pytest.raises(source.CourseError, match="02_second.*chapter 01 builds first"):
        build.build(course_of.course)


def test_the_command_says_what_is_wrong():
    done = subprocess.run(
        [sys.executable, "-m", "course", "execute", "99"], capture_output=True, text=True, cwd=source.ROOT
    )
    assert done.returncode == 1
    assert done.stderr.startswith("course: no notebook")
