"""The built book, read as files: its pages, its pictures, its styles and its links.

GANVAE_BOOK_HTML names another built book to test, such as _build/html; test_browser.py looks at
the same pages in a browser.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import build_book
import pytest
import setup_cell
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
PAGES = build_book.toc_pages(ROOT)
LESSONS = [page for page in PAGES if page.startswith("notebooks/")]


def read(html, page):
    path = html / f"{page}.html"
    assert path.exists(), f"{page} is in _toc.yml, but the book has no {path.name}"
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def is_external(address):
    return urlsplit(address).scheme in ("http", "https") or address.startswith("//")


@pytest.mark.parametrize("page", PAGES)
def test_page(book_html, page):
    """The page exists; its pictures have alternative text; it takes nothing from elsewhere."""
    soup = read(book_html, page)
    assert soup.find("h1") is not None, f"{page} has no title"
    if page in LESSONS:
        assert soup.select('article img[src*="_images/"]'), f"{page} is a lesson without figures"
        assert not soup.select(".output.traceback"), f"{page} shows a traceback"
    for image in soup.find_all("img"):
        alt = (image.get("alt") or "").strip()
        assert alt, f"{page}: no alternative text for {image.get('src')}; set alt= on its cell"
        assert not re.search(r"\.(png|svg|jpe?g|webp|gif)$|_images/", alt), (
            f"{page}: the alternative text {alt!r} is a file's name"
        )
    resources = [tag["src"] for tag in soup.select("[src]")]
    resources += [
        tag["href"] for tag in soup.select("link[href]") if tag.get("rel") != ["canonical"]
    ]
    external = [address for address in resources if is_external(address)]
    assert not external, f"{page} takes from elsewhere: {external}"


@pytest.mark.parametrize("page", LESSONS)
def test_lesson_opens_in_colab_at_the_tag_that_its_set_up_cell_installs(book_html, page):
    links = {link["href"] for link in read(book_html, page).select("a[href*='colab.research']")}
    name = setup_cell.owner_and_name(setup_cell.REPOSITORY)
    address = f"https://colab.research.google.com/github/{name}/blob/{setup_cell.TAG}/{page}.ipynb"
    assert links == {address}


def test_styles_take_nothing_from_elsewhere(book_html):
    styles = list((book_html / "_static").rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text(encoding="utf-8")
        found = re.findall(r"""(?:url\(|@import)\s*['"]?\s*(?:https?:)?//[^)'";]+""", text)
        assert not found, f"{style.name}: {found}"


def test_internal_links_lead_somewhere(book_html):
    ids = {}
    broken = []
    for page in PAGES:
        here = (book_html / f"{page}.html").resolve()
        for link in read(book_html, page).select("a[href]"):
            parts = urlsplit(link["href"])
            if parts.scheme or parts.netloc:
                continue
            target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
            if not target.exists():
                broken.append(f"{page}: {link['href']}")
            elif parts.fragment and target.suffix == ".html":
                if target not in ids:
                    soup = BeautifulSoup(target.read_text(encoding="utf-8"), "html.parser")
                    ids[target] = {tag["id"] for tag in soup.select("[id]")}
                if unquote(parts.fragment) not in ids[target]:
                    broken.append(f"{page}: {link['href']}")
    assert not broken, "links that lead nowhere:\n" + "\n".join(broken)
