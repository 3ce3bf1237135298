"""Names that the command line and what stands behind it share."""

from pathlib import Path

SEED = 7
TASKS = ("classes", "attrition")
SAMPLES = ("reviews", "history", "months", "people", "leavers")
PUBLIC = {"ibm": "attrition_ibm", "hr": "attrition_hr", "inx": "performance_inx"}
"""Public tables -> the models made of them."""
MODEL_REPO, LOCAL_REPO = Path("model_repo"), Path("local_repo")
