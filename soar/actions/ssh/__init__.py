"""Commands on machines, over SSH. They run on the queue `ssh`, whose worker alone holds the keys."""
