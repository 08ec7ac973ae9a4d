"""The relay hub: an HTTP and websocket API over a durable store."""
