"""A network changed for a while, and copies of it without shortcuts."""
