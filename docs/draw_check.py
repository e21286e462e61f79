"""Draw docs/check.svg, the README's first picture: a real check names a mistake, then accepts the answer."""

import html
from pathlib import Path

from course.checking import note, verdict_on
from course.edits import answer_in
from course.exercise import find

NAME, MISTAKE = "causal_mask", "sees-one-too-many"
WIDTH, LINE, LEFT = 880, 22, 24
STYLE = """
text { font: 14px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }
text { fill: #1f2328; white-space: pre }
.said { font-family: -apple-system, "Segoe UI", "DejaVu Sans", Roboto, sans-serif; font-size: 15px }
.card { fill: #fff; stroke: #d0d7de } .code { fill: #f6f8fa }
.wrong { fill: #d55e00 } .right { fill: #009e73 }
.b { font-weight: bold }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .card { fill: #0d1117; stroke: #30363d } .code { fill: #161b22 }
}
.first { animation: first 12s infinite } .then { opacity: 0; animation: then 12s infinite }
.late { animation: late 12s infinite }
@keyframes first { 0%, 58% { opacity: 1 } 60%, 100% { opacity: 0 } }
@keyframes late { 0%, 5% { opacity: 0 } 7%, 100% { opacity: 1 } }
@keyframes then { 0%, 58% { opacity: 0 } 60%, 98% { opacity: 1 } 100% { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { .first, .then, .late { animation: none } }
""".strip()


def frames() -> list[tuple[str, list[str]]]:
    """Return the two answers, each as the last line of its code and the lines that the check says."""
    exercise = find(NAME)
    answer = answer_in(exercise.chapter, NAME)
    mistake = next(m for m in exercise.mistakes if m.id == MISTAKE)
    title, found = f"{exercise.number} {NAME}", []
    for text in (answer.edited(mistake.edits[0]), answer.text):
        said = repr(note(title, exercise, verdict_on(exercise, answer.run(text))))
        found.append((text.rstrip().rpartition("\n")[2], said.split("\n")))
    return found


def text(words: str, y: int, kind: str = "", x: int = LEFT) -> str:
    """Return a line of text at a height."""
    return f'<text x="{x}" y="{y}" class="{kind}">{html.escape(words, quote=False)}</text>'


def said_at(lines: list[str], y: int, color: str) -> str:
    """Return what a check says as the box that a notebook shows, with its top at y."""
    title, sentence = lines[0].split(" – ", 1)
    drawn = [text(title, y + 20, "said b", LEFT + 14), text(sentence, y + 20 + LINE, "said", LEFT + 14)]
    drawn += [text(line, y + 26 + LINE * i, x=LEFT + 14) for i, line in enumerate(lines[1:], start=2) if line]
    height = LINE * (len(lines) + 1) + 12
    return f'<rect x="{LEFT}" y="{y}" width="5" height="{height}" class="{color}"/>{"".join(drawn)}'


def svg() -> str:
    """Return the picture."""
    (wrong, no), (right, yes) = frames()
    top = 44 + 4 * LINE
    height = top + LINE * (len(no) + 1) + 30
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>A check names a mistake, and then accepts the mended answer</title>
<style>{STYLE}</style>
<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" class="card"/>
<rect x="12" y="12" width="{WIDTH - 24}" height="{top - 28}" rx="6" class="code"/>
{text(f"def {NAME}(T, S, device=None):", 38)}
<g class="first">{text(wrong, 38 + LINE)}</g><g class="then">{text(right, 38 + LINE)}</g>
{text(f"{NAME} = check({NAME})", 38 + 3 * LINE)}
<g class="first"><g class="late">{said_at(no, top, "wrong")}</g></g>
<g class="then">{said_at(yes, top, "right")}</g>
</svg>
"""


if __name__ == "__main__":
    Path(__file__).with_name("check.svg").write_text(svg(), "utf-8")
