"""Any JSON at all, mapped by an admin's expressions or by the usual field names."""
