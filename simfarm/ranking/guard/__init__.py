"""Models whose standing may not be their answers': one output for all, or outputs that address the judge."""
