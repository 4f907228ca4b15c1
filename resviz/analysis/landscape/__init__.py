"""`loss_landscape`: the loss around a network's weights."""
