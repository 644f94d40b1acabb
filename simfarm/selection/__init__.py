"""Choosing one of n samples, and what choosing buys at which distance."""
