"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

from pycuda_guard import __version__

project = "pycuda_guard"
author = "The pycuda_guard developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "commands", "rule_pages"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"pycuda_guard {__version__}"
html_copy_source = False

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
