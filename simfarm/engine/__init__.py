"""One request, done well: stored, limited, retried, paid for once."""
