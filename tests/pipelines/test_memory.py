"""The budget of memory: who waits for whom, and that nobody waits for ever."""

import platform
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines import memory
from pipelines.memory import Budget, Share


def waiting(share: Share, amount: int) -> tuple[threading.Thread, threading.Event]:
    """A thread that takes from a share, and whether it has."""
    taken = threading.Event()

    def take() -> None:
        share.take(amount)
        taken.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return thread, taken


def test_what_fits_goes_side_by_side_and_the_next_waits() -> None:
    budget = Budget(10)
    first, second, third = (budget.queue() for _ in range(3))
    first.take(6)
    second.take(4)
    thread, taken = waiting(third, 1)
    assert not taken.wait(0.1)
    second.release()
    thread.join(10)
    assert taken.is_set()


def test_one_larger_than_all_waits_to_be_alone_and_those_after_it_for_it() -> None:
    budget = Budget(10)
    first, large, last = (budget.queue() for _ in range(3))
    last_thread, last_taken = waiting(last, 1)  # comes first, but it is not its turn
    first.take(1)
    large_thread, large_taken = waiting(large, 1000)
    assert not large_taken.wait(0.1)
    assert not last_taken.is_set()
    first.release()
    large_thread.join(10)
    assert large_taken.is_set()
    assert not last_taken.wait(0.1)
    large.release()
    last_thread.join(10)
    assert last_taken.is_set()


def test_a_turn_that_is_kept_may_draw_more() -> None:
    budget = Budget(10)
    first, second = budget.queue(), budget.queue()
    first.take(8, more=True)
    thread, taken = waiting(second, 1)
    assert not taken.wait(0.1)
    first.take(5)  # 13 of 10, but nobody else has any
    assert not taken.wait(0.1)
    first.release()
    thread.join(10)
    assert taken.is_set()


def test_a_place_that_nobody_holds_any_more_holds_up_no_one() -> None:
    budget = Budget(10)
    forgotten, share = budget.queue(), budget.queue()
    thread, taken = waiting(share, 1)
    assert not taken.wait(0.1)
    del forgotten
    thread.join(10)
    assert taken.is_set()


def test_whoever_waits_can_be_told_to_give_up() -> None:
    budget = Budget(10)
    over = threading.Event()
    first, second = budget.queue(), budget.queue(over.is_set)
    first.take(10)
    threading.Timer(0.05, over.set).start()
    with pytest.raises(memory.CancelledError):
        second.take(1)


def test_many_photos_on_few_threads_all_get_their_turn() -> None:
    """Never more than the budget in use, except by one that is alone."""
    budget, held, lock = Budget(100), {0: 0}, threading.Lock()
    most: list[dict[int, int]] = []
    amounts = np.random.default_rng(0).choice([5, 30, 60, 150], 60).tolist()
    shares = [budget.queue() for _ in amounts]

    def work(worker: int) -> None:
        for index in range(worker, len(amounts), 4):
            shares[index].take(amounts[index])
            with lock:
                held[index] = amounts[index]
                most.append({key: value for key, value in held.items() if value})
            time.sleep(0.001)
            with lock:
                del held[index]
            shares[index].release()

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert all(sum(now.values()) <= 100 or len(now) == 1 for now in most)
    assert len(most) == 60


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="not a Linux")
def test_one_that_is_alone_gets_no_more_than_there_is() -> None:
    share = Budget(2**28).queue()
    share.take(2**40)
    try:
        with pytest.raises(MemoryError):
            np.empty(2**30, np.uint8)
    finally:
        share.release()
    np.empty(2**30, np.uint8)


def test_a_container_has_what_its_control_group_says(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n")
    assert memory.available(tmp_path) == 16_000_000 * 1024
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/job/1\n0::/\n")
    limit = tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes"  # the container sees its own group as the root
    limit.parent.mkdir(parents=True)
    limit.write_text("2000000000\n")
    assert memory.available(tmp_path) == 2_000_000_000
    limit.write_text("9223372036854771712\n")  # none
    unified = tmp_path / "sys/fs/cgroup/memory.max"
    unified.write_text("max\n")
    assert memory.available(tmp_path) == 16_000_000 * 1024
    unified.write_text("512000000\n")
    assert memory.available(tmp_path) == 512_000_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed")
def test_what_is_freed_is_kept_for_the_next() -> None:
    """Eight times 64 MiB, one after another, are the pages of one: asked for in a process of its own."""
    asked = textwrap.dedent("""
        import resource
        from pipelines import memory
        memory.keep_freed()
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytes(bytearray(2**26))
        before = faults()
        for _ in range(8):
            bytearray(b"x") * 2**26
        print(faults() - before)
    """)
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 2 * 2**26 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can do that")
def test_what_a_large_photo_left_is_given_back() -> None:
    """64 MB between two pieces of memory that are still used."""
    asked = textwrap.dedent("""
        from pathlib import Path
        from pipelines import memory
        memory.keep_freed()
        resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        large, kept = bytearray(b"x") * 2**26, bytearray(b"x") * 2**16
        del large
        before = resident()
        memory.give_back()
        print(before - resident())
    """)
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 0.9 * 2**26
