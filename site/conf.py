"""How Sphinx builds the website; `make site` writes the pages that it reads. See course/website.py."""

import re

from sphinx.application import Sphinx

from course.exercise import exercises
from course.website import place, where_in_library

project = "Learn GPT-2 by building it"
html_title = project
author = "The maintainers of gpt2lib"
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx.ext.mathjax"]
nb_execution_mode = "off"
nb_merge_streams = True
default_role = "literal"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml-full.js"
mathjax3_config = {"options": {"enableMenu": False}}
html_theme = "furo"
html_static_path = ["_work/pages/static"]
html_css_files = ["play/play.css", "site.css"]
html_js_files = [("site.js", {"type": "module"})]
html_show_sourcelink = False
html_copy_source = False
html_favicon = "static/icon.svg"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"
pygments_style = "friendly"
pygments_dark_style = "monokai"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]


def as_rest(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring in place as Sphinx reads it, and add the exercise in which one writes it."""
    text = re.sub(r"\n(?=Raises |Sources?: )", "\n\n", "\n".join(lines).strip())
    parts = []
    for part in text.split("\n\n"):
        if re.search(r"^[ \t]", part, re.M):  # a list or code: as it stands
            parts.append("::\n\n" + "\n".join(f"    {line}" for line in part.split("\n")))
        else:  # outside of backticks no sign means anything
            parts.append(
                re.sub(r"`[^`]+`|[*|\\]|_(?=\W|$)", lambda m: m[0] if m[0][0] == "`" else f"\\{m[0]}", part)
            )
    for exercise in exercises().values():
        if where_in_library(exercise) == name.removeprefix("gpt2lib."):
            page = f"../chapters/{exercise.chapter.stem}.html#{place(exercise)}"
            parts.append(f"You write it in `exercise {exercise.number} <{page}>`__.")
    lines[:] = "\n\n".join(parts).split("\n")


def setup(app: Sphinx) -> None:
    """Connect what is done to docstrings."""
    app.connect("autodoc-process-docstring", as_rest)
