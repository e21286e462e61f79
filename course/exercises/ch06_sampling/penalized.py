"""6.6 Penalized: what is computed. What is said stands in penalized.md."""

import torch

from course.exercises.common import numbers

arguments = ("penalty", "logits of each step")


def cases():
    """The text's example; several texts; far below 0; no penalty; one so large that nothing comes twice."""
    return [
        (1.0, [torch.tensor([[2.0, 1.5, 0.0]])] * 3),
        (0.5, [numbers(3, 6)] * 5),
        (0.7, [0.3 * numbers(2, 5, seed=i) - 120 for i in range(6)]),
        (0.0, [numbers(2, 4, seed=1)] * 3),
        (100.0, [numbers(2, 4, seed=2)] * 4),
        (1.5, [2 * numbers(4, 9, seed=i) for i in range(3, 8)]),
    ]


def run(answer, penalty, steps):
    """Return the drawn tokens, the logits that they were drawn from, and whether those that came in are unchanged."""
    lowered = []

    def draw(logits):
        lowered.append(logits.clone())
        return logits.argmax(-1)

    sampler = answer(draw, penalty)
    coming = [logits.clone() for logits in steps]
    drawn = [sampler(logits) for logits in coming]
    unchanged = all(torch.equal(a, b) for a, b in zip(coming, steps))
    return {"drawn": drawn, "logits drawn from": lowered, "logits unchanged": unchanged}


# counts in a tensor; a list of what was drawn; one row of an identity matrix for each token; text by text
styles = [
    """
    if isinstance(self.counts, int):
        self.counts = torch.zeros_like(logits)
    new = self.sampler(logits - self.counts * self.penalty)
    self.counts = self.counts.scatter_add(1, new[:, None], torch.ones_like(logits[:, :1]))
    return new
    """,
    """
    self.counts = self.counts or []
    lowered = logits.clone()
    for earlier in self.counts:
        lowered[torch.arange(len(logits)), earlier] -= self.penalty
    new = self.sampler(lowered)
    self.counts = [*self.counts, new]
    return new
    """,
    """
    new = self.sampler(logits - self.penalty * self.counts)
    self.counts = torch.eye(logits.shape[-1])[new] + self.counts
    return new
    """,
    """
    if not isinstance(self.counts, list):
        self.counts = [[0] * logits.shape[-1] for _ in logits]
    new = self.sampler(logits - self.penalty * torch.tensor(self.counts))
    for counts, token in zip(self.counts, new.tolist()):
        counts[token] += 1
    return new
    """,
]
