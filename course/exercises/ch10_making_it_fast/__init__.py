"""The exercises of chapter 10: what a machine can do, weights in one byte, and guesses that are checked."""
