"""An AWS account of one's own for tests: ``with Account(folder) as account``.

One address, ``account.endpoint``, is AWS_ENDPOINT_URL for everything. What is real behind it:
moto_server in a process of its own (S3, IAM, STS, Logs, ECR, CloudWatch, Lambda's API), AWS's SAM
translator, AWS's Runtime Interface Emulator with awslambdaric. What is a stand-in, written here
because moto lacks it: CloudFormation's engine, function URLs and HTTP APIs, Amplify, signatures,
Block Public Access and CORS of buckets. Each module says which it is.

The account lives in the process of the test, so it outlives a deployer that is killed.
``python -m aws_account`` (in ``tests/``) runs one to try things by hand.
"""

from __future__ import annotations

from aws_account.account import ACCESS_KEY, ACCOUNT, REGION, SECRET, Account

__all__ = ["ACCESS_KEY", "ACCOUNT", "REGION", "SECRET", "Account"]
