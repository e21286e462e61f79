"""Try a module of the library in a process of its own: `python -m course.trial MODULE NUMBERS…`.

It prints one line of JSON that repeats the caller's sign. A process that merely ends has not passed.
"""

import argparse
import ast
import contextlib
import json
import secrets
import subprocess
import sys
from importlib import import_module
from importlib.util import spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

from course.source import Course


def users(module: str, library: Path) -> list[str]:
    """Return the modules of the library that import a module, directly or through others."""
    imports: dict[str, set[str]] = {}
    for path in sorted(library.glob("*.py")):
        with contextlib.suppress(SyntaxError, ValueError):  # a file that can't be read uses nothing
            tree = ast.parse(path.read_text("utf-8"))
            found = {s.module for s in tree.body if isinstance(s, ast.ImportFrom) and s.module}
            imports[path.stem] = {
                name.removeprefix("gpt2lib.") for name in found if name.startswith("gpt2lib.")
            }
    using, before = {module}, set()
    while using != before:
        before = set(using)
        using |= {name for name, needed in imports.items() if needed & using}
    return sorted(using - {module, "__init__"})


def trial(module: str, numbers: list[str], others: list[str], text: Path | None = None) -> dict:
    """Return what became of importing a module and examining its answers: {"reason": …, "wrong": {…}}.

    text is a file to take the module from instead of its place in the library. `others` are imported
    after it. reason is None if all of that worked; wrong has a sentence for each exercise that failed.
    """
    finder = SimpleNamespace(
        find_spec=lambda name, *_: (
            spec_from_file_location(name, text) if name == f"gpt2lib.{module}" else None
        )
    )
    if text:
        sys.meta_path.insert(0, finder)
    try:
        for name in [module, *others, module]:  # each as if it were the first to be imported
            for known in [known for known in sys.modules if known.partition(".")[0] == "gpt2lib"]:
                del sys.modules[known]
            answers = import_module(f"gpt2lib.{name}")
        from course.exercise import find  # now, for the exercises import the library too
        from course.verdicts import examine

        wrong = {}
        for number in numbers:
            verdict = examine(number, getattr(answers, find(number).name))
            if not verdict.passed:
                wrong[number] = verdict.message.splitlines()[0]
        return {"reason": None, "wrong": wrong}
    except BaseException as error:  # whatever a module does when it is imported, sys.exit included
        place = "" if name == module else f"gpt2lib/{name}.py no longer imports: "
        line = f"{type(error).__name__}: {error}".strip(": ").splitlines()[0]
        return {"reason": place + line, "wrong": {}}
    finally:
        if text:
            sys.meta_path.remove(finder)


def try_out(course: Course, module: str, numbers: list[str], text: Path | None = None) -> dict:
    """Do `trial` in a process of its own, and return what it says; silence counts as a failure."""
    sign, patience = secrets.token_hex(8), 120 + 60 * len(numbers)
    command = [sys.executable, "-m", "course.trial", module, *numbers, "--sign", sign]
    command += ["--others", *users(module, course.library)]
    command += ["--text", str(text)] if text else []
    try:
        done = subprocess.run(
            command,
            cwd=course.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"it was still running after {patience} seconds", "wrong": {}}
    for line in reversed(done.stdout.splitlines()):
        with contextlib.suppress(json.JSONDecodeError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("sign") == sign:
                return said
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {"reason": f"it ends Python before the trial is over ({last})", "wrong": {}}


def main() -> None:
    """Do what the command line says; print the result as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m course.trial", description=__doc__)
    parser.add_argument("module", help="of gpt2lib")
    parser.add_argument("numbers", nargs="*", metavar="number", help='of the exercises in it, e.g. "3.2"')
    parser.add_argument("--others", nargs="*", default=[], help="modules to import after it")
    parser.add_argument("--text", type=Path, help="a file to take the module from")
    parser.add_argument("--sign", default="", help="repeated in the result")
    options = parser.parse_args()
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        result = trial(options.module, options.numbers, options.others, options.text)
    print("\n" + json.dumps({"sign": options.sign, **result}), file=out, flush=True)


if __name__ == "__main__":
    main()
