"""Bytes that an annotation file might hold: anything at all, and numbers with flaws."""

from hypothesis import strategies as st

number = st.one_of(
    st.floats(width=32).map(repr),
    st.integers(-10, 2000).map(str),
    st.sampled_from(["nan", "NaN", "-inf", "1e400", "1_0", "", "x", "0", "\x00", "m1"]),
)
separator = st.sampled_from([",", "\t", " ", ", ", "\n", "\r\n", "\r"])
lines = st.lists(st.tuples(number, separator).map("".join), max_size=30).map("".join)
contents = st.one_of(st.binary(max_size=60), lines.map(str.encode))
