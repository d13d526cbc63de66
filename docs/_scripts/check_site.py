"""Check a built site: `python docs/_scripts/check_site.py docs/_build/html`.

Every link inside the site leads to a file and, after "#", to an element with this id; nothing that a page loads comes
from a network.  What is wrong is printed, and the exit code is 1.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches to show a page, by the attribute that names it.  A link alone is fetched by whoever clicks it.
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("video", "src"),
    ("object", "data"),
    ("image", "href"),
    ("use", "href"),
}
# Hints of where a page stands: nothing is fetched.
NOT_FETCHED = {"canonical", "next", "prev", "author", "license", "search", "index", "genindex"}


class Page(HTMLParser):
    """The ids of a page, where its links lead, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.loads, self.styles = path, {"", "top"}, [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        self.styles.append(values.get("style") or "")
        for key, value in values.items():
            if not value:
                continue
            if (tag, key) in LOADED and values.get("rel") not in NOT_FETCHED:
                self.loads.append(value)
            if key in ("href", "src"):
                self.links.append(value)


def check(site):
    """Return the faults of a site, a line each."""
    # Below _static the theme keeps a template, which is no page; asv's pages are asv's.
    found = [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] not in ("_static", "asv")]
    pages = {path: Page(path) for path in found}
    faults = [f"{site}: there is no page"] if not pages else []
    for path, page in pages.items():
        here = path.relative_to(site)
        faults += [f"{here}: loads {address}" for address in page.loads if _is_remote(address)]
        faults += [f"{here}: {why}" for link in page.links if (why := _dead(link, path, pages))]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        if any(mark in text for mark in ("url(http", "url(//", 'url("http', "url('http", '@import "http')):
            faults.append(f"{sheet.relative_to(site)}: loads from a network")
    return sorted(set(faults))


def _is_remote(address):
    return urlsplit(address).scheme in ("http", "https") or address.startswith("//")


def _dead(link, path, pages):
    """Return why a link leads nowhere, or None."""
    parts = urlsplit(link)
    if parts.scheme or link.startswith("//"):
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return f"no file {link}"
    if target in pages and unquote(parts.fragment) not in pages[target].ids:
        return f"no id {link}"
    return None


def main():
    """Print the faults of the site that the command line names."""
    site = Path(sys.argv[1]).resolve()
    faults = check(site)
    print("\n".join(faults) or f"{site}: all links lead somewhere, nothing is loaded from a network")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
