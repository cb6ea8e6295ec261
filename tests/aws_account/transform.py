"""The SAM transform, as CloudFormation runs it on a template that asks for it.

Real: `samtranslator` is the library AWS itself runs there. IAM's list of managed policies is
not asked for, so a policy must be named by its ARN.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

import boto3

from aws_account.intrinsics import TemplateError

SERVERLESS = "AWS::Serverless-2016-10-31"


def transforms(template: Mapping[str, Any]) -> list[str]:
    """The macros a template asks for."""
    wanted = template.get("Transform", [])
    return list(wanted) if isinstance(wanted, list) else [wanted]


def transform(
    template: Mapping[str, Any], parameters: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """The template with plain CloudFormation resources only; raises TemplateError."""
    wanted = transforms(template)
    if not wanted:
        return dict(template)
    if wanted != [SERVERLESS]:
        raise TemplateError(f"the emulated account runs no macro but {SERVERLESS}, not {wanted}")
    # Imported here: it reads its schemas for a second.
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.arn_generator import ArnGenerator
    from samtranslator.translator.translator import Translator

    # It warns that nobody collects its figures.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    ArnGenerator.BOTO_SESSION_REGION_NAME = region
    translator = Translator({}, Parser(), boto_session=boto3.session.Session(region_name=region))
    try:
        found = translator.translate(copy.deepcopy(dict(template)), dict(parameters))
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"Transform {SERVERLESS} failed with: {causes}") from None
    found.pop("Transform", None)
    return dict(found)
