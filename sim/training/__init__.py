"""Training in fixed point: the network as integers, its golden model, and the loss on the host."""
