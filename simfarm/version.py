"""Which simfarm this is: what files, stores and reports say that made them."""

__all__ = ["__version__"]

__version__ = "0.1.0"
