"""A described dashboard as Grafana's JSON, by grafana-foundation-sdk."""

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as parts

from k8s.monitoring.dashboards.panels import Board, Kind, Panel, Query, Row, Variable

SOURCE = parts.DataSourceRef("prometheus", "${datasource}")
TAG, RUNBOOK = "epm", "runbook"
OPERATIONS = "docs/operations.md"


def text(board: Board) -> str:
    """JSON as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"epm-{board.name}")
        .description(board.description)
        .tags([TAG])
        .readonly()
        .tooltip(parts.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Dashboards").type(parts.DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True)
        )
        .link(_runbook())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_runbook_address())
    )
    for variable in board.variables:
        made.with_variable(_variable(variable))
    for row in board.rows:
        _check_width(row)
        made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made.with_panel(_panel(panel))
    built = made.build()
    for number, panel in enumerate(built.panels or [], 1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _runbook() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Runbook").type(parts.DashboardLinkType.LINK).icon("doc").target_blank(True)
    return link.url(f"${{{RUNBOOK}}}").tooltip("docs/operations.md: what each alert means and what to do")


def _runbook_address() -> dashboard.TextBoxVariable:
    """Where readers find docs/operations.md: whoever serves it elsewhere says so once, above the panels."""
    address = dashboard.TextBoxVariable(RUNBOOK).label("Runbook").default_value(OPERATIONS)
    return address.current(parts.VariableOption(text=OPERATIONS, value=OPERATIONS))


def _check_width(row: Row) -> None:
    """Raises ValueError where panels do not fill lines."""
    width = sum(panel.width for panel in row.panels)
    if width % 24:
        raise ValueError(f"{row.title}: panels are {width} wide, expected a multiple of 24")


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    made = _numbers(panel) if panel.kind is Kind.NUMBERS else _lines(panel)
    made.title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE)
    made.span(panel.width).height(panel.height)
    if panel.most is not None:
        made.max(panel.most)
    for number, query in enumerate(panel.queries):
        asked = _query(query, chr(ord("A") + number))
        made.with_target(asked.instant() if panel.kind is Kind.NUMBERS else asked.range())
    return made


def _query(query: Query, name: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(name).datasource(SOURCE)


def _numbers(panel: Panel) -> stat.Panel:
    (_, first), *others = panel.steps
    steps = [parts.Threshold(None, first), *(parts.Threshold(value, color) for value, color in others)]
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
        .color_mode(looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .thresholds(dashboard.ThresholdsConfig().mode(parts.ThresholdsMode.ABSOLUTE).steps(steps))
    )


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(looks.LegendPlacement.BOTTOM)
    made = (
        timeseries.Panel()
        .legend(legend.display_mode(looks.LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .line_width(1)
        .show_points(looks.VisibilityMode.NEVER)
    )
    if panel.kind is Kind.STACKED:
        made.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL)).fill_opacity(40)
    if panel.logarithmic:
        made.scale_distribution(common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10))
    else:
        made.axis_soft_min(0)
    return made


def _variable(variable: Variable) -> dashboard.QueryVariable:
    made = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query({"query": variable.query, "refId": variable.name})
        .refresh(parts.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(parts.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.several:
        every = parts.VariableOption(text="All", value="$__all")
        made.multi(True).include_all(True).all_value(".*").current(every)
    return made
