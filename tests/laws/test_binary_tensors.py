"""Laws of the protocol's tensor forms: what is written is read back, whatever it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from frugal_serve.datatypes import (
    DATATYPES,
    Datatype,
    decode_binary,
    decode_json,
    decode_strings,
    encode_binary,
    encode_strings,
)

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMERIC = [datatype for datatype in DATATYPES if datatype.dtype.kind != "O"]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, npt.NDArray[np.generic]]:
    """A datatype and an array of it, any shape, any value."""
    datatype = draw(st.sampled_from(NUMERIC))
    return datatype, draw(arrays.arrays(datatype.dtype, SHAPES))


@given(tensors())
def test_a_binary_tensor_comes_back_bit_for_bit(drawn: tuple[Datatype, npt.NDArray[np.generic]]) -> None:
    datatype, array = drawn

    found = decode_binary(memoryview(encode_binary(array)), datatype)

    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@given(st.lists(st.text()))
def test_strings_come_back(texts: list[str]) -> None:
    assert decode_strings(memoryview(encode_strings(texts))) == texts


@given(st.binary(max_size=64))
def test_any_bytes_are_strings_or_refused_by_a_value_error(payload: bytes) -> None:
    try:
        texts = decode_strings(memoryview(payload))
    except ValueError:
        return
    assert encode_strings(texts) == payload


@given(tensors())
def test_json_comes_back_with_null_for_what_it_cannot_say(drawn: tuple[Datatype, npt.NDArray[np.generic]]) -> None:
    datatype, array = drawn
    flat = array.ravel()

    found = decode_json(orjson.loads(orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)), datatype)

    is_number = np.isfinite(flat) if datatype.is_float else np.ones(flat.shape, bool)
    assert found.dtype == flat.dtype
    assert np.array_equal(found[is_number], flat[is_number])
    assert not datatype.is_float or bool(np.isnan(found[~is_number]).all())
