"""What wording does to a model on notes: read from an audit, judged edit by edit."""
