"""The ATT&CK technique of a GuardDuty finding, by its type.

First the table of finding types (`soar/sources/taxonomy/guardduty_findings.csv`, where AWS or the type itself leaves no
doubt), then the beginnings of `TECHNIQUES`, which are our judgement.
"""

from __future__ import annotations

import re
from functools import cache

from soar.model.alert import Technique
from soar.sources.taxonomy.taxonomy import guardduty_findings

__all__ = ["TECHNIQUES", "technique_of"]

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_EVASION, _LATERAL, _RISE = "defense-evasion", "lateral-movement", "privilege-escalation"
_CREDENTIALS, _CONTROL, _FIRST = "credential-access", "command-and-control", "initial-access"

_KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "T1021.004": ("Remote Services: SSH", (_LATERAL,)),
    "T1037": ("Boot or Logon Initialization Scripts", ("persistence", _RISE)),
    "T1046": ("Network Service Discovery", ("discovery",)),
    "T1048": ("Exfiltration Over Alternative Protocol", ("exfiltration",)),
    "T1055": ("Process Injection", (_EVASION, _RISE)),
    "T1055.008": ("Process Injection: Ptrace System Calls", (_EVASION, _RISE)),
    "T1055.009": ("Process Injection: Proc Memory", (_EVASION, _RISE)),
    "T1059": ("Command and Scripting Interpreter", ("execution",)),
    "T1071": ("Application Layer Protocol", (_CONTROL,)),
    "T1071.004": ("Application Layer Protocol: DNS", (_CONTROL,)),
    "T1078": ("Valid Accounts", (_FIRST, "persistence", _RISE, _EVASION)),
    "T1078.004": ("Valid Accounts: Cloud Accounts", (_FIRST, "persistence", _RISE, _EVASION)),
    "T1090.003": ("Proxy: Multi-hop Proxy", (_CONTROL,)),
    "T1098": ("Account Manipulation", ("persistence", _RISE)),
    "T1098.001": ("Account Manipulation: Additional Cloud Credentials", ("persistence", _RISE)),
    "T1098.006": ("Account Manipulation: Additional Container Cluster Roles", ("persistence", _RISE)),
    "T1110": ("Brute Force", (_CREDENTIALS,)),
    "T1133": ("External Remote Services", (_FIRST, "persistence")),
    "T1189": ("Drive-by Compromise", (_FIRST,)),
    "T1190": ("Exploit Public-Facing Application", (_FIRST,)),
    "T1485": ("Data Destruction", ("impact",)),
    "T1496": ("Resource Hijacking", ("impact",)),
    "T1498": ("Network Denial of Service", ("impact",)),
    "T1530": ("Data from Cloud Storage", ("collection",)),
    "T1537": ("Transfer Data to Cloud Account", ("exfiltration",)),
    "T1547.006": (
        "Boot or Logon Autostart Execution: Kernel Modules and Extensions",
        ("persistence", _RISE),
    ),
    "T1552": ("Unsecured Credentials", (_CREDENTIALS,)),
    "T1552.005": ("Unsecured Credentials: Cloud Instance Metadata API", (_CREDENTIALS,)),
    "T1556": ("Modify Authentication Process", (_CREDENTIALS, _EVASION, "persistence")),
    "T1562.008": ("Impair Defenses: Disable or Modify Cloud Logs", (_EVASION,)),
    "T1566": ("Phishing", (_FIRST,)),
    "T1568.002": ("Dynamic Resolution: Domain Generation Algorithms", (_CONTROL,)),
    "T1572": ("Protocol Tunneling", (_CONTROL,)),
    "T1580": ("Cloud Infrastructure Discovery", ("discovery",)),
    "T1586.002": ("Compromise Accounts: Email Accounts", ("resource-development",)),
    "T1595": ("Active Scanning", ("reconnaissance",)),
    "T1609": ("Container Administration Command", ("execution",)),
    "T1610": ("Deploy Container", ("execution", _EVASION)),
    "T1611": ("Escape to Host", (_RISE,)),
    "T1613": ("Container and Resource Discovery", ("discovery",)),
    "T1619": ("Cloud Storage Object Discovery", ("discovery",)),
    "T1620": ("Reflective Code Loading", (_EVASION,)),
    "T1622": ("Debugger Evasion", (_EVASION, "discovery")),
    "T1666": ("Modify Cloud Resource Hierarchy", (_EVASION,)),
    "T1685": ("Disable or Modify Tools", ("defense-impairment",)),
    "T1685.002": ("", ("defense-impairment",)),
}
"""What techniques are called, and their tactics: the first unless the finding's own purpose is another of them."""

_CLOUD_ACCOUNTS = Technique(uid="T1078.004", name="Valid Accounts: Cloud Accounts", tactic="initial-access")

TECHNIQUES: tuple[tuple[str, Technique], ...] = (
    ("CryptoCurrency:", Technique(uid="T1496", name="Resource Hijacking", tactic="impact")),
    (
        "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration",
        Technique(
            uid="T1552.005",
            name="Unsecured Credentials: Cloud Instance Metadata API",
            tactic="credential-access",
        ),
    ),
    ("UnauthorizedAccess:IAMUser/", _CLOUD_ACCOUNTS),
    ("Policy:S3/", Technique(uid="T1530", name="Data from Cloud Storage", tactic="collection")),
    ("Exfiltration:S3/", Technique(uid="T1530", name="Data from Cloud Storage", tactic="collection")),
    ("Discovery:Runtime/", Technique(uid="T1082", name="System Information Discovery", tactic="discovery")),
    ("Discovery:S3/", Technique(uid="T1619", name="Cloud Storage Object Discovery", tactic="discovery")),
    (
        "Discovery:Kubernetes/",
        Technique(uid="T1613", name="Container and Resource Discovery", tactic="discovery"),
    ),
    ("Discovery:", Technique(uid="T1580", name="Cloud Infrastructure Discovery", tactic="discovery")),
    ("Recon:IAMUser/", Technique(uid="T1580", name="Cloud Infrastructure Discovery", tactic="discovery")),
    ("Persistence:IAMUser/", Technique(uid="T1098", name="Account Manipulation", tactic="persistence")),
    (
        "PrivilegeEscalation:IAMUser/",
        Technique(
            uid="T1098.003",
            name="Account Manipulation: Additional Cloud Roles",
            tactic="privilege-escalation",
        ),
    ),
    (
        "CredentialAccess:IAMUser/",
        Technique(uid="T1552", name="Unsecured Credentials", tactic="credential-access"),
    ),
    (
        "Stealth:IAMUser/CloudTrailLoggingDisabled",
        Technique(
            uid="T1562.008", name="Impair Defenses: Disable or Modify Cloud Logs", tactic="defense-evasion"
        ),
    ),
    (
        "PrivilegeEscalation:Runtime/",
        Technique(uid="T1611", name="Escape to Host", tactic="privilege-escalation"),
    ),
    ("Backdoor:", Technique(uid="T1071", name="Application Layer Protocol", tactic="command-and-control")),
)
"""Beginning of a finding's type → ATT&CK technique; the first that fits counts. The pairing is our judgement."""


def technique_of(rule: str) -> tuple[Technique, ...]:
    """The technique of a finding's type: one, or none where nothing is sure enough."""
    if uid := _table().get(rule):
        name, tactics = _KNOWN.get(uid, ("", ("",)))
        purpose = "-".join(_HUMP.split(rule.partition(":")[0])).lower()
        return (Technique(uid=uid, name=name, tactic=purpose if purpose in tactics else tactics[0]),)
    return tuple(technique for prefix, technique in TECHNIQUES if rule.startswith(prefix))[:1]


@cache
def _table() -> dict[str, str]:
    """Read at the first finding, not at import: two milliseconds that no command has to pay for."""
    return {row.type: row.technique for row in guardduty_findings() if row.technique}
