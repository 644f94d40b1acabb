"""Text as it may be shown, and texts that try to be something else: the room under all others."""
