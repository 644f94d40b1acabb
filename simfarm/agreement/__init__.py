"""Judges against people and each other: what they agree on, what moves them, how far they can be trusted."""
