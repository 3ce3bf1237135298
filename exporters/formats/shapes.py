"""Which tensors a model's graph takes and gives, after a check that the parts of the model fit each other."""

from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import FEATURES, HISTORY
from exporters.models.network import WideDeep

Shapes = dict[str, tuple[int, ...]]
"""Tensor -> shape without n. Inputs and probabilities are float32, labels are int32."""

PROBABILITIES, LABEL = "probabilities", "label"
PROBABILITY_3M, PROBABILITY_6M = "probability_3m", "probability_6m"
_HORIZONS = 2


def inputs(model: CalibratedForest | Blend) -> Shapes:
    """The graph inputs. Raises ValueError when parts of `model` have other shapes than the rest of it calls for."""
    if isinstance(model, CalibratedForest):
        _expect("shift of the classes", model.shift.shape, model.forest.base.shape)
        return {FEATURES: (model.forest.features,)}
    features, columns = model.network.wide.shape[0], model.network.kernel.shape[0]
    _check_network(model.network)
    _expect("features of the forest", (model.forest.features,), (features + model.months * columns,))
    for name in ("network_weight", "forest_weight", "shift"):
        _expect(name, getattr(model, name).shape, (_HORIZONS,))
    _expect("scores of the forest", model.forest.base.shape, (_HORIZONS,))
    _expect("logits of the network", model.network.wide_bias.shape, (_HORIZONS,))
    if not (model.network_weight.any() or model.forest_weight.any()):
        raise ValueError("neither network nor forest has a weight: nothing would depend on the inputs")
    return {FEATURES: (features,), HISTORY: (model.months, columns)}


def outputs(model: CalibratedForest | Blend) -> Shapes:
    """The graph outputs."""
    if isinstance(model, CalibratedForest):
        return {PROBABILITIES: (len(model.forest.base),), LABEL: ()}
    return {PROBABILITY_3M: (), PROBABILITY_6M: (), LABEL: ()}


def _check_network(network: WideDeep) -> None:
    logits = network.wide.shape[1]
    units, deep = network.recurrent.shape[0], network.head.shape[0]
    _expect("kernel of the LSTM", network.kernel.shape[1:], (4 * units,))
    _expect("recurrent kernel of the LSTM", network.recurrent.shape, (units, 4 * units))
    _expect("biases of the LSTM", network.gates.shape, (4 * units,))
    _expect("hidden layer", network.hidden.shape, (units, deep))
    _expect("biases of the hidden layer", network.hidden_bias.shape, (deep,))
    _expect("head", network.head.shape, (deep, logits))
    _expect("biases of the wide part", network.wide_bias.shape, (logits,))


def _expect(what: str, came: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if came != expected:
        raise ValueError(f"{what}: got shape {came}, expected {expected}")
