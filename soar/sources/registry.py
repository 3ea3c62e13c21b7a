"""Every source that is installed."""

from __future__ import annotations

from soar.sources.alertmanager import Alertmanager
from soar.sources.azure_monitor import AzureMonitor
from soar.sources.cloudtrail import CloudTrail
from soar.sources.cloudwatch import CloudWatch
from soar.sources.contract import Source
from soar.sources.datadog import Datadog
from soar.sources.elastic import Elastic
from soar.sources.falco import Falco
from soar.sources.google_monitoring import GoogleMonitoring
from soar.sources.guardduty import GuardDuty
from soar.sources.jira import Jira
from soar.sources.qradar import QRadar
from soar.sources.securityhub import SecurityHub
from soar.sources.servicenow import ServiceNow
from soar.sources.splunk import Splunk
from soar.sources.sumologic import SumoLogic

__all__ = ["sources"]


def sources() -> dict[str, Source]:
    """The sources by name."""
    made: tuple[Source, ...] = (
        GuardDuty(),
        SecurityHub(),
        CloudTrail(),
        CloudWatch(),
        Splunk(),
        QRadar(),
        SumoLogic(),
        Elastic(),
        AzureMonitor(),
        GoogleMonitoring(),
        ServiceNow(),
        Jira(),
        Alertmanager(),
        Datadog(),
        Falco(),
    )
    return {source.name: source for source in made}
