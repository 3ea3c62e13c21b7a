"""What can be done: actions, each declared once, one package per system."""
