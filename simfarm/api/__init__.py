"""The verbs as Python functions: files or tables in, DataFrames out."""
