"""The built book in Chromium, from file:// and without a network: mathematics, pictures, search.

Where Chromium is missing, this file is skipped with one line; in CI it fails. GANVAE_BOOK_HTML
names another built book to test, such as _build/html.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import build_book
import pytest
from bs4 import BeautifulSoup

NO_CHROMIUM = (
    "the browser tests need Chromium: 'sudo make system-packages' on Debian or Ubuntu, "
    "else put a chromium or google-chrome on PATH"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
RAW_TEX = r"""() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest('pre, code, script, style, mjx-container')) continue;
    const found = node.data.match(/\\\(|\\\[|\$\$|\$[^$\s][^$]*\$/);
    if (found) raw.push(node.data.trim().slice(0, 80));
  }
  return raw;
}"""
MATHEMATICS = """() => {
  const formulas = [...document.querySelectorAll('.math')];
  return {
    count: formulas.length,
    typeset: formulas.filter(f => f.querySelector('mjx-container svg')).length,
    errors: [...(window.MathJax?.startup?.document?.math ?? [])]
      .filter(item => item.typesetRoot?.querySelector(
        '[data-mjx-error], [data-mml-node="merror"], mjx-merror, [fill="red"], [style*="red"]'))
      .map(item => item.math),
  };
}"""
WINDOW = {"width": 1280, "height": 900}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for found in map(shutil.which, NAMES) if found), None)
if PROGRAM is None and not os.environ.get("CI"):
    pytest.skip(NO_CHROMIUM, allow_module_level=True)

PAGES = build_book.toc_pages(Path(__file__).resolve().parent.parent)
LESSONS = [page for page in PAGES if page.startswith("notebooks/")]


@pytest.fixture(scope="module")
def browser():
    if PROGRAM is None:
        pytest.fail(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of the browser without a network, which notes each request and each error."""

    def __init__(self, browser, html):
        self.html = html
        self.context = browser.new_context(color_scheme="light", viewport=WINDOW)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.remote, self.errors = [], []
        self.page.on("request", self._on_request)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)

    def _on_request(self, request):
        if urlsplit(request.url).scheme not in ("file", "data", "blob"):
            self.remote.append(request.url)

    def _on_console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, name):
        self.page.goto((self.html / name).as_uri(), wait_until="load")
        self.page.evaluate("window.MathJax?.startup?.promise.then(() => null)")

    def assert_quiet(self):
        assert not self.remote, f"asked for something from elsewhere: {self.remote}"
        assert not self.errors, f"errors in the browser's console: {self.errors}"


@pytest.fixture
def tab(browser, book_html):
    tab = Tab(browser, book_html)
    yield tab
    tab.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_in_browser(tab, page):
    """Offline, from file://: all formulas typeset, none in error, all pictures there, no errors."""
    tab.open(f"{page}.html")
    mathematics = tab.page.evaluate(MATHEMATICS)
    assert not mathematics["errors"], f"formulas with errors: {mathematics['errors']}"
    assert mathematics["typeset"] == mathematics["count"]
    raw = tab.page.evaluate(RAW_TEX)
    assert not raw, f"TeX that was not typeset: {raw}"
    broken = tab.page.evaluate(
        """() => {
          const images = [...document.images];
          for (const image of images) image.loading = 'eager';
          return Promise.all(images.map(image => image.decode().then(() => null, () => image.src)))
            .then(all => all.filter(source => source !== null));
        }"""
    )
    assert not broken, f"pictures that do not show: {broken}"
    tab.assert_quiet()


def test_index_leads_to_the_first_page(tab):
    tab.page.goto((tab.html / "index.html").as_uri(), wait_until="commit")
    tab.page.wait_for_url(f"**/{PAGES[0]}.html")
    tab.assert_quiet()


def test_search(tab):
    """A word of the last lesson's title, typed into the search page, finds that lesson."""
    page = (LESSONS or PAGES)[-1]
    html = (tab.html / f"{page}.html").read_text(encoding="utf-8")
    title = BeautifulSoup(html, "html.parser").find("h1").get_text()
    word = max(re.findall(r"[A-Za-z]+", title), key=len)
    tab.open("search.html")
    field = tab.page.locator('input[name="q"]:visible').first
    field.fill(word)
    field.press("Enter")
    # the results come one after the other, so wait for this one
    tab.page.locator(f'#search-results li a[href*="{page}.html"]').first.wait_for()
    tab.assert_quiet()


def test_dark_theme(tab):
    """The switch gives a dark page on which the figures keep a light ground."""
    page = (LESSONS or PAGES)[0]
    tab.open(f"{page}.html")
    for _ in range(4):
        if tab.page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        tab.page.locator(".theme-switch-button:visible").first.click()
    brightness = """(element) => {
      const colors = getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number);
      return colors.length === 4 && colors[3] === 0 ? null : Math.max(...colors.slice(0, 3));
    }"""
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.page.locator("body").evaluate(brightness) < 60
    for figure in tab.page.locator('article .cell_output img[src*="_images/"]').all():
        assert figure.evaluate(brightness) > 200
    tab.assert_quiet()
