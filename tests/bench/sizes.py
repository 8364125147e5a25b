"""Sizes as they are given on the command line."""

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def byte_size(text):
    number = text.removesuffix("B").removesuffix("i")
    unit = number[-1:] if number[-1:].isalpha() else ""
    return int(float(number.removesuffix(unit)) * UNITS[unit])
