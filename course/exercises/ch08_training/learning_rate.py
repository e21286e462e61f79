"""8.5 learning_rate: what is computed. What is said stands in learning_rate.md."""

import math

import torch

from course.exercise import Mistake

arguments = ("step", "peak", "total_steps", "warmup_steps", "floor")


def cases():
    """Steps along the example's run; then without warm-up; then a run that is all warm-up."""
    return (
        [(step, 1.0, 110, 10, 0.1) for step in (60, 0, 4, 9, 10, 35, 109, 110, 111, 160, 210, 500)]
        + [(step, 0.006, 40, 0, 0.001) for step in (0, 10, 40, 41)]
        + [(step, 2.0, 5, 5, 0.5) for step in (0, 4, 6)]
    )


def run(answer, step, peak, total_steps, warmup_steps, floor):
    return answer(step, peak=peak, total_steps=total_steps, warmup_steps=warmup_steps, floor=floor)


def by_torch(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step < warmup_steps:
        return torch.linspace(peak / warmup_steps, peak, warmup_steps, dtype=torch.float64)[step].item()
    span = max(total_steps - warmup_steps, 1)
    done = torch.tensor((step - warmup_steps) / span, dtype=torch.float64).clamp(0, 1)
    return (floor + (peak - floor) * (torch.cos(done * torch.pi) + 1) / 2).item()


def by_cases(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step < warmup_steps:
        return (step + 1) / warmup_steps * peak
    if step >= total_steps:
        return floor
    angle = math.pi * (step - warmup_steps) / (total_steps - warmup_steps)
    return (peak + floor) / 2 + (peak - floor) / 2 * math.cos(angle)


def by_halves(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step + 1 <= warmup_steps:
        return peak / warmup_steps * (step + 1)
    left = total_steps - warmup_steps
    wave = math.cos(math.pi * min(step - warmup_steps, left) / left) if left else 1 - 2 * (step > total_steps)
    return peak * (1 + wave) / 2 + floor * (1 - wave) / 2


def by_sine(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    done = min(max(step - warmup_steps, 0) / max(total_steps - warmup_steps, 1), 1.0)
    fall = floor + (peak - floor) * math.cos(math.pi * done / 2) ** 2
    return peak * warm if step < warmup_steps else fall


styles = [by_torch, by_cases, by_sine, by_halves]

# Many write a case of its own for the end, from total_steps on or past it, and slip in the cosine. Then the
# numbers at the end differ from those of the diffs in learning_rate.md; as diffs these would double its length.


def half(done, peak=1.0, floor=0.0):
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def with_own_end(is_over, fall=half, done=lambda step, W, N: (step - W) / (N - W), warms=True):
    def schedule(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
        if is_over(step, max(total_steps, warmup_steps)):
            return floor
        if warms and step < warmup_steps:
            return peak * (step + 1) / warmup_steps
        return fall(done(step, warmup_steps, total_steps), peak, floor)

    return schedule


def from_end(step, end):
    return step >= end


def past_end(step, end):
    return step > end


FALLS = [
    ("full-cosine", lambda done, peak, floor: half(2 * done, peak, floor)),
    ("no-pi", lambda done, peak, floor: half(done / math.pi, peak, floor)),
    ("no-pi", lambda done, peak, floor: half(180 * done / math.pi, peak, floor)),
    ("rises", lambda done, peak, floor: half(1 - done, peak, floor)),
    ("plain-cosine", lambda done, peak, floor: floor + (peak - floor) * math.cos(math.pi * done)),
    ("floor-left-out", lambda done, peak, floor: (peak - floor) * half(done)),
    ("no-parentheses", lambda done, peak, floor: floor + (peak - floor) * 0.5 + math.cos(math.pi * done)),
]
extra = [  # their messages stand in learning_rate.md
    Mistake(name, with_own_end(is_over, fall)) for name, fall in FALLS for is_over in (from_end, past_end)
]
extra += [
    Mistake("divided-by-the-whole-run", with_own_end(from_end, done=lambda step, W, N: (step - W) / N)),
    Mistake("divided-by-the-whole-run", with_own_end(past_end, done=lambda step, W, N: (step - W) / N)),
    Mistake("no-floor", with_own_end(from_end, lambda done, peak, floor: half(done, peak))),
    Mistake("no-warmup", with_own_end(past_end, warms=False)),
]
