"""S3: a bucket, of AWS or of a compatible service, as the store of what is too large for a row."""
