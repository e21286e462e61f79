"""The course in the JupyterLab of `make lab`: every chapter runs to its end, an exercise goes from wrong to kept."""

import contextlib
import re
import shutil
import time

import making_lab
import pytest

from course.build import dumps, without_outputs
from course.exercise import bases, find
from course.source import ROOT, chapters, code_cells, read

COPIED = ("course", "gpt2lib", "notebooks", "solutions", "Makefile", "pyproject.toml", "constraints.txt")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A copy of the course without outputs in its notebooks, and the address of its JupyterLab."""
    home, folder = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("venv")
    for name in COPIED:
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, home / name)
    for path in (home / "notebooks").glob("*.ipynb"):
        path.write_text(dumps(without_outputs(read(path))), "utf-8")
    own = {"PYTHONPATH": str(home), "JUPYTER_CONFIG_DIR": str(folder), "IPYTHONDIR": str(folder)}
    with making_lab.lab(home, folder, **own) as address:
        yield home, address


@contextlib.contextmanager
def opened(browser, address, chapter):
    """Yield a page with a chapter whose kernel is idle; end the kernel after it."""
    base, token = re.fullmatch(r"(.+)/lab/tree/.+\?token=(\w+)", address).groups()
    with contextlib.closing(browser.new_page(viewport={"width": 1280, "height": 1600})) as page:
        page.goto(f"{base}/lab/tree/notebooks/{chapter}?token={token}&reset")  # no other tabs
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
        yield page
        sessions, key = f"{base}/api/sessions", {"Authorization": f"token {token}"}
        for session in page.request.get(sessions, headers=key).json():
            page.request.delete(f"{sessions}/{session['id']}", headers=key)


def choose(page, *menu):
    """Click through the menus."""
    page.locator(f".lm-MenuBar-itemLabel:text-is('{menu[0]}')").click()
    page.locator(f".lm-Menu-itemLabel:text-is('{menu[1]}')").click()


def saved(page, path):
    """Save the notebook; return it once it is on the disk."""
    before = path.stat().st_mtime_ns
    choose(page, "File", "Save Notebook")
    end = time.monotonic() + 60
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < end, f"{path.name} was not saved"
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    return read(path)


def failed(cell):
    """Return whether a cell ended with an error that isn't part of the lesson."""
    expected = "raises-exception" in cell.metadata.get("tags", [])
    return not expected and any(output.output_type == "error" for output in cell.outputs)


def after_its_run(page, path):
    """Return the code cells on the disk once the last one ran, or one failed.

    Only cells near the screen are in the page, and a folded cell shows no [*]: the file says how far it got.
    """
    end = time.monotonic() + 1800
    while True:
        page.wait_for_function(
            "![...document.querySelectorAll('.jp-InputPrompt')].some((p) => p.textContent.includes('*'))",
            timeout=1_800_000,
        )
        cells = code_cells(saved(page, path))
        if cells[-1].execution_count or any(map(failed, cells)) or time.monotonic() > end:
            return cells
        page.wait_for_timeout(2000)


@pytest.mark.parametrize("chapter", [path.name for path in chapters()])
def test_a_chapter_runs_to_its_end(browser, lab, chapter):
    home, address = lab
    with opened(browser, address, chapter) as page:
        choose(page, "Run", "Run All Cells")
        waiting = page.locator(".jp-InputPrompt", has_text="[*]")
        waiting.first.wait_for(state="attached", timeout=60_000)
        for cell in after_its_run(page, home / "notebooks" / chapter):
            assert cell.execution_count, f"it did not get to {cell.source[:200]!r}"
            assert not failed(cell), cell.source[:200]


def test_the_stored_answer_to_a_bet_shows_when_its_cell_is_run(browser, lab):
    home, address = lab
    shutil.copy(ROOT / "notebooks" / "00_meet_gpt2.ipynb", home / "notebooks" / "stored.ipynb")
    with opened(browser, address, "stored.ipynb") as page:
        cell = page.locator(".jp-CodeCell", has_text="def phone(").first
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        answer = cell.locator(".jp-OutputArea", has_text="the cat sat on the cat sat")
        answer.wait_for(state="hidden")
        assert cell.locator(".jp-OutputPlaceholder").inner_text().strip() == ""
        choose(page, "Run", "Run All Above Selected Cell")
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        answer.wait_for(timeout=120_000)


def test_an_exercise_is_typed_wrong_hinted_typed_right_and_kept(browser, lab):
    home, address = lab
    exercise = find("causal_mask")
    (right, *_) = bases(exercise.number, exercise.name, ())
    mistake = next(mistake for mistake in exercise.mistakes if mistake.id == "sees-one-too-many")
    call = "causal_mask = check(causal_mask)"
    with opened(browser, address, exercise.chapter.name) as page:
        cells = page.locator(".jp-CodeCell")
        gap, check = cells.filter(has_text="def causal_mask").first, cells.filter(has_text=call).first
        last = cells.nth(cells.count() - 1)  # running it adds another one

        def write(cell, text):
            cell.scroll_into_view_if_needed()
            cell.locator(".cm-content").click()
            page.keyboard.press("ControlOrMeta+A")
            page.keyboard.insert_text(text)
            page.keyboard.press("Shift+Enter")

        gap.scroll_into_view_if_needed()
        gap.locator(".cm-content").click()
        choose(page, "Run", "Run All Above Selected Cell")
        write(gap, right.edited(mistake.edits[0]))
        write(check, call)
        check.get_by_text("✗ 3.2 causal_mask").wait_for(timeout=120_000)
        assert "exactly one token too many" in check.inner_text()
        write(check, f'{call}\nhint("3.2")')
        check.get_by_text("hint 1 of 3").wait_for(timeout=60_000)
        write(gap, right.text)
        write(check, call)
        check.get_by_text("✓ 3.2 causal_mask").wait_for(timeout=60_000)
        saved(page, home / "notebooks" / exercise.chapter.name)
        write(last, "keep()\nprogress()")
        last.get_by_text("1 of 5 pieces yours").wait_for(timeout=120_000)
        assert last.get_by_role("link", name="3.2 causal_mask").inner_text() == "✓ 3.2"
    assert "Yours: causal_mask." in (home / "gpt2lib" / "attention.py").read_text("utf-8")
