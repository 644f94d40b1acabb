"""Models in this process on a GPU, through vLLM."""
