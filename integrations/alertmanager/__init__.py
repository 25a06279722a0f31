"""Prometheus Alertmanager, and whatever speaks its webhook: Mimir, vmalert's Alertmanager, Grafana."""
