"""Studies of one or several networks, over recorded passes."""
