"""Maps over the input: one engine, methods as functions, and the record of an explanation."""
