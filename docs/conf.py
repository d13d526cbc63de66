"""The site: `sphinx-build -W -n docs docs/_build/html`; pages that are written by scripts lie in docs/_written."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_scripts"), str(HERE.parent)]
# Code blocks and examples run in processes of their own, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))

import api_pages  # noqa: E402
import asv_pages  # noqa: E402
import command_pages  # noqa: E402
import gallery_pages  # noqa: E402

import fastbp  # noqa: E402

project, author = "fastbp", "The fastbp developers"
copyright = "the fastbp developers"
version = release = fastbp.__version__

extensions = [
    "mathml",
    "myst_parser",
    "runpages",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_scripts", "_written/examples", "_written/commands.md", "_written/extra"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "fastbp"
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_math_renderer = "mathml"

autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
toc_object_entries_show_parents = "hide"
# Pages that have no others beside them.
html_sidebars = {
    name: [] for name in ("index", "get_started", "how_it_works", "benchmarks", "whats_new", "contributing", "citing")
}
# `Sequential` in single backticks is a link where there is such a name, else in italics.
default_role = "autolink"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!fastbp\.[A-Z]).*")]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "substitution"]
myst_substitutions = {"asv_pages": asv_pages.publish()}
html_extra_path = ["_written/extra"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
doctest_global_setup = "import warnings; warnings.simplefilter('error')"
suppress_warnings = ["config.cache"]
# scikit-learn writes these methods, whose docstrings point into its own site.
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_score_request, set_partial_fit_request, get_metadata_routing"
}

sphinx_gallery_conf = gallery_pages.configuration()


def setup(app):
    """Write the pages that come from the package and its examples before Sphinx looks for pages."""
    api_pages.write(HERE / "_written" / "api")
    command_pages.write(HERE / "_written" / "commands.md")
