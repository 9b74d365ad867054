//! `/widgets.json` and `/apps.json`: what OpenBB Workspace reads when this API is added as a data connector.

use actix_web::HttpResponse;
use serde_json::json;

/// The widgets that OpenBB can show: a chart by UDF, a table of bars, the newest bar of every symbol.
#[utoipa::path(
    get, path = "/widgets.json", tag = "openbb",
    responses((status = 200, description = "Widgets by id", body = serde_json::Value, example = json!({"tapeline_chart": {"name": "Chart"}})))
)]
pub async fn widgets() -> HttpResponse {
    let symbol = json!({
        "paramName": "symbol", "label": "Symbol", "type": "text", "value": "AAPL", "description": "Symbol, such as AAPL",
    });
    let options = ["1Min", "5Min", "15Min", "1Hour", "1Day", "1Week", "1Month"];
    let options = options.map(|name| json!({"label": name, "value": name}));
    let timeframe = json!({
        "paramName": "timeframe", "label": "Timeframe", "type": "text", "value": "1Min", "description": "Length of the bars",
        "options": options,
    });
    let limit =
        json!({"paramName": "limit", "label": "Bars", "type": "number", "value": 390, "description": "At most 10000"});
    let columns = ["timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"]
        .map(|field| json!({"field": field, "headerName": field, "cellDataType": "number"}));
    HttpResponse::Ok().json(json!({
        "tapeline_chart": {
            "name": "Chart",
            "description": "Bars of a symbol, live, from Tapeline",
            "category": "Tapeline",
            "type": "advanced_charting",
            "endpoint": "/udf",
            "gridData": {"w": 40, "h": 20},
            "data": {"defaultSymbol": "AAPL", "updateFrequency": 10_000, "chartConfig": {"upColor": "#26a69a", "downColor": "#ef5350"}},
        },
        "tapeline_bars": {
            "name": "Bars",
            "description": "The newest bars of a symbol",
            "category": "Tapeline",
            "type": "table",
            "endpoint": "bars/{symbol}",
            "gridData": {"w": 30, "h": 14},
            "params": [symbol, timeframe, limit],
            "data": {"dataKey": "bars", "table": {"enableCharts": true, "showAll": true, "columnsDefs": columns}},
        },
        "tapeline_quote": {
            "name": "Search",
            "description": "Symbols and companies that are stored",
            "category": "Tapeline",
            "type": "table",
            "endpoint": "api/market/search",
            "gridData": {"w": 20, "h": 14},
            "params": [{"paramName": "q", "label": "Search", "type": "text", "value": "", "description": "Letters or a name"}],
            "data": {"dataKey": "results", "table": {"showAll": true}},
        },
    }))
}

/// A dashboard of these widgets.
#[utoipa::path(
    get, path = "/apps.json", tag = "openbb",
    responses((status = 200, description = "Apps", body = Vec<serde_json::Value>, example = json!([{"name": "Tapeline"}])))
)]
pub async fn apps() -> HttpResponse {
    HttpResponse::Ok().json(json!([{
        "name": "Tapeline",
        "description": "Bars of US stocks",
        "img": "",
        "img_dark": "",
        "img_light": "",
        "allowCustomization": true,
        "tabs": {"bars": {"id": "bars", "name": "Bars", "layout": [
            {"i": "tapeline_chart", "x": 0, "y": 0, "w": 40, "h": 20},
            {"i": "tapeline_quote", "x": 0, "y": 20, "w": 20, "h": 14},
        ]}},
        "groups": [],
    }]))
}
