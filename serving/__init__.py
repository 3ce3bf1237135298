"""The feature gateway: raw facts in over gRPC, predictions out."""

import os

# onnxruntime's official builds send events to their maker from the first moment on, unless this is set before
# (Privacy.md in the package). A gateway of facts about people talks to nobody it was not told to talk to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
