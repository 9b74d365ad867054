"""One-liners of data frames, and the OpenAPI document by its validator.

Usage: python frames_read.py http://127.0.0.1:8000
The server holds 25 minute bars of AAPL from 2024-06-03T13:30Z.
"""

import io
import json
import sys
import urllib.request

import pandas as pd
from openapi_spec_validator import validate

base = sys.argv[1]

bars = pd.read_csv(f"{base}/bars/AAPL?format=csv")
assert len(bars) == 25 and bars["final"].all() and bars["timeframe"].eq("1Min").all(), bars
lines = pd.read_json(f"{base}/bars/AAPL?format=ndjson", lines=True, convert_dates=False)
assert lines["timestamp"].tolist() == bars["timestamp"].tolist(), lines
for name in ("bars.csv", "indexed.csv"):
    # What pandas writes goes back through `consumer-bars backfill files`.
    bars.assign(trade_count=bars["trade_count"].where(bars.index != 3)).to_csv(f"{sys.argv[2]}/{name}", index=name == "indexed.csv")

with urllib.request.urlopen(f"{base}/openapi.json") as response:
    validate(json.load(io.TextIOWrapper(response)))
print("data frames read everything")
