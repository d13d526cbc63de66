"""Pages that run while the site is built: below a Python block comes what it printed and drew.

In a page of `FOLDERS` all blocks ```` ```python ```` share one namespace, as `tests/test_docs.py` runs them.  A block
```` ```{draw} module.function ```` is a picture alone: what a function of `docs/_scripts` returns.
Each figure is two SVG files, for the light and the dark theme; its label is its text for those who do not see it.
"""

import contextlib
import importlib
import io
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDERS = ("learn/", "how_it_works")
WRITTEN = Path(__file__).parents[1] / "_written" / "figures"
BLOCK = re.compile(r"^```(python|\{draw\} *(\S+))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STYLE = {"savefig.transparent": True, "legend.frameon": False, "svg.hashsalt": "fastbp", "font.size": 9}
# What matplotlib draws black, on a dark page.
LIGHT = "#ced6dd"


def run(app, docname, source):
    """Put the output of each block of a page below it."""
    if not docname.startswith(FOLDERS):
        return
    names, page = {}, Figures(docname)

    def told(block):
        _, function, code = block.groups()
        if function:
            module, _, name = function.rpartition(".")
            getattr(importlib.import_module(module), name)()
            return page.figures()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, docname, "exec"), names)
        output = f"\n\n```text\n{printed.getvalue().rstrip()}\n```" if printed.getvalue() else ""
        return block[0] + output + page.figures()

    with matplotlib.rc_context(STYLE):
        source[0] = BLOCK.sub(told, source[0])


class Figures:
    """The figures of a page, numbered."""

    def __init__(self, docname):
        self.stem, self.up, self.count = Path(docname).name, "../" * docname.count("/"), 0

    def figures(self):
        """Save what is open and return the Markdown that shows it."""
        text = "".join(self._saved(plt.figure(number)) for number in plt.get_fignums())
        plt.close("all")
        return text

    def _saved(self, figure):
        label = figure.get_label()
        if not label:
            raise ValueError(f"{self.stem}: a figure has no text for those who do not see it: plt.subplots(num=TEXT).")
        self.count += 1
        WRITTEN.mkdir(parents=True, exist_ok=True)
        light, text = WRITTEN / f"{self.stem}_{self.count}_light.svg", ""
        figure.savefig(light, bbox_inches="tight", metadata={"Date": None})
        dark = light.with_name(light.name.replace("light", "dark"))
        dark.write_text(_on_dark(light.read_text()))
        for path, theme in ((light, "light"), (dark, "dark")):
            address = f"{self.up}_written/figures/{path.name}"
            text += f"\n\n```{{image}} {address}\n:alt: {label}\n:class: only-{theme} figure\n```"
        return text


def _on_dark(svg):
    """Black lines, and text, which has no colour of its own, become light."""
    return svg.replace("#000000", LIGHT).replace("<svg ", f'<svg fill="{LIGHT}" ', 1)


def setup(app):
    app.connect("source-read", run)
    return {"parallel_read_safe": True}
