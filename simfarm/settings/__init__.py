"""Every option that a user can give, once: its name, its default, what it accepts, and how each face spells it.

The command line builds its options from this table, and Python checks its keywords by it: a wrong value is refused in
both, each in its own spelling.
"""

from simfarm.settings.refusals import (
    check,
    on_command_line,
    refuse,
    refuse_asking,
    refuse_empty,
    refuse_unasked,
    spelled,
    was_given,
)

__all__ = [
    "check",
    "on_command_line",
    "refuse",
    "refuse_asking",
    "refuse_empty",
    "refuse_unasked",
    "spelled",
    "was_given",
]
