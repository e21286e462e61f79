"""What the explorables share: a text form, and a widget whose questions the kernel answers."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from course.build import WIDGET

FOLDER = Path(__file__).resolve().parent
MISSING = "To play with this, install anywidget: pip install anywidget, then restart the kernel. Here it is as text."


def script(*names: str) -> str:
    """Return modules of this folder as one: `names` in an order in which each follows what it imports."""
    texts = ((FOLDER / f"{name}.js").read_text("utf-8") for name in names)
    joined = (re.sub(r"^import [^;]*;\n|^export (?=\w)", "", text, flags=re.M) for text in texts)
    return "\n".join(joined)


def style() -> str:
    """Return the style sheet that all explorables share."""
    return (FOLDER / "play.css").read_text("utf-8")


class Explorable:
    """A picture to play with: `name` is that of its JavaScript module and of the function in it.

    questions maps the name of each question that the picture may ask to the function that answers it;
    what goes in and out are names with numbers, texts and lists. The answer to the first question
    with these details is drawn at once, and in_words puts it in words.
    """

    def __init__(self, name: str, questions: dict[str, Callable], in_words: Callable[[dict], str], **details):
        self.name, self.questions, self.details = name, questions, details
        self.first = next(iter(questions.values()))(**details)
        self.text = in_words(self.first)

    def __repr__(self) -> str:
        return self.text

    def answer(self, message: dict) -> dict:
        """Return the answer to a message `{"id", "question", "details"}` of the picture, under the same id."""
        try:
            found = self.questions[message["question"]](**message["details"])
            return {"id": message["id"], "answer": found}
        except Exception as error:  # the learner's code may fail in any way; the picture says how
            return {"id": message["id"], "error": f"{type(error).__name__}: {error}"}

    def widget(self):
        """Return the picture as a widget. Raises ImportError where anywidget is not installed."""
        import anywidget
        import traitlets

        class Widget(anywidget.AnyWidget):
            _esm = (
                script("kit", self.name)
                + "\nexport default { render({ model, el }) { "
                + f"{self.name}(el, kernel(model), model.get('start')); }} }};\n"
            )
            _css = style()
            start = traitlets.Dict().tag(sync=True)

        widget = Widget(start={**self.details, "first": self.first})
        widget.on_msg(lambda widget, message, _: widget.send(self.answer(message)))
        return widget

    def _repr_mimebundle_(self, **_) -> dict | tuple:
        try:
            shown = self.widget()._repr_mimebundle_()
        except ImportError:
            if not Explorable.told:
                print(MISSING, file=sys.stderr)
            Explorable.told = True
            return {"text/plain": self.text}
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {WIDGET: data[WIDGET], "text/plain": self.text}, metadata

    told = False  # whether this kernel has said that anywidget is missing


def visible(text: str) -> str:
    """Return a token's text with what can't be seen made visible: spaces, ends of lines, halves of letters."""
    return text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


def written(symbol: bytes) -> str:
    """Return how bytes are written in a picture: as text if they are whole letters, as hexadecimal numbers if not."""
    try:
        return visible(symbol.decode("utf-8"))
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in symbol)


def named(tokenizer, ids) -> list[dict]:
    """Return tokens as the pictures take them: `{"id", "label"}`."""
    return [{"id": token, "label": written(tokenizer.symbols[token])} for token in ids]


def bar(share: float, width: int = 24) -> str:
    """Return a share between 0 and 1 as a bar of blocks."""
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else " ▏▎▍▌▋▊▉"[eighths % 8])
