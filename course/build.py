"""From solutions/ to notebooks/ and gpt2lib/: the answers out, the export cells into modules."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import nbformat

from course.source import (
    GAP,
    LIBRARY,
    NOTEBOOKS,
    ROOT,
    STUB,
    CourseError,
    body,
    chapters,
    code_cells,
    is_definition,
    module_of,
    names_of,
    parsed,
    read,
)

KEPT_METADATA = ("tags", "jupyter")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
COMMANDS = ("train",)  # modules that are run with `python -m`, not imported from
SENTENCE = "Learn GPT-2 by building it: the library that the notebooks of this course become."


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


def learners_edition(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take the answers out, in place: a gap stands where each was. Outputs go too."""
    for cell in code_cells(normalise(notebook)):
        cell.source, gaps = GAP.subn(lambda gap: "\n".join(gap[1] + line for line in STUB), cell.source)
        if "BEGIN SOLUTION" in cell.source or "END SOLUTION" in cell.source:
            raise CourseError(f"cell {cell.id}: a solution mark without its partner")
        if gaps:  # whatever the learner writes here, the notebook runs on
            cell.metadata.tags = [*cell.metadata.get("tags", []), "raises-exception"]
    return without_outputs(notebook)


def with_outputs_of(new: nbformat.NotebookNode, old: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put into `new`, in place, the outputs that its unchanged cells have in `old`."""
    before = {(cell.id, cell.source): cell for cell in code_cells(old)}
    for cell in code_cells(new):
        same = before.get((cell.id, cell.source))
        if same is not None:
            cell.outputs, cell.execution_count = same.outputs, same.execution_count
    return normalise(new)


def ruff(*arguments: str, text: str) -> str:
    """Return a module's text after one run of ruff over it. Raises CourseError with what ruff found."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--quiet",
        "--stdin-filename",
        "gpt2lib/module.py",
        "-",
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    if done.returncode:
        raise CourseError((done.stdout + done.stderr).strip())
    return done.stdout


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


def module_text(chapter: str, cells: list[nbformat.NotebookNode], rules: str = "F821,F811,E501") -> str:
    """Return the text of a module: docstring, imports at the top, then the definitions in order.

    Raises CourseError if the first cell does not begin with a docstring, or if the module breaks one of
    ruff's rules: a name that none of its cells defines (F821), or defined twice (F811); a long line (E501).
    """
    first = parsed(cells[0])[0]
    if not is_string(first):
        raise CourseError(f"cell {cells[0].id}: the first cell of a module begins with its docstring")
    docstring = f'"""{first.value.value.strip()} Built in chapter {chapter}."""'
    imports, parts = [], []
    for cell in cells:
        lines = body(cell).split("\n")
        for statement in reversed(parsed(cell)):
            is_import = isinstance(statement, (ast.Import, ast.ImportFrom)) or is_type_checking(statement)
            if is_import:
                imports.insert(0, "\n".join(lines[statement.lineno - 1 : statement.end_lineno]))
            if is_import or statement is first or (is_string(statement) and cell is cells[0]):
                del lines[statement.lineno - 1 : statement.end_lineno]
        parts.append("\n".join(lines).strip())
    imports.sort(key=lambda text: text.startswith("if TYPE_CHECKING"))
    if any(name == "main" for cell in cells for statement in parsed(cell) for name in names_of(statement)):
        parts.append('if __name__ == "__main__":\n    main()')
    text = "\n\n".join([docstring, "\n".join(imports), *(part for part in parts if part)]) + "\n"
    text = ruff("check", "--select=I,F401", "--fix", text=text)
    ruff("check", f"--select={rules}", text=text)
    return ruff("format", text=text)


def init_text(public: dict[str, str]) -> str:
    """Return gpt2lib/__init__.py: every public name and its module, loaded when it is first asked for."""
    table = "\n".join(f'    "{name}": "{module}",' for name, module in sorted(public.items()))
    text = f'''"""{SENTENCE}

Names are loaded when they are first used, so that `import gpt2lib` is quick and a tokenizer needs
no torch.
"""

from importlib import import_module

_MODULE_OF = {{
{table}
}}

__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    """Import a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gpt2lib' has no attribute {{name!r}}")
    return getattr(import_module(f"gpt2lib.{{_MODULE_OF[name]}}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_MODULE_OF])
'''
    return ruff("format", text=text)


def library() -> Iterator[tuple[Path, str]]:
    """Yield each file of gpt2lib/ with its text. Raises CourseError where a rule is broken."""
    cells, chapter_of, names, owner, public = defaultdict(list), {}, defaultdict(list), {}, {}
    for path in chapters():
        for cell in code_cells(read(path)):
            module = module_of(cell)
            if module is None:
                continue
            where = f"{path.name}, cell {cell.id} ({module})"
            if chapter_of.setdefault(module, path.name[:2]) != path.name[:2]:
                raise CourseError(
                    f"{where}: chapter {chapter_of[module]} builds {module}; a module has one chapter"
                )
            try:
                check_export_cell(cell, may_have_docstring=not cells[module])
            except CourseError as error:
                raise CourseError(f"{where}: {error}") from None
            for statement in parsed(cell):
                for name in names_of(statement):
                    if name in owner and name != "main":
                        raise CourseError(f"{where}: {name} is defined already in {owner[name]}")
                    owner[name] = where
                    names[module].append(name)
                    is_constant = not is_definition(statement)
                    if not (name.startswith("_") or is_constant or module in COMMANDS):
                        public[name] = module
            cells[module].append(cell)
    for module, own in cells.items():
        try:
            for cell in own:
                check_imports(cell, names)
            yield LIBRARY / f"{module}.py", module_text(chapter_of[module], own)
        except CourseError as error:
            raise CourseError(f"gpt2lib/{module}.py from chapter {chapter_of[module]}: {error}") from None
    yield LIBRARY / "__init__.py", init_text({name: public[name] for name in public if name not in names})


def check_imports(cell: nbformat.NotebookNode, names: dict[str, list[str]]) -> None:
    """Raise CourseError if a cell imports from gpt2lib what no export cell defines."""
    for statement in ast.walk(ast.Module(parsed(cell), [])):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("gpt2lib."):
            module = statement.module.removeprefix("gpt2lib.")
            for alias in statement.names:
                if alias.name not in names.get(module, ()):
                    raise CourseError(f"cell {cell.id}: {statement.module} has no {alias.name}")


def editions(only: str = "") -> Iterator[tuple[Path, str]]:
    """Yield each learner's notebook with its text; unchanged cells keep their outputs."""
    for path in chapters(only):
        target = NOTEBOOKS / path.name
        try:
            new = learners_edition(read(path))
        except CourseError as error:
            raise CourseError(f"{path.name}: {error}") from None
        if target.exists():
            new = with_outputs_of(new, read(target))
        yield target, dumps(new)


def build(only: str = "") -> None:
    """Write gpt2lib/ and the learner's notebooks; print what changed."""
    for path, text in [*library(), *editions(only)]:
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            print("wrote", path.relative_to(ROOT))


def drift() -> list[str]:
    """Return what is not as the build would write it, one line for each file."""
    wrong, expected = [], {}
    expected.update(library())
    for path, text in expected.items():
        if not path.exists():
            wrong.append(f"{path.relative_to(ROOT)} is missing")
        elif (found := path.read_text("utf-8")) != text:
            pairs = zip(found.splitlines() + [None], text.splitlines() + [None])
            line = next(n for n, (f, t) in enumerate(pairs, start=1) if f != t)
            wrong.append(f"{path.relative_to(ROOT)}, line {line}")
    for path in sorted(LIBRARY.glob("*.py")):
        if path not in expected:
            wrong.append(f"{path.relative_to(ROOT)} comes from no notebook")
    for path in chapters():
        if dumps(normalise(read(path))) != path.read_text("utf-8"):
            wrong.append(f"{path.relative_to(ROOT)} has noise in it")
        target = NOTEBOOKS / path.name
        if not target.exists():
            wrong.append(f"{target.relative_to(ROOT)} is missing")
            continue
        want, found = learners_edition(read(path)), read(target)
        if dumps(normalise(found)) != target.read_text("utf-8"):
            wrong.append(f"{target.relative_to(ROOT)} has noise in it")
        for w, f in zip(want.cells, found.cells):
            if (w.id, w.cell_type, w.source, w.metadata) != (f.id, f.cell_type, f.source, f.metadata):
                wrong.append(f"{target.relative_to(ROOT)}, cell {f.id}")
                break
        else:
            if len(want.cells) != len(found.cells):
                wrong.append(
                    f"{target.relative_to(ROOT)} has {len(found.cells)} cells, not {len(want.cells)}"
                )
    return wrong
