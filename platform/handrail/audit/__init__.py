"""The audit trail: an append-only hash chain, its checkpoints and its verification."""
