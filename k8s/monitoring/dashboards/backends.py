"""Backends and caches: who computes, what is kept, where facts come from, and how the processes are."""

from k8s.monitoring.dashboards.panels import JOB, Board, Kind, Panel, Query, Row, rate, rates

UP = ((0, "red"), (1, "green"))
BACKEND = "{{model}} {{backend}}"


def backend_mean(metric: str) -> str:
    """What one call of a backend is on average: its seconds, or its rows."""
    calls = f"sum by (model, backend) ({rate('epm_backend_calls_total')})"
    return f"sum by (model, backend) ({rate(metric)}) / {calls}"


def found(places: str) -> str:
    """Rows a second that were found, or looked for, in places: a regular expression."""
    matcher = f'from=~"{places}"'
    return f"sum by (model) ({rate('epm_cache_rows_total', matcher)})"


BACKENDS = Row(
    "Who computes?",
    (
        Panel(
            "Breakers",
            "Addresses of servers, counted for each model at each gateway, by the state of their breaker: closed ones "
            "are asked; an open one has failed and is asked for golden rows only, until it answers them rightly.",
            "none",
            (Query("sum by (backend, state) (epm_backend_addresses)", "{{backend}} {{state}}"),),
            Kind.STACKED,
        ),
        Panel(
            "Batches by backend",
            "What each backend was asked for in a second. When a server goes away, the next backend of the list takes "
            "over.",
            "suffix: calls/s",
            rates("epm_backend_calls_total", "", "model, backend"),
            Kind.STACKED,
        ),
        Panel(
            "Batches that were not answered, by outcome",
            "failed: the next backend is asked; refused: the rows make the model overflow; late: the deadline passed.",
            "suffix: calls/s",
            rates("epm_backend_calls_total", 'outcome!="ok"', "model, backend, outcome"),
            Kind.STACKED,
        ),
        Panel(
            "Seconds a call",
            "How long a backend takes for a batch, on average. A server includes the way there.",
            "s",
            (Query(backend_mean("epm_backend_seconds_total"), BACKEND),),
            width=6,
            logarithmic=True,
        ),
        Panel(
            "Rows a call",
            "Rows of a batch, on average.",
            "none",
            (Query(backend_mean("epm_backend_rows_total"), BACKEND),),
            width=6,
        ),
        Panel(
            "Tries at servers, by outcome",
            "Calls to single addresses: one that fails is tried once more at another.",
            "suffix: tries/s",
            rates("epm_backend_tries_total", "", "backend, outcome"),
            Kind.STACKED,
            width=6,
        ),
        Panel(
            "Rows beside a shadow, by outcome",
            "A sample that is computed again by another backend and compared. Disagreed should stay at zero.",
            "suffix: rows/s",
            rates("epm_shadow_rows_total", "", "model, backend, outcome"),
            Kind.STACKED,
            width=6,
        ),
    ),
)

KEPT = Row(
    "What is known already? (kept predictions)",
    (
        Panel(
            "Rows by where they were found",
            "table: in this process; missed: not there; of the missed ones, redis were found there, and shared were "
            "being computed for another call.",
            "suffix: rows/s",
            rates("epm_cache_rows_total", "", "from"),
            width=6,
        ),
        Panel(
            "Share of rows that were known",
            "Found in the table, and in either the table or Redis.",
            "percentunit",
            tuple(
                Query(f"{found(places)} / {found('table|missed')}", f"{{{{model}}}} {where}")
                for places, where in (("table", "table"), ("table|redis", "table or Redis"))
            ),
            width=6,
            most=1,
        ),
        Panel(
            "Predictions in the table",
            "Predictions kept in the processes, and those that made room for others in a second.",
            "none",
            (
                Query("sum by (model, version) (epm_cache_entries)", "{{model}} {{version}} kept"),
                *rates("epm_cache_evictions_total", "", "model, version", "{{model}} {{version}} evicted a second"),
            ),
            width=6,
        ),
        Panel(
            "Rows at Redis, by outcome",
            "Asked: hit, miss, corrupt, unanswered; told: written, refused, unwritten. What Redis does not answer is "
            "computed.",
            "suffix: rows/s",
            rates("epm_cache_redis_rows_total", "", "outcome"),
            Kind.STACKED,
            width=6,
        ),
    ),
)

STORE = Row(
    "Where do facts come from? (online store)",
    (
        Panel(
            "Redis answers",
            "Gateways to which Redis answers: the one of the online store, and the one of kept predictions. Away costs "
            "time, no answer that columns give; rows by id come from the replica, marked stale.",
            "none",
            (Query("sum(epm_store_up)", "online store"), Query("sum(epm_cache_redis_up)", "kept predictions")),
            width=6,
        ),
        Panel(
            "Rows by id, by where they came from",
            "Rows asked for by id: from the replica, from Redis, unknown, or not to be had.",
            "suffix: rows/s",
            rates("epm_store_rows_total", "", "outcome"),
            Kind.STACKED,
            width=6,
        ),
        Panel(
            "Age of the replica",
            "How long ago Redis last said that the replica is right, at the worst gateway, and the age from which on "
            "its rows are refused (EPM_MOST_STALE_SECONDS).",
            "s",
            (
                Query("max(epm_replica_age_seconds)", "age"),
                Query("min(epm_replica_most_stale_seconds)", "refused from"),
            ),
            width=6,
            logarithmic=True,
        ),
        Panel(
            "Round trips to Redis, by outcome",
            "Of the online store. One that takes longer than EPM_REDIS_TIMEOUT_SECONDS is a timeout.",
            "suffix: trips/s",
            rates("epm_store_round_trips_total", "", "outcome"),
            Kind.STACKED,
            width=6,
        ),
        Panel(
            "Size of the replica",
            "Bytes of records in the largest replica, and what it may take.",
            "bytes",
            (Query("max(epm_replica_bytes)", "records"), Query("min(epm_replica_limit_bytes)", "limit")),
            width=8,
            logarithmic=True,
        ),
        Panel(
            "Records in the replica",
            "Entities known in the processes, and those that made room for others in a second.",
            "none",
            (
                Query("sum(epm_replica_entities)", "records"),
                Query(f"sum({rate('epm_replica_evictions_total')})", "evicted a second"),
            ),
            width=8,
        ),
        Panel(
            "What happened to Redis",
            "Since the gateways have started: connections made again, times it came back empty or as another one, "
            "records that could not be read.",
            "none",
            (
                Query("sum(epm_store_reconnects_total)", "reconnected"),
                Query("sum(epm_store_resets_total)", "came back empty"),
                Query("sum(epm_store_corrupt_records_total)", "unreadable records"),
            ),
            Kind.NUMBERS,
        ),
    ),
)

PROCESSES = Row(
    "How are the processes?",
    (
        Panel(
            "Processor",
            "Processors that each gateway keeps busy.",
            "none",
            (Query(rate("process_cpu_seconds_total", JOB), "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Memory",
            "Resident memory of each gateway.",
            "bytes",
            (Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Garbage collections",
            "Python's, by generation.",
            "suffix: /s",
            rates("python_gc_collections_total", JOB, "generation", "generation {{generation}}"),
            width=6,
        ),
        Panel(
            "Compiled kernels",
            "kept: read from the JIT cache; compiled: made at start, which takes seconds each. In an image all should "
            "be kept; unwritten ones mean that the cache folder cannot be written.",
            "none",
            (
                Query("sum by (source) (epm_jit_kernels_total)", "{{source}}"),
                Query("sum(epm_jit_unwritten_total)", "unwritten"),
            ),
            Kind.NUMBERS,
            width=6,
        ),
    ),
)

BOARD = Board(
    "backends",
    "EPM gateway: backends and caches",
    "Backends and their breakers, kept predictions, the online store and its replica, the processes.",
    (BACKENDS, KEPT, STORE, PROCESSES),
)
