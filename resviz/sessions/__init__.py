"""What a view may ask for while it is open: scenes of a network, kept; work that can be stopped."""
