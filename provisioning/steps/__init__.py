"""The steps that jobs are made of. Each is a function: look, act if it is not so already, say what came of it."""
