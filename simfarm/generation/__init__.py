"""Candidate outputs: making them, choosing one of n samples, and what choosing buys at which distance."""
