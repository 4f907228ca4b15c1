"""Data to figures and widgets; nothing here runs a network or sets a hook."""
