"""What kinds of question a judge can ask, each as pure functions: calls of a record, messages, parse, preference."""
