"""The exercises of chapter 3: scores, masks, softmax, heads, and the module that joins them."""
