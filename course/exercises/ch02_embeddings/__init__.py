"""The exercises of chapter 2: looking vectors up, comparing them, and the way back."""
