"""A core's way to memory for small FPGAs: one engine instead of a DMA for each unit."""
