"""The exercises of chapter 4: GELU, the MLP, its parameters and its neurons."""
