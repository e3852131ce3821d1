"""Make the Sphinx extensions of the site importable; those that the tests use need no Sphinx."""

import sys

from tests.docs.pages import DOCS

sys.path.append(str(DOCS))
