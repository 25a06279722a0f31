"""A runbook that uses everything."""

from __future__ import annotations

SAMPLE = """\
apiVersion: handrail/v1
kind: Runbook
metadata:
  id: high-error-rate
  title: Contain a high error rate
  description: Shift traffic away, verify, fail the database over if that was not enough.
  owner: team:payments-sre
  labels: {tier: "1"}
inputs:
  service: {type: string, pattern: "^[a-z0-9-]+$", required: true, description: The service to protect.}
  region: {type: enum, values: [eu-1, us-1], required: true}
  max_error_rate: {type: number, default: 0.02, min: 0, max: 1}
secrets:
  dns: vault:payments/dns#token
triggers:
  - id: error-rate
    on: alert
    when: alert.severity == "critical" && alert.labels.alertname == "HighErrorRate"
    inputs: {service: "${{ alert.labels.service }}", region: "${{ alert.labels.region }}"}
    dedupe: {key: "${{ alert.labels.service }}", window: 30m, on_duplicate: attach}
    mode: enforce
  - {id: nightly, on: schedule, cron: "0 3 * * *", timezone: Europe/Berlin, inputs: {service: shop, region: eu-1}}
concurrency: {key: "${{ inputs.service }}", limit: 1, on_conflict: queue}
rate_limit: {key: "${{ inputs.service }}", max_runs: 3, per: 1h, on_exceed: page}
runner: {pool: default}
timeout: 2h
defaults: {timeout: 60s, retry: {max_attempts: 1}}
steps:
  - id: evidence
    kind: parallel
    concurrency: 3
    continue_on_error: true
    steps:
      - {id: errors, uses: prometheus.query, with: {query: "rate(e{service='${{ inputs.service }}'}[5m])"}}
      - {id: deploys, uses: http.request, with: {connection: deploys, path: "/d?s=${{ inputs.service }}"}}
  - id: contain
    kind: group
    on_failure: {compensate: true, then: continue}
    steps:
      - id: shift
        uses: http.request
        effect: reversible
        idempotent: true
        with:
          connection: traffic
          method: PUT
          path: "/weights/${{ inputs.service }}/${{ inputs.region }}"
          json: {weight: 0}
        retry:
          max_attempts: 4
          initial_interval: 2s
          backoff: 2.0
          max_interval: 30s
          jitter: full
          not_on: [permission_denied, invalid_input]
        probe:
          uses: http.request
          with: {connection: traffic, path: "/weights/${{ inputs.service }}"}
          done_when: result.json.weight == 0
        compensate:
          uses: http.request
          with:
            connection: traffic
            method: PUT
            path: "/weights/${{ inputs.service }}"
            json: {weight: "${{ self.outputs.json.previous }}"}
      - id: recovered
        kind: wait_until
        uses: prometheus.query
        with: {query: "ratio{service='${{ inputs.service }}'}"}
        until: result.value < inputs.max_error_rate
        sustained: 3m
        interval: 15s
        timeout: 10m
  - id: approve_failover
    kind: approval
    when: steps.contain.status == "compensated"
    prompt: "Fail over the ${{ inputs.service }} database in ${{ inputs.region }}?"
    for: [db_failover]
    approvers:
      teams: [dba-oncall, payments-leads]
      min: 2
      min_per_team: {dba-oncall: 1}
      exclude: [starter, last_editor]
    inputs: {reason: {type: string, required: true}}
    channels: [{slack: "#inc-payments"}]
    timeout: 15m
    escalate: [{after: 5m, to: {pagerduty: dba-primary}}]
    on_timeout: reject
    on_reject: continue
  - id: db_failover
    uses: ssh.run
    effect: irreversible
    when: steps.approve_failover.decision == "approved"
    with: {target: db-admin, argv: [pg_autoctl, perform, failover, "${{ inputs.service }}"]}
    timeout: 5m
    heartbeat: 20s
outcome:
  recovered: steps.recovered.status == "succeeded"
on_failure:
  - {id: tell, uses: slack.post, with: {text: "Failed: ${{ run.url }}"}}
finally:
  - {id: restore, uses: noop}
"""
