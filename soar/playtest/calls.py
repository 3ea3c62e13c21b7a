"""Which permission an AWS request takes, from what is on the wire: its signature's scope and its operation."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

__all__ = ["ApiCall", "no_calls_of_its_own", "read_call"]

_SCOPE = re.compile(r"Credential=[^/]+/[0-9]{8}/[^/]+/(?P<service>[a-z0-9-]+)/aws4_request")
_PERMISSIONS: dict[str, frozenset[str]] = {
    "s3:ListBucket": frozenset({"ListObjects", "ListObjectsV2", "HeadBucket"}),
    "s3:ListBucketVersions": frozenset({"ListObjectVersions"}),
    "s3:GetBucketPublicAccessBlock": frozenset({"GetPublicAccessBlock"}),
    "s3:PutBucketPublicAccessBlock": frozenset({"PutPublicAccessBlock", "DeletePublicAccessBlock"}),
    "s3:GetAccountPublicAccessBlock": frozenset({"GetPublicAccessBlock"}),
    "s3:GetEncryptionConfiguration": frozenset({"GetBucketEncryption"}),
    "s3:GetObject": frozenset({"GetObject", "HeadObject"}),
}
"""Permissions that are not called what their operations are. Source: the Service Authorization Reference of S3."""

_ALSO = {"s3": ("s3control",), "ses": ("sesv2",)}
"""Models that sign as another service, whose permissions they take too."""

_ACCOUNT_WIDE = "/v20180820/"
"""Where S3's control of a whole account begins, whose operations share names with those of a bucket."""


@dataclass(frozen=True)
class ApiCall:
    """One request.

    Args:
        service: The first part of its permission, `iam`.
        operations: The operations that it may be: on the wire some of S3's look the same.
        style: How the service writes its errors.
        account_wide: Whether it is about the account's own settings of S3.
    """

    service: str
    operations: frozenset[str]
    style: str
    account_wide: bool = False

    def takes(self, permission: str) -> bool:
        """Whether it takes this permission."""
        service, _, name = permission.partition(":")
        if service != self.service:
            return False
        if service == "s3" and self.account_wide != ("Account" in name):
            return False
        return bool(_PERMISSIONS.get(permission, frozenset({name})) & self.operations)


def no_calls_of_its_own(permission: str) -> bool:
    """Whether a permission is only looked at beside that of another call."""
    return permission == "iam:PassRole"


def read_call(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> ApiCall | None:
    """Read which call a request is.

    Args:
        path: As on the wire.
        query: Likewise, without the question mark.
        headers: Names in lower case.

    Returns:
        The call; None if the request is none that is signed.
    """
    scope = _SCOPE.search(headers.get("authorization", ""))
    if scope is None:
        return None
    service = scope["service"]
    target = headers.get("x-amz-target", "")
    if target:
        return ApiCall(service, frozenset({target.rpartition(".")[2]}), "json")
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        action = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
        return ApiCall(service, frozenset({action}), "ec2" if service == "ec2" else "query")
    wide = path.startswith(_ACCOUNT_WIDE)
    fitting = _operations(service, method, path, query)
    bare = "s3" if service == "s3" and not wide else "query"
    style = "json" if any(route.json for route in fitting) else bare
    return ApiCall(service, frozenset(route.operation for route in fitting), style, wide)


class _Route(NamedTuple):
    operation: str
    json: bool
    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]


def _operations(service: str, method: str, path: str, query: str) -> list[_Route]:
    """The operations of a REST service that a request fits, of those the ones that say most about it."""
    given = set(urllib.parse.parse_qsl(query, keep_blank_values=True))
    names = {name for name, _ in given}
    fitting = [
        route
        for route in _routes(service)
        if route.method == method
        and route.path.fullmatch(path)
        and all((name, value) in given if value else name in names for name, value in route.query)
    ]
    most = max((len(route.query) for route in fitting), default=0)
    return [route for route in fitting if len(route.query) == most]


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    from botocore.exceptions import UnknownServiceError
    from botocore.session import get_session

    found = []
    for name in (service, *_ALSO.get(service, ())):
        try:
            model = get_session().get_service_model(name)
        except UnknownServiceError:
            continue
        json = model.metadata["protocol"] == "rest-json"
        for operation in model.operation_names:
            http = model.operation_model(operation).http
            path, _, query = str(http.get("requestUri", "/")).partition("?")
            literal = frozenset(urllib.parse.parse_qsl(query, keep_blank_values=True))
            found.append(_Route(operation, json, str(http.get("method", "POST")), _pattern(path), literal))
    return tuple(found)


def _pattern(path: str) -> re.Pattern[str]:
    parts: Iterable[str] = re.split(r"(\{[^}]+\})", path)
    text = "".join(
        ".+" if part.endswith("+}") else "[^/]+" if part.startswith("{") else re.escape(part)
        for part in parts
    )
    return re.compile(text if path == "/" else text.rstrip("/") + "/?")
