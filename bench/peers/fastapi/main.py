"""The same three routes as a good Python service would write them: FastAPI, asyncpg, orjson, uvicorn.

    uvicorn main:app --port 8001 --workers 1 --no-access-log

Reads the same tables and the same POSTGRES_* variables as bars-api, and answers the same JSON.
"""

import os
from contextlib import asynccontextmanager

import asyncpg
import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response

COLUMNS = "ts_ns / 1000000 AS timestamp, open, high, low, close, volume, trade_count, vwap, is_final AS final, revision"
NEWEST = f"""SELECT {COLUMNS} FROM market_data_oltp.stock_bars_staging
    WHERE symbol = $1 AND timeframe = $2 AND source = $3 ORDER BY ts_ns DESC LIMIT $4"""
RANGE = f"""SELECT {COLUMNS} FROM market_data_oltp.stock_bars_staging
    WHERE symbol = $1 AND timeframe = $2 AND source = $3 AND ts_ns >= $4 AND ts_ns < $5 ORDER BY ts_ns LIMIT $6"""
LATEST = f"""SELECT known.symbol, bar.* FROM market_data_oltp.stock_bar_versions known CROSS JOIN LATERAL (
        SELECT {COLUMNS} FROM market_data_oltp.stock_bars_staging stored
        WHERE stored.symbol = known.symbol AND stored.timeframe = $1 AND stored.source = $2 ORDER BY ts_ns DESC LIMIT 1
    ) bar WHERE known.timeframe = $1"""


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(
        host=os.environ.get("POSTGRES_HOST", "localhost"),
        port=int(os.environ.get("POSTGRES_PORT", "5432")),
        user=os.environ.get("POSTGRES_USER", "postgres"),
        password=os.environ.get("POSTGRES_PASSWORD") or None,
        database=os.environ.get("POSTGRES_DB", "market_data"),
        min_size=4,
        max_size=16,
    )
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


def json(body) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


@app.get("/bars/latest")
async def latest(request: Request, timeframe: str = "1Min", source: str = "alpaca") -> Response:
    rows = await request.app.state.pool.fetch(LATEST, timeframe, source)
    bars = {}
    for row in rows:
        bar = dict(row)
        bars[bar.pop("symbol")] = bar
    return json({"timeframe": timeframe, "bars": bars})


@app.get("/bars/{symbol}")
async def newest(
    request: Request,
    symbol: str,
    timeframe: str = "1Min",
    source: str = "alpaca",
    limit: int = Query(1000, ge=1, le=10000),
) -> Response:
    rows = await request.app.state.pool.fetch(NEWEST, symbol, timeframe, source, limit)
    if not rows:
        raise HTTPException(404, "unknown symbol")
    return json({"symbol": symbol, "timeframe": timeframe, "bars": [dict(row) for row in reversed(rows)], "next_page_token": None})


@app.get("/bars/{symbol}/range")
async def bars_of_range(
    request: Request,
    symbol: str,
    start: int,
    end: int,
    timeframe: str = "1Min",
    source: str = "alpaca",
    limit: int = Query(1000, ge=1, le=10000),
) -> Response:
    rows = await request.app.state.pool.fetch(RANGE, symbol, timeframe, source, start * 1_000_000, end * 1_000_000, limit)
    return json({"symbol": symbol, "timeframe": timeframe, "bars": [dict(row) for row in rows], "next_page_token": None})
