"""The house style of the dashboards: colours, panels, queries and variables, for what stands in the files beside this.

It promises that a series has its colour and its dash on every dashboard, both told apart by people who see no red or no
green (the colours are Okabe and Ito's); that lines are thick enough for a projector; and that every panel says in its
description what to do when it looks bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import cloudwatch, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import cloudwatch as cloudwatch_models
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = Builder[models.Panel]

PROMETHEUS_UID = "gameday-prometheus"
TAG = "gameday"

# Okabe and Ito's palette, without black: told apart with every kind of colour blindness, on dark and on light.
SKY, ORANGE, GREEN, VERMILLION = "#56B4E9", "#E69F00", "#009E73", "#D55E00"
PURPLE, YELLOW, BLUE, GREY = "#CC79A7", "#F0E442", "#0072B2", "#999999"
GOOD, BAD, NOTICE = BLUE, VERMILLION, ORANGE
PALETTE = (SKY, ORANGE, GREEN, VERMILLION, PURPLE, YELLOW, BLUE, GREY)

_PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
_CLOUDWATCH = models.DataSourceRef(type_val="cloudwatch", uid="${cloudwatch}")
_GRAFANA = models.DataSourceRef(type_val="datasource", uid="-- Grafana --")
_WIDTH = 24
_ALL = models.VariableOption(selected=True, text=["All"], value=["$__all"])

# What selects the series of the run, and those of the subscriptions, that are chosen above.
RUN = 'run="$run"'
SUB = f'{RUN}, subscription=~"$subscription"'
# Each repeated row is about one.
ONE = f'{RUN}, subscription="$subscription"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A query and how its lines look. `name` is the legend; with labels in it, `colour` None leaves the palette."""

    name: str
    expr: str
    colour: str | None = None
    dashed: bool = False
    exemplars: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric of CloudWatch's, by its dimension; `value` may be a variable."""

    name: str
    namespace: str
    metric: str
    dimension: str
    value: str
    statistic: str
    colour: str


def quantile(q: float, metric: str, where: str, by: str = "") -> str:
    """Over the last few scrapes, of a classic histogram; `by`: further labels to keep."""
    labels = ", ".join(name for name in (by, "le") if name)
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def rate(metric: str, where: str, by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{where}}}[$__rate_interval]))"


def total(metric: str, where: str, by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} ({metric}{{{where}}})"


def lines(
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    unit: str,
    span: int = 12,
    height: int = 8,
    limit: float | None = None,
    looks: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Lines over time from zero; `limit` draws a dashed line that should not be crossed; `looks`: colours by a regular
    expression that legends match, where labels make them."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_PROMETHEUS)
        .unit(unit)
        .min(0)
        .span(span)
        .height(height)
        .line_width(3)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
    )
    if limit is not None:
        panel.thresholds(_steps({None: GOOD, limit: BAD}))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED))
    for place, each in enumerate(series):
        panel.with_target(_query(each.expr, legend=each.name, ref=place, exemplars=each.exemplars))
        if each.colour is not None:
            panel.override_by_query(chr(ord("A") + place), _look(each.colour, dashed=each.dashed))
    for pattern, colour in (looks or {}).items():
        panel.override_by_regexp(pattern, _look(colour))
    return panel


def number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    bad_from: float | None = None,
    notice_from: float | None = None,
    span: int = 4,
    name: str = "",
) -> stat.Panel:
    """A large number, blue while it is well. `name` shows a label instead of the value."""
    steps: dict[float | None, str] = {None: GOOD}
    if notice_from is not None:
        steps[notice_from] = NOTICE
    if bad_from is not None:
        steps[bad_from] = BAD
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_PROMETHEUS)
        .unit(unit)
        .span(span)
        .height(4)
        .color_mode(options.BigValueColorMode.BACKGROUND)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.NAME if name else options.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("–")
        .thresholds(_steps(steps))
        .with_target(_query(expr, legend=name, instant=True))
    )


def regions(
    title: str, description: str, expr: str, legend: str, *, span: int = _WIDTH, height: int = 6
) -> statetimeline.Panel:
    """What was on, and when: one bar for each series."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(_PROMETHEUS)
        .span(span)
        .height(height)
        .show_value(options.VisibilityMode.NEVER)
        .thresholds(_steps({None: "transparent", 1: ORANGE}))
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .mappings(
            [
                models.ValueMap(
                    options={
                        "0": models.ValueMappingResult(text="off", color="transparent"),
                        "1": models.ValueMappingResult(text="at work", color=ORANGE),
                    }
                )
            ]
        )
        .with_target(_query(expr, legend=legend))
    )


def rows(
    title: str, description: str, expr: str, *, unit: str, hidden: Sequence[str], span: int = 12, height: int = 8
) -> table.Panel:
    """A table of an instant vector: a row for each series, a column for each label that is not `hidden`."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(_PROMETHEUS)
        .unit(unit)
        .span(span)
        .height(height)
        .show_header(True)
        .with_target(_query(expr, instant=True, format=PromQueryFormat.TABLE))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": dict.fromkeys(["Time", *hidden], True)}
            )
        )
    )
    return panel


def cloud(
    title: str, description: str, metrics: Sequence[Metric], *, unit: str, span: int = 12, height: int = 8
) -> timeseries.Panel:
    """Lines of CloudWatch's; it has a value a minute at best, about two minutes late."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_CLOUDWATCH)
        .unit(unit)
        .min(0)
        .span(span)
        .height(height)
        .line_width(3)
        .fill_opacity(8)
        .span_nulls(True)
        .legend(_legend())
        .tooltip(_tooltip())
    )
    for place, each in enumerate(metrics):
        ref = chr(ord("A") + place)
        panel.with_target(
            cloudwatch.CloudWatchMetricsQuery()
            .ref_id(ref)
            .id(ref.lower())
            .query_mode(cloudwatch_models.CloudWatchQueryMode.METRICS)
            .metric_query_type(cloudwatch_models.MetricQueryType.SEARCH)
            .metric_editor_mode(cloudwatch_models.MetricEditorMode.BUILDER)
            .datasource(_CLOUDWATCH)
            .region("$region")
            .namespace(each.namespace)
            .metric_name(each.metric)
            .dimensions({each.dimension: each.value})
            .match_exact(False)
            .statistic(each.statistic)
            .period("60")
            .label(f"{each.name} ${{PROP('Dim.{each.dimension}')}}")
            .expression("")
        )
        panel.override_by_query(ref, _look(each.colour))
    return panel


def board(uid: str, title: str, description: str) -> builders.Dashboard:
    """A dashboard with what all have: the variables, the links, and the faults, phases and the verdict as regions."""
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-5m", "now")
        .refresh("5s")
        .timepicker(builders.TimePicker().refresh_intervals(["1s", "5s", "10s", "30s", "1m"]))
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("gameday")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
            .tooltip("The other dashboards, of the same run and time")
        )
        .annotation(
            _annotations("Faults at work", ORANGE)
            .datasource(_PROMETHEUS)
            .expr(f"sum by (fault, instance) (gameday_fault_active{{{RUN}}}) > 0")
        )
        .annotation(_written("Faults, as the run wrote them", VERMILLION, "fault").enable(False))
        .annotation(_written("Phases", GREY, "phase"))
        .annotation(_written("Verdict", SKY, "verdict"))
        .with_variable(
            builders.DatasourceVariable("prometheus")
            .label("Prometheus")
            .type("prometheus")
            .current(models.VariableOption(selected=True, text="gameday Prometheus", value=PROMETHEUS_UID))
        )
        .with_variable(
            _choice("transport", "Transport", "label_values(gameday_run_info, transport)")
            .include_all(True)
            .multi(True)
            .current(_ALL)
        )
        .with_variable(
            _choice("run", "Run", 'label_values(gameday_run_info{transport=~"$transport"}, run)').sort(
                models.VariableSort.ALPHABETICAL_DESC
            )
        )
        .with_variable(
            _choice(
                "subscription", "Subscription", f"label_values(gameday_messages_received_total{{{RUN}}}, subscription)"
            )
            .include_all(True)
            .multi(True)
            .current(_ALL)
        )
    )


# What the SDK's type of an annotation query lacks, by the query's name: what a region of Prometheus' says.
ANNOTATION_TEXTS: Mapping[str, Mapping[str, str]] = {
    "Faults at work": {"titleFormat": "{{fault}}", "textFormat": "{{instance}}", "tagKeys": "fault", "step": "1s"}
}


def row(title: str, *, each_subscription: bool = False) -> builders.Row:
    made = builders.Row(title)
    return made.repeat("subscription") if each_subscription else made


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(_PROMETHEUS)
        .query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def cloudwatch_choices(dimensions: Mapping[str, str]) -> list[builders.QueryVariable]:
    """Variables of CloudWatch's dimensions, by the query that lists their values."""
    return [
        builders.QueryVariable(name)
        .label(name.title())
        .datasource(_CLOUDWATCH)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(name != "region")
        .multi(name != "region")
        for name, query in dimensions.items()
    ]


def _annotations(name: str, colour: str) -> builders.AnnotationQuery:
    return builders.AnnotationQuery().name(name).icon_color(colour).enable(True)


def _written(name: str, colour: str, kind: str) -> builders.AnnotationQuery:
    """What `gameday run --grafana` writes, by its tags."""
    return (
        _annotations(name, colour)
        .datasource(_GRAFANA)
        .target(builders.AnnotationTarget().type("tags").tags([TAG, kind, "$run"]).match_any(False).limit(100))
    )


def _query(
    expr: str,
    *,
    legend: str = "",
    ref: int = 0,
    instant: bool = False,
    exemplars: bool = False,
    format: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> prometheus.Dataquery:
    query = (
        prometheus.Dataquery()
        .datasource(_PROMETHEUS)
        .expr(expr)
        .legend_format(legend or "__auto")
        .ref_id(chr(ord("A") + ref))
        .format(format)
    )
    query = query.instant() if instant else query.range()
    return query.exemplar(True) if exemplars else query


def _look(colour: str, *, dashed: bool = False) -> list[models.DynamicConfigValue]:
    look: list[models.DynamicConfigValue] = [
        models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
    ]
    if dashed:
        look.append(models.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [12, 8]}))
        look.append(models.DynamicConfigValue(id_val="custom.fillOpacity", value=0))
    return look


def _steps(steps: Mapping[float | None, str]) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=colour) for value, colour in steps.items()])
    )
