"""10.0 in_turns: what is computed. What is said stands in in_turns.md."""

import math
from time import perf_counter

arguments = ("the seconds of each run, call after call", "repeat")


def cases():
    """The example; the first round is the fastest; one run only; one repetition; many; every place can be the fastest."""
    return [
        ({"a": [5, 3, 4], "b": [9, 6, 7]}, 2),
        ({"a": [1, 3, 2, 4], "b": [2, 8, 9, 7]}, 3),
        ({"only": [4, 1, 3, 2]}, 3),
        ({"slow": [9, 8], "quick": [2, 5], "third": [1, 1]}, 1),
        ({"a": [7, 6, 6, 8, 5, 9, 7, 6, 4], "b": [3, 3, 2, 3, 3, 3, 3, 3, 3]}, 8),
        ({"z": [6, 2, 9, 10], "a": [6, 9, 10, 2], "m": [6, 9, 2, 10]}, 3),
        ({"a": [3] * 8, "b": [2, 4, 4, 4, 4, 4, 4, 1]}, 7),
        ({}, 3),
    ]


def run(answer, seconds, repeat):
    """Return the answer's result by a clock that stands still but for the runs, and the order in which they ran."""
    now, calls, asked = 0.0, [], []

    def clock():
        asked.append(now)
        return now

    def one(name, each):
        def call():
            nonlocal now
            calls.append(name)
            now += each[min(calls.count(name), len(each)) - 1]

        return call

    result = answer({name: one(name, each) for name, each in seconds.items()}, repeat, clock)
    if seconds and not asked:
        result = "times that don't come from `clock`"
    return {"result": result, "the order of the calls": " ".join(calls)}


def with_a_round_before(runs, repeat=7, clock=perf_counter):
    for run in runs.values():
        run()
    best = dict.fromkeys(runs, math.inf)
    for _ in range(repeat):
        for name in runs:
            began = clock()
            runs[name]()
            best[name] = min(best[name], clock() - began)
    return best


def by_rounds(runs, repeat=7, clock=perf_counter):
    def timed(run):
        began = clock()
        run()
        return clock() - began

    rounds = [[timed(run) for run in runs.values()] for _ in range(repeat + 1)]
    return dict(zip(runs, map(min, zip(*rounds[1:]))))


def counting_down(runs, repeat=7, clock=perf_counter):
    fastest, left = {}, repeat
    while left >= 0:
        for name, run in runs.items():
            start = clock()
            run()
            took = clock() - start
            if left < repeat and took <= fastest.get(name, took):
                fastest[name] = took
        left -= 1
    return fastest


styles = [with_a_round_before, by_rounds, counting_down]
