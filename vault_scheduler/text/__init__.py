"""Text from outside, made harmless, masked, merged. Pure."""
