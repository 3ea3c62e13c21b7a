"""The policy that tests run under if they name none: the documentation shows it."""

from __future__ import annotations

__all__ = ["TEST_POLICY"]

TEST_POLICY = """\
# The policy of tests that name no other: who may decide what.
version: 1
responders:
  - id: irene
    name: Irene Castellano
    roles: [incident-commander, responder, security-lead]
    identities: [irene.castellano]
  - id: jonas
    name: Jonas Weber
    roles: [responder]
  - id: priya
    name: Priya Raman
    roles: [responder, security-lead]
  - id: maya
    name: Maya Okafor
    roles: [developer]
    identities: [maya.okafor]
autonomy:
  - match: {action: [aws.ec2.protect_evidence, aws.ec2.snapshot_volumes, aws.cloudtrail.restore_logging]}
    decide: automatic
    why: evidence is kept at once; it takes nothing away from anybody
  - match:
      risk: [reversible, disruptive]
      action: [aws.iam.*, aws.s3.*, aws.elb.*, aws.autoscaling.*, aws.ec2.isolate_instance, incident.undo]
    decide: ask
    approvers: 1
    roles: [responder]
    why: what can be put back takes one responder
  - match: {risk: [destructive]}
    decide: ask
    approvers: 2
    roles: [responder]
    why: what cannot be put back takes two
protected:
  - name: "break-glass*"
    why: the way back in
approvals: {expires: 4h, remind: 15m}
"""
