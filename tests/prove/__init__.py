"""The proof that nothing is lost, doubled or stuck: everybody is killed again and again, a ledger outside judges."""
