"""The cases of `make bench`, and how they are measured and written down."""
