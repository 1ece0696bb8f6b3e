"""Signals are heard while a run listens, and get through when it had nothing to leave."""

import signal

import pytest

from bench_shadows.training.devices.stopping import StoppedError, StopRequests


def test_the_first_signal_is_the_one_that_counts() -> None:
    with pytest.raises(StoppedError, match="stopped by SIGTERM: train A after step 3") as caught:
        leave_after(signal.SIGTERM, signal.SIGINT)
    assert caught.value.exit_code == 143


def leave_after(*signals: int) -> None:
    with StopRequests() as requests:
        assert requests.signal is None
        for number in signals:
            signal.raise_signal(number)
        raise StoppedError("train A after step 3", requests.signal)


def test_a_signal_that_nobody_left_for_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequests():
        signal.raise_signal(signal.SIGINT)


def test_a_preemption_of_another_host_has_the_code_of_sigterm() -> None:
    error = StoppedError("train A after step 3", None)
    assert error.exit_code == 143
    assert "a preemption" in str(error)
