import pytest

from pipelines import photos


def test_whatever_a_decoder_raises_is_the_photos_fault_but_not_ctrl_c() -> None:
    class Panic(BaseException):
        pass

    for error, stage in ((ValueError("odd"), "decode"), (Panic("odd"), "decode"), (MemoryError(), "too_large")):
        with pytest.raises(photos.PhotoError) as raised, photos.failing_as("decode"):
            raise error
        assert raised.value.stage == stage
    with pytest.raises(KeyboardInterrupt), photos.failing_as("decode"):
        raise KeyboardInterrupt
