"""10.1 attainable: what is computed. What is said stands in attainable.md."""


def cases():
    """Left of the corner of the roof and right of it; rates that aren't whole; rates of real machines; above flops."""
    return [
        (2.0, 100.0, 10.0),
        (50.0, 100.0, 10.0),
        (0.21, 9.5, 6.1),
        (1.25, 9.5, 6.0),
        (4.0, 9.5, 6.0),
        (0.25, 6.0, 20.0),
        (0.5, 3e11, 4e10),
        (256.0, 3e11, 4e10),
        (7.5, 3e11, 4e10),
        (200.0, 100.0, 10.0),
    ]


def by_corner(intensity, flops, bandwidth):
    return flops if intensity >= flops / bandwidth else intensity * bandwidth


def by_time(intensity, flops, bandwidth):
    longest = max(1 / flops, 1 / (intensity * bandwidth))  # seconds for one operation
    return 1 / longest


def by_sorting(intensity, flops, bandwidth):
    return sorted([bandwidth * intensity, flops])[0]


def by_part(intensity, flops, bandwidth):
    return flops * min(1, intensity / (flops / bandwidth))


styles = [by_corner, by_time, by_sorting, by_part]
