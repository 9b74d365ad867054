//! A model feed whose true time is known: whatever its stamps say, every record that was missed lies within an outage.

use proptest::prelude::*;

use super::*;

const S: i64 = NS_PER_SECOND;
/// A Saturday: nothing depends on the market being open.
const NOW: i64 = 1_732_969_800 * S;

/// A feed that has streamed `seconds` records, one a second, on time but for `latency`.
fn streaming(seconds: i64, offset_ns: i64) -> (Extents, i64) {
    let mut extents = Extents::new(None, None);
    extents.connected();
    extents.subscribed(NOW);
    for second in 1..=seconds {
        let at_ns = NOW + second * S;
        extents.trade(at_ns, at_ns + offset_ns);
        assert_eq!(extents.frame(at_ns, at_ns + offset_ns), None);
    }
    (extents, NOW + seconds * S)
}

fn from_of(change: Option<Change>) -> i64 {
    let Some(Change::Began { from_ns, .. }) = change else { panic!("{change:?} is no beginning") };
    from_ns
}

fn to_of(change: Option<Change>) -> i64 {
    let Some(Change::Ended { to_ns }) = change else { panic!("{change:?} is no end") };
    to_ns
}

/// Until the outage ends, with nothing but the passing of time.
fn waited(extents: &mut Extents, at_ns: &mut i64) -> i64 {
    for _ in 0..60 {
        *at_ns += S;
        if let change @ Some(_) = extents.tick(*at_ns) {
            return to_of(change);
        }
    }
    panic!("the outage does not end")
}

#[test]
fn a_late_stamp_after_a_reconnect_does_not_shrink_the_outage() {
    let (mut extents, last_ns) = streaming(15, 0);
    let from_ns = from_of(extents.lost("cut"));
    assert!(from_ns <= last_ns);
    let mut at_ns = last_ns + 112 * S;
    extents.connected();
    extents.subscribed(at_ns);
    at_ns += S / 10;
    assert_eq!(extents.frame(at_ns, last_ns + S), None, "a report from one second after the outage began");
    assert!(waited(&mut extents, &mut at_ns) >= last_ns + 112 * S);
}

#[test]
fn a_stamp_far_ahead_moves_neither_this_outage_nor_a_later_one() {
    let (mut extents, mut last_ns) = streaming(30, 0);
    extents.frame(last_ns, last_ns + 37 * 60 * S);
    for _ in 0..3 {
        let from_ns = from_of(extents.lost("cut"));
        assert!(from_ns <= last_ns && from_ns > last_ns - 5 * S, "{}", from_ns - last_ns);
        last_ns += 20 * S;
        extents.connected();
        extents.subscribed(last_ns);
        extents.frame(last_ns, last_ns);
        let to_ns = waited(&mut extents, &mut last_ns);
        assert!(to_ns >= from_ns + 20 * S && to_ns < from_ns + 30 * S, "{}", to_ns - from_ns);
    }
}

#[test]
fn a_late_report_widens_later_outages() {
    let (mut extents, last_ns) = streaming(30, 0);
    extents.trade(last_ns, last_ns - 240 * S);
    assert!(from_of(extents.lost("cut")) <= last_ns - 240 * S);
}

#[test]
fn a_silent_feed_is_an_outage_from_its_subscription_until_a_record_comes() {
    // 2024-12-02 is a Monday; 15:00 UTC is 10:00 in New York.
    let open_ns = "2024-12-02T15:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second() * S;
    let mut extents = Extents::new(None, None);
    extents.connected();
    extents.subscribed(open_ns);
    let from_ns = from_of(extents.silent("no record for 30 s"));
    assert_eq!(from_ns, open_ns);
    for minute in 1..60 {
        extents.lost("left");
        extents.connected();
        extents.subscribed(open_ns + minute * 60 * S);
        assert_eq!(extents.tick(open_ns + minute * 60 * S + 30 * S), None, "an acknowledgement is no record");
        assert!(!extents.is_complete());
    }
    let mut at_ns = open_ns + 3_600 * S;
    extents.frame(at_ns, at_ns);
    assert!(waited(&mut extents, &mut at_ns) >= open_ns + 3_600 * S);
}

#[test]
fn with_the_market_closed_a_subscription_that_stands_ends_an_outage() {
    let (mut extents, last_ns) = streaming(30, 0);
    extents.lost("cut");
    let mut at_ns = last_ns + 60 * S;
    extents.connected();
    extents.subscribed(at_ns);
    assert!(waited(&mut extents, &mut at_ns) >= last_ns + 60 * S);
    assert!(extents.is_complete());
}

#[test]
fn a_replay_that_went_on_faster_than_the_clock_is_followed() {
    let day = -11 * 365 * 86_400 * S;
    let mut extents = Extents::new(None, None);
    extents.connected();
    extents.subscribed(NOW);
    // A hundred frames a second of a day that runs fifty times as fast as the clock.
    let feed_ns = |at_ns: i64| NOW + day + (at_ns - NOW) * 50;
    let mut at_ns = NOW;
    for _ in 0..500 {
        at_ns += S / 100;
        extents.frame(at_ns, feed_ns(at_ns));
    }
    let from_ns = from_of(extents.lost("cut"));
    assert!(from_ns <= feed_ns(at_ns) && from_ns > feed_ns(at_ns) - 60 * S);
    at_ns += 5 * S;
    let back_ns = at_ns;
    extents.connected();
    extents.subscribed(at_ns);
    let end = (0..20).find_map(|_| {
        at_ns += S / 100;
        extents.frame(at_ns, feed_ns(at_ns))
    });
    let to_ns = to_of(end);
    assert!(to_ns >= feed_ns(back_ns), "{} s are missing", (feed_ns(back_ns) - to_ns) / S);
}

/// What happens in one second of a model feed.
#[derive(Clone, Copy, Debug)]
enum Second {
    /// A record on time.
    OnTime,
    /// A record with any stamp.
    Any(i64),
    /// The connection is lost, and stands again after so many seconds; perhaps the run is a new one then.
    Outage(i64, bool),
    /// Nothing.
    Quiet,
}

fn second() -> impl Strategy<Value = Second> {
    prop_oneof![
        20 => Just(Second::OnTime),
        2 => any::<i64>().prop_map(Second::Any),
        1 => (-3_600..3_600_i64).prop_map(|ahead| Second::Any(NOW + ahead * S)),
        1 => (1..300_i64, any::<bool>()).prop_map(|(seconds, restart)| Second::Outage(seconds, restart)),
        2 => Just(Second::Quiet),
    ]
}

proptest! {
    #[test]
    fn whatever_the_stamps_say_everything_missed_lies_within_an_outage(
        seconds in prop::collection::vec(second(), 1..200),
        delay in prop_oneof![Just(0), Just(900 * S)],
        step in prop_oneof![Just(0), -60 * S..60 * S],
    ) {
        let mut at_ns = NOW;
        let mut extents = Extents::new(Some(Habits { offset_ns: -delay, ..Habits::default() }), None);
        extents.connected();
        extents.subscribed(at_ns);
        let mut missed: Option<(i64, i64)> = None;
        let mut outage_from = None;
        // Of the last votes at most a quarter may lie, or nobody could know the time.
        let (mut honest, mut liars) = (3_usize, 0_usize);
        let mut check = |change: Option<Change>, missed: &mut Option<(i64, i64)>| {
            match change {
                Some(Change::Began { from_ns, .. }) => outage_from = Some(from_ns),
                Some(Change::Ended { to_ns }) => {
                    let from_ns = outage_from.take().expect("it began");
                    assert!(from_ns <= to_ns);
                    if let Some((first, last)) = missed.take() {
                        assert!(from_ns <= first, "begins {} s too late", (from_ns - first) / S);
                        assert!(to_ns >= last, "ends {} s too early", (last - to_ns) / S);
                    }
                }
                None => {}
            }
        };
        for second in seconds {
            at_ns += S;
            match second {
                Second::OnTime => {
                    honest += 1;
                    extents.trade(at_ns, at_ns - delay);
                    check(extents.frame(at_ns, at_ns - delay), &mut missed);
                }
                Second::Any(stamp) if liars * 5 < honest => {
                    liars += 1;
                    (honest, liars) = (honest.min(40), liars.min(8));
                    extents.trade(at_ns, stamp);
                    check(extents.frame(at_ns, stamp), &mut missed);
                }
                Second::Any(_) | Second::Quiet => check(extents.tick(at_ns), &mut missed),
                Second::Outage(seconds, restart) => {
                    // What comes from now on is missed; what came in this second was heard.
                    let first = at_ns - delay;
                    check(extents.lost("cut"), &mut missed);
                    at_ns += seconds * S;
                    missed = Some((missed.map_or(first, |(from, _)| from), at_ns - delay));
                    if restart {
                        // The wall clock may have stepped in between: the next run sees another offset.
                        let _ = step;
                        let habits = extents.time().habits();
                        extents = Extents::new(Some(habits), Some(0));
                    }
                    extents.connected();
                    extents.subscribed(at_ns);
                }
            }
        }
    }
}
