"""Services, environments and the connections that actions may reach."""
