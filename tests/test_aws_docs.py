"""What the pages about AWS say: the tables are the script's, the policy fits what is called."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from vizinho.aws.costs import load_prices, server
from vizinho.aws.deploy.mishaps import _PERMISSIONS
from vizinho.aws.sizes import BUNDLED_BYTES, SNAPSTART_DISK_BYTES

ROOT = Path(__file__).resolve().parents[1]
POLICY = json.loads((ROOT / "docs" / "aws" / "deploy-policy.json").read_text())
DEPLOY = ROOT / "src" / "vizinho" / "aws" / "deploy"

sys.path.insert(0, str(ROOT / "scripts"))
import make_hosting  # noqa: E402


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def allowed() -> set[str]:
    return {each for part in POLICY["Statement"] for each in listed(part["Action"])}


def test_the_tables_of_hosting_are_the_scripts() -> None:
    page = make_hosting.PAGE.read_text()
    found = make_hosting.PLACE.search(page)
    assert found
    assert found[0] == found[1] + make_hosting.tables() + found[2], "run scripts/make_hosting.py"


def test_starts_grow_rare_as_queries_grow_many() -> None:
    measured = {"assumed": {"kept_minutes": 10, "recycled_hours": 2}}
    shares = [make_hosting.cold_share(rate, measured) for rate in (0.01, 1, 10, 100, 10_000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.99
    # 20,000 queries in the two hours that a function lives.
    assert shares[-1] == pytest.approx(1 / 20_000)


def test_where_lambda_becomes_dearer_both_cost_the_same() -> None:
    measured = json.loads(make_hosting.MEASURED.read_text())
    found = make_hosting.bills("us-east-1", measured)
    plain, other = next(iter(found.values())), found["EC2 t4g.small (Arm, 2 vCPU in bursts, 2 GB)"]
    rate = make_hosting.break_even(plain, other)
    assert rate
    assert plain(rate).per_month == pytest.approx(other(rate).per_month, rel=1e-3)
    assert other(0).per_month == server(load_prices(), "t4g.small", queries_per_month=0).per_month
    assert make_hosting.break_even(plain, plain) is None


def test_the_policy_is_one_that_aws_takes() -> None:
    assert POLICY["Version"] == "2012-10-17"
    # The longest a managed policy may be, white space aside.
    assert len(re.sub(r"\s", "", json.dumps(POLICY))) <= 6_144
    names = [part["Sid"] for part in POLICY["Statement"]]
    assert len(names) == len(set(names))
    assert all(name.isalnum() for name in names)
    for part in POLICY["Statement"]:
        assert set(part) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert part["Effect"] == "Allow"
        assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", each) for each in listed(part["Action"]))


def test_the_policy_reaches_only_what_is_called_vizinho() -> None:
    # No narrower resource exists for these, or its number is not known before it is made.
    without_name = {"WhoAmI", "KnowNoNarrower", "Page", "HttpApi", "SamTransform"}
    for part in POLICY["Statement"]:
        for resource in listed(part["Resource"]):
            if part["Sid"] in without_name:
                continue
            assert "vizinho-" in resource, part["Sid"]
    wide = [part for part in POLICY["Statement"] if part["Resource"] == "*"]
    reading = re.compile(r":(Get|List|Describe)")
    assert all(reading.search(each) for part in wide for each in listed(part["Action"]))
    (passing,) = [p for p in POLICY["Statement"] if "iam:PassRole" in listed(p["Action"])]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


def test_the_policy_allows_every_call_that_deploying_makes() -> None:
    session = pytest.importorskip("botocore.session").get_session()
    xform = pytest.importorskip("botocore").xform_name
    operations: dict[str, list[str]] = {}
    for service in ("s3", "sts", "cloudformation", "amplify", "ecr", "logs", "lambda"):
        for name in session.get_service_model(service).operation_names:
            action = _PERMISSIONS.get(name, name)
            operations.setdefault(xform(name), []).append(f"{service}:{action}")
    called = {
        node.func.attr
        for path in DEPLOY.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    used = called & set(operations)
    assert {"create_bucket", "execute_change_set", "start_deployment"} <= used
    assert {name for name in used if not set(operations[name]) & allowed()} == set()


def test_every_sentence_of_the_table_is_one_that_is_said() -> None:
    page = (ROOT / "docs" / "aws.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page.split("## When something")[1], re.M)
    aws = ROOT / "src" / "vizinho" / "aws"
    said = "".join(path.read_text() for path in aws.rglob("*.py"))
    # A sentence may be written over two lines in the code, and has names put in.
    said = re.sub(r'"\s+f?"', "", said)
    for row in rows[2:]:
        pieces = [p.strip() for p in row.split("...")] if "..." in row else [row.strip()]
        for piece in filter(None, pieces):
            plain = piece.replace("s3:CreateBucket:", "").replace("ROLLBACK_COMPLETE.", "").strip()
            assert plain in said, row


def test_the_size_that_is_bundled_is_the_one_told() -> None:
    page = " ".join((ROOT / "docs" / "aws.md").read_text().split())
    assert f"up to {BUNDLED_BYTES // 1024**2} MB packed" in page
    assert f"more than {SNAPSTART_DISK_BYTES // 1024**2} MB there can't have SnapStart" in page
