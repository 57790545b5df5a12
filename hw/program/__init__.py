"""What programs of all accelerators have in common: slots, decoding, control."""
