"""An exercise's cell that fails before it has defined its answer: `check` says so, and the notebook goes on."""

import re
from types import SimpleNamespace

from course.exercise import exercises


class Failed:
    """Stands where the answer would be, had its cell run."""

    def __init__(self, name: str, error: BaseException):
        self.__name__, self.error = name, error

    def reason(self) -> str:
        """Return what happened, in one or two lines."""
        error = self.error
        if isinstance(error, SyntaxError):
            line = f"\n    line {error.lineno}: {error.text.strip()}" if error.text else ""
            return f"its cell is not Python yet. {type(error).__name__}: {error.msg}{line}"
        return f"its cell fails before the answer is there. {type(error).__name__}: {error}"


def names_in(code: str) -> set[str]:
    """Return the exercises that a cell sets out to define, also where it is not Python."""
    return {e.name for e in exercises().values()} & set(re.findall(r"^(?:def|class)[ \t]+(\w+)", code, re.M))


def watch(shell) -> None:
    """From now on, after a cell that failed, put Failed under each exercise's name that it left as it was."""
    state = SimpleNamespace(before={})

    def begin(info) -> None:
        state.before = {name: shell.user_ns.get(name) for name in names_in(info.raw_cell)}

    def end(result) -> None:
        error = result.error_before_exec or result.error_in_exec
        for name, before in state.before.items():
            if error and shell.user_ns.get(name) is before:
                shell.user_ns[name] = Failed(name, error)

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
