//! Pages tile a range exactly, also while rows arrive.

use crate::common::{Reply, Stored, api, assert_problem, database, get, on, store};

fn token(reply: &Reply) -> Option<String> {
    reply.json()["next_page_token"].as_str().map(str::to_owned)
}

#[actix_web::test]
async fn pages_tile_a_range_in_both_directions_and_every_timeframe() {
    let (database, mut client) = database().await;
    let bars: Vec<_> = (0..200).filter(|at| at % 7 != 3).map(|at| Stored::minute("AAPL", at)).collect();
    store(&mut client, &bars).await;
    let api = api(on(&database)).await;
    for timeframe in ["1Min", "5Min", "7Min", "1Hour", "1Day", "1Month"] {
        for sort in ["asc", "desc"] {
            let path = format!("/bars/AAPL/range?timeframe={timeframe}&sort={sort}&start=2024-06-01&end=2024-07-02");
            let whole = get(&api, &path).await;
            assert_eq!(token(&whole), None);
            let whole = whole.json()["bars"].as_array().unwrap().clone();
            assert!(!whole.is_empty(), "{path}");
            for limit in [1, 3, 50, whole.len()] {
                if limit == 1 && timeframe == "1Min" {
                    continue; // 171 requests that show nothing new
                }
                let (mut tiled, mut next) = (Vec::new(), None);
                loop {
                    let page = next.as_ref().map(|token| format!("&page_token={token}")).unwrap_or_default();
                    let reply = get(&api, &format!("{path}&limit={limit}{page}")).await;
                    let bars = reply.json()["bars"].as_array().unwrap().clone();
                    assert!(bars.len() <= limit && !bars.is_empty());
                    tiled.extend(bars);
                    next = token(&reply);
                    if next.is_none() {
                        break;
                    }
                }
                assert_eq!(tiled, whole, "{path} by {limit}");
            }
        }
    }
}

#[actix_web::test]
async fn rows_that_arrive_between_two_pages_shift_nothing() {
    let (database, mut client) = database().await;
    store(&mut client, &(0..20).map(|at| Stored::minute("AAPL", at * 2)).collect::<Vec<_>>()).await;
    let api = api(on(&database)).await;
    let path = "/bars/AAPL/range?limit=5";
    let mut reply = get(&api, path).await;
    let mut seen = reply.minutes();
    let mut late = 1;
    while let Some(token) = token(&reply) {
        let behind_and_ahead = [Stored::minute("AAPL", late), Stored::minute("AAPL", 40 - late)];
        store(&mut client, &behind_and_ahead).await;
        late += 2;
        reply = get(&api, &format!("{path}&page_token={token}")).await;
        seen.extend(reply.minutes());
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    for at in 0..20 {
        assert!(seen.contains(&(at * 2)), "{at} is missing in {seen:?}");
    }
    assert!(seen.contains(&39), "a row that arrived ahead of the cursor is in a later page");
}

#[actix_web::test]
async fn a_token_only_fits_the_question_it_came_from() {
    let (database, mut client) = database().await;
    let bars: Vec<_> = ["AAPL", "MSFT"].iter().flat_map(|name| (0..5).map(|at| Stored::minute(name, at))).collect();
    store(&mut client, &bars).await;
    let api = api(on(&database)).await;
    let token = token(&get(&api, "/bars/AAPL/range?limit=2").await).unwrap();
    assert_eq!(get(&api, &format!("/bars/AAPL/range?limit=1&page_token={token}")).await.minutes(), [2]);
    for other in ["/bars/MSFT/range?", "/bars/AAPL/range?sort=desc&", "/bars/AAPL/range?timeframe=5Min&"] {
        assert_problem(&get(&api, &format!("{other}page_token={token}")).await, 400, "page_token");
    }
}
