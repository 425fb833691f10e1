"""What every long job shares: records, resume points, digests, logs, files that are never half written."""
