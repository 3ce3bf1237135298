"""What is wrong with manifests by themselves, each with the check that has to find it."""

from tests.kubernetes import checks_of_shape as shape
from tests.kubernetes.manifests import named, of_kind
from tests.kubernetes.mistakes import Mistake, config, gateway, spec

MISTAKES = (
    Mistake(
        "a misspelt field",
        shape.schema,
        "replica",
        lambda m: spec(m, "Deployment", "triton").update(replica=2),
    ),
    Mistake(
        "a number where a text belongs",
        shape.schema,
        "is not of type",
        lambda m: config(m, "gateway-env").update(EPM_DRAIN_SECONDS=20),
    ),
    Mistake(
        "a root file system that is written",
        shape.hardening,
        "writes its root file system",
        lambda m: gateway(m).main["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    Mistake(
        "root",
        shape.hardening,
        "may run as root",
        lambda m: gateway(m).pod["securityContext"].update(runAsUser=0),
    ),
    Mistake(
        "no limit",
        shape.hardening,
        "no limits of memory",
        lambda m: gateway(m).main["resources"].pop("limits"),
    ),
    Mistake(
        "an init container without bounds",
        shape.hardening,
        "no requests of cpu",
        lambda m: gateway(m).pod["initContainers"][0].pop("resources"),
    ),
    Mistake(
        "an image that moves",
        shape.hardening,
        "pinned to no version",
        lambda m: gateway(m).main.update(image="epm-gateway:latest"),
    ),
    Mistake(
        "a selector of other pods",
        shape.references,
        "selects 0 workloads",
        lambda m: spec(m, "Service", "gateway-headless").update(selector={"app.kubernetes.io/name": "gateways"}),
    ),
    Mistake(
        "a targetPort that no container has",
        shape.references,
        "no port rest",
        lambda m: spec(m, "Service", "gateway")["ports"][1].update(targetPort="rest"),
    ),
    Mistake(
        "a probe of a port that is not there",
        shape.references,
        "livenessProbe asks port",
        lambda m: gateway(m).main["livenessProbe"]["httpGet"].update(port=8080),
    ),
    Mistake(
        "a ConfigMap of another name",
        shape.references,
        "no ConfigMap gateway-env",
        lambda m: gateway(m).main["envFrom"][0]["configMapRef"].update(name="gateway-env"),
    ),
    Mistake(
        "a Secret in the manifests",
        shape.references,
        "is in the manifests",
        lambda m: m.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gateway-secrets"}}),
    ),
    Mistake(
        "a scaler of nothing",
        shape.replicas,
        "no Deployment gateways",
        lambda m: spec(m, "HorizontalPodAutoscaler", "gateway")["scaleTargetRef"].update(name="gateways"),
    ),
    Mistake(
        "replicas beside a scaler",
        shape.replicas,
        "says replicas",
        lambda m: spec(m, "Deployment", "gateway").update(replicas=3),
    ),
    Mistake(
        "a budget that lets no node be emptied",
        shape.replicas,
        "0 of 3 pods",
        lambda m: spec(m, "PodDisruptionBudget", "gateway").update(maxUnavailable=0),
    ),
    Mistake(
        "a budget that lets all go",
        shape.replicas,
        "1 of 1 pods",
        lambda m: spec(m, "HorizontalPodAutoscaler", "gateway").update(minReplicas=1),
    ),
    Mistake(
        "nodes without a place that count all the same",
        shape.replicas,
        "count as empty ones",
        lambda m: gateway(m).pod["topologySpreadConstraints"][0].pop("nodeTaintsPolicy"),
    ),
    Mistake(
        "old and new pods that are counted together",
        shape.replicas,
        "pods that are being replaced",
        lambda m: gateway(m).pod["topologySpreadConstraints"][0].pop("matchLabelKeys"),
    ),
    Mistake(
        "a second GPU for a rollout",
        shape.replicas,
        "a second nvidia.com/gpu",
        lambda m: spec(m, "Deployment", "triton").pop("strategy"),
    ),
    Mistake(
        "a port of another name for Prometheus",
        shape.monitoring,
        "no port metrics",
        lambda m: of_kind(m, "ServiceMonitor")[0]["spec"]["endpoints"][0].update(port="metrics"),
    ),
    Mistake(
        "pods that are scraped twice",
        shape.monitoring,
        "selects 2 Services",
        lambda m: named(m, "Service", "gateway-headless")["metadata"]["labels"].update(
            {"app.kubernetes.io/name": "gateway"}
        ),
    ),
    Mistake(
        "a rule that is both",
        shape.monitoring,
        "neither an alert nor a record",
        lambda m: of_kind(m, "PrometheusRule")[0]["spec"]["groups"][0]["rules"][0].update(alert="A", record="a:b"),
    ),
)
