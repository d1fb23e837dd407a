"""The runbook names what is really there: metrics, log lines, alarms, parameters, outputs, links."""

import re
import unittest

import jmespath
from repository import CONTRACT, ROOT, SERVICES, metrics, read

RUNBOOK = read("docs/OPERATIONS.md")
# What user data logs, which is no service.
OF_BOOTS = {"booted", "boot_failed", "baked"}


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def table_rows(section: str) -> list[list[str]]:
    text = RUNBOOK[RUNBOOK.index(f"\n## {section}\n") :]
    text = text.split("\n## ", 2)[1]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


class Runbook(unittest.TestCase):
    def test_each_metric_is_explained_and_the_other_way_round(self):
        explained = {re.match(r"`(\w+)`", row[0])[1] for row in table_rows("Metrics")}
        self.assertEqual(metrics(), explained)

    def test_each_value_of_a_label_is_explained(self):
        rows = {re.match(r"`(\w+)`", row[0])[1]: " | ".join(row) for row in table_rows("Metrics")}
        for metric, labels in CONTRACT["labels"].items():
            for label, values in labels.items():
                self.assertGreater(len(values), 3)
                self.assertLessEqual({f"`{value}`" for value in [label, *values]}, set(re.findall(r"`\w+`", rows[metric])))

    def test_each_event_is_explained_and_the_other_way_round(self):
        events = {event["name"]: event for event in CONTRACT["events"]}
        explained = {}
        section = RUNBOOK[RUNBOOK.index("\n## Logs\n") : RUNBOOK.index("\n## Metrics\n")]
        for level, table in re.findall(r"^\*\*(ERROR|WARN|INFO)\*\*(.*?)(?=^\*\*|\Z)", section, flags=re.MULTILINE | re.DOTALL):
            for name, services in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, flags=re.MULTILINE):
                self.assertNotIn(name, explained, "is explained twice")
                explained[name] = (level, set(SERVICES) if services == "all" else set(services.split(", ")))
        self.assertEqual(explained, {name: (event["level"], set(event["services"])) for name, event in events.items()})

    def test_each_event_that_is_asked_for_exists(self):
        """In the runbook, the templates and the tools: a filter for an event that nobody logs finds nothing, ever."""
        events = {event["name"] for event in CONTRACT["events"]} | OF_BOOTS
        texts = {path: read(path) for path in ("docs/OPERATIONS.md", "infra/polybot.yaml", "infra/mini.yaml", "infra/README.md")}
        texts |= {str(path): path.read_text() for path in (ROOT / "infra/doctor").glob("*.py")}
        asked = {name for text in texts.values() for name in re.findall(r"""\bevent = ["']([\w-]+)["']""", text)}
        self.assertGreater(len(asked), 5)
        self.assertLessEqual(asked, events)
        for path, text in texts.items():
            self.assertNotRegex(text, r"\$\.message\b|filter message", f"{path} matches a sentence, which may change")

    def test_a_slow_answer_is_polybots_own_and_as_long_as_the_texts_say(self):
        seconds = str(CONTRACT["request_seconds"])
        # Else it is the load balancer that answers, with a 5xx of its own.
        self.assertNotIn("idle_timeout", read("infra/polybot.yaml"), "no longer the load balancer's default, 60 s")
        self.assertLess(int(seconds), 60)
        self.assertEqual(re.findall(r"504 after (\d+) s", RUNBOOK), [seconds] * 2)
        self.assertIn(f", {seconds} s for an answer,", read("docs/RELIABILITY.md"))

    def test_each_query_of_the_command_line_can_be_read(self):
        scripts = "\n".join(path.read_text() for path in sorted((ROOT / ".github/deploy").iterdir()))
        text = (RUNBOOK + scripts).replace("\\\n", " ")
        queries = re.findall(r"""--query\s+(?:'([^']+)'|"([^"]+)"|([\w.\[\]]+))""", text)
        self.assertGreater(len(queries), 10)
        for query in queries:
            jmespath.compile("".join(query).replace("$began", "2000").replace("$1", "Name"))

    def test_each_link_leads_somewhere(self):
        for path in ("docs/OPERATIONS.md", "docs/TUNING.md"):
            text = read(path)
            anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                with self.subTest(f"{path}: {target}"):
                    if target.startswith("#"):
                        self.assertIn(target[1:], anchors)
                    elif "://" not in target:
                        self.assertTrue((ROOT / "docs" / target.split("#")[0]).exists())

    def test_each_alarm_graph_output_and_parameter_is_the_templates(self):
        template = read("infra/polybot.yaml")
        alarms = set(re.findall(r'AlarmName: !Sub "\$\{AWS::StackName\}-([\w-]+)"', template))
        self.assertEqual(alarms, set(re.findall(r"^### `([\w-]+)`: ", RUNBOOK, flags=re.MULTILINE)))
        parameters = set(re.findall(r"^  (\w+):$", template[: template.index("\nResources:")], flags=re.MULTILINE))
        outputs = set(re.findall(r"^  (\w+):$", template[template.index("\nOutputs:") :], flags=re.MULTILINE))
        self.assertLessEqual(set(re.findall(r"output (\w+Url|\w+Name)", RUNBOOK)), outputs)
        for text in (RUNBOOK, read("docs/TUNING.md")):
            named = set(re.findall(r"`((?:Worker|Backlog|Polybot|Metric|Image|Oldest|Telegram)[A-Z]\w+)[`=]", text))
            # What metric-streamer publishes is no parameter.
            self.assertLessEqual(named - {metric["name"] for metric in CONTRACT["cloudwatch"]["metrics"]}, parameters)
        titles = set(re.findall(r'"title": "([^"(,:]+?)\s*[",(:]', template))
        graphs = {row.split(" | ")[0].strip("| ").split(",")[0] for row in RUNBOOK.splitlines() if row.startswith("| ")}
        self.assertLessEqual(titles, graphs)
