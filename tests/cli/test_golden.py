"""Whole runs of the real program against tests/cli/golden/NAME.txt; UPDATE_GOLDEN=1 writes them."""

import pytest

# name of the file: (arguments, standard input)
CASES = {
    "no_such_command": (["discovr"], ""),
    "no_such_option": (["discover", "--fromat"], ""),
    "help-exit-codes": (["help-exit-codes"], ""),
}


@pytest.mark.parametrize("name", CASES)
def test_run_is_as_recorded(golden, name):
    args, stdin = CASES[name]
    golden(name, *args, stdin=stdin)
