"""Who answers queries: one small protocol, a file a service."""
