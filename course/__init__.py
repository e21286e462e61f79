"""The machinery of the course: what the notebooks call, and what builds them.

Names are loaded when they are first used, so that a command loads no more than it needs.
"""

from importlib import import_module

_MODULE_OF = {
    "Verdict": "verdicts",
    "check": "checking",
    "examine": "verdicts",
    "hint": "checking",
    "keep": "checking",
    "progress": "mapping",
    "show": "figures",
    "wrapped": "figures",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    """Import a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'course' has no attribute {name!r}")
    return getattr(import_module(f"course.{_MODULE_OF[name]}"), name)
