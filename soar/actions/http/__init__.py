"""Any HTTP service, without an action of its own. All run on the queue `http`, whose worker alone holds its secrets."""
