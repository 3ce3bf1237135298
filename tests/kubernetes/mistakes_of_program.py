"""What does not fit the program, its times, its needs and its neighbours, each with the check that has to find it."""

from tests.kubernetes import checks_of_network as network
from tests.kubernetes import checks_of_program as program
from tests.kubernetes import checks_of_times as times
from tests.kubernetes.mistakes import Mistake, config, gateway, pod, replace_word, spec, without

MISTAKES = (
    Mistake(
        "a setting that there is not",
        program.settings,
        "EPM_DRAIN_TIME",
        lambda m: config(m, "gateway-env").update(EPM_DRAIN_TIME="20"),
    ),
    Mistake(
        "a value that a setting does not take",
        program.settings,
        "EPM_BACKENDS",
        lambda m: config(m, "gateway-env").update(EPM_BACKENDS="forest;attrition_model=tensorrt"),
    ),
    Mistake(
        "a server without its address",
        program.settings,
        "EPM_TRITON_ADDRESS",
        lambda m: config(m, "gateway-env").update(EPM_TRITON_ADDRESS=""),
    ),
    Mistake(
        "a secret under another name",
        program.settings,
        "/etc/epm/hash-key",
        lambda m: gateway(m).volumes["secrets"]["secret"]["items"][0].update(path="hash.key"),
    ),
    Mistake(
        "another port than the program's",
        program.ports_and_paths,
        "it listens on",
        lambda m: gateway(m).main["ports"][0].update(containerPort=9000),
    ),
    Mistake(
        "a probe of a path that is not there",
        program.ports_and_paths,
        "/healthz",
        lambda m: gateway(m).main["readinessProbe"]["httpGet"].update(path="/healthz"),
    ),
    Mistake(
        "a flag that Triton has not",
        program.flags,
        "no flag --model-repo",
        lambda m: replace_word(m, "--model-repository=/models", "--model-repo=/models"),
    ),
    Mistake(
        "a configuration that no model has",
        program.flags,
        "configs/a100.pbtxt",
        lambda m: replace_word(m, "--model-config-name=gpu", "--model-config-name=a100"),
    ),
    Mistake(
        "a flag that the gateway has not",
        program.flags,
        "no flag --servants",
        lambda m: gateway(m).main.update(args=["--servants=2"]),
    ),
    Mistake(
        "a file that is not in the repository",
        program.flags,
        "/models/model.config is not there",
        lambda m: pod(m, "tf-serving").main["args"].append("--model_config_file=/models/model.config"),
        "cpu",
    ),
    Mistake(
        "another version than in compose.yaml",
        program.images,
        "compose.yaml",
        lambda m: pod(m, "redis").main.update(image="redis:6.0"),
    ),
    Mistake(
        "a longer drain",
        times.drain,
        "needs 55 s",
        lambda m: config(m, "gateway-env").update(EPM_DRAIN_SECONDS="40"),
    ),
    Mistake(
        "no time for endpoints to hear of it",
        times.drain,
        "no time to hear",
        lambda m: gateway(m).main.pop("lifecycle"),
    ),
    Mistake(
        "a Triton that leaves before gateways know",
        times.drain,
        "may still ask for it",
        lambda m: pod(m, "triton").main["lifecycle"]["preStop"]["sleep"].update(seconds=5),
    ),
    Mistake(
        "less memory than it used",
        times.resources,
        "under load",
        lambda m: gateway(m).main["resources"]["requests"].update(memory="200Mi"),
    ),
    Mistake(
        "a larger replica than the limit has room for",
        times.resources,
        "may grow to",
        lambda m: config(m, "gateway-env").update(EPM_REPLICA_BYTES=str(1 << 30)),
    ),
    Mistake(
        "less processor than it used",
        times.resources,
        "cpu: asks for",
        lambda m: gateway(m).main["resources"]["requests"].update(cpu="500m"),
    ),
    Mistake(
        "a gateway that may not ask Triton",
        network.flows,
        "no policy lets the gateway ask it",
        lambda m: spec(m, "NetworkPolicy", "gateway")["egress"].pop(1),
    ),
    Mistake(
        "a Redis that lets no gateway in",
        network.flows,
        "no policy of it lets the gateway in",
        lambda m: spec(m, "NetworkPolicy", "redis")["ingress"].clear(),
    ),
    Mistake(
        "an address of no Service",
        network.flows,
        "no Service has that name and port",
        lambda m: config(m, "gateway-env").update(EPM_TRITON_ADDRESS="triton:8000"),
    ),
    Mistake("no names", network.flows, "cannot ask for names", lambda m: without(m, "NetworkPolicy", "dns")),
    Mistake(
        "a Prometheus that is kept out",
        network.flows,
        "Prometheus does not reach",
        lambda m: spec(m, "NetworkPolicy", "gateway")["ingress"].pop(1),
    ),
    Mistake(
        "nothing denied",
        network.flows,
        "may send to anybody",
        lambda m: without(m, "NetworkPolicy", "default-deny"),
    ),
    Mistake(
        "a Redis that is open to everybody",
        network.flows,
        "redis: anybody may ask it",
        lambda m: spec(m, "NetworkPolicy", "redis")["ingress"].append({}),
    ),
)
