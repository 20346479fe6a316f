"""The metrics of the front door: each one's name, kind, labels and help, in one list.

Rule: docs/operations.md lists the same names (a test checks this). Paths are never labels, so that clients
cannot create new series.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

BUCKETS_S = (
    *(0.001, 0.0025),
    *(
        0.005,
        0.01,
        0.025,
        0.05,
        0.075,
        0.1,
        0.25,
        0.5,
        0.75,
        1.0,
        2.5,
        5.0,
        7.5,
        10.0,
    ),  # as OpenTelemetry has them
    30.0,
)


class MetricInfo(NamedTuple):
    """One metric: its kind, its labels, and the sentence after # HELP."""

    # slot: a gauge of each worker, not summed. board: no count of a worker, but read from the board or from elsewhere.
    kind: Literal["counter", "histogram", "gauge", "slot", "board"]
    help: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, MetricInfo] = {
    "overgrow_requests_total": MetricInfo(
        "counter",
        "Finished requests; status 0 means that the client left before the response began.",
        ("route", "side", "status"),
    ),
    "overgrow_request_duration_seconds": MetricInfo(
        "histogram",
        "Seconds from the request head to the last byte of the response.",
        ("route", "side"),
    ),
    "overgrow_errors_total": MetricInfo(
        "counter",
        "Requests answered 5xx, or broken off by the side that served them.",
        ("route", "side"),
    ),
    "overgrow_failures_total": MetricInfo(
        "counter", "Requests that failed, by code and the party to blame.", ("code", "party")
    ),
    "overgrow_client_timeouts_total": MetricInfo(
        "counter",
        "Requests ended because their client was too slow, by route, side and the party to blame.",
        ("route", "side", "party"),
    ),
    "overgrow_fallbacks_total": MetricInfo(
        "counter",
        "Requests that legacy answered because migrated failed, by migrated's failure or status.",
        ("route", "code"),
    ),
    "overgrow_identity_total": MetricInfo(
        "counter",
        "Attempts to identify a user, by reader and outcome: known, unavailable, or why nobody is signed in.",
        ("reader", "outcome"),
    ),
    "overgrow_legacy_calls_total": MetricInfo(
        "counter", "Calls of legacy by views, by route and legacy's status.", ("route", "status")
    ),
    "overgrow_shadow_total": MetricInfo(
        "counter",
        "Requests copied to the other side, by verdict.",
        ("route", "verdict"),
    ),
    "overgrow_shadow_dropped_total": MetricInfo(
        "counter", "Requests drawn for a copy and not compared, by reason.", ("reason",)
    ),
    "overgrow_request_bytes_total": MetricInfo(
        "counter", "Bytes of request bodies.", ("route", "side")
    ),
    "overgrow_response_bytes_total": MetricInfo(
        "counter", "Bytes of response bodies.", ("route", "side")
    ),
    "overgrow_reload_failures_total": MetricInfo(
        "counter", "Changed tables that a worker refused; each worker counts its own."
    ),
    "overgrow_log_lines_dropped_total": MetricInfo(
        "counter", "Access-log lines dropped because the log consumer was too slow."
    ),
    "overgrow_wrong_tokens_total": MetricInfo(
        "counter", "Wrong tokens given to the admin listener, at the login or as a bearer."
    ),
    "overgrow_webhook_total": MetricInfo(
        "counter",
        "Attempts to send a notification, by outcome: sent, retry or refused; dropped: given up unsent.",
        ("outcome",),
    ),
    "overgrow_telemetry_failures_total": MetricInfo(
        "counter",
        "Attempts to send telemetry that failed, by receiver: otel, sentry or webhook.",
        ("receiver",),
    ),
    "overgrow_shadow_waiting": MetricInfo("gauge", "Copies of requests that wait to be sent."),
    "overgrow_connections": MetricInfo("gauge", "Open client connections."),
    "overgrow_local_threads_busy": MetricInfo(
        "gauge", "Calls of the migrated app that run or wait for a thread."
    ),
    "overgrow_local_calls_waiting": MetricInfo(
        "gauge", "Calls of the migrated app that wait for a thread."
    ),
    "overgrow_local_threads_stuck": MetricInfo(
        "gauge", "Threads whose call exceeded its response timeout and is still running."
    ),
    "overgrow_watcher_last_look_timestamp_seconds": MetricInfo(
        "slot",
        "When a worker last looked at the table and at both kill files, in unix seconds.",
        ("slot",),
    ),
    "overgrow_table_last_load_timestamp_seconds": MetricInfo(
        "board", "When a worker loaded the table that it runs, in unix seconds.", ("slot",)
    ),
    "overgrow_workers_disagree": MetricInfo(
        "board",
        "1 while workers run different tables, or while not all of them see the kill file.",
    ),
    "overgrow_process_cpu_seconds_total": MetricInfo(
        "board", "Processor time of each process, in seconds.", ("slot",)
    ),
    "overgrow_process_resident_memory_bytes": MetricInfo(
        "board", "Resident memory of each process; processes share a part of it.", ("slot",)
    ),
    "overgrow_process_start_time_seconds": MetricInfo(
        "board", "When each process started, in unix seconds.", ("slot",)
    ),
    "overgrow_process_open_fds": MetricInfo(
        "board", "Open file descriptors of each process, connections included.", ("slot",)
    ),
    "overgrow_process_max_fds": MetricInfo(
        "board", "The most file descriptors that each process may open.", ("slot",)
    ),
    "overgrow_upstream_up": MetricInfo("board", "0 while legacy does not answer, else 1."),
    "overgrow_workers": MetricInfo("board", "Living worker processes."),
    "overgrow_killed": MetricInfo("board", "1 while the kill file sends everything to legacy."),
    "overgrow_reload_error": MetricInfo("board", "1 while the table on disk is refused."),
    "overgrow_boot_error": MetricInfo("board", "1 while workers do not start."),
    "overgrow_boot_failures_total": MetricInfo(
        "board", "Workers that did not start, or died in a row, since the server started."
    ),
    "overgrow_breaker_open": MetricInfo(
        "board",
        "Living workers whose breaker of this route and side is open.",
        ("route", "side"),
    ),
    "overgrow_table_revision_info": MetricInfo(
        "board", "1 for each revision that a living worker serves.", ("revision",)
    ),
    "overgrow_build_info": MetricInfo(
        "board", "1, with the versions of Overgrow and of Python.", ("version", "python")
    ),
    "overgrow_flips_total": MetricInfo(
        "board",
        "Flips and rollbacks in the history, by route and the target they led to.",
        ("route", "to"),
    ),
    "overgrow_gate_value": MetricInfo(
        "board",
        "The lower bound, with 95% confidence, of the share of a route's requests that both sides answer alike.",
        ("route",),
    ),
    "overgrow_gate_threshold": MetricInfo(
        "board", "The share that the gate of a route requires at least.", ("route",)
    ),
    "overgrow_gate_newest_comparison_timestamp_seconds": MetricInfo(
        "board", "When a copy of a route's requests was last compared, in unix seconds.", ("route",)
    ),
    "overgrow_route_migrated_percent": MetricInfo(
        "board",
        "The percentage of a route's clients that the table sends to migrated: 0, 100, or its canary.",
        ("route",),
    ),
    "overgrow_route_last_flip_timestamp_seconds": MetricInfo(
        "board", "When a route was last flipped or rolled back, in unix seconds.", ("route",)
    ),
    "overgrow_route_last_request_timestamp_seconds": MetricInfo(
        "board",
        "When a side last answered a request of a route, in unix seconds, to ten seconds.",
        ("route", "side"),
    ),
}
