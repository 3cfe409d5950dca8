"""The Kubernetes manifest against the fields of the RayJob CRD that it uses, and against what it promises.

The full CRD has 1.4 MB. The schema below holds, of KubeRay 1.7's `ray.io/v1` and of Kubernetes' pods, every field that
the manifest may use: anything else, a misspelt name above all, is refused.
"""

import copy
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy/kubernetes/rayjob.yaml"


def fields(required: tuple[str, ...] = (), **properties) -> dict:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def many(item: dict) -> dict:
    return {"type": "array", "items": item, "minItems": 1}


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
POD_SECURITY = fields(
    runAsNonRoot=FLAG, runAsUser=COUNT, fsGroup=COUNT, seccompProfile=fields(("type",), type=TEXT)
)  # fmt: skip
CONTAINER = fields(
    ("name", "image", "resources"),
    name=TEXT,
    image=TEXT,
    resources=fields(("requests", "limits"), requests=TEXTS, limits=TEXTS),
    securityContext=fields(allowPrivilegeEscalation=FLAG, capabilities=fields(drop=many(TEXT))),
    volumeMounts=many(fields(("name", "mountPath"), name=TEXT, mountPath=TEXT)),
)
POD = fields(
    ("containers",),
    serviceAccountName=TEXT,
    terminationGracePeriodSeconds=COUNT,
    securityContext=POD_SECURITY,
    tolerations=many(fields(("key",), key=TEXT, operator={"enum": ["Exists", "Equal"]}, effect=TEXT)),
    containers=many(CONTAINER),
    volumes=many(fields(("name",), name=TEXT, emptyDir=fields(medium={"const": "Memory"}, sizeLimit=TEXT))),
)
TEMPLATE = fields(("spec",), metadata=fields(labels=TEXTS), spec=POD)
HEAD = fields(
    ("template", "rayStartParams"),
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    enableIngress=FLAG,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
WORKERS = fields(
    ("groupName", "template", "rayStartParams", "maxReplicas"),
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
CLUSTER = fields(
    ("headGroupSpec", "rayVersion"),
    rayVersion=TEXT,
    authOptions=fields(("mode",), mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(
        idleTimeoutSeconds=COUNT, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]}
    ),
    headGroupSpec=HEAD,
    workerGroupSpecs=many(WORKERS),
)
JOB = fields(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    backoffLimit=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER,
)
RAY_JOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"}, metadata=fields(("name",), name=TEXT), spec=JOB,
)  # fmt: skip


@pytest.fixture
def documents() -> dict[str, dict]:
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


@pytest.fixture
def job(documents: dict[str, dict]) -> dict:
    return documents["RayJob"]


def pods(job: dict) -> dict[str, dict]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {name: group["template"] for name, group in {"head": cluster["headGroupSpec"], **groups}.items()}


def test_the_manifest_has_the_fields_of_the_crd(job: dict) -> None:
    jsonschema.validate(job, RAY_JOB)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backofLimit"), 3),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), "4"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "securityContext", "runAsnonRoot"), True),
    ],
)
def test_mistakes_are_found(job: dict, path: tuple, value: object) -> None:
    broken = copy.deepcopy(job)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, RAY_JOB)


def test_losing_the_cluster_repeats_the_same_command(job: dict) -> None:
    spec = job["spec"]
    assert spec["backoffLimit"] >= 3 and spec["shutdownAfterJobFinishes"] is True
    assert "study run" in spec["entrypoint"] and "--out s3://" in spec["entrypoint"]


def test_only_workers_do_work_and_they_come_and_go(job: dict) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] == 0 < workers["maxReplicas"]
    (container,) = pods(job)["gpu"]["spec"]["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_nothing_is_reachable_from_outside(documents: dict[str, dict], job: dict) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["enableIngress"] is False and cluster["authOptions"] == {"mode": "token"}
    policy = documents["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    for pod in pods(job).values():
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_no_pod_has_more_rights_than_it_needs(documents: dict[str, dict], job: dict) -> None:
    for pod in pods(job).values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
        assert spec["serviceAccountName"] == documents["ServiceAccount"]["metadata"]["name"]
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_versions_agree_with_the_constraints(job: dict) -> None:
    (pinned,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    images = {container["image"] for pod in pods(job).values() for container in pod["spec"]["containers"]}
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert len(images) == 1 and f"-t {images.pop()} ." in dockerfile
    assert "pip install --no-cache-dir -c constraints.txt" in dockerfile


def test_the_image_gets_every_file_that_it_copies_and_no_root() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]]
    admitted = re.findall(r"^!(.+)$", (ROOT / "deploy/Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(admitted) and all((ROOT / name).exists() for name in copied)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(copied)
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["1000"]
