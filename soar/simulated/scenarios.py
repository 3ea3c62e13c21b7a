"""Every scenario that the demo, the drills and the end-to-end tests can run, by name.

The base types are in `soar.simulated.base`.
"""

from __future__ import annotations

from soar.simulated.base import AccountClients, Attack, Check, Scenario
from soar.simulated.scenario_backdoor import BackdoorUser
from soar.simulated.scenario_container import CompromisedService
from soar.simulated.scenario_database import ForcedDatabase
from soar.simulated.scenario_ec2 import MiningInstance
from soar.simulated.scenario_escalation import OwnAdministrator
from soar.simulated.scenario_exposed import ExposedHost
from soar.simulated.scenario_key import LeakedKey
from soar.simulated.scenario_lambda import BackdooredFunction
from soar.simulated.scenario_ransom import RansomedBucket
from soar.simulated.scenario_s3 import PublicBucket
from soar.simulated.scenario_secrets import ReadSecrets
from soar.simulated.scenario_shared import SharedSnapshot
from soar.simulated.scenario_trail import StoppedTrail

__all__ = ["DEMO", "SCENARIOS", "AccountClients", "Attack", "Check", "Scenario"]

SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        BackdoorUser(),
        BackdooredFunction(),
        ForcedDatabase(),
        CompromisedService(),
        ExposedHost(),
        LeakedKey(),
        MiningInstance(),
        OwnAdministrator(),
        PublicBucket(),
        RansomedBucket(),
        ReadSecrets(),
        SharedSnapshot(),
        StoppedTrail(),
    )
}
"""Every attack that can be made on the simulated company."""

DEMO = tuple(s.name for s in (LeakedKey, MiningInstance, PublicBucket, StoppedTrail))
"""What `soar demo` shows unless it is told which: all at once, they take a minute."""
