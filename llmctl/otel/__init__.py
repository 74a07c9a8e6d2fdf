"""Traces and metrics for OpenTelemetry; loaded only where a profile or the environment turns it on."""
