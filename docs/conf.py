"""The documentation site, which `make docs` builds with Sphinx.

The source folder is the root of the repository, so the links between Markdown files work here and there.
"""

import zerodce

project = "zerodce"
author = copyright = "The zerodce developers"
version = release = zerodce.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinxcontrib.mermaid"]
root_doc = "docs/index"
include_patterns = ["docs/**", "*.md", "zerodce/pretrained/MODEL_CARD.md"]
exclude_patterns = [".venv", "out", "docs/start", "docs/_static"]

# Markdown as GitHub reads it
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
highlight_language = "none"  # blocks that name no language hold commands, lists or drawings

# docstrings: names stand in single backticks
default_role = "code"
smartquotes = False  # "auto" is a value
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the attributes of a class are one list

mermaid_height = "860px"
mermaid_fullscreen = False

html_theme = "furo"
html_title = f"zerodce {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["start"]  # index.html, which leads to the root document
html_copy_source = False
html_show_sphinx = False


def leave_out_empty_defaults(app, context, lines):
    """Removes the default of an option that may be given any number of times: it would be an empty literal."""
    lines[:] = [line for line in lines if line.strip() != ":default: ````"]


def setup(app):
    """Connects the change of the command page."""
    app.connect("sphinx-click-process-options", leave_out_empty_defaults)
