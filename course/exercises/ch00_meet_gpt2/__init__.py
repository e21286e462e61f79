"""The exercises of chapter 0: a model that counts, the loop that writes, who may look at whom."""
