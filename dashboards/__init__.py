"""Grafana and Prometheus: dashboards as typed Python with their JSON beside them, rules, and what writes to a Grafana.

It promises that what is shown needs nothing but the metrics of gameday/watch and of the processes of a run, and that a
package without the dashboards' SDK can push what is generated: `python -m gameday.dashboards` writes the JSON.
"""
