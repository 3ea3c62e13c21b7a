"""The ASGI app: webhooks, Slack's endpoint, the REST API and the console."""
