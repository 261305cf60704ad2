"""Which part of AWS a region belongs to: every ARN of it begins with that, and another one's names nothing there.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html.
"""

from __future__ import annotations

from collections.abc import Mapping

_PARTITIONS: Mapping[str, str] = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}


def partition_of(region: str) -> str:
    """`aws`, where the region's name does not say otherwise."""
    return next((partition for prefix, partition in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def in_its_partition(arn: str, region: str) -> str:
    """An ARN that was written as of `aws`, as of the region's own partition."""
    return f"arn:{partition_of(region)}:{arn.removeprefix('arn:aws:')}" if arn.startswith("arn:aws:") else arn
