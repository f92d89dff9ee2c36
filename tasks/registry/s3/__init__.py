"""A registry in a bucket: s3://BUCKET/PREFIX, at AWS or any server that honours `If-None-Match: *`, through boto3."""
