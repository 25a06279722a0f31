"""SSH: programs and static scripts on hosts whose keys an operator has pinned."""
