"""A gallery put on AWS, looked at and taken down again, by boto3 alone.

`deploy` makes a bucket, uploads pictures and packed gallery, has CloudFormation make the function
from ``template.yaml``, puts the page on Amplify and asks a first query. Each step does what is
missing, so a run that was killed is run again; `plan` says what would be done. `destroy` removes
what carries the deployment's tag, and nothing else.
"""

from __future__ import annotations

from vizinho.aws.deploy.look import status
from vizinho.aws.deploy.options import DeployOptions, Names, name_after
from vizinho.aws.deploy.plan import plan
from vizinho.aws.deploy.remove import destroy
from vizinho.aws.deploy.results import Deployed, Planned, Removed, Status
from vizinho.aws.deploy.run import deploy
from vizinho.aws.deploy.watch import STEPS, Quiet, Watcher

__all__ = [
    "STEPS",
    "DeployOptions",
    "Deployed",
    "Names",
    "Planned",
    "Quiet",
    "Removed",
    "Status",
    "Watcher",
    "deploy",
    "destroy",
    "name_after",
    "plan",
    "status",
]
