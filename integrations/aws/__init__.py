"""AWS: Lambda functions and single operations of a service, signed by botocore, sent by our own transport."""
