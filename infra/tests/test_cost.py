"""`infra/cost`: the sum, what it asks for, and that what it counts is what the templates have."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys

import pytest
from repository import CONTRACT
from template import INFRA, load

loader = importlib.machinery.SourceFileLoader("cost", str(INFRA / "cost"))
cost = importlib.util.module_from_spec(importlib.util.spec_from_loader("cost", loader))
loader.exec_module(cost)


def run(*arguments):
    return subprocess.run([sys.executable, INFRA / "cost", *map(str, arguments)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def prices(tmp_path):
    listed = json.loads(run("--list").stdout)
    assert set(listed) == set(cost.PRICES)
    file = tmp_path / "prices.json"

    def write(**known):
        file.write_text(json.dumps(dict.fromkeys(listed, 0) | {"source": "thought up"} | known))
        return file

    return write


def test_a_month_and_a_thousand_photos(prices):
    file = prices(worker_hour=0.5, polybot_hour=0.25, sqs_million=0, out_gb=1)
    out = run(file, "--photos", 1_000_000, "--workers", 2).stdout
    # 2 x 730 h x 0.5 and x 0.25, and 200 GB.
    assert re.search(r"^a month +1,295.00$", out, re.M) and re.search(r"^a thousand photos +1.2950$", out, re.M)
    assert "prices: thought up" in out


@pytest.mark.parametrize("price", [name for name in cost.PRICES if name != "source"])
def test_each_price_counts_somewhere(prices, price):
    everything = [(), ("--private",), ("--mini",)]
    assert any(not re.search(r"^a month +0.00$", run(prices(**{price: 1000}), *chosen, "--photos", 100_000).stdout, re.M)
               for chosen in everything)


def test_a_price_that_is_missing_is_asked_for(prices):
    answer = run(prices(worker_hour=None))
    assert answer.returncode == 1 and "does not say `worker_hour`: an hour of a worker" in answer.stderr
    assert run(prices(source=None)).returncode == 1


def counted(template):
    """Custom metrics, and metrics that alarms look at, of what the defaults make. Target tracking has two alarms of its own."""
    resources = [resource for resource in load(template)["Resources"].values() if resource.get("Condition") not in ("ScalesToZero", "FollowsBacklog")]
    filters = {resource["Properties"]["MetricTransformations"][0]["MetricName"] for resource in resources
               if resource["Type"] == "AWS::Logs::MetricFilter"}
    published = {metric["name"] for metric in CONTRACT["cloudwatch"]["metrics"]}
    alarms = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    looked_at = sum(len([metric for metric in alarm["Metrics"] if "MetricStat" in metric]) if "Metrics" in alarm else 1 for alarm in alarms)
    tracking = 2 * len([resource for resource in resources if resource.get("Properties", {}).get("PolicyType") == "TargetTrackingScaling"])
    assert tracking == (cost.FAST_ALARM_METRICS if template == "polybot.yaml" else 0)
    return len(filters) + len(published), looked_at


def test_metrics_and_alarms_are_counted_as_the_template_has_them():
    assert (cost.METRICS, cost.ALARM_METRICS) == counted("polybot.yaml")
    assert (cost.MINI_METRICS, cost.MINI_ALARM_METRICS) == counted("mini.yaml")


def month(*arguments):
    return float(re.search(r"^a month +([\d,.]+)$", run(INFRA / "prices.example.json", "--photos", 10_000, *arguments).stdout, re.M)[1].replace(",", ""))


def test_what_the_readme_says_of_the_example_s_prices():
    """One machine is a quarter of the default stack at most, also where the worker is spot; and the README has the sums."""
    example = json.loads((INFRA / "prices.example.json").read_text())
    assert set(example) == set(cost.PRICES) and "2026" in example["source"]
    mini, whole = month("--mini"), month()
    spot = whole - 730 * (example["worker_hour"] - 0.034)
    assert mini <= spot / 4 < whole / 4
    readme = (INFRA / "README.md").read_text()
    assert f"it costs {mini:.0f} dollars where the default stack costs {whole:.0f} with its worker on demand, and {spot:.0f} with" in readme
