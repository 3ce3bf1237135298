"""One model: what of it is served, who asks and how long that takes, what its inputs look like, how it is batched."""

from k8s.monitoring.dashboards.panels import (
    Board,
    Kind,
    Panel,
    Query,
    Row,
    Variable,
    quantiles,
    rate,
    rates,
    stages,
)

OF = 'model="$model", version=~"$version"'
ROWS = f"sum({rate('epm_rows_total', OF)})"
LOW = f"sum({rate('epm_low_coverage_rows_total', OF)})"
BATCHED, OF_BATCHES = rate("epm_batch_rows_sum", OF), rate("epm_batch_rows_count", OF)


def columns(state: str) -> tuple[Query, ...]:
    """The share of rows in which a column is in that state, the eight columns of which that holds most often."""
    matcher = f'state="{state}"'
    cells = f"sum by (column) ({rate('epm_input_cells_total', OF, matcher)})"
    return (Query(f"topk(8, {cells} / on () group_left () {ROWS})", "{{column}}"),)


VERSIONS = Row(
    "What is served?",
    (
        Panel(
            "Versions",
            "Gateways by what each version is to them: served; refused, with the reason in the log and in "
            "GetModelStatus; or waiting for its server. A refused version stays so until its files change.",
            "none",
            (Query(f"sum by (version, state) (epm_model_versions{{{OF}}})", "version {{version}}: {{state}}"),),
            Kind.NUMBERS,
            width=6,
            height=7,
        ),
        Panel(
            "Loads",
            "How often versions were loaded or refused since the gateways that run now have started.",
            "none",
            (Query(f"sum by (version, outcome) (epm_model_loads_total{{{OF}}})", "version {{version}}: {{outcome}}"),),
            Kind.NUMBERS,
            width=6,
            height=7,
        ),
        Panel(
            "Calls by version and status",
            "Answers of this model; a call that names no served model is on no model's page.",
            "reqps",
            rates("epm_requests_total", OF, "version, status", "version {{version}}: {{status}}"),
            Kind.STACKED,
            width=12,
            height=7,
        ),
    ),
)

LATENCY = Row(
    "How long does it take?",
    (
        Panel(
            "Latency, calls of up to 64 rows",
            "From the bytes of a request to the bytes of its answer, of calls answered OK.",
            "s",
            quantiles("epm_request_duration_seconds", f'{OF}, size="small"', 0.5, 0.99, 0.999),
            logarithmic=True,
        ),
        Panel(
            "Latency, larger calls",
            "The same for calls of more than 64 rows.",
            "s",
            quantiles("epm_request_duration_seconds", f'{OF}, size="large"', 0.5, 0.99),
            logarithmic=True,
        ),
        Panel(
            "Mean time of a call, by stage",
            "Where the time of a call of this model goes.",
            "s",
            stages(OF),
            Kind.STACKED,
        ),
    ),
)

INPUTS = Row(
    "What do its inputs look like?",
    (
        Panel(
            "Rows",
            "Rows of raw inputs answered in a second, and those of them that gave too little for the contract's "
            "coverage bound.",
            "suffix: rows/s",
            (
                *rates("epm_rows_total", OF, "version", "version {{version}}"),
                Query(LOW, "of low coverage"),
            ),
        ),
        Panel(
            "Share of rows of low coverage",
            "They are answered and marked low_coverage. A sudden rise: a sender has lost a source.",
            "percentunit",
            (Query(f"{LOW} / {ROWS}", "low coverage"),),
        ),
        Panel(
            "Cells by state, a row",
            "How many cells of a row, on average, were missing, unknown, out of the range of training, or stale.",
            "none",
            (
                Query(
                    f"sum by (state) ({rate('epm_input_cells_total', OF)}) / on () group_left () {ROWS}",
                    "{{state}}",
                ),
            ),
        ),
        Panel(
            "Missing, by column",
            "Share of rows without a value in this column; the eight columns that are missing most often.",
            "percentunit",
            columns("missing"),
        ),
        Panel(
            "Unknown category, by column",
            "Share of rows with a text that the model has not been trained on: a renamed department, another spelling.",
            "percentunit",
            columns("unknown"),
        ),
        Panel(
            "Out of the range of training, by column",
            "Share of rows with a number smaller or greater than any in training: another unit, or a changed world.",
            "percentunit",
            columns("out_of_training_range"),
        ),
    ),
)

BATCHES = Row(
    "How is it batched? (models that are computed at a server, or slowly)",
    (
        Panel(
            "Rows in a batch",
            "Rows of shared batches. Rising with the load is what batches are for.",
            "none",
            (
                *quantiles("epm_batch_rows", OF, 0.5, 0.99),
                Query(f"sum({BATCHED}) / sum({OF_BATCHES})", "mean"),
            ),
        ),
        Panel(
            "Wait for a batch",
            "How long the first call of a batch waited for it: a free backend is given one at once.",
            "s",
            quantiles("epm_batch_wait_seconds", OF, 0.5, 0.99),
        ),
        Panel(
            "Rows waiting",
            "Rows that wait for a batch, at the fullest gateway. Calls are refused from EPM_BATCH_QUEUE_ROWS on: what "
            "that is stands in the overview as a share.",
            "none",
            (Query(f"max by (version) (epm_queue_rows{{{OF}}})", "version {{version}}"),),
        ),
    ),
)

BOARD = Board(
    "model",
    "EPM gateway: one model",
    "One model, and some or all of its versions: what is served, latency, inputs, batches.",
    (VERSIONS, LATENCY, INPUTS, BATCHES),
    (
        Variable("model", "Model", "label_values(epm_model_versions, model)"),
        Variable("version", "Version", 'label_values(epm_model_versions{model="$model"}, version)', several=True),
    ),
)
