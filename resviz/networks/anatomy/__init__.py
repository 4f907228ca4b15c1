"""What a network is made of, found by running it once."""
