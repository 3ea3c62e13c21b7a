"""What the conformance suite knows of an action: how to arrange an account for it, and how to look at that account.

A module `cases_<service>.py` beside this one declares the cases of one service:

    @case("aws.ec2.require_imdsv2")
    def with_optional_tokens(world: World) -> Arranged:
        ...

Every change needs at least one case in which it has something to do, and all cases of an action together must make it
send every operation that it declares a permission for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripted import Scripted

from soar.simulated.base import AccountClients

__all__ = ["CASES", "Arranged", "Case", "World", "case"]


IMAGES: list[str] = []
"""An image of the simulated account, once it was looked up."""


@dataclass
class World:
    """Where a case is arranged.

    Args:
        account: Clients of the simulated account, apart from those of the actions.
        scripted: Services (or single operations) that the simulated account lacks, which this case brings along.
    """

    account: AccountClients
    scripted: list[Scripted] = field(default_factory=list)

    def client(self, service: str, region: str = "") -> Any:
        """A client of the simulated account."""
        return self.account.client(service, region)

    def instance(self, **wanted: Any) -> str:
        """Start an instance and return its id.

        Args:
            wanted: Arguments of `ec2:RunInstances` beside image, type and count.
        """
        ec2 = self.client("ec2")
        if not IMAGES:
            # The account lists hundreds of images, slowly, and always the same.
            IMAGES.append(ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])
        defaults = {"ImageId": IMAGES[0], "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
        return str(ec2.run_instances(**defaults, **wanted)["Instances"][0]["InstanceId"])

    def script(self, service: str) -> Scripted:
        """A service of ours in place of what the simulated account lacks; see `Scripted`."""
        made = Scripted(service)
        self.scripted.append(made)
        return made


@dataclass(frozen=True)
class Arranged:
    """An account in which the action has something to do.

    Args:
        params: The step's `with`.
        snapshot: All of the account that the action could touch, as plain data, read apart from the action. Ids that
            the service makes up anew at each creation, and times, are left out.
        drift: Somebody else changes what the action changed, so that an undo must refuse; None: nobody could.
        finds: For a read: what its result must hold, by key.
        region: The step's region.
        account: The step's account; empty: the worker's own.
    """

    params: dict[str, Any]
    snapshot: Callable[[], Any]
    drift: Callable[[], Any] | None = None
    finds: Mapping[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"
    account: str = ""


@dataclass(frozen=True)
class Case:
    """One case of one action.

    Args:
        unseen: Permissions that no operation of this case shows, each with why: AWS asks for them itself
            (`iam:PassRole`), or it takes an interference that the suite does not arrange.
    """

    action: str
    title: str
    arrange: Callable[[World], Arranged]
    unseen: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.action}-{self.title}"


CASES: list[Case] = []
"""Every case that was declared."""


def case(
    action: str, *, unseen: Mapping[str, str] | None = None
) -> Callable[[Callable[[World], Arranged]], Callable[[World], Arranged]]:
    """Declare a case; its title is the function's name."""

    def register(arrange: Callable[[World], Arranged]) -> Callable[[World], Arranged]:
        CASES.append(Case(action, arrange.__name__, arrange, unseen or {}))
        return arrange

    return register
