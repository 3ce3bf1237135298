"""A small contract with the kinds of inputs that the published models have."""

from serving.contract import (
    CategoryInput,
    ClassOutput,
    Contract,
    GraphInput,
    NumberInput,
    Program,
    Provenance,
    Step,
    Text,
)

_TEXT = Text("a", "甲")


def small_contract(numbers: int = 17, categories: int = 3, width: float = 7.3) -> Contract:
    """`numbers` numeric inputs (the first one required) and `categories` inputs of names; some names are not ASCII."""
    inputs = [
        NumberInput(f"number_{i}", _TEXT, "unit", low=0.0, high=1e6, seen=(0.1 * i, 0.1 * i + width), required=i == 0)
        for i in range(numbers)
    ]
    names = [CategoryInput(f"category_{i}", _TEXT, ("sales", "研发", "legal affairs")) for i in range(categories)]
    return Contract(
        format=1,
        model="performance_model",
        entity_type="employee",
        title=_TEXT,
        inputs=(*inputs, *names),
        program=Program(steps=(Step("impute", "f0", ("number_0",), (0.0,)),), features=("f0",)),
        tensors=(GraphInput("features", (1,)),),
        outputs=(ClassOutput("grade", _TEXT, ("A", "B", "C")),),
        min_coverage=0.5,
        left_out=(),
        provenance=Provenance("none", "0" * 64, 0, "0", "none", 0, True, {}),
    )
