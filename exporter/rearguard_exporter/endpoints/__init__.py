"""What the process answers: exposition, dashboard, health, on the application's port or its own."""
