"""The oracles hold of the code as it is; mutants.toml names what each catches."""

import pytest

from tests.mutants.oracles import ORACLES


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_code_as_it_is_passes(oracle):
    ORACLES[oracle]()
