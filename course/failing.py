"""An answer that isn't there, because its cell failed or is gone: `check` says so, and the notebook goes on."""

import re
from types import SimpleNamespace

from course.exercise import exercises


class Failed:
    """Stands where the answer would be, had its cell run."""

    def __init__(self, name: str, error: BaseException | None):
        self.__name__, self.error = name, error

    def reason(self) -> str:
        """Return what happened, in one or two lines."""
        error = self.error
        if error is None:
            name = self.__name__
            return f"There is no `{name}` yet. Run the cell that defines it; does it still say `{name}`?"
        if isinstance(error, SyntaxError):
            line = f"\n    line {error.lineno}: {error.text.strip()}" if error.text else ""
            return f"Its cell isn't valid Python yet. {type(error).__name__}: {error.msg}{line}"
        return f"Its cell stops before the answer is defined. {type(error).__name__}: {error}"


def names() -> set[str]:
    """Return the names of all exercises."""
    return {exercise.name for exercise in exercises().values()}


def names_in(code: str) -> set[str]:
    """Return the exercises that a cell sets out to define, also where it is not Python."""
    return names() & set(re.findall(r"^(?:def|class)[ \t]+(\w+)", code, re.M))


def watch(shell) -> None:
    """From now on, put Failed under an exercise's name where a cell failed to define it, or checks it without."""
    state = SimpleNamespace(before={})

    def begin(info) -> None:
        state.before = {name: shell.user_ns.get(name) for name in names_in(info.raw_cell)}
        for name in re.findall(r"\bcheck\(\s*(\w+)\s*\)", info.raw_cell):
            if name not in shell.user_ns and name in names():
                shell.user_ns[name] = Failed(name, None)

    def end(result) -> None:
        error = result.error_before_exec or result.error_in_exec
        for name, before in state.before.items():
            if error and shell.user_ns.get(name) is before:
                shell.user_ns[name] = Failed(name, error)

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
