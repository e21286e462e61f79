"""The exercises of chapter 8: the loss, batches, bits, the optimizer's groups, the schedule, accumulation."""
