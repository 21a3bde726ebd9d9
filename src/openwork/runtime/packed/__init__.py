"""Packed files: a network placed and packed for one instruction set, which runs where it lies."""
