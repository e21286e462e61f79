"""The exercises of chapter 5: LayerNorm, the block, the stack, its size, its start, its checkpoint, its lens."""
