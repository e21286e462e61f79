"""10.10 pick: what is computed. What is said stands in pick.md."""

import math


def cases():
    """The example three times; too rough, or nan; plain is near; at every edge; ties in error; other margins; only plain."""
    three = {"plain": 3.0, "half": 1.05, "byte": 1.0}
    rough = {"plain": 0.0, "half": 0.001, "byte": 0.02}
    four = {"a": 2e-3, "b": 1e-3, "plain": 4e-3, "c": 1.05e-3}
    return [
        (three, rough, 0.05),
        (three, rough, 0.05, 1.02),
        (three, rough, 0.0005),
        (three, rough, 0.0125, 1.02),
        (three, {"plain": 0.0, "half": 0.03, "byte": math.nan}, 0.05),
        (three, {"plain": 0.0, "half": math.nan, "byte": 0.02}, 0.05),
        ({"half": 2.0, "plain": 2.1, "byte": 5.0}, {"half": 0.001, "plain": 0.0, "byte": 0.0}, 0.01),
        ({"half": 2.0, "plain": 2.1, "byte": 5.0}, {"half": 0.001, "plain": 0.0, "byte": 0.0}, 0.01, 1.02),
        ({"half": 2.0, "plain": 2.5}, {"half": 0.01, "plain": 0.0}, 0.01),
        ({"half": 2.0, "plain": 3.0}, {"half": 0.01, "plain": 0.0}, 0.01, 1.5),
        ({"byte": 0.2, "half": 0.9, "plain": 0.95}, {"byte": 0.3, "half": 0.002, "plain": 0.0}, 0.01),
        ({"byte": 0.2, "half": 0.6, "plain": 0.95}, {"byte": 0.3, "half": 0.002, "plain": 0.0}, 0.01, 1.5),
        ({"byte": 7.0, "half": 4.0, "plain": 1.0}, {"byte": 0.0, "half": 0.0, "plain": 0.0}, 0.01),
        ({"plain": 4e-3}, {"plain": 0.0}, 0.01),
        ({"parts": 1.05, "plain": 3.0, "byte": 1.0}, {"parts": 0.0, "plain": 0.0, "byte": 0.005}, 0.01),
        ({"parts": 2.0, "plain": 2.1, "rest": 2.05}, {"parts": 0.0, "plain": 0.0, "rest": 0.0}, 0.01),
        ({"rest": 2.1, "plain": 2.05, "parts": 2.0}, {"parts": 0.0, "plain": 0.0, "rest": 0.0}, 0.01),
        (four, {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 7e-3}, 0.01),
        (four, {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 9e-3}, 0.01),
        (four, {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 7e-3}, 0.006),
        (four, {"a": 5e-3, "b": 8e-3, "plain": 0.0, "c": 7e-3}, 0.01, 3.0),
        (
            {"plain": 9.0, "d": 3.0, "e": 3.2, "f": 3.5},
            {"plain": 0.0, "d": 0.009, "e": 0.005, "f": 0.001},
            0.01,
        ),
    ]


def by_loop(times, errors, most, clearly=1.1):
    fastest = min(time for name, time in times.items() if errors[name] <= most)
    best = None
    for name in sorted(times, key=times.get):
        if errors[name] <= most and times[name] <= clearly * fastest:
            if best is None or errors[name] < errors[best]:
                best = name
    return best


def by_tuples(times, errors, most, clearly=1.1):
    rows = [(errors[name], time, name) for name, time in times.items() if errors[name] <= most]
    limit = clearly * min(time for _, time, _ in rows)
    return min(row for row in rows if row[1] <= limit)[2]


def by_sorting_twice(times, errors, most, clearly=1.1):
    names = sorted(
        (name for name in times if not (errors[name] > most or errors[name] != errors[name])), key=times.get
    )
    names = [name for name in names if times[name] / times[names[0]] <= clearly]
    return sorted(names, key=errors.get)[0]


styles = [by_loop, by_tuples, by_sorting_twice]
