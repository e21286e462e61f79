"""The exercises of chapter 6: temperature, top-k, top-p, their order, and the loop that writes."""
