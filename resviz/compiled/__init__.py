"""What is computed in C, in one pass over float32 numbers, where this machine has a compiler."""
