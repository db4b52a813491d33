"""Orders: a FastAPI application with the exporter around it."""

from fastapi import FastAPI

from rearguard_exporter import Monitor

api = FastAPI()


@api.get("/")
async def orders() -> dict[str, list[int]]:
    """The open orders."""
    return {"orders": [1, 2, 3]}


@api.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    """One order; of number 13 the application knows nothing, and fails."""
    return {"number": number, "items": {1: 2, 2: 5, 3: 1}[number]}


app = Monitor(service="orders", version="1.0.0", environment="production").instrument_asgi(api)
