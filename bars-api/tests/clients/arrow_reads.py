"""Apache Arrow from the history API, read by pyarrow: the same bars as in JSON, with types and without parsing."""

import json
import sys
import urllib.request

import pyarrow as pa
import pyarrow.ipc

base = sys.argv[1]


def get(path: str, accept: str):
    request = urllib.request.Request(base + path, headers={"Accept": accept})
    with urllib.request.urlopen(request) as response:
        return response.headers, response.read()


path = "/bars/AAPL/range?start=2024-06-03&limit=10&indicators=ema:5"
headers, body = get(path, "application/vnd.apache.arrow.stream")
assert headers["content-type"] == "application/vnd.apache.arrow.stream", headers["content-type"]
assert headers["x-next-page-token"] and headers["x-complete"] == "true" and json.loads(headers["x-as-of"])["seq"] == 25
table = pa.ipc.open_stream(body).read_all()
assert table.schema.field("timestamp").type == pa.timestamp("ms", tz="UTC"), table.schema
assert table.schema.metadata[b"symbol"] == b"AAPL"

answer = json.loads(get(path, "application/json")[1])
rows = table.to_pylist()
assert len(rows) == 10
for row, bar, ema in zip(rows, answer["bars"], answer["indicators"]["ema:5"], strict=True):
    assert int(row["timestamp"].timestamp() * 1000) == bar["timestamp"]
    assert all(row[name] == bar[name] for name in ["open", "high", "low", "close", "volume", "trade_count", "vwap", "final", "revision"]), (row, bar)
    assert row["ema:5"] == ema, (row, ema)
frame = table.to_pandas()
assert frame["close"].iloc[-1] == answer["bars"][-1]["close"]
print("pyarrow reads every column")
