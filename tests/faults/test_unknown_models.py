"""What is not served is NOT_FOUND in every protocol, and never becomes a metric label."""

import urllib.request

import pytest

from tests.faults.protocols import Epm, RestTf, TfServing, ask

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("model", ["nobody", "Small", "small2", "..", "n" * 300, "canary%"])
def test_an_unknown_model_is_not_found(model, protocol):
    if not isinstance(protocol, TfServing | Epm) and not model.isalnum():
        pytest.skip("this name cannot stand in a path as it is")
    assert protocol.ask(ask(model, hours=[77.4375])).status == "NOT_FOUND"


@pytest.mark.parametrize("version", [3, 9, 10**17])
def test_an_unknown_version_is_not_found(version, protocol):
    outcome = protocol.ask(ask(version=version, hours=[40]))
    assert outcome.status == "NOT_FOUND"
    assert "1, 2" in outcome.message, "the refusal says which versions there are"


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
@pytest.mark.parametrize("protocol", ["tf_serving", "epm"], indirect=True)
def test_a_version_that_cannot_be_is_not_found(version, protocol):
    assert protocol.ask(ask(version=version, hours=[40])).status == "NOT_FOUND"


@pytest.mark.parametrize("label", ["canary", "Stable", "1"])
def test_an_unknown_label_is_not_found(label, protocol):
    if not isinstance(protocol, TfServing | Epm | RestTf):
        pytest.skip("KServe v2 has no labels")
    outcome = protocol.ask(ask(label=label, hours=[40]))
    assert outcome.status == "NOT_FOUND"
    assert "stable" in outcome.message


def test_no_model_name_is_invalid(protocol):
    if not isinstance(protocol, TfServing | Epm) and not hasattr(protocol, "channel"):
        pytest.skip("a path without a name is another path")
    assert protocol.ask(ask("", hours=[40])).status == "INVALID_ARGUMENT"


def test_what_callers_write_never_becomes_a_metric_label(protocol, strict):
    name = f"label_of_{type(protocol).__name__}"
    protocol.ask(ask(name, hours=[40]))
    protocol.ask(ask(**{name: [40]}))
    if isinstance(protocol, TfServing | Epm | RestTf):
        protocol.ask(ask(label=name, hours=[40]))
    with urllib.request.urlopen(f"http://{strict.http}/metrics", timeout=10) as response:
        metrics = response.read().decode()
    assert 'status="NOT_FOUND"' in metrics
    assert name not in metrics
    models = {line.split('model="')[1].split('"')[0] for line in metrics.splitlines() if 'model="' in line}
    assert models <= {"", "small", "numbers"}
