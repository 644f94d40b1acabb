"""Many requests: annotation, generation and cluster runs, from checked options to rows in input order."""
