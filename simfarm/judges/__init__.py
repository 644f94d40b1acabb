"""What a judge is: a spec on disk, the prompt it sends, and how a reply becomes a verdict.

Everything here is pure: no network, no clock, no randomness that is not a stable hash. Jinja2 and YAML are imported
only when a judge that needs them is loaded.
"""

from simfarm.judges.files import list_judges, list_populations, load_judge, load_one, load_panel
from simfarm.judges.panel import Panel
from simfarm.judges.population import Population
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = [
    "Judge",
    "Panel",
    "Population",
    "Verdict",
    "list_judges",
    "list_populations",
    "load_judge",
    "load_one",
    "load_panel",
]
