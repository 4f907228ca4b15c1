"""The Ray engine: Ray Data on the user's cluster; images are read in tasks, the network is actors.

From floor to roof: pieces (the work on one piece, in a process of the cluster), division (how much
of a cluster each process takes, and which images are a piece), connection (to Ray), engine.
"""
