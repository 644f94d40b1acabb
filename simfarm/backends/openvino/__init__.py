"""Models in this process on a CPU or an Intel GPU, through openvino-genai."""
