"""A silent value is what it is for code, and nothing for a notebook."""

from IPython.core.formatters import DisplayFormatter

from course_utils.reporting import silent


def test_a_notebook_shows_nothing_and_code_sees_the_value():
    for value, plain in ((silent.Word("holds"), "holds"), (silent.Flag(True), True), (silent.Flag(False), False)):
        assert value == plain and bool(value) == bool(plain) and repr(value) == repr(plain)
        assert DisplayFormatter().format(value) == ({}, {})
    assert DisplayFormatter().format("holds")[0] == {"text/plain": "'holds'"}
