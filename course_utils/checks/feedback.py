"""What every checker says and how: one line that names the case, what came and what was expected."""

import math


def passed(message):
    """Print praise; return True."""
    print(f"✓ {message}")
    return True


def failed(message):
    """Print what is wrong; return False. A learner should not have to read a traceback."""
    print(f"✗ {message}")
    return False


def attempt(function, *arguments):
    """(result, None), or (None, sentence) when the learner's function raised or returned nothing."""
    try:
        result = function(*arguments)
    except Exception as error:
        return None, f"your function raised {type(error).__name__}: {error}"
    if result is None or result is Ellipsis:
        return None, "your function returns nothing yet; fill in the … and run the cell again"
    return result, None


def close(came, expected, tolerance=1e-6):
    """True when two numbers, or two lists of numbers of one length, agree; tensors count as what they hold."""
    try:
        came, expected = _numbers(came), _numbers(expected)
    except (TypeError, ValueError):
        return False
    if len(came) != len(expected):
        return False
    return all(math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in zip(came, expected, strict=True))


def _numbers(value):
    """The floats in a number, a list of numbers or a tensor; a tensor without dimensions is a number."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [float(x) for x in (value if isinstance(value, list | tuple) else [value])]


def short(value):
    """A value as a learner can read it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(short(item) for item in value) + "]"
    return repr(value)
