"""From solutions/ to notebooks/ and gpt2lib/: the answers out, the export cells into modules."""

import ast
import inspect
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import nbformat

from course.lazy import lazy
from course.source import (
    GAP,
    HERE,
    STUB,
    Course,
    CourseError,
    body,
    code_cells,
    is_definition,
    is_public,
    module_of,
    names_of,
    parsed,
    read,
    write_whole,
)

GIVEN = re.compile(r"^(# .+?) \(given\b[^)\n]*\)$", re.M)  # a heading that tells learners: not an exercise
KEPT_METADATA = ("tags", "jupyter")
WIDGET = "application/vnd.jupyter.widget-view+json"
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# a page's first cell; between its title and its own imports stands what `begun` puts there
IMPORTS = re.compile(
    r"\A(# Imports for this page[^\n]*\n)(?:import os\n.*?^COURSE = .*?^    raise NotInstalled.*?\n\n)?",
    re.M | re.S,
)
YOURS = re.compile(r"^Yours: (.+?)\.$", re.M)  # in a module's docstring
BADGES = re.compile(r"^(<!-- badges: make build -->\n)(?:\[!.*\n)?", re.M)
BEGINNING = Path(__file__).parent / "data" / "beginning.ipy"


def dumps(notebook: nbformat.NotebookNode) -> str:
    """Return the one text that a notebook is stored as."""
    return nbformat.writes(notebook, version=4, indent=1, ensure_ascii=False).rstrip("\n") + "\n"


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop, in place, what says nothing to a reader: editors' metadata, gaps in the counts."""
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count if cell.execution_count else None
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = cell.execution_count
            output.get("data", {}).pop(WIDGET, None)  # it lives as long as its kernel; its text stays
        if (
            cell.metadata.get("jupyter", {}).get("outputs_hidden")
            and cell.outputs
            and cell.outputs[0].get("data", 1)
        ):
            # in place of folded outputs, JupyterLab shows the first line of the first one: let that be nothing
            cell.outputs.insert(0, nbformat.v4.new_output("display_data"))
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in KEPT_METADATA if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        cell.source = cell.source.rstrip()
    return notebook


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Clear, in place, what running the notebook left in it."""
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    return notebook


def learners_edition(notebook: nbformat.NotebookNode, chapter: str = "") -> nbformat.NotebookNode:
    """Take the answers out, in place: a gap stands where each was. Outputs go too.

    If it is known where the course's repository is, links come in that start `chapter` there.
    """
    if chapter and (known := on_github(repository())):
        notebook.cells[0].source += f"\n\nRun this page on {elsewhere(known, chapter)}."
    for cell in code_cells(bets_open(normalise(begun(notebook)))):
        cell.source, gaps = GAP.subn(lambda gap: "\n".join(gap[1] + line for line in STUB), cell.source)
        if "BEGIN SOLUTION" in cell.source or "END SOLUTION" in cell.source:
            raise CourseError(f"cell {cell.id}: a solution mark without its partner")
        if gaps:  # whatever the learner writes here, the notebook runs on
            cell.metadata.tags = [*cell.metadata.get("tags", []), "raises-exception"]
    return without_outputs(notebook)


def bets_open(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Fold, in place, the outputs that answer a "Bet first" right above them. Running a cell unfolds its output."""
    bet = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            bet = "**Bet first" in cell.source
        elif bet:
            cell.metadata.jupyter = {**cell.metadata.get("jupyter", {}), "outputs_hidden": True}
    return notebook


def begun(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Let a page's imports begin, in place, with the code that gets the course, or says how one does."""
    text = BEGINNING.read_text("utf-8").replace('COURSE = ""', f'COURSE = "{repository()}"')
    for cell in code_cells(notebook)[:1]:
        cell.source = IMPORTS.sub(lambda found: found[1] + text, cell.source)
    return notebook


def repository() -> str:
    """Return the address of the course's repository, as pyproject.toml has it; empty where it has none."""
    project = tomllib.loads((HERE.root / "pyproject.toml").read_text("utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "")


def on_github(address: str) -> str | None:
    """Return the name that a repository with this address has on GitHub, "owner/name"; None if it is elsewhere."""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", address)
    return found[1] if found else None


def elsewhere(repository: str, chapter: str = "00_meet_gpt2") -> str:
    """Return links that start a chapter where nothing has to be installed."""
    path = f"notebooks/{chapter}.ipynb"
    links = {
        "Binder": f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path}",
        "Codespaces": f"https://codespaces.new/{repository}",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/main/{path}",
    }
    return " · ".join(f"[{name}]({link})" for name, link in links.items())


def with_outputs_of(new: nbformat.NotebookNode, old: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put into `new`, in place, the outputs that its unchanged cells have in `old`."""
    before = {(cell.id, cell.source): cell for cell in code_cells(old)}
    for cell in code_cells(new):
        same = before.get((cell.id, cell.source))
        if same is not None:
            cell.outputs, cell.execution_count = same.outputs, same.execution_count
    return normalise(new)


def ruff(texts: dict[str, str], rules: str = "F821,F811,E501") -> dict[str, str]:
    """Return the texts of modules with their imports sorted and everything formatted, in one run of ruff.

    Raises CourseError with what breaks one of the rules: by default a name that no cell of the module
    defines (F821), a name defined twice (F811), a long line (E501).
    """
    if find_spec("ruff") is None:
        raise CourseError(
            "the package ruff, which formats modules, is not installed here; `pip install ruff`"
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, "gpt2lib", f"{name}.py") for name in texts}
        for name, path in paths.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[name], "utf-8")
        for command in (
            ["check", "--fix", "--fixable=I,F401", f"--select=I,F401,{rules}", "--output-format=concise"],
            ["format"],
        ):
            config = f"--config={HERE.root / 'pyproject.toml'}"
            command = [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache", config, "gpt2lib"]
            done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=folder)
            if done.returncode:
                raise CourseError((done.stdout + done.stderr).strip())
        return {name: path.read_text("utf-8") for name, path in paths.items()}


def is_type_checking(statement: ast.stmt) -> bool:
    """Tell whether a statement is `if TYPE_CHECKING:` with imports only."""
    return (
        isinstance(statement, ast.If)
        and ast.unparse(statement.test) == "TYPE_CHECKING"
        and all(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in statement.body)
    )


def check_export_cell(cell: nbformat.NotebookNode, may_have_docstring: bool) -> None:
    """Raise CourseError unless an export cell only imports and defines, with docstrings."""
    for i, statement in enumerate(parsed(cell)):
        if may_have_docstring and i == 0 and is_string(statement):
            continue
        if not (is_definition(statement) or names_of(statement) or is_type_checking(statement)):
            raise CourseError(
                f"line {statement.lineno}: `{ast.unparse(statement).splitlines()[0]}` does more than import "
                f"or define; move it to a cell without `#| export`"
            )
        check_docstrings(statement)


def check_docstrings(statement: ast.stmt, owner: str = "") -> None:
    """Raise CourseError for a public function, class or method without a docstring."""
    if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return
    name = owner + statement.name
    if not statement.name.startswith("_") and not ast.get_docstring(statement):
        raise CourseError(f"{name} has no docstring; say what it does, with shapes")
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            check_docstrings(inner, f"{name}.")


def is_string(statement: ast.stmt) -> bool:
    """Tell whether a statement is a bare string, as a docstring is."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@dataclass
class Module:
    """A module of the library: its cells, and the names that they define."""

    name: str
    chapter: str  # the number of its one chapter: "03"
    cells: list[nbformat.NotebookNode] = field(default_factory=list)
    yours: list[str] = field(default_factory=list)  # what in it a learner wrote

    @property
    def names(self) -> list[str]:
        """What the cells define, in order."""
        return [name for cell in self.cells for statement in parsed(cell) for name in names_of(statement)]

    @property
    def public(self) -> list[str]:
        """What gpt2lib offers of it: the definitions in `#| export` cells, not those in `#| exporti` ones."""
        names = Module(self.name, self.chapter, [cell for cell in self.cells if is_public(cell)]).names
        return [name for name in names if not name.startswith("_")]

    def text(self) -> str:
        """Return the docstring, the imports, then the definitions in order, as ruff has yet to see them.

        Raises CourseError if the first cell does not begin with a docstring.
        """
        first = next(iter(parsed(self.cells[0])), None)
        if first is None or not is_string(first):
            raise CourseError(
                f"cell {self.cells[0].id}: the first cell of a module begins with its docstring"
            )
        yours = f"\n\nYours: {', '.join(self.yours)}.\n" if self.yours else ""
        docstring = f'"""{first.value.value.strip()} Built in chapter {self.chapter}.{yours}"""'
        imports, parts = [], []
        for cell in self.cells:
            lines = body(cell).split("\n")
            for statement in reversed(parsed(cell)):
                is_import = isinstance(statement, (ast.Import, ast.ImportFrom)) or is_type_checking(statement)
                if is_import:
                    imports.insert(0, "\n".join(lines[statement.lineno - 1 : statement.end_lineno]))
                if is_import or statement is first:
                    del lines[statement.lineno - 1 : statement.end_lineno]
            parts.append("\n".join(lines).strip())
        imports.sort(key=lambda text: text.startswith("if TYPE_CHECKING"))
        if "main" in self.names:
            parts.append('if __name__ == "__main__":\n    main()')
        text = "\n\n".join([docstring, "\n".join(imports), *(part for part in parts if part)]) + "\n"
        return GIVEN.sub(r"\1", text)


def kept_names(course: Course = HERE) -> dict[str, list[str]]:
    """Return, for each module of the library, what in it is the learner's."""
    found = {}
    for path in sorted(course.library.glob("*.py")):
        docstring = path.read_text("utf-8", errors="replace").partition('"""')[2].partition('"""')[0]
        if match := YOURS.search(docstring):
            found[path.stem] = match[1].split(", ")
    return found


def modules(course: Course = HERE) -> list[Module]:
    """Return the modules that the notebooks build. Raises CourseError where a rule is broken."""
    found: dict[str, Module] = {}
    owner: dict[str, str] = {}
    for path in course.chapters():
        for cell in code_cells(read(path)):
            name = module_of(cell)
            if name is None:
                continue
            module = found.setdefault(name, Module(name, path.name[:2]))
            where = f"{path.name}, cell {cell.id} ({name})"
            if module.chapter != path.name[:2]:
                raise CourseError(
                    f"{where}: chapter {module.chapter} builds {name}; a module has one chapter"
                )
            try:
                check_export_cell(cell, may_have_docstring=not module.cells)
            except CourseError as error:
                raise CourseError(f"{where}: {error}") from None
            module.cells.append(cell)
            for defined in Module(name, module.chapter, [cell]).names:
                if defined in owner and defined != "main":
                    raise CourseError(f"{where}: {defined} is defined already in {owner[defined]}")
                owner[defined] = where
    return list(found.values())


def check_imports(module: Module, known: dict[str, Module]) -> None:
    """Raise CourseError if a module imports from gpt2lib what no export cell defines."""
    for cell in module.cells:
        for statement in ast.walk(ast.Module(parsed(cell), [])):
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("gpt2lib."):
                source = known.get(statement.module.removeprefix("gpt2lib."))
                for alias in statement.names:
                    if source is None or alias.name not in source.names:
                        raise CourseError(f"cell {cell.id}: {statement.module} has no {alias.name}")


def init_text(modules: list[Module]) -> str:
    """Return gpt2lib/__init__.py: every public name and its module, loaded when it is first asked for."""
    module_of = {name: module.name for module in modules for name in module.public}
    imports = "\n    ".join(
        f"from gpt2lib.{m.name} import {', '.join(m.public)}" for m in modules if m.public
    )
    table = "\n".join(f"    {name!r}: {module_of[name]!r}," for name in sorted(module_of))
    names = "\n".join(f"    {name!r}," for name in sorted(module_of))
    code = inspect.getsource(lazy).replace("def lazy", "def _lazy")
    sentence = tomllib.loads((HERE.root / "pyproject.toml").read_text("utf-8"))["project"]["description"]
    return f'''"""{sentence}

Names are loaded when they are first used, so that `import gpt2lib` is quick and a tokenizer needs
no torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors, which run nothing
    {imports or "pass"}

_MODULE_OF = {{
{table}
}}
__all__ = [
{names}
]


{code}

_lazy(__name__, _MODULE_OF)
'''


def library(course: Course = HERE) -> dict[Path, str]:
    """Return each file of gpt2lib/ with its text. Raises CourseError where a rule is broken."""
    found = {module.name: module for module in modules(course)}
    texts = {"__init__": init_text(list(found.values()))}
    for name, module in found.items():
        try:
            check_imports(module, found)
            texts[name] = module.text()
        except CourseError as error:
            raise CourseError(f"gpt2lib/{name}.py from chapter {module.chapter}: {error}") from None
    return {course.library / f"{name}.py": text for name, text in ruff(texts).items()}


def sources(course: Course = HERE, only: str | int = "") -> Iterator[tuple[Path, str]]:
    """Yield each file written by hand that doesn't begin as the build lets it begin, and its text once it does.

    That is the first code cell of a complete notebook, and the README's links to where the course runs.
    """
    for path in course.chapters(only):
        notebook = read(path)
        before = dumps(notebook)
        if (text := dumps(begun(notebook))) != before:
            yield path, text
    readme, known = course.root / "README.md", on_github(repository())
    badge = r"[![\1](https://img.shields.io/badge/run_on-\1-0072b2)]"
    links = re.sub(r"\[(\w+)\]", badge, elsewhere(known)) + "\n" if known else ""
    before = readme.read_text("utf-8") if readme.exists() else ""
    if (text := BADGES.sub(rf"\1{links}", before)) != before:
        yield readme, text


def editions(course: Course = HERE, only: str | int = "") -> Iterator[tuple[Path, str]]:
    """Yield each learner's notebook with its text; unchanged cells keep their outputs."""
    for path in course.chapters(only):
        target = course.notebooks / path.name
        try:
            nbformat.validate(new := learners_edition(read(path), path.stem))
        except (CourseError, nbformat.ValidationError) as error:
            raise CourseError(f"{path.name}: {error}") from None
        if target.exists():
            new = with_outputs_of(new, read(target))
        yield target, dumps(new)


def build(course: Course = HERE, only: str | int = "") -> None:
    """Write gpt2lib/, the learner's notebooks and how each page begins; print what changed."""
    for path, text in [*library(course).items(), *sources(course, only), *editions(course, only)]:
        if not path.exists() or path.read_text("utf-8") != text:
            write_whole(path, text)
            print("wrote", course.where(path))


def drift(course: Course = HERE) -> list[str]:
    """Return what is not as the build would write it, one line for each file."""
    return [*library_drift(course), *edition_drift(course)]


def library_drift(course: Course) -> Iterator[str]:
    """Yield a line for each file of gpt2lib/ that is not as the build would write it."""
    expected = library(course)
    for path, text in expected.items():
        if not path.exists():
            yield f"{course.where(path)} is missing"
        elif (found := path.read_text("utf-8")) != text:
            pairs = zip(found.splitlines() + [None], text.splitlines() + [None])
            line = next(n for n, (f, t) in enumerate(pairs, start=1) if f != t)
            yield f"{course.where(path)}, line {line}"
    for path in sorted(course.library.glob("*.py")):
        if path not in expected:
            yield f"{course.where(path)} comes from no notebook"


def edition_drift(course: Course) -> Iterator[str]:
    """Yield a line for each notebook that has noise in it or is not as the build would write it."""
    for path, _ in sources(course):
        yield f"{course.where(path)}, how it begins"
    for path in course.chapters():
        target = course.notebooks / path.name
        if not target.exists():
            yield f"{course.where(target)} is missing"
            continue
        for stored in (path, target):
            if dumps(normalise(read(stored))) != stored.read_text("utf-8"):
                yield f"{course.where(stored)} has noise in it"
        want, found = learners_edition(read(path), path.stem).cells, read(target).cells
        for w, f in zip(want, found):
            if (w.id, w.cell_type, w.source, w.metadata) != (f.id, f.cell_type, f.source, f.metadata):
                yield f"{course.where(target)}, cell {f.id}"
                break
        else:
            if len(want) != len(found):
                yield f"{course.where(target)} has {len(found)} cells, not {len(want)}"
