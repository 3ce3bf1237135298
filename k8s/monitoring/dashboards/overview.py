"""Overview: is it up and within its objectives, who calls, what fails, how long it takes, how much room is left."""

from k8s.monitoring.dashboards.panels import (
    JOB,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    quantiles,
    rate,
    rates,
    stages,
)

OBJECTIVES = (("availability", "failed", "epm_calls", 0.0005), ("latency", "slow", "epm_calls_small", 0.001))
"""An objective; which calls miss it, of which calls; the share that may."""
LEFT = tuple(
    Query(
        f"1 - sum(avg_over_time(job:epm_calls_{missed}:rate5m[30d]))"
        f" / sum(avg_over_time(job:{of}:rate5m[30d])) / {may:g}",
        name,
    )
    for name, missed, of, may in OBJECTIVES
)
BURNT = tuple(
    Query(f"max(job:epm_calls_{missed}:ratio{window}) / {may:g}", f"{name}, {window}")
    for name, missed, _, may in OBJECTIVES
    for window in ("5m", "1h", "6h")
)
QUICK = rate("epm_request_duration_seconds_bucket", 'size="small"', 'le="0.01"')
SMALL = rate("epm_request_duration_seconds_count", 'size="small"')

STATE = Row(
    "Is it up, and within its objectives?",
    (
        Panel(
            "Gateways",
            "Processes that Prometheus reaches, and those of them that say they are ready. Fewer ready than reached: "
            "they load models, drain, or have none to serve. Alerts: nothing ready, no traffic.",
            "none",
            (Query(f"sum(up{{{JOB}}})", "reached"), Query("sum(epm_ready)", "ready")),
            Kind.NUMBERS,
            width=4,
            height=7,
            steps=((0, "red"), (1, "green")),
        ),
        Panel(
            "Error budget left, 30 days",
            "What is left of the calls that may fail (0.05 %: availability) and of the small ones that may take longer "
            "than 10 ms (0.1 %: latency). Below zero the objective is missed.",
            "percentunit",
            LEFT,
            Kind.NUMBERS,
            width=6,
            height=7,
            steps=((0, "red"), (0, "orange"), (0.25, "green")),
        ),
        Panel(
            "Error budget burnt, times what is allowed",
            "At 1 the budget of 30 days lasts for exactly 30 days. Somebody is woken at 14.4 in an hour, or at 6 in "
            "six hours, as long as it goes on.",
            "none",
            BURNT,
            width=14,
            height=7,
        ),
        Panel(
            "Alerts that fire",
            "How many of each. Every one of them has a section in the runbook.",
            "none",
            (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),),
            Kind.STACKED,
            width=24,
            height=7,
        ),
    ),
)

TRAFFIC = Row(
    "Who calls, and what goes wrong?",
    (
        Panel(
            "Calls by protocol",
            "Calls answered in a second, errors too; each message of a stream is one.",
            "reqps",
            rates("epm_requests_total", "", "protocol"),
            Kind.STACKED,
        ),
        Panel(
            "Answers other than OK, by status",
            "INVALID_ARGUMENT and NOT_FOUND are the caller's; UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, "
            "INTERNAL and UNKNOWN are ours and cost budget.",
            "reqps",
            rates("epm_requests_total", 'status!="OK"', "status"),
            Kind.STACKED,
        ),
        Panel(
            "Rows by model",
            "Rows of raw inputs answered in a second. Many rows in few calls are a nightly batch.",
            "suffix: rows/s",
            rates("epm_rows_total", "", "model, version", "{{model}} {{version}}"),
            Kind.STACKED,
        ),
    ),
)

LATENCY = Row(
    "How long does it take, and where?",
    (
        Panel(
            "Latency, calls of up to 64 rows",
            "From the bytes of a request to the bytes of its answer, of calls answered OK. The objective: 99.9 % "
            "within 10 ms.",
            "s",
            quantiles("epm_request_duration_seconds", 'size="small"', 0.5, 0.99, 0.999),
            logarithmic=True,
        ),
        Panel(
            "Latency, larger calls",
            "The same for calls of more than 64 rows: no objective, they wait for the small ones.",
            "s",
            quantiles("epm_request_duration_seconds", 'size="large"', 0.5, 0.99),
            logarithmic=True,
        ),
        Panel(
            "Small calls that took longer than 10 ms",
            "What the latency objective counts, as a share of the calls of up to 64 rows: it should stay below 0.1 %.",
            "percentunit",
            (Query(f"1 - sum({QUICK}) / sum({SMALL})", "longer than 10 ms"),),
        ),
        Panel(
            "Mean time of a call, by stage",
            "Where the time of a call goes. Queue: waiting for a batch; backend: computing, here or at a server; store "
            "and cache: Redis, mostly.",
            "s",
            stages(),
            Kind.STACKED,
            width=12,
        ),
        Panel(
            "p99 by stage",
            "The slowest hundredth of each stage: the stage that rises with the latency above is the one to look at.",
            "s",
            (
                Query(
                    f"histogram_quantile(0.99, sum by (le, stage) ({rate('epm_stage_duration_seconds_bucket')}))",
                    "{{stage}}",
                ),
            ),
            width=12,
            logarithmic=True,
        ),
    ),
)

ROOM = Row(
    "How much room is left?",
    (
        Panel(
            "Calls in flight",
            "Calls that have begun and not ended, by protocol.",
            "none",
            (Query("sum by (protocol) (epm_requests_in_flight)", "{{protocol}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Room taken, share of the limit",
            "The fullest gateway: rows in work against EPM_MAX_ROWS_IN_FLIGHT, rows that wait for a batch against "
            "EPM_BATCH_QUEUE_ROWS, the replica against EPM_REPLICA_BYTES. At 100 % the first two refuse calls.",
            "percentunit",
            (
                Query("max(epm_rows_in_flight / epm_rows_in_flight_limit)", "rows in flight"),
                Query(
                    "max by (model) (epm_queue_rows / on (job, instance) group_left () epm_queue_limit_rows)",
                    "queue of {{model}}",
                ),
                Query("max(epm_replica_bytes / epm_replica_limit_bytes)", "replica"),
            ),
        ),
        Panel(
            "Processors kept busy",
            "By all gateways together, and by the busiest of them: near the processors it may have, calls wait.",
            "none",
            (
                Query(f"sum({rate('process_cpu_seconds_total', JOB)})", "all gateways"),
                Query(f"max({rate('process_cpu_seconds_total', JOB)})", "the busiest"),
            ),
        ),
    ),
)

BOARD = Board(
    "overview",
    "EPM gateway: overview",
    "Top to bottom: is it up, within its objectives, who calls, what fails, how long it takes, how much room is left.",
    (STATE, TRAFFIC, LATENCY, ROOM),
)
