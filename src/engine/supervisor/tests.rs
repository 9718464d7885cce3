use super::*;

const CARD: DeviceId = DeviceId(0);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn watched() -> (Supervisor, Instant) {
    let (mut supervisor, now) = (Supervisor::default(), Instant::now());
    supervisor.watch(CARD, now);
    (supervisor, now)
}

#[test]
fn each_try_waits_longer_and_a_while_of_work_begins_anew() {
    let (mut supervisor, mut now) = watched();
    for pause in [1, 5, 30] {
        assert_eq!(supervisor.lost(CARD, now), Standing::Waiting(now + seconds(pause)));
        assert_eq!(supervisor.due(now).count(), 0);
        now += seconds(pause);
        assert_eq!(supervisor.due(now).collect::<Vec<_>>(), [CARD]);
        supervisor.opening(CARD);
        assert_eq!(supervisor.due(now + seconds(999)).count(), 0, "it is being opened");
        supervisor.opened(CARD, now);
    }
    now += LOSS_WINDOW;
    assert_eq!(supervisor.lost(CARD, now), Standing::Waiting(now + seconds(1)));
}

#[test]
fn a_loss_counts_for_the_whole_window() {
    for (late, is_benched) in [(0, true), (1, false)] {
        let (mut supervisor, begun) = watched();
        for n in 1..LOSSES_BEFORE_BENCH as u64 {
            supervisor.lost(CARD, begun + seconds(n));
        }
        let last = begun + seconds(1) + LOSS_WINDOW + Duration::from_millis(late);
        let standing = supervisor.lost(CARD, last);
        assert_eq!(matches!(standing, Standing::Benched(_)), is_benched, "{standing:?}");
    }
}

#[test]
fn one_that_cannot_be_opened_waits_longer_as_well() {
    let (mut supervisor, mut now) = watched();
    for pause in [1, 5, 30, 120] {
        assert_eq!(supervisor.lost(CARD, now), Standing::Waiting(now + seconds(pause)));
        now += seconds(pause);
        supervisor.opening(CARD);
    }
    assert_eq!(supervisor.lost(CARD, now), Standing::Benched(now + BENCH));
}

/// As a card that is lost every five seconds, for ever.
#[test]
fn a_card_that_breaks_for_ever_is_opened_a_few_times_an_hour() {
    let (mut supervisor, begun) = watched();
    let (mut now, mut opened, mut benched) = (begun, 0, 0);
    while now < begun + seconds(24 * 3600) {
        now += seconds(5);
        let standing = supervisor.lost(CARD, now);
        benched += u32::from(matches!(standing, Standing::Benched(_)));
        now = standing.until().unwrap();
        supervisor.opening(CARD);
        supervisor.opened(CARD, now);
        opened += 1;
    }
    assert!(benched >= 40, "{benched}");
    assert!(opened <= 24 * 2 * LOSSES_BEFORE_BENCH, "{opened}");
}

#[test]
fn a_loss_now_and_then_is_no_reason_for_the_bench() {
    let (mut supervisor, mut now) = watched();
    for _ in 0..100 {
        now += seconds(160);
        let standing = supervisor.lost(CARD, now);
        assert!(matches!(standing, Standing::Waiting(_)), "{standing:?}");
        now = standing.until().unwrap();
        supervisor.opening(CARD);
        supervisor.opened(CARD, now);
    }
}

#[test]
fn who_is_given_up_or_not_watched_is_gone() {
    let (mut supervisor, now) = watched();
    assert!(supervisor.has_hope());
    assert_eq!(supervisor.lost(DeviceId(1), now), Standing::Gone);
    supervisor.give_up(CARD);
    assert_eq!(supervisor.lost(CARD, now), Standing::Gone);
    assert_eq!(supervisor.due(now + BENCH * 9).count(), 0);
    assert!(!supervisor.has_hope());
}

#[test]
fn people_read_when_it_comes_back() {
    let now = Instant::now();
    let waiting = Standing::Waiting(now + seconds(30));
    assert_eq!(waiting.in_words(now).unwrap(), "it is opened again in 30s");
    let benched = Standing::Benched(now + BENCH).in_words(now).unwrap();
    assert_eq!(benched, "it broke 5 times in 10m, and is tried again in 30m");
    assert_eq!(Standing::Gone.in_words(now), None);
}
