"""The check of the built site finds what is dead and what comes from a network; each public name has a page."""

import importlib
import importlib.util
from pathlib import Path

import fastbp
from tests.public_names import is_ours, public_values

SCRIPTS = Path(__file__).resolve().parents[1] / "docs" / "_scripts"
SCRIPT = SCRIPTS / "check_site.py"
GOOD = '<body id="a"><a href="other.html#b">x</a><a href="https://python.org">out</a><img src="p.svg"></body>'


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(folder, **pages):
    """Write pages of these names and return the faults."""
    module = script(SCRIPT)
    (folder / "p.svg").write_text("<svg/>")
    (folder / "other.html").write_text('<h1 id="b">b</h1>')
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return module.check(folder)


def test_a_good_site_has_no_faults(tmp_path):
    assert checked(tmp_path, index=GOOD) == []


def test_dead_links_and_anchors_are_named(tmp_path):
    faults = checked(tmp_path, index='<a href="no.html">x</a><a href="other.html#c">y</a><a href="#d">z</a>')
    assert faults == ["index.html: no file no.html", "index.html: no id #d", "index.html: no id other.html#c"]


def test_what_a_page_loads_from_a_network_is_named(tmp_path):
    (tmp_path / "style.css").write_text("@font-face { src: url(https://fonts.example/x.woff2) }")
    faults = checked(tmp_path, index='<script src="https://cdn.example/x.js"></script><img src="//cdn.example/y.png">')
    assert faults == [
        "index.html: loads //cdn.example/y.png",
        "index.html: loads https://cdn.example/x.js",
        "style.css: loads from a network",
    ]


def test_a_site_without_pages_is_a_fault(tmp_path):
    spec = importlib.util.spec_from_file_location("check_site", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.check(tmp_path)


def test_each_public_name_is_on_a_page_of_the_reference():
    pages = script(SCRIPTS / "api_pages.py")
    modules = [importlib.import_module(name) for name in pages.MODULES]
    listed = [getattr(module, name) for module in (*modules, fastbp) for name in module.__all__]
    shown = {value for value in listed if is_ours(value)}
    assert set(public_values().values()) <= shown
