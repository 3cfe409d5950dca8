"""How fast machines work, for plans: measured, or assumed where nothing was measured."""

# Floating-point operations per second that training achieves, lowest to highest, by kind of device and precision.
# CPU: measured with the packed engine and with a plain loop on one Xeon core with AMX, from nano bodies on short
# sequences with dropout to base bodies on long ones (benchmarks/throughput). GPU: not measured; the range assumes a
# tenth of a percent (nano, launch-bound) to a third (base and up) of the peak of an H100-class device.
ACHIEVED: dict[tuple[str, str], tuple[float, float]] = {
    ("cpu core", "fp32"): (10e9, 140e9),
    ("cpu core", "bf16"): (20e9, 420e9),
    ("gpu", "fp32"): (0.5e12, 20e12),
    ("gpu", "bf16"): (1e12, 300e12),
}
MEASURED = ("cpu core",)


def hours(flops: float, kind: str, precision: str) -> tuple[float, float]:
    """Shortest and longest device-hours that so many operations take.

    Args:
        flops: operations.
        kind, precision: a key of `ACHIEVED`.
    """
    slowest, fastest = ACHIEVED[kind, precision]
    return flops / fastest / 3600, flops / slowest / 3600
