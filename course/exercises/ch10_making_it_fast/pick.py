"""10.10 pick: what is computed. What is said stands in pick.md."""

import math


def cases():
    """The example twice; plain wins; the fastest too rough, or nan; not clearly faster; at both edges; other margins."""
    three = {"plain": 3.0, "half": 1.5, "byte": 1.0}
    rough = {"plain": 0.0, "half": 0.001, "byte": 0.02}
    return [
        (three, rough, 0.0125),
        (three, rough, 0.05),
        (three, rough, 0.0001),
        (three, {"plain": 0.0, "half": 0.001, "byte": math.nan}, 0.05),
        ({"half": 2.0, "plain": 2.1, "byte": 5.0}, {"half": 0.001, "plain": 0.0, "byte": 0.0}, 0.01),
        ({"half": 2.0, "plain": 2.1, "byte": 5.0}, {"half": 0.001, "plain": 0.0, "byte": 0.0}, 0.01, 1.02),
        ({"half": 2.0, "plain": 2.5}, {"half": 0.01, "plain": 0.0}, 0.01),
        ({"half": 2.0, "plain": 3.0}, {"half": 0.01, "plain": 0.0}, 0.01, 1.5),
        ({"byte": 0.2, "half": 0.9, "plain": 0.95}, {"byte": 0.3, "half": 0.002, "plain": 0.0}, 0.01),
        ({"byte": 0.2, "half": 0.6, "plain": 0.95}, {"byte": 0.3, "half": 0.002, "plain": 0.0}, 0.01, 1.5),
        ({"byte": 7.0, "half": 4.0, "plain": 1.0}, {"byte": 0.0, "half": 0.0, "plain": 0.0}, 0.01),
        ({"plain": 4e-3}, {"plain": 0.0}, 0.01),
        ({"parts": 2.0, "plain": 3.0, "byte": 1.0}, {"parts": 0.0, "plain": 0.0, "byte": 0.005}, 0.01),
        (
            {"a": 2e-3, "b": 1e-3, "plain": 4e-3, "c": 3e-3},
            {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 0.0},
            0.01,
        ),
        (
            {"a": 2e-3, "b": 1e-3, "plain": 4e-3, "c": 3e-3},
            {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 0.0},
            0.006,
        ),
    ]


def by_loop(times, errors, most, clearly=1.1):
    best = "plain"
    for name, time in times.items():
        if errors[name] <= most and time < times[best]:
            best = name
    return best if times["plain"] > clearly * times[best] else "plain"


def by_sorting(times, errors, most, clearly=1.1):
    for name in sorted(times, key=lambda name: times[name]):
        if errors[name] <= most:
            return name if times["plain"] / times[name] > clearly else "plain"
    return "plain"


def by_handicap(times, errors, most, clearly=1.1):
    cost = {"plain": times["plain"] / clearly}
    cost |= {name: time for name, time in times.items() if name != "plain" and errors[name] <= most}
    return min(cost, key=cost.get)


styles = [by_loop, by_sorting, by_handicap]
