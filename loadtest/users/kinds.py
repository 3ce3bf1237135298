"""The kinds of use: who asks what, how often, over which protocol. The table that everything else here reads."""

from dataclasses import dataclass

from loadtest.bodies import PROTOCOLS, Protocol, epm_predict

TF_SERVING, KSERVE, EPM = PROTOCOLS
KSERVE_STREAM = Protocol("kserve_v2", "/inference.GRPCInferenceService/ModelStreamInfer", KSERVE.encode)
EPM_STREAM = Protocol("epm_v1", "/epm.v1.PredictionService/StreamPredict", epm_predict)
GRADES, LEAVING = "performance_model", "attrition_model"


@dataclass(frozen=True)
class Kind:
    """One kind of use.

    name: in all statistics. rows: of one message. bodies: how many distinct ones there are. think: shortest and longest
    pause between two calls of one user, seconds. deadline: of one call, seconds. weight: its share among users; or
    `fixed`: so many users, whatever the number of others. messages: of a stream, all of them distinct; 0 for no stream.
    """

    name: str
    protocol: Protocol
    rows: int
    bodies: int
    think: tuple[float, float]
    model: str = GRADES
    weight: int = 1
    fixed: int = 0
    messages: int = 0
    deadline: float = 10.0


PAGE, DEPARTMENT = (0.05, 0.15), (0.2, 0.6)
"""One such user stands for some thirty people with the page open, who look at somebody every few seconds."""

KINDS = {
    "PageOnTfServing": Kind("TF Serving Predict, 1 row", TF_SERVING, 1, 1000, PAGE, weight=6),
    "PageOnKServe": Kind("KServe v2 ModelInfer, 1 row", KSERVE, 1, 1000, PAGE, weight=6),
    "PageOnEpm": Kind("epm.v1 Predict, 1 row", EPM, 1, 1000, PAGE, weight=10),
    "PageWithHistories": Kind("epm.v1 Predict, 1 row with histories", EPM, 1, 1000, PAGE, LEAVING, weight=6),
    "DepartmentOnTfServing": Kind("TF Serving Predict, 64 rows", TF_SERVING, 64, 200, DEPARTMENT, weight=2),
    "DepartmentOnKServe": Kind("KServe v2 ModelInfer, 64 rows", KSERVE, 64, 200, DEPARTMENT, weight=2),
    "DepartmentOnEpm": Kind("epm.v1 Predict, 64 rows", EPM, 64, 200, DEPARTMENT, weight=3),
    "DepartmentWithHistories": Kind(
        "epm.v1 Predict, 64 rows with histories", EPM, 64, 200, DEPARTMENT, LEAVING, weight=2
    ),
    "Dashboard": Kind(
        "KServe v2 ModelStreamInfer, 16 messages of 1 row", KSERVE_STREAM, 1, 1008, DEPARTMENT, weight=2, messages=16
    ),
    "NightlyStream": Kind(
        "epm.v1 StreamPredict, 100,000 rows", EPM_STREAM, 400, 250, (2.0, 4.0), fixed=1, messages=250, deadline=60.0
    ),
}
"""By the name of its class of users."""
