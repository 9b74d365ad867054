"""Reads bars, trades, snapshots, clock and calendar with Alpaca's own Python client, of which only the address is changed.

Usage: python alpaca_py_reads.py http://127.0.0.1:8000
The server holds 25 minute bars of AAPL and 5 of MSFT from 2024-06-03T13:30Z, and 25 trades of AAPL.
"""

import sys
from datetime import date, datetime, timezone

from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import GetCalendarRequest

url = sys.argv[1]
data = StockHistoricalDataClient("key", "secret", url_override=url)
start, end = datetime(2024, 6, 3, 13, 30, tzinfo=timezone.utc), datetime(2024, 6, 3, 13, 54, tzinfo=timezone.utc)
both = ["MSFT", "AAPL"]


def bars(symbols, timeframe=TimeFrame.Minute, **more):
    return data.get_stock_bars(StockBarsRequest(symbol_or_symbols=symbols, timeframe=timeframe, **more)).data


all_bars = bars(both, start=start, end=end)
assert {symbol: len(found) for symbol, found in all_bars.items()} == {"AAPL": 25, "MSFT": 5}, all_bars
first = all_bars["AAPL"][0]
assert (first.timestamp, first.open, first.close, first.volume, first.trade_count) == (start, 100.0, 100.5, 10.0, 2.0), first
assert [bar.timestamp for bar in all_bars["AAPL"]] == sorted(bar.timestamp for bar in all_bars["AAPL"])

assert len(bars("AAPL", start=start, end=end, limit=7)["AAPL"]) == 7
newest = bars("AAPL", start=start, end=end, sort=Sort.DESC, limit=1)["AAPL"][0]
assert newest.timestamp == end, newest

five = bars("AAPL", TimeFrame(5, TimeFrameUnit.Minute), start=start, end=end)["AAPL"]
assert [bar.volume for bar in five] == [50.0] * 5, five
day = bars("AAPL", TimeFrame.Day, start=datetime(2024, 6, 3), end=datetime(2024, 6, 4))["AAPL"]
assert [bar.volume for bar in day] == [250.0], day
month = bars("AAPL", TimeFrame(3, TimeFrameUnit.Month), start=datetime(2024, 1, 1))["AAPL"]
assert [bar.volume for bar in month] == [250.0], month

trades = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=both, start=start, end=end)).data["AAPL"]
assert [trade.id for trade in trades] == [3447222699101865000 + number for number in range(25)], trades
assert (trades[3].price, trades[3].size, trades[3].conditions, trades[3].tape) == (103.0, 4.0, ["@", "I"], "C"), trades[3]

latest_bar = data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=both))
assert latest_bar["AAPL"].timestamp == end and latest_bar["MSFT"].open == 104.0, latest_bar
latest_trade = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))
assert latest_trade["AAPL"].price == 124.0, latest_trade
snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=both))
assert snapshot["AAPL"].daily_bar.volume == 250.0 and snapshot["MSFT"].latest_trade is None, snapshot

try:
    bars("AAPL", start=end, end=start)
    raise AssertionError("a range that ends before it starts was accepted")
except APIError as error:
    assert "start" in error.message, error

try:
    bars("AAPL", start=start, end=end, adjustment="all")
    raise AssertionError("raw prices passed for adjusted ones")
except APIError as error:
    assert error.code == 40010001 and "adjustment" in error.message, error
assert bars("AAPL") == {} or bars("AAPL")["AAPL"] == [], "without a start the day that is on is meant"
assert data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL")) == {}
try:
    data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols="AAPL", start=start, end=end))
    raise AssertionError("quotes are not stored")
except APIError as error:
    assert error.code == 40310000 and "not stored" in error.message, error

trading = TradingClient("key", "secret", url_override=url)
clock = trading.get_clock()
assert clock.next_open.utcoffset() is not None and clock.is_open == (clock.next_close < clock.next_open), clock
days = trading.get_calendar(GetCalendarRequest(start=date(2024, 7, 3), end=date(2024, 7, 5)))
assert [(day.date, day.close.hour) for day in days] == [(date(2024, 7, 3), 13), (date(2024, 7, 5), 16)], days
print("alpaca-py reads everything")
