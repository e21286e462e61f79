"""A real browser for the tests here, and a server that shows it the repository. Without a browser they are skipped."""

import contextlib
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


def program() -> str | None:
    """Return where a browser is: the path in $BROWSER_PROGRAM, or one of the usual names."""
    if path := os.environ.get("BROWSER_PROGRAM"):
        return path
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="session")
def browser():
    """Chromium, as it is installed here or as Playwright brought it."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='the tests in a browser need Playwright: pip install -e ".[browser]"'
    )
    with playwright.sync_playwright() as driver:
        sandbox = [] if hasattr(os, "geteuid") and os.geteuid() else ["--no-sandbox"]  # root has none
        try:
            browser = driver.chromium.launch(executable_path=program(), args=[*QUIET, *sandbox])
        except playwright.Error as error:
            pytest.skip(
                "no browser here (apt-get install chromium, or python -m playwright install chromium): "
                + str(error).partition("\n")[0]
            )
        with contextlib.closing(browser):
            yield browser


class Handler(SimpleHTTPRequestHandler):
    """Serve files as they are, without a line for each."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="session")
def server():
    """The address under which the repository is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=ROOT)) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture(scope="module")
def page(browser, server):
    """An empty page of that server. A script's error that nobody catches fails the test that opened it."""
    errors = []
    with contextlib.closing(browser.new_page()) as page:
        page.on("pageerror", lambda error: errors.append(error))
        page.route(
            "**/empty.html", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>")
        )
        page.goto(f"{server}/empty.html")
        yield page
    assert not errors
