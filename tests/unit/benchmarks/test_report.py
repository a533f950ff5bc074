"""Medians, ratios and the table follow from the measurements."""

from dataclasses import replace

from benchmarks import report
from benchmarks.measurement import Measurement, take_medians

ONE = Measurement(
    case="c1",
    target="bare",
    requests_per_second=100.0,
    p50_us=500.0,
    p99_us=900.0,
    cpu_us_per_request=40.0,
    resident_mib=70.0,
    errors=0,
)


def test_median_ignores_one_noisy_round() -> None:
    """One bad minute out of three does not show."""
    noisy = replace(ONE, requests_per_second=1.0)
    better = replace(ONE, requests_per_second=110.0)
    assert take_medians([ONE, noisy, better])[0].requests_per_second == 100.0


def test_errors_of_all_rounds_are_added_up() -> None:
    """A median would hide the errors of one round."""
    assert take_medians([ONE, replace(ONE, errors=7), ONE])[0].errors == 7


def test_ratios_compare_the_same_case_only() -> None:
    """Tollgate is divided by the bare app where both were measured."""
    medians = [ONE, replace(ONE, target="tollgate", requests_per_second=40.0)]
    medians.append(replace(ONE, case="c64", target="tollgate"))
    assert report.compute_ratios(report.index(medians)) == {"c1": {"tollgate / bare": 0.4}}


def test_table_shows_errors_in_bold() -> None:
    """A figure with failures behind it cannot be read as a good one."""
    assert "| **7** |" in report.render_markdown([replace(ONE, errors=7)])


def test_table_states_what_a_lone_caller_waits() -> None:
    """The difference of medians at one connection is the price of the gates for one caller."""
    medians = [ONE, replace(ONE, target="tollgate", p50_us=1250.0)]
    assert "A lone caller waits 0.75 ms longer" in report.render_markdown(medians)


def test_cpu_of_a_request_is_compared() -> None:
    """Tollgate's CPU is divided by the bare app's."""
    medians = [ONE, replace(ONE, target="tollgate", cpu_us_per_request=100.0)]
    assert report.compute_cpu_ratios(report.index(medians)) == {"c1": 2.5}
