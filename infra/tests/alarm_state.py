"""What CloudWatch makes of an alarm, minute by minute, for data that a test thinks up.

Follows https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html: each minute the newest EvaluationPeriods
periods are looked at, with what has arrived until then; where some have no data, older ones stand in for them, as far as AWS's
"evaluation range" goes, whose length it does not tell (here: five more). DatapointsToAlarm of them have to breach; TreatMissingData says
what a period is that nothing stands in for. What an expression fills is data, however late the real data comes.

No emulator does this: moto and ministack keep an alarm and never judge it.
"""

import ast
import re

COMPARISONS = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
STATISTICS = {"Sum": sum, "Maximum": max, "Minimum": min, "SampleCount": len, "Average": lambda values: sum(values) / len(values)}


def states(alarm, data, minutes, late=0):
    """The state at the end of each minute. `data`: by metric name, the values of each minute (a list, or nothing: no data);
    they can be seen `late` minutes after."""
    period = alarm.get("Period") or next(metric["MetricStat"]["Period"] for metric in alarm["Metrics"] if "MetricStat" in metric)
    every = max(1, int(period) // 60)
    found, state = [], "INSUFFICIENT_DATA"
    for now in range(1, minutes + 1):
        ends = now - now % every
        if late == 0 and now != ends:
            # Nothing came since.
            found.append(state)
            continue
        wanted = int(alarm["EvaluationPeriods"])
        seen = [_value(alarm, data, end - every, end, now - late) for number in range(wanted + 5) for end in [ends - number * every]]
        real = [value for value in seen if value is not None]
        state = _state(alarm, real[:wanted] if len(real) >= wanted else real + [None] * (wanted - len(real)), state)
        found.append(state)
    return found


def _state(alarm, values, before):
    missing = alarm.get("TreatMissingData", "missing")
    breaching = 0
    for value in values:
        if value is None:
            breaching += missing == "breaching"
        else:
            breaching += COMPARISONS[alarm["ComparisonOperator"]](value, float(alarm["Threshold"]))
    if breaching >= int(alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])):
        return "ALARM"
    if all(value is None for value in values) and missing in ("missing", "ignore"):
        return before if missing == "ignore" else "INSUFFICIENT_DATA"
    return "OK"


def _value(alarm, data, begins, ends, known):
    def statistic(metric, name):
        values = [value for minute in range(begins, min(ends, known)) for value in data.get(metric, {}).get(minute, [])]
        return STATISTICS[name](values) if values else None

    if "MetricName" in alarm:
        return statistic(alarm["MetricName"], alarm["Statistic"])
    named, result = {}, None
    for metric in alarm["Metrics"]:
        if "MetricStat" in metric:
            named[metric["Id"]] = statistic(metric["MetricStat"]["Metric"]["MetricName"], metric["MetricStat"]["Stat"])
    for metric in alarm["Metrics"]:
        if "Expression" in metric and metric.get("ReturnData", True):
            result = _work_out(ast.parse(re.sub(r"\bAND\b", "and", metric["Expression"]), mode="eval").body, named)
    return result


def _work_out(node, named):
    """Metric math, as far as the template needs it. Nothing and a number is nothing."""
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.Name):
        return named[node.id]
    if isinstance(node, ast.Call) and node.func.id == "FILL":
        value = _work_out(node.args[0], named)
        return _work_out(node.args[1], named) if value is None else value
    if isinstance(node, ast.Call) and node.func.id == "IF":
        condition = _work_out(node.args[0], named)
        return None if condition is None else _work_out(node.args[1 if condition else 2], named)
    if isinstance(node, ast.BoolOp):
        values = [_work_out(value, named) for value in node.values]
        return None if None in values else float(all(values))
    left = _work_out(node.left, named)
    right = _work_out(node.comparators[0] if isinstance(node, ast.Compare) else node.right, named)
    if left is None or right is None:
        return None
    operator = node.ops[0] if isinstance(node, ast.Compare) else node.op
    return float({ast.Add: lambda: left + right, ast.Sub: lambda: left - right, ast.Mult: lambda: left * right,
                  ast.Div: lambda: left / right, ast.Gt: lambda: left > right, ast.GtE: lambda: left >= right,
                  ast.Lt: lambda: left < right}[type(operator)]())
