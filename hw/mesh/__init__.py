"""The network between nodes: a two-dimensional mesh of wormhole routers and links."""
