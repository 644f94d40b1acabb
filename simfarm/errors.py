"""Errors a user meets: each message is one line that says what to do next.

A handful of classes, told apart by what the command line must do with them: the exit status is part of the
contract (0 done, 1 a failure of ours, 2 bad input, 3 stopped by budget, 4 finished with verdicts missing).
"""

__all__ = ["BudgetError", "InputError", "ProviderError", "SimfarmError", "SimfarmWarning"]


class SimfarmError(Exception):
    """Anything simfarm refuses or cannot do; the message names the remedy."""

    exit_code = 1


class SimfarmWarning(UserWarning):
    """What a reader of the result must know: a judge that reads no meaning, rows missing, a flagged model."""


class InputError(SimfarmError):
    """A file, an option, a judge or a key that cannot be used as it is (exit status 2)."""

    exit_code = 2


class ProviderError(SimfarmError):
    """The provider refuses every call (no such model, key rejected): going on would only repeat it (exit status 2)."""

    exit_code = 2


class BudgetError(SimfarmError):
    """The next call could exceed the budget (exit status 3)."""

    exit_code = 3
