"""The world in miniature: fake providers and names, used by the sandbox, tests and bench."""
