import platform

import pytest

from study.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_glibc_takes_the_values() -> None:
    assert keep_freed_memory()
