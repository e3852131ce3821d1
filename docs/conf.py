"""Settings of Sphinx: `make docs` builds the site into build/docs, without a network."""

import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # tests.test_public_names, and site_tools

from site_tools.public import class_paths  # noqa: E402 - from the path above

project = "throughtime"
author = "the throughtime developers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_design",
    "sphinx_copybutton",
    "site_tools.reference",
    "site_tools.code_links",
    "site_tools.hints",
    "site_tools.links",
    "site_tools.live",
    "site_tools.mathml",
    "site_tools.repository_links",
]
exclude_patterns = ["requirements.txt"]
nitpicky = True
nitpick_ignore = [("py:class", "Path")]  # in annotations of which another part is imported for types alone
default_role = "py:obj"  # `name` in a docstring is a link

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    **{name: name for name in DEFAULT_LINKS},  # int, str and others are not links
    **class_paths(),
    "Tensor": "torch.Tensor",
    "Module": "torch.nn.Module",
}

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "throughtime"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_show_copyright = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
