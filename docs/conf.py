"""The site: these pages, the notebooks (executed as it is built), and the reference from the docstrings.

    python -m sphinx -W docs site

Nothing is fetched while it is built, and a reader's browser fetches nothing from a third party.
"""

import re
from pathlib import Path
from typing import Any

from simfarm.version import __version__

# Sphinx reads what lies under its own folder; a link, not a copy: the notebooks name files beside theirs
NOTEBOOKS = Path(__file__).parent / "notebooks"
if not NOTEBOOKS.exists():
    NOTEBOOKS.symlink_to(Path("..", "notebooks"), target_is_directory=True)

project = "simfarm"
release = __version__
author = project_copyright = "the simfarm authors"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["**/.ipynb_checkpoints"]

html_theme = "furo"
html_title = f"simfarm {release}"
html_static_path = []
html_copy_source = False

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_ipywidgets_js = {}

# docstrings write `names` in one backtick, as Markdown does
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88


def setup(app: Any) -> None:
    """Signatures of dataclasses as their source has them, without the marks that Sphinx would resolve elsewhere."""

    def plain(_app: Any, _what: str, _name: str, _object: Any, _options: Any, signature: str, returns: str) -> Any:
        named = re.sub(r"~(?:\w+\.)+", "", signature) if signature else signature
        return named and named.replace("=<factory>", " = …"), returns

    app.connect("autodoc-process-signature", plain)
