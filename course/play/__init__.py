"""Things to play with: each is a picture that answers when it is touched, and a text where nothing can be touched.

In a notebook, end a cell with one: `loop(model, tokenizer)`. The numbers come from the functions you pass, your own
where they pass their checks. On the website the same pictures are fed by `gpt2.js` and `answers.js`.
"""

from course.play.attention import attention
from course.play.cache import cache
from course.play.loop import loop
from course.play.neighbors import neighbors
from course.play.stream import stream
from course.play.tokenizer_box import tokenizer_box

__all__ = ["attention", "cache", "loop", "neighbors", "stream", "tokenizer_box"]
