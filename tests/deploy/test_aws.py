"""The AWS cluster: Ray's own schema, its own launcher against a simulated AWS, and the rights that it really uses."""

import copy
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import botocore.client
import botocore.exceptions
import pytest
import yaml
from moto import mock_aws

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster.yaml"
REGION = "us-west-2"
# What the words of the file become in a filled one.
_WORDS = {"IMAGE_ID": "ami-12345678", "region: REGION": f"region: {REGION}"}


def filled(security_group: str) -> dict:
    text = CLUSTER.read_text()
    for word, value in (_WORDS | {"SECURITY_GROUP_ID": security_group}).items():
        assert word in text
        text = text.replace(word, value)
    return yaml.safe_load(text)


def prepared(config: dict) -> dict:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(config))
    validate_config(config)
    return config


def statements(template: dict) -> Iterator[dict]:
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents:
            yield from document["Statement"]


@pytest.fixture(scope="module")
def template() -> dict:
    return yaml.safe_load((ROOT / "deploy/aws/access.yaml").read_text())


@pytest.fixture
def account(template: dict, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A simulated AWS account with the stack of access.yaml in it; its security group."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        (vpc,) = boto3.client("ec2").describe_vpcs()["Vpcs"]
        given = {"Vpc": vpc["VpcId"], "Bucket": "results", "SshFrom": "203.0.113.7/32"}
        stacks = boto3.client("cloudformation")
        stacks.create_stack(
            StackName="fpt-study",
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        (stack,) = stacks.describe_stacks(StackName="fpt-study")["Stacks"]
        yield next(out["OutputValue"] for out in stack["Outputs"] if out["OutputKey"] == "SecurityGroupId")


def test_ray_accepts_the_file() -> None:
    config = prepared(filled("sg-1"))
    assert config["available_node_types"]["gpu"]["max_workers"] <= config["max_workers"]
    with pytest.raises(Exception, match="idle_timeout"):
        prepared(filled("sg-1") | {"idle_timeout": 3})


def test_no_port_is_open_to_others_and_nothing_idles_for_long() -> None:
    config = prepared(filled("sg-1"))
    (start,) = (line for line in config["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in start and "0.0.0.0" not in CLUSTER.read_text()
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if "ray start" in line)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert config["idle_timeout_minutes"] <= 15 and config["provider"]["cache_stopped_nodes"] is False
    nodes = config["available_node_types"]
    assert nodes["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert nodes["head"]["resources"] == {"CPU": 0} and nodes["gpu"]["min_workers"] == 0
    for node in nodes.values():
        assert node["node_config"]["SecurityGroupIds"] == ["sg-1"]
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}


def test_versions_come_from_the_constraints() -> None:
    installs = [line for line in prepared(filled("sg-1"))["worker_setup_commands"] if "pip install" in line]
    assert installs and all("-c constraints.txt" in line for line in installs)


def test_every_right_is_named(template: dict) -> None:
    found = list(statements(template))
    assert found
    for statement in found:
        assert statement["Effect"] == "Allow" and not [action for action in statement["Action"] if "*" in action]
        is_everything = statement["Resource"] == "*"
        assert not is_everything or all(action.startswith("ec2:Describe") for action in statement["Action"])
        if any(action in ("ec2:TerminateInstances", "iam:PassRole") for action in statement["Action"]):
            assert statement["Condition"]


def test_instance_types_of_the_cluster_may_be_started(template: dict) -> None:
    (allowed,) = (
        statement["Condition"]["StringEquals"]["ec2:InstanceType"]
        for statement in statements(template)
        if "ec2:InstanceType" in statement.get("Condition", {}).get("StringEquals", {})
    )
    types = filled("sg-1")["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceType"] in allowed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning")
def test_ray_launches_both_kinds_of_nodes_with_the_rights_of_the_head(
    account: str, template: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's launcher fills the file and starts nodes; botocore checks every field that is sent to AWS."""
    from ray.autoscaler._private.aws import node_provider, utils
    from ray.autoscaler._private.aws.config import bootstrap_aws

    monkeypatch.setenv("HOME", str(tmp_path))
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
    config = bootstrap_aws(prepared(filled(account)))
    provider = node_provider.AWSNodeProvider(config["provider"], config["cluster_name"])
    calls: set[str] = set()
    for client in (provider.ec2.meta.client, provider.ec2_fail_fast.meta.client):
        client.meta.events.register("before-call.ec2", lambda model, **kwargs: calls.add(f"ec2:{model.name}"))
    for kind, role in (("head", "head"), ("gpu", "worker")):
        tags = {"ray-node-type": role, "ray-user-node-type": kind, "ray-launch-config": "x"}
        provider.create_node(config["available_node_types"][kind]["node_config"], tags, 1)
    nodes = provider.non_terminated_nodes({})
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    provider.terminate_nodes(nodes)
    granted = {action for statement in statements(template) for action in statement["Action"]}
    assert {"ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances"} <= calls <= granted

    profiles = boto3.client("iam").list_instance_profiles()["InstanceProfiles"]
    named = {node["node_config"]["IamInstanceProfile"]["Name"] for node in config["available_node_types"].values()}
    assert {profile["InstanceProfileName"] for profile in profiles} == named
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[account])["SecurityGroups"]
    opened = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["FromPort"], rule["ToPort"], rule["IpRanges"][0]["CidrIp"]) for rule in opened] == [
        (22, 22, "203.0.113.7/32")
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves a file open
def test_the_last_act_of_the_head_ends_the_workers_with_its_own_rights(
    account: str, template: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ray exec --stop` ends with `ray teardown --workers-only` on the head: what that left behind would cost money."""
    from ray.autoscaler._private import commands
    from ray.autoscaler._private.aws import utils

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for cache in (utils.resource_cache, utils.client_cache):
        cache.cache_clear()
    made = commands._bootstrap_config(filled(account) | {"file_mounts": {}}, no_config_cache=True)
    on_head = copy.deepcopy(made) | {"auth": {**made["auth"], "ssh_private_key": str(tmp_path / "key.pem")}}
    (tmp_path / "key.pem").touch()
    (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(on_head))))
    provider = commands._get_node_provider(made["provider"], made["cluster_name"])
    tags = {"ray-node-type": "worker", "ray-user-node-type": "gpu", "ray-node-name": "w", "ray-launch-config": "x"}
    provider.create_node(made["available_node_types"]["gpu"]["node_config"], tags, 1)
    assert len(provider.non_terminated_nodes({})) == 1

    granted = {action for statement in statements(template) for action in statement["Action"]}
    call = botocore.client.BaseClient._make_api_call

    def with_rights(self, operation: str, given: dict):
        action = f"{self.meta.service_model.endpoint_prefix}:{operation}"
        if action not in granted:
            raise botocore.exceptions.ClientError({"Error": {"Code": "UnauthorizedOperation"}}, action)
        return call(self, operation, given)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", with_rights)
    monkeypatch.setattr(commands, "POLL_INTERVAL", 0)
    path = str(tmp_path / "ray_bootstrap_config.yaml")
    commands.teardown_cluster(path, yes=True, workers_only=True, override_cluster_name=None, keep_min_workers=False)
    assert provider.non_terminated_nodes({}) == []


def test_a_misspelt_field_of_a_node_is_found(account: str) -> None:
    from botocore.exceptions import ParamValidationError

    node = filled(account)["available_node_types"]["gpu"]["node_config"]
    node["InstanceMarketOption"] = node.pop("InstanceMarketOptions")
    with pytest.raises(ParamValidationError, match="InstanceMarketOption"):
        boto3.client("ec2").run_instances(**node, MinCount=1, MaxCount=1)


_AWS = """#!/usr/bin/env bash
echo "$*" >>"$AWS_LOG"
case "$1 $2" in
"ec2 describe-vpcs") echo vpc-1 ;;
"cloudformation describe-stacks") echo sg-0123456789abcdef0 ;;
"ssm get-parameter") echo ami-0123456789abcdef0 ;;
esac
"""


def test_configure_fills_the_file(tmp_path: Path) -> None:
    """With a stand-in for the AWS command line, in a copy of the checkout's files."""
    for name in ("cluster.yaml", "deploy/aws/configure.sh", "deploy/aws/access.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = tmp_path / "bin" / "aws"
    command.parent.mkdir()
    command.write_text(_AWS)
    for script in (command, tmp_path / "deploy/aws/configure.sh"):
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    log = tmp_path / "log"
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "AWS_LOG": str(log)}
    script = [str(tmp_path / "deploy/aws/configure.sh")]
    assert subprocess.run(script, capture_output=True, env=environment, check=False).returncode == 2
    done = subprocess.run(
        [*script, REGION, "results", "203.0.113.7/32"], capture_output=True, text=True, env=environment, check=True
    )
    assert "ray up cluster.local.yaml" in done.stdout and "SshFrom=203.0.113.7/32" in log.read_text()
    config = prepared(yaml.safe_load((tmp_path / "cluster.local.yaml").read_text()))
    assert config["provider"]["region"] == REGION
    for node in config["available_node_types"].values():
        assert node["node_config"]["ImageId"].startswith("ami-0")
        assert node["node_config"]["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
