"""Lines of a real controller and a real exporter, through what `deploy/logs` ships for pipelines."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest
import requests
import yaml
from logstash_pipeline_parser import Pipeline

from check.documents import ROOT
from check.log_kit import ecs_types, ndjson, remapped
from local_stack.process import free_ports, wait_until
from real.controller.running import controller
from real.controller.served import OPERATOR, SENDER, alerts

LOGS = ROOT / "deploy/logs"
BROKEN = "Fatal Python error: init_import_site: Failed to import the site module"
VALID = {  # by the type that ECS names
    "date": lambda value: datetime.fromisoformat(value).utcoffset() is not None,
    "keyword": lambda value: isinstance(value, str) and len(value) <= 1024,
    "match_only_text": lambda value: isinstance(value, str),
    "wildcard": lambda value: isinstance(value, str),
}
CHECKOUT = {"service_name": "checkout", "deployment_environment_name": "production", "action": "rollback"}
ROLLBACK = {"target": "checkout", "to_version": "v1", "force": True, "reason": "a try"}
LIBRARY = """
import logging
from rearguard_controller.service import logs
logs.configure()
try:
    int("x\\u2028\\x1b[31m")
except ValueError:
    logging.getLogger("aiohttp.server").exception("broken")
"""
EXPORTER = """
service: checkout
version: 1.4.2
environment: production
listen: 127.0.0.1:{port}
probes:
  - name: home
    url: http://127.0.0.1:9/
"""
FAILING = """
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.standalone import log_lines
log_lines.set_up()
try:
    int("x\\u2028\\x1b[31m")
except ValueError:
    report("a scrape")
"""


def printed(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.splitlines()


def of_controller(folder):
    with controller(folder) as url:
        for token, path, body in (
            (SENDER, "/webhook/alertmanager", alerts("HighErrors", **CHECKOUT)),
            ("Bearer wrong", "/webhook/alertmanager", {}),
            (OPERATOR, "/api/monitoring/targets/checkout/disarm", {"reason": "a \x1b[31mtry\u2028"}),
            (OPERATOR, "/api/monitoring/rollback/trigger", ROLLBACK),
            (OPERATOR, "/-/reload", None),
        ):
            requests.post(url + path, json=body, headers={"Authorization": token}, timeout=30)
        log = folder / "log"
        wait_until(lambda: "rearguard.rollback" in log.read_text(), within=60, what="a rollback in the log")
    return log.read_text().splitlines()


def of_exporter(folder):
    port = free_ports(1)[0]
    (folder / "exporter.yaml").write_text(EXPORTER.format(port=port))
    log = folder / "exporter.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "rearguard_exporter.standalone.command", "--config", "exporter.yaml"]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=dict(os.environ))
    try:
        wait_until(
            lambda: "listening" in log.read_text() and "probe home" in log.read_text(),
            within=60,
            what="its first lines",
        )
    finally:
        process.terminate()
        process.wait(30)
    return log.read_text().splitlines()


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    mine = of_controller(tmp_path_factory.mktemp("controller")) + printed(LIBRARY)
    theirs = of_exporter(tmp_path_factory.mktemp("exporter")) + printed(FAILING)
    assert len(mine) > 5
    assert len(theirs) > 2
    return [*mine, *theirs]


@pytest.fixture(scope="module")
def types():
    return ecs_types()


def test_each_line_has_names_and_types_of_the_published_schema(lines, types):
    seen = set()
    for line in map(json.loads, lines):
        assert line.keys() >= {"@timestamp", "message", "log.level", "ecs.version", "service.name"}
        for name, value in line.items():
            if not name.startswith("rearguard."):
                seen.add(name)
                assert VALID[types[name]](value), (name, value)
    assert {"error.message", "error.stack_trace", "log.logger"} <= seen
    assert {json.loads(line)["service.name"] for line in lines} == {"rearguard", "rearguard-exporter"}


def test_no_line_controls_a_terminal_or_is_two(lines):
    assert [line for line in lines if not line.isascii() or not line.isprintable()] == []


def leaves(properties, before=""):
    for name, field in properties.items():
        if "properties" in field:
            yield from leaves(field["properties"], f"{before}{name}.")
        else:
            yield f"{before}{name}", field["type"]


def test_the_template_of_elasticsearch_has_the_types_of_the_published_schema(types):
    template = json.loads((LOGS / "index-template.json").read_text())
    own = dict(leaves(template["template"]["mappings"]["properties"]))
    assert own.pop("rearguard") == "flattened"
    assert own == {name: types[name] for name in own}


def inputs_of_filebeat():
    settings = yaml.safe_load((LOGS / "filebeat.yml").read_text())
    return {each["id"]: each for each in settings["filebeat.inputs"]}, settings


def stored(template, document):
    """Whether Elasticsearch's mapping takes each field that the template knows."""
    for name, field in template.items():
        if name not in document:
            continue
        value = document[name]
        if "properties" in field:
            assert isinstance(value, dict), name
            stored(field["properties"], value)
        elif field["type"] == "flattened":
            assert isinstance(value, dict), name
        else:
            assert VALID[field["type"]](value), (name, value)


def test_what_filebeat_makes_of_each_line_fits_the_template(lines):
    template = json.loads((LOGS / "index-template.json").read_text())["template"]["mappings"]["properties"]
    inputs, settings = inputs_of_filebeat()
    assert settings["output.elasticsearch"]["index"] == "logs-rearguard-default"
    for entry in inputs.values():
        (options,) = (each["ndjson"] for each in entry["parsers"] if "ndjson" in each)
        for line in lines:
            document = ndjson(line, **options)
            assert "type" not in document.get("error", {}) or document["error"]["type"] != "json"
            fields = json.loads(line)
            assert document["@timestamp"] == fields["@timestamp"]
            assert document["log"]["level"] == fields["log.level"]
            assert document["message"] == fields["message"]
            stored(template, document)
        assert ndjson(BROKEN, **options)["message"] == BROKEN
        stored(template, ndjson(BROKEN, **options))


def test_filebeat_reads_what_systemd_and_kubernetes_keep_of_us():
    inputs, _ = inputs_of_filebeat()
    units = inputs["rearguard-units"]["units"]
    assert [unit for unit in units if not (ROOT / "deploy/systemd" / unit).is_file()] == []
    namespace = yaml.safe_load((ROOT / "deploy/kubernetes/base/namespace.yaml").read_text())["metadata"]["name"]
    assert inputs["rearguard-pods"]["paths"] == [f"/var/log/containers/*_{namespace}_*.log"]
    sources = yaml.safe_load((LOGS / "vector.yaml").read_text())["sources"]
    assert [f"{unit}.service" for unit in sources["lines"]["include_units"]] == units


def test_logstash_reads_its_file_and_takes_lines_from_filebeat_to_the_same_place():
    text = (LOGS / "logstash.conf").read_text()
    Pipeline(text).parse()
    with pytest.raises(Exception, match=r"(?i)expected"):
        Pipeline(text.replace("=> 5044", "5044 =>")).parse()
    for words in ('data_stream_type => "logs"', 'dataset => "rearguard"', 'namespace => "default"', "port => 5044"):
        assert words in text


def test_vectors_own_language_takes_each_line_apart(lines):
    settings = yaml.safe_load((LOGS / "vector.yaml").read_text())
    (transform,) = settings["transforms"].values()
    at = "2026-11-30T04:00:00Z"
    events = [{"message": line, "host": "node-1", "timestamp": at} for line in [*lines, BROKEN]]
    *made, broken = remapped(transform["source"], events)
    for line, event in zip(map(json.loads, lines), made, strict=True):
        assert {name: event[name] for name in line} == line
        assert (event["host"], event["level"]) == ("node-1", line["log.level"])
        assert datetime.fromisoformat(event["timestamp"]) == datetime.fromisoformat(line["@timestamp"])
    assert (broken["message"], broken["level"], broken["event.kind"]) == (BROKEN, "unknown", "pipeline_error")
    assert broken["timestamp"] == at


def test_loki_gets_one_stream_whatever_lines_say():
    (sink,) = yaml.safe_load((LOGS / "vector.yaml").read_text())["sinks"].values()
    assert sink["encoding"] == {"codec": "json"}
    assert [label for label in sink["labels"].values() if "{{" in label] == []
    selector = "{" + ", ".join(f'{name}="{value}"' for name, value in sink["labels"].items()) + "}"
    assert (LOGS / "README.md").read_text().count(selector) >= 5
