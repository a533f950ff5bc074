"""The prediction path: plain ASGI in front of FastAPI's middleware."""
