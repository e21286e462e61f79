"""The machinery of the course: what the notebooks call, and what builds them.

Names are loaded when they are first used, so that a command loads no more than it needs.
"""

import sys

from course.lazy import lazy

# jsonschema, which nbformat imports, would compile a grammar of web addresses: a second in each new kernel
sys.modules.setdefault("rfc3987_syntax", None)

_MODULE_OF = {
    "Verdict": "verdicts",
    "check": "checking",
    "examine": "verdicts",
    "hint": "checking",
    "keep": "kernel",
    "progress": "mapping",
    "show": "figures",
    "wrapped": "figures",
}

__all__ = list(_MODULE_OF)

lazy(__name__, _MODULE_OF)
