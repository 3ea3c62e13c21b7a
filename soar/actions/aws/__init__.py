"""Actions on AWS, one module per service. All run on the queue `aws`, whose worker alone holds AWS credentials."""
