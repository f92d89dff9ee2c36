"""The files of infra/ that nothing here can run: each against the schema of what reads it, and against the repository."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml

SCHEMAS = Path(__file__).parent / "schemas"


@pytest.fixture(scope="module")
def infra(repository: Path) -> Path:
    return repository / "infra"


@pytest.fixture(scope="module")
def locked(repository: Path) -> dict[str, str]:
    text = (repository / "requirements.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text, re.MULTILINE))


def schema(name: str, part: str | None = None) -> Any:
    whole = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return whole if part is None else {"$ref": f"#/$defs/{part}", "$defs": whole["$defs"]}


def check(content: Any, rules: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.Draft202012Validator(rules).validate(content)


def test_ray_itself_takes_the_cluster_file(infra: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = yaml.safe_load((infra / "ray-cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(cluster))
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster, "workers": 3}))


def test_the_job_of_ray_is_one_that_kuberay_knows(infra: Path, locked: dict[str, str]) -> None:
    job, claim = yaml.safe_load_all((infra / "rayjob.yaml").read_text(encoding="utf-8"))
    check(job, schema("kubernetes"))
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == locked["ray"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
        assert {m["name"] for c in pod["containers"] for m in c["volumeMounts"]} <= set(claims)
        assert set(claims.values()) == {claim["metadata"]["name"]}
    with pytest.raises(jsonschema.ValidationError):
        check({**job, "spec": {**job["spec"], "entryPoint": "x"}}, schema("kubernetes"))


def test_the_kubernetes_pool_is_one_that_prefect_takes_and_makes_a_job(infra: Path) -> None:
    from prefect.client.schemas.actions import DeploymentCreate
    from prefect.server.schemas.actions import validate_base_job_template

    template = json.loads((infra / "kubernetes-pool.json").read_text(encoding="utf-8"))
    validate_base_job_template(template)
    properties = {name: rule for name, rule in template["variables"]["properties"].items() if name != "cpu"}
    with pytest.raises(ValueError, match="cpu"):
        validate_base_job_template({**template, "variables": {"type": "object", "properties": properties}})
    asked = DeploymentCreate(name="x", flow_id=UUID(int=0), job_variables={"cpu": "4"})
    asked.check_valid_configuration(template)
    with pytest.raises(jsonschema.ValidationError):
        asked.model_copy(update={"job_variables": {"cpu": 4}}).check_valid_configuration(template)
    jsonschema.Draft202012Validator.check_schema(template["variables"])
    values = {name: rule.get("default") for name, rule in template["variables"]["properties"].items()}
    # What the worker itself puts in place of a command and an environment.
    values |= {"command": ["prefect", "flow-run", "execute"], "env": [{"name": "PREFECT_API_URL", "value": "http://p"}]}
    check(filled(template["job_configuration"], values)["job_manifest"], schema("kubernetes", "job"))
    unused = set(values) - set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert not unused


def filled(template: Any, values: dict[str, Any]) -> Any:
    """The template with a value for every placeholder, as Prefect fills it."""
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    whole = re.fullmatch(r"{{ (\w+) }}", template)
    if whole:
        return values[whole[1]]
    return re.sub(r"{{ (\w+) }}", lambda found: str(values[found[1]]), template)


def test_the_compose_file_follows_its_specification_and_hangs_together(infra: Path) -> None:
    compose = yaml.safe_load((infra / "compose.yaml").read_text(encoding="utf-8"))
    check(compose, schema("compose"))
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(compose["volumes"])
        for on, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[on]
    # No secret stands in the file: each comes from the environment.
    secret = {
        k: v
        for s in services.values()
        for k, v in s.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|TOKEN", k)
    }
    assert secret
    assert all(value.startswith("${") for value in secret.values())


def test_the_container_file_builds_a_variant_for_each_kind_of_machine(infra: Path, repository: Path) -> None:
    text = (infra / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line and not line.startswith("#")]
    instructions = [tuple(line.split(None, 1)) for line in lines]
    assert {word for word, _ in instructions} <= {"FROM", "RUN", "ENV", "ARG", "WORKDIR", "COPY", "USER", "CMD"}
    stages: dict[str, list[tuple[str, ...]]] = {}
    for word, rest in instructions:
        if word == "FROM":
            source, name = re.fullmatch(r"(\S+) AS (\w+)", rest).groups()  # type: ignore[union-attr]
            assert source in stages or re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+\S*", source), f"{source} is not pinned"
            stages[name] = []
        else:
            stages[name].append((word, rest))
            if word == "COPY":
                sources = [part for part in rest.split()[:-1] if not part.startswith("--")]
                assert all((repository / part).exists() for part in sources)
            if word == "CMD":
                assert json.loads(rest)
    assert set(stages) == {"base", "cpu", "cuda"}
    for name, backend in (("cpu", "--torch-backend cpu"), ("cuda", "--torch-backend ${TORCH_BACKEND}")):
        assert any(backend in rest for _, rest in stages[name])
        assert [rest for word, rest in stages[name] if word == "USER"] == ["equipoise"], "it must not run as root"
