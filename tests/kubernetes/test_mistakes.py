"""Every check of the manifests finds the mistakes that it is there for, made in what kubectl rendered.

That it finds nothing where nobody made any is what test_overlays says.
"""

import copy

import pytest

from tests.kubernetes import mistakes_of_program, mistakes_of_shape
from tests.kubernetes.test_overlays import CHECKS, run

pytestmark = pytest.mark.integration

MISTAKES = mistakes_of_shape.MISTAKES + mistakes_of_program.MISTAKES


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_found(mistake, rendered, program):
    manifests = copy.deepcopy(rendered[mistake.overlay])
    mistake.make(manifests)
    assert any(mistake.says in said for said in run(mistake.check, manifests, program))


def test_every_check_has_a_mistake_that_it_finds():
    assert {mistake.check for mistake in MISTAKES} == set(CHECKS)
