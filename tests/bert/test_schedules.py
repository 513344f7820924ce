"""The learning rate's way through training, worked by hand."""

import pytest

from nlpkit.bert.schedules import Schedule, linear


def test_rises_from_nothing_and_falls_to_the_last_multiple_for_ever():
    schedule = Schedule.parse("1000:1,5000:0.1")
    expected = {0: 0, 1: 0.001, 500: 0.5, 1000: 1, 3000: 0.55, 5000: 0.1, 10**9: 0.1}
    assert {step: schedule.rate(step) for step in expected} == pytest.approx(expected)


def test_a_point_at_step_0_takes_the_place_of_the_rise():
    schedule = Schedule.parse("0:2,10:1")
    assert [schedule.rate(step) for step in (0, 5, 10, 11)] == [2, 1.5, 1, 1]


def test_one_point_is_a_warm_up_and_then_constant():
    schedule = Schedule.parse(" 4 : 0.5 ")
    assert [schedule.rate(step) for step in (0, 2, 4, 100)] == [0, 0.25, 0.5, 0.5]


def test_without_points_the_rate_is_constant():
    assert [Schedule().rate(step) for step in (0, 7)] == [1, 1]


def test_linear_warms_up_and_ends_at_nothing():
    schedule = linear(100, 20)
    assert [schedule.rate(step) for step in (0, 10, 20, 60, 100, 200)] == [0, 0.5, 1, 0.5, 0, 0]


def test_linear_without_warm_up_starts_at_the_whole_rate():
    assert [linear(4).rate(step) for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize("schedule", [Schedule(), linear(9, 3), Schedule.parse("3:0.1,7:0.3333333333333333")])
def test_the_text_of_a_schedule_reads_back_as_the_same_rates(schedule):
    again = Schedule.parse(str(schedule))
    assert [again.rate(step) for step in range(12)] == [schedule.rate(step) for step in range(12)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not STEP:MULTIPLE"),
        ("1000", "'1000' is not STEP:MULTIPLE"),
        ("1000:1,", "'' is not STEP:MULTIPLE"),
        ("1.5:1", "'1.5:1' is not STEP:MULTIPLE"),
        ("1:2:3", "'1:2:3' is not STEP:MULTIPLE"),
        ("10:1,x:2", "'x:2' is not STEP:MULTIPLE"),
        ("-1:1", "step -1 is negative"),
        ("10:1,5:2", "step 5 comes after step 10"),
        ("10:1,10:2", "step 10 comes after step 10"),
        ("10:-1", "-1 at step 10 is no multiple"),
        ("10:nan", "nan at step 10 is no multiple"),
        ("10:inf", "inf at step 10 is no multiple"),
    ],
)
def test_refuses_text_that_is_no_schedule_and_says_why(text, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        Schedule.parse(text)


@pytest.mark.parametrize(("total", "warmup"), [(10, 10), (10, 11), (0, 0), (5, -1)])
def test_refuses_a_warm_up_that_does_not_fit(total, warmup):
    with pytest.raises(ValueError, match="does not fit"):
        linear(total, warmup)
