"""Ctrl-C between two steps: the first press is noted, the second stops at once."""

from __future__ import annotations

import signal
import threading

import pytest

from fastfood_np.training.interrupt import deferred_interrupt


def test_first_is_noted_second_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted() and interrupted()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_each_block_begins_anew() -> None:
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with deferred_interrupt() as interrupted:
            assert not interrupted()
            signal.raise_signal(signal.SIGINT)
            assert interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread() -> None:
    seen = []

    def elsewhere() -> None:
        with deferred_interrupt() as interrupted:
            seen.append(interrupted())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False]
