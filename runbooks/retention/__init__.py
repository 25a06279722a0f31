"""What is bulky is not kept for ever: logs, large values, bodies of deliveries, and files that no row names.

Each is a duty of the sweeper in bounded batches. A batch marks rows as removed, records that on the audit trail and
commits; rows that somebody else has locked are left for the next one, so that any number of sweepers may do it. No
duty but :func:`runbooks.retention.files.remove_unnamed` touches a file: it takes those that no row names any more,
whether their rows were marked or never committed. Histories and the audit trail are not touched by any.
"""
