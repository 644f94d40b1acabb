"""What a judge can be fooled by: pairs whose right verdict is known by construction, and tricks with a price.

Everything here is pure, and follows from texts and stable hashes alone: one module for each family of probes, `plan`
for what is asked in all, `tricks` for how outputs are dressed up on a board. Asking and measuring are done elsewhere.
"""

from simfarm.judges.probes.plan import PROBES, Plan, Probe, planned
from simfarm.judges.probes.tricks import TRICKS

__all__ = ["PROBES", "TRICKS", "Plan", "Probe", "planned"]
