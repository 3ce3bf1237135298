"""The batching benchmark in small sizes."""

import pytest

from loadtest.backends.batching import QUICK, main, measure

pytestmark = pytest.mark.integration


def test_small_sizes_give_figures() -> None:
    figures = measure(QUICK)
    assert figures["rows_per_batch"] > 1
    assert len(figures["throughput_ratios"]) == len(figures["alone_p50_ratios"]) == QUICK.rounds
    assert min(figures["throughput_ratio"], figures["alone_p50_ratio"]) > 0


def test_the_table_says_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"]) == 0
    assert "at least 10" in capsys.readouterr().out
