"""One suite for any server of TF Serving's or Triton's protocol that serves this model repository.

    make conformance TARGET=host:port [PROTOCOL=tf_serving|triton] [MODELS=model_repo]

It speaks through official client packages only, and knows of the models what lies beside them: contract.json and
golden.npz. Without a target it runs against the gateway, a real Triton and the reference server for TF Serving.
"""
