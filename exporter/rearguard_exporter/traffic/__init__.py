"""What is counted of a request or a WebSocket, whatever the framework."""
