"""6.4 Sampler: what is computed. What is said stands in sampler.md."""

import torch

from course.exercises.common import numbers

arguments = ("logits", "settings")
tolerance = 1e-4


def cases():
    """Each setting by itself, then together, where the order shows; many tokens; far from 0; what is to be refused."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    settings = [
        {"top_k": 4},
        {"top_p": 0.7},
        {"temperature": 3.0, "top_p": 0.6},
        {"temperature": 0.4, "top_k": 3, "top_p": 0.8},
        {"top_k": 5, "top_p": 0.75},
        {"temperature": 0, "top_k": 5},
    ]
    refused = [{"top_k": 0}, {"top_p": 0.0}, {"temperature": -1.0}]
    return [
        (logits.clone(), {}),
        (logits.clone(), {"temperature": 0.5}),
        *[(2 * numbers(2, 12), each) for each in settings],
        (0.1 * numbers(2, 12, seed=3), {"top_k": 3, "top_p": 0.5}),
        (numbers(1, 60, seed=4), {"top_p": 0.9}),
        (numbers(2, 9, seed=5) - 120, {"temperature": 0.9}),
        (numbers(2, 9, seed=6) + 200, {}),
        *[(logits.clone(), each) for each in refused],
    ]


def run(answer, logits, settings):
    """Return the distribution and what each of its rows adds up to."""
    distribution = answer(**settings).distribution(logits)
    if not isinstance(distribution, torch.Tensor):
        return distribution
    return {"distribution": distribution, "sums": distribution.sum(-1)}


# top-k before the temperature, which changes no order; in float64; in one expression
styles = [
    """
    if self.top_k is not None:
        logits = keep_top_k(logits, self.top_k)
    logits = scale_temperature(logits, self.temperature)
    if self.top_p is not None:
        logits = keep_top_p(logits, self.top_p)
    return torch.softmax(logits, -1)
    """,
    """
    logits = scale_temperature(logits, self.temperature)
    k = logits.shape[-1] if self.top_k is None else self.top_k
    p = 1.0 if self.top_p is None else self.top_p
    e = keep_top_p(keep_top_k(logits, k), p).double()
    e = (e - e.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)
    """,
    """
    x = scale_temperature(logits, self.temperature)
    x = x if self.top_k is None else keep_top_k(x, self.top_k)
    return F.softmax(x if self.top_p is None else keep_top_p(x, self.top_p), dim=-1)
    """.replace("F.softmax", "torch.nn.functional.softmax"),
]
