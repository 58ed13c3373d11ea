"""The service: pictures and films over HTTP, and the page on the same app."""
