"""compose.yaml against the services' own settings, .env.example and an emulator."""

import json
import re
import subprocess
import sys
import unittest
from urllib.parse import urlparse

import emulator
import yaml
from repository import CONTRACT, ROOT, SERVICES, read, required, settings

COMPOSE = yaml.safe_load(read("compose.yaml"))["services"]


class Settings(unittest.TestCase):
    def test_each_variable_is_in_the_example_and_the_other_way_round(self):
        used = set(re.findall(r"\$\{([A-Z_]+)", read("compose.yaml")))
        given = set(re.findall(r"^#? ?([A-Z_]+)=", read(".env.example"), flags=re.MULTILINE))
        self.assertEqual(used, given)

    def test_the_example_holds_no_secret(self):
        for secret in ("TELEGRAM_TOKEN", "RESULTS_SECRET"):
            self.assertRegex(read(".env.example"), rf"(?m)^{secret}=$")
        self.assertIn("/.env\n", read(".gitignore"))

    def test_each_service_gets_settings_that_it_has_and_all_that_it_needs(self):
        for service in SERVICES:
            with self.subTest(service):
                given = {name for name in COMPOSE[service]["environment"] if not name.startswith("AWS_")} - {"RUST_LOG"}
                self.assertLessEqual(given, set(settings(service)))
                self.assertLessEqual(required(service), given)


class Services(unittest.TestCase):
    def test_start_is_gated_by_health(self):
        conditions = {
            (service, needed): how["condition"]
            for service in COMPOSE
            for needed, how in COMPOSE[service].get("depends_on", {}).items()
        }
        self.assertEqual(conditions["resources", "emulator"], "service_healthy")
        for service in SERVICES:
            self.assertEqual(conditions[service, "resources"], "service_completed_successfully")
        self.assertEqual(conditions["yolo-worker", "polybot"], "service_healthy")
        self.assertEqual(conditions["metric-streamer", "yolo-worker"], "service_healthy")

    def test_they_run_as_in_production(self):
        for service in SERVICES:
            with self.subTest(service):
                self.assertTrue(COMPOSE[service]["read_only"])
                self.assertEqual(COMPOSE[service]["cap_drop"], ["ALL"])
                self.assertNotIn("healthcheck", COMPOSE[service], "the image's own is the one")
                self.assertEqual(COMPOSE[service]["build"]["dockerfile"], f"Dockerfiles/{service}.Dockerfile")
        self.assertEqual(COMPOSE["yolo-worker"]["deploy"]["replicas"], 2)
        self.assertEqual(COMPOSE["resources"]["environment"]["WORKERS"], "2")

    def test_the_emulator_has_what_the_services_are_told(self):
        script = [sys.executable, ROOT / "Dockerfiles/compose/resources.py"]
        workers = COMPOSE["resources"]["environment"]["WORKERS"]
        access_key = COMPOSE["resources"]["environment"]["AWS_ACCESS_KEY_ID"]

        def client(service):
            return emulator.client(endpoint, service, access_key)

        with emulator.ministack() as endpoint:
            # Twice: a restart of the stack finds some of it there.
            for _ in range(2):
                subprocess.run(script, env={**emulator.environment(endpoint, access_key), "WORKERS": workers}, check=True, capture_output=True)
            told = COMPOSE["yolo-worker"]["environment"]

            client("s3").head_bucket(Bucket=told["BUCKET_NAME"])

            sqs = client("sqs")
            path = urlparse(told["SQS_QUEUE_URL"]).path
            dead_letters = urlparse(COMPOSE["polybot"]["environment"]["DEAD_LETTER_QUEUE_URL"]).path
            self.assertEqual({path, dead_letters}, {urlparse(url).path for url in sqs.list_queues()["QueueUrls"]})
            queue = sqs.get_queue_url(QueueName=path.rsplit("/", 1)[-1])["QueueUrl"]
            attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
            self.assertEqual(attributes["VisibilityTimeout"], "60")
            redrive = json.loads(attributes["RedrivePolicy"])
            self.assertEqual(redrive["maxReceiveCount"], 5)
            self.assertEqual(redrive["deadLetterTargetArn"].rsplit(":", 1)[-1], dead_letters.rsplit("/", 1)[-1])

            table = client("dynamodb").describe_table(TableName=told["DYNAMODB_TABLE"])["Table"]
            self.assertEqual([CONTRACT["undelivered_index"]], [found["IndexName"] for found in table["GlobalSecondaryIndexes"]])

            group = COMPOSE["metric-streamer"]["environment"]["ASG_NAME"]
            groups = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
            states = [instance["LifecycleState"] for instance in groups["AutoScalingGroups"][0]["Instances"]]
            self.assertEqual(states, ["InService"] * int(workers))
