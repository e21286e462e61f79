"""10.2 tokens_per_second: what is computed. What is said stands in tokens_per_second.md."""

import torch


def cases():
    """The example, a few bytes and not a whole number of them, more cache than weights, and real sizes."""
    return [
        (100_000_000, 2, 50_000_000, 10e9),
        (3, 0.5, 1, 9.0),
        (1_000_000, 2, 8_000_000, 25e6),
        (123_653_376, 4, 9_437_184, 40e9),
        (123_653_376, 1, 75_497_472, 40e9),
        (1_500_000_000, 0.5, 0, 900e9),
    ]


def by_seconds(weights, bytes_per_weight, cache_bytes, bandwidth):
    seconds = weights * bytes_per_weight / bandwidth + cache_bytes / bandwidth
    return 1 / seconds


def by_counting(weights, bytes_per_weight, cache_bytes, bandwidth):
    fetched = cache_bytes
    fetched += bytes_per_weight * weights
    return bandwidth * fetched**-1


def by_tensor(weights, bytes_per_weight, cache_bytes, bandwidth):
    fetched = torch.tensor([float(weights), float(cache_bytes)], dtype=torch.float64)
    return (bandwidth / fetched.dot(torch.tensor([float(bytes_per_weight), 1.0], dtype=torch.float64))).item()


styles = [by_seconds, by_counting, by_tensor]
