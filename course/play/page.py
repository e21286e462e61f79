"""`python -m course page`: a model in one HTML file that works anywhere a browser does."""

import base64
import html
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import gpt2lib
from course.play.explorable import script, style
from course.source import CourseError
from gpt2lib.files import replacing

TEMPLATE = """<!doctype html>
<html lang="en" data-theme="auto">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 48rem; margin: 2rem auto; padding: 0 0.6rem; font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.6rem; margin: 0 0.4rem 0.4rem; }}
body > p {{ margin: 0.4rem; }}
{style}</style>
<h1>{title}</h1>
<p>A GPT-2 with {parameters} parameters lives in this file. It runs in your browser: nothing you type leaves this page.
Type a beginning, and see how it goes on.</p>
<main id="loop"><p role="status">Unpacking the model …</p></main>
<noscript><p>The model is JavaScript, which this browser does not run.</p></noscript>
<script type="application/json" id="texts">{texts}</script>
<script type="application/octet-stream" id="weights">{weights}</script>
<script type="module">
{script}
const $ = (id) => document.getElementById(id);
await new Promise((ready) => setTimeout(ready, 50)); // so that the page is painted first
try {{
  const {{ config, merges, start }} = JSON.parse($("texts").textContent);
  const binary = atob($("weights").textContent), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const [model, tokenizer] = from_files(config, merges, bytes.buffer);
  $("weights").remove();
  await loop($("loop"), here(loop_answers(model, tokenizer)), start);
}} catch (error) {{
  $("loop").textContent = `The model can't be read: ${{error.message}}`;
}}
</script>
</html>
"""


def page(model_dir: str | Path, out: Path, text: str = "Once upon a time") -> int:
    """Write one HTML file with a model in it; return its size in bytes.

    model_dir is what `from_pretrained` takes: a directory that `save_pretrained` wrote, or "tales". text is the
    beginning that stands there first. The weights go in as float16 where that holds their range. Raises
    CourseError if there is no model to be read or `out` can't be written.
    """
    try:
        model, tokenizer = gpt2lib.from_pretrained(model_dir)
    except (OSError, ValueError) as error:
        raise CourseError(f"{model_dir} can't be made a page: {error}") from error
    fits = all(weight.half().isfinite().all() for weight in model.parameters())
    with TemporaryDirectory() as folder:
        gpt2lib.save_pretrained(model, tokenizer, folder, dtype=torch.float16 if fits else torch.float32)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    start = {"text": text, "temperature": 0.8, "top_k": None, "top_p": 0.95}
    texts = {"config": files["config.json"].decode(), "merges": files["merges.txt"].decode(), "start": start}
    parameters = sum(weight.numel() for weight in model.parameters())
    written = TEMPLATE.format(
        title=html.escape(f"{Path(model_dir).resolve().name}, a GPT-2 in one file"),
        parameters=f"{parameters / 1e6:.1f} million" if parameters >= 1e6 else f"{parameters:,}",
        style=style(),
        texts=json.dumps(texts).replace("<", "\\u003c"),  # "</script" in a text would end the script
        weights=base64.b64encode(files["model.safetensors"]).decode(),
        script=script("gpt2", "kit", "answers", "loop"),
    )
    try:
        with replacing(out) as path:
            path.write_text(written, "utf-8")
    except OSError as error:
        raise CourseError(
            f"{out} can't be written: {error}; pass a file in a folder that is there"
        ) from error
    return out.stat().st_size
