"""Audits: plan, referee, runner, bundle, measures, criteria, replay."""
