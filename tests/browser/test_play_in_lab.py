"""The explorables in JupyterLab, with the keyboard alone; the kernel answers."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    "from course.play import attention, cache, loop, neighbors, stream, tokenizer_box\n"
    "from gpt2lib import Sampler, Tokenizer, from_pretrained\n"
    'model, tokenizer = from_pretrained("tales")',
    'loop(model, tokenizer, "Once upon a", temperature=0.8)',
    'tokenizer_box({"GPT-2": Tokenizer.gpt2(), "tales": tokenizer})',
    "neighbors(model, tokenizer)",
    "attention(model, tokenizer)",
    "stream(model, tokenizer)",
    "cache(model, tokenizer)",
    "class Broken(Sampler):\n"
    "    def distribution(self, logits):\n"
    "        if self.temperature != 1:\n"
    '            raise RuntimeError("mine")\n'
    "        return super().distribution(logits)\n\n\n"
    "loop(model, tokenizer, sampler=Broken)",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with one notebook, demo.ipynb."""
    pytest.importorskip("anywidget")
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "demo.ipynb"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    own = tmp_path_factory.mktemp("settings")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(own)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            time.sleep(0.5)
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}/lab/tree/demo.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def notebook(browser, lab):
    """The notebook after Run All Cells."""
    with contextlib.closing(browser.new_page(viewport={"width": 1280, "height": 4000})) as page:
        page.goto(lab)
        page.wait_for_selector(".jp-CodeCell", timeout=60000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60000)
        page.keyboard.press("Escape")
        page.locator(".lm-MenuBar-itemLabel:text-is('Run')").click()
        page.locator(".lm-Menu-itemLabel:text-is('Run All Cells')").click()
        page.wait_for_function("document.querySelectorAll('section.play').length === 7", timeout=120000)
        yield page


def box(notebook, title: str):
    found = notebook.locator(f"section.play[aria-label='{title}']").first
    found.scroll_into_view_if_needed()
    return found


def until(holds, seconds: float = 20) -> None:
    """Wait until holds() is true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def test_the_loop_by_keys(notebook):
    loop = box(notebook, "The loop.")
    text = loop.get_by_label("The text so far")
    loop.locator(".play-bar").first.focus()
    notebook.keyboard.press("Enter")
    until(lambda: text.input_value() == "Once upon a time")
    loop.get_by_label("temperature").focus()
    for _ in range(20):
        notebook.keyboard.press("ArrowLeft")
    until(lambda: loop.locator(".play-hollow").count() == 9)
    text.focus()
    notebook.keyboard.type("abdx")  # letters are commands in a notebook: none of them may arrive there
    until(lambda: text.input_value().startswith("Once upon a time") and "abdx" in text.input_value())
    loop.get_by_role("button", name="Start over").focus()
    notebook.keyboard.press("b")
    assert notebook.locator(".jp-CodeCell").count() == len(CELLS)
    notebook.keyboard.press("Space")
    until(lambda: text.input_value() == "Once upon a")
    loop.get_by_role("button", name="Write on").focus()
    notebook.keyboard.press("Space")
    until(lambda: len(text.input_value()) > 40, 60)
    notebook.keyboard.press("Space")


def test_the_others_by_keys(notebook):
    attention = box(notebook, "Attention.")
    attention.locator("input:checked").focus()
    said = attention.locator(".play-status")
    notebook.keyboard.press("ArrowLeft")
    until(lambda: said.inner_text().startswith("␣had takes"))
    stream = box(notebook, "The stream.")  # its tokens are a group of their own
    chosen = int(stream.locator("input:checked").input_value())
    stream.locator("input:checked").focus()
    notebook.keyboard.press("ArrowLeft")
    until(lambda: int(stream.locator("input:checked").input_value()) == chosen - 1)
    assert attention.locator("input:checked").count() == 1
    tokens = box(notebook, "The tokenizer.")
    tokens.locator("[data-side='1'] input").first.focus()
    notebook.keyboard.press("Space")
    until(lambda: tokens.locator(".play-tree").count() == 1)
    neighbors = box(notebook, "Neighbors.")
    neighbors.get_by_label("A token").fill(" fox")
    until(lambda: "␣fox" in neighbors.locator(".play-status").first.inner_text())
    cache = box(notebook, "The cache.")
    cache.get_by_label("step").focus()
    notebook.keyboard.press("Home")
    until(lambda: cache.locator(".play-old").count() == 0)


def test_the_learners_error_is_shown_in_the_picture(notebook):
    loop = notebook.locator("section.play[aria-label='The loop.']").last
    loop.scroll_into_view_if_needed()
    loop.get_by_label("temperature").focus()
    notebook.keyboard.press("ArrowLeft")
    until(lambda: loop.locator("[role=status]").inner_text() == "RuntimeError: mine")
    notebook.keyboard.press("ArrowRight")
    until(lambda: loop.locator("[role=status]").inner_text() == "")
