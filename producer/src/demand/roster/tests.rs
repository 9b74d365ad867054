use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::demand::Wish;

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| Symbol::new(name).unwrap()).collect()
}

fn wishes(names: &[&str]) -> Wishes {
    symbols(names).into_iter().map(|symbol| Wish { symbol, asked: 1, idle: false }).collect()
}

/// A server with a limit that refuses requests as a whole, as Alpaca does.
struct Server {
    limit: usize,
    malformed: BTreeSet<Symbol>,
    unknown: BTreeSet<Symbol>,
    carried: BTreeSet<Symbol>,
    messages: usize,
}

impl Server {
    fn new(limit: usize) -> Self {
        let none = BTreeSet::new;
        Self { limit, malformed: none(), unknown: none(), carried: none(), messages: 0 }
    }

    fn talk(&mut self, roster: &mut Roster) {
        while let Some(change) = roster.next(1000, 3) {
            self.messages += 1;
            match change {
                Change::Subscribe(symbols) if symbols.iter().any(|symbol| self.malformed.contains(symbol)) => {
                    roster.refused(Refusal::Symbol("invalid syntax"));
                    continue;
                }
                Change::Subscribe(symbols) => {
                    let more: BTreeSet<_> = self.carried.iter().copied().chain(symbols).collect();
                    if more.len() > self.limit {
                        roster.refused(Refusal::Limit);
                        continue;
                    }
                    self.carried = more.difference(&self.unknown).copied().collect();
                }
                Change::Unsubscribe(symbols) => self.carried.retain(|symbol| !symbols.contains(symbol)),
            }
            roster.acknowledged(|symbol| self.carried.contains(symbol));
        }
    }
}

fn unavailable(news: &[Availability]) -> Vec<&str> {
    let away = news.iter().filter(|news| matches!(news, Availability::Unavailable { .. }));
    away.map(Availability::symbol).collect()
}

#[test]
fn what_does_not_fit_is_told_once_and_told_again_to_who_asks_again() {
    let mut roster = Roster::new(Source::alpaca(), &symbols(&["A"]), Some(2));
    roster.begun(|_| true);
    let mut server = Server::new(30);
    server.carried.extend(symbols(&["A"]));
    roster.want(&wishes(&["A", "B", "C", "D"]));
    server.talk(&mut roster);
    let news = roster.news();
    assert_eq!(unavailable(&news), ["C", "D"]);
    assert!(matches!(&news[0], Availability::Unavailable { reason, .. } if reason.contains("carries 2 symbols")));
    assert_eq!(roster.news(), []);
    let mut again = wishes(&["A", "B", "C", "D"]).to_vec();
    again[3].asked = 2;
    again[2].idle = true;
    again[2].asked = 2;
    roster.want(&again.into());
    assert_eq!(unavailable(&roster.news()), ["D"], "what nobody wants any more is not told");
    roster.want(&wishes(&["A", "C"]));
    server.talk(&mut roster);
    let there = Availability::Available { symbol: "C".to_owned(), source: "alpaca".to_owned() };
    assert_eq!(roster.news(), [there]);
    assert_eq!(server.carried.into_iter().collect::<Vec<_>>(), symbols(&["A", "C"]));
}

#[test]
fn what_the_server_says_it_carries_is_the_truth() {
    let mut roster = Roster::new(Source::alpaca(), &symbols(&["A", "B"]), None);
    roster.begun(|_| true);
    roster.carried(|symbol| symbol.as_str() == "B");
    assert_eq!(unavailable(&roster.news()), ["A"]);
    assert_eq!(roster.next(1000, 3), None, "it is not asked for again and again");
    roster.restart();
    roster.begun(|_| true);
    let there = Availability::Available { symbol: "A".to_owned(), source: "alpaca".to_owned() };
    assert_eq!(roster.news(), [there], "the next connection asks for it");
}

#[tokio::test(start_paused = true)]
async fn a_refused_name_is_not_tried_again_because_somebody_asks_again_but_when_its_time_has_come() {
    let mut roster = Roster::new(Source::alpaca(), &symbols(&["A"]), None);
    roster.begun(|_| true);
    let mut server = Server::new(30);
    server.carried.extend(symbols(&["A"]));
    server.malformed.extend(symbols(&["JUNK"]));
    for _ in 0..10 {
        roster.want(&wishes(&["A", "JUNK"]));
        server.talk(&mut roster);
        roster.want(&wishes(&["A"]));
        server.talk(&mut roster);
    }
    assert_eq!(server.messages, 1, "however often it is wanted");
    roster.want(&wishes(&["A", "JUNK"]));
    assert_eq!(unavailable(&roster.news()), ["JUNK"]);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    server.malformed.clear(); // it is listed now
    roster.look_again();
    server.talk(&mut roster);
    assert_eq!((server.messages, server.carried.len()), (2, 2));
    assert!(matches!(roster.news().as_slice(), [Availability::Available { symbol, .. }] if symbol == "JUNK"));
}

#[test]
fn the_limit_is_learned_in_few_messages() {
    let names: Vec<String> = (0..500).map(|at| format!("S{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut roster = Roster::new(Source::alpaca(), &symbols(&names[..3]), None);
    roster.begun(|_| true);
    let mut server = Server::new(30);
    server.carried.extend(symbols(&names[..3]));
    roster.want(&wishes(&names));
    server.talk(&mut roster);
    assert_eq!(server.carried, symbols(&names[..30]).into_iter().collect());
    assert!(server.messages < 60, "{} messages", server.messages);
    assert_eq!(roster.news().len(), 470);
}

#[test]
fn a_new_connection_begins_with_the_symbols_of_the_settings() {
    let mut roster = Roster::new(Source::alpaca(), &symbols(&["A", "B"]), None);
    roster.want(&wishes(&["A", "B", "C"]));
    for _ in 0..2 {
        roster.restart();
        assert_eq!(roster.first(), symbols(&["A", "B"]));
        roster.begun(|_| true);
        assert_eq!(roster.next(1000, 3), Some(Change::Subscribe(symbols(&["C"]))));
        assert_eq!(roster.next(1000, 3), None, "one at a time");
    }
}

proptest! {
    #[test]
    fn whatever_is_wanted_the_server_carries_what_comes_first_and_the_rest_is_told(
        rounds in prop::collection::vec(prop::collection::btree_set(0_u8..40, 0..30), 1..6),
        limit in 4_usize..20,
        cap in prop::option::of(4_usize..20),
        malformed in prop::collection::btree_set(20_u8..40, 0..4),
        unknown in prop::collection::btree_set(20_u8..40, 0..4),
    ) {
        let symbol = |at: u8| Symbol::new(&format!("S{at}")).unwrap();
        let always = symbols(&["X", "Y"]);
        let mut roster = Roster::new(Source::alpaca(), &always, cap);
        roster.begun(|_| true);
        let mut server = Server::new(limit);
        server.carried.extend(always.clone());
        server.malformed = malformed.into_iter().map(symbol).collect();
        server.unknown = unknown.into_iter().map(symbol).collect();
        let mut away = BTreeSet::new();
        for (round, asked) in rounds.into_iter().zip(1..) {
            let wanted: Vec<Symbol> = always.iter().copied().chain(round.into_iter().map(symbol)).collect();
            roster.want(&wanted.iter().map(|&symbol| Wish { symbol, asked, idle: false }).collect());
            server.talk(&mut roster);
            for news in roster.news() {
                let symbol = Symbol::new(news.symbol()).unwrap();
                match news {
                    Availability::Unavailable { .. } => drop(away.insert(symbol)),
                    Availability::Available { .. } => prop_assert!(away.remove(&symbol), "was never away"),
                }
            }
            let room = limit.min(cap.unwrap_or(limit));
            let good = wanted.iter().filter(|symbol| !server.malformed.contains(*symbol) && !server.unknown.contains(*symbol));
            let expected: BTreeSet<Symbol> = good.take(room).copied().collect();
            prop_assert_eq!(&server.carried, &expected);
            let missing: BTreeSet<Symbol> = wanted.iter().filter(|symbol| !expected.contains(*symbol)).copied().collect();
            let told: BTreeSet<Symbol> = wanted.iter().filter(|symbol| away.contains(*symbol)).copied().collect();
            prop_assert_eq!(told, missing, "what is not carried is told, and nothing else");
        }
    }
}
