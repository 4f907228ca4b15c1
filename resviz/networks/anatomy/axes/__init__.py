"""Which axis of a tensor is which: channels, positions, images; carried along the dataflow."""
