"""Models on this machine, whichever engine runs them: their files, their chat templates, their thread."""
