"""A service in memory for operations that the simulated account lacks.

It answers below botocore, which checks each request against the service model before it gets here; each answer is
checked against the model's output shape. So what is shown is that the action speaks the service's language and what it
makes of the answers, on a state that we keep as the documentation says the service does. It is not the service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

__all__ = ["Scripted", "ScriptedError"]

GIVEN = "scripted-params"


class ScriptedError(Exception):
    """An operation answers with an error.

    Args:
        code: As the service's API reference names it, `ResourceNotFoundException`.
    """

    def __init__(self, code: str, message: str = "", *, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message or code, status


class Scripted:
    """Operations of one service, each a function of its parameters.

    Operations that it has not go to the simulated account as ever.

        firewall = world.script("route53resolver")
        domains: list[str] = []

        @firewall.operation("UpdateFirewallDomains")
        def update(params): ...
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}

    def operation(
        self, name: str
    ) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer an operation (`UpdateFirewallDomains`) with what the function returns or raises."""

        def register(
            answer: Callable[[dict[str, Any]], dict[str, Any]],
        ) -> Callable[[dict[str, Any]], dict[str, Any]]:
            self._operations[name] = answer
            return answer

        return register

    def attach(self, events: Any) -> None:
        """Answer the clients that are made of a session from now on.

        Args:
            events: The session's event emitter.
        """
        events.register("before-parameter-build", self._remember)
        events.register_last("before-call", self._answer)

    def _remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[GIVEN] = dict(params)

    def _answer(
        self, model: Any, context: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        if model.service_model.service_name != self.service or model.name not in self._operations:
            return None
        try:
            body = self._operations[model.name](context[GIVEN])
        except ScriptedError as error:
            about = {"Code": error.code, "Message": error.message}
            meta = {"HTTPStatusCode": error.status, "HTTPHeaders": {}, "RequestId": "scripted"}
            return AWSResponse("", error.status, {}, None), {"Error": about, "ResponseMetadata": meta}
        if model.output_shape is not None:
            report = ParamValidator().validate(body, model.output_shape)
            assert not report.has_errors(), (
                f"{self.service}:{model.name} never answers so: {report.generate_report()}"
            )
        else:
            assert not body, f"{self.service}:{model.name} answers nothing"
        meta = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": "scripted"}
        return AWSResponse("", 200, {}, None), {**body, "ResponseMetadata": meta}
