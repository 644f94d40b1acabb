"""Methods that ask a model in several steps, each of which depends on what the one before has found."""
