use proptest::prelude::*;

use super::*;

struct World {
    failover: Failover,
    now: Instant,
}

impl World {
    fn new(sources: usize, plan: Plan) -> Self {
        let now = Instant::now();
        Self { failover: Failover::new(sources, plan, now), now }
    }

    fn up(&mut self, source: u16) {
        self.failover.up(SourceId(source), self.now);
    }

    fn down(&mut self, source: u16) {
        self.failover.down(SourceId(source), self.now);
    }

    /// Time passes, with a tick at every deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.failover.deadline().filter(|due| *due <= end) {
            assert!(due > self.now, "a deadline that is no future one");
            self.now = due;
            self.failover.tick(due);
        }
        self.now = end;
        self.failover.tick(end);
    }

    fn wanted(&self) -> Vec<bool> {
        let sources = (0..).take(self.failover.sources.len()).map(SourceId);
        sources.map(|source| self.failover.wanted(source)).collect()
    }

    fn weights(&self) -> Vec<u32> {
        self.failover.weights()
    }
}

impl World {
    fn list(&mut self, order: &[u16], plan: Plan) {
        let order: Vec<SourceId> = order.iter().copied().map(SourceId).collect();
        self.failover.list(&order, plan, self.now);
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn only_the_first_is_connected_while_it_works() {
    let mut world = World::new(3, Plan::Failover);
    assert_eq!((world.wanted(), world.weights()), (vec![true, false, false], vec![0; 3]));
    world.up(0);
    world.pass(1000 * SECOND);
    assert_eq!((world.wanted(), world.weights()), (vec![true, false, false], vec![1, 0, 0]));
    assert_eq!(world.failover.deadline(), None);
}

#[test]
fn a_source_that_cannot_be_reached_at_the_start_is_passed_over_at_once() {
    let mut world = World::new(3, Plan::Failover);
    world.down(0);
    assert_eq!(world.wanted(), [true, true, false]);
    world.down(1);
    assert_eq!(world.wanted(), [true, true, true]);
    world.up(2);
    assert_eq!(world.weights(), [0, 0, 1]);
}

#[test]
fn a_source_that_hangs_at_the_start_is_passed_over_within_5_s() {
    let mut world = World::new(2, Plan::Failover);
    world.pass(3 * SECOND);
    assert_eq!(world.wanted(), [true, false]);
    world.pass(2 * SECOND);
    assert_eq!(world.wanted(), [true, true]);
}

#[test]
fn each_backup_has_its_own_time_before_the_next_is_tried() {
    let mut world = World::new(4, Plan::Failover);
    world.up(0);
    world.pass(3600 * SECOND);
    world.down(0);
    world.pass(2 * SECOND);
    assert_eq!(world.wanted(), [true, true, false, false], "the first had a hiccup's time");
    world.pass(3 * SECOND);
    assert_eq!(world.wanted(), [true, true, false, false]);
    world.pass(SECOND);
    assert_eq!(world.wanted(), [true, true, true, false], "the second is silent for 4 s");
    world.down(2);
    assert_eq!(world.wanted(), [true; 4], "the third was tried in vain");
}

#[test]
fn a_source_that_was_let_go_starts_anew() {
    let mut world = World::new(3, Plan::Failover);
    world.up(0);
    world.pass(400 * SECOND);
    world.down(0);
    world.pass(2 * SECOND);
    world.up(1);
    world.up(0);
    world.pass(STEADY + VERDICT_WAIT);
    assert_eq!(world.wanted(), [true, false, false]);
    world.up(1);
    world.pass(300 * SECOND);
    world.down(0);
    assert_eq!(world.weights(), [0; 3], "who is not connected has no work, whatever it said last");
    world.pass(2 * SECOND);
    assert_eq!(world.wanted(), [true, true, false]);
    world.pass(4 * SECOND);
    assert_eq!(world.wanted(), [true; 3]);
}

#[test]
fn a_hiccup_is_no_reason_to_go_elsewhere_but_two_seconds_are() {
    let mut world = World::new(2, Plan::Failover);
    world.up(0);
    world.pass(400 * SECOND);
    world.down(0);
    world.pass(SECOND);
    world.up(0);
    assert_eq!((world.wanted(), world.weights()), (vec![true, false], vec![1, 0]));
    world.down(0);
    world.pass(3 * SECOND);
    world.up(1);
    assert_eq!((world.wanted(), world.weights()), (vec![true, true], vec![0, 1]));
}

#[test]
fn the_better_source_gets_the_devices_back_after_a_minute_and_the_other_stays_for_its_verdicts() {
    let mut world = World::new(2, Plan::Failover);
    world.up(0);
    world.pass(400 * SECOND);
    world.down(0);
    world.pass(3 * SECOND);
    world.up(1);
    world.pass(100 * SECOND);
    world.up(0);
    world.pass(59 * SECOND);
    assert_eq!(world.weights(), [0, 1]);
    world.pass(SECOND);
    assert_eq!(world.weights(), [1, 0]);
    world.pass(VERDICT_WAIT.saturating_sub(SECOND));
    assert_eq!(world.wanted(), [true, true]);
    world.pass(SECOND);
    assert_eq!(world.wanted(), [true, false]);
}

#[test]
fn a_source_that_flaps_waits_five_minutes_unless_there_is_no_other() {
    let mut world = World::new(2, Plan::Failover);
    world.up(0);
    world.pass(10 * SECOND);
    world.down(0);
    world.pass(3 * SECOND);
    world.up(1);
    world.up(0);
    world.pass(299 * SECOND);
    assert_eq!(world.weights(), [0, 1]);
    world.pass(SECOND);
    assert_eq!(world.weights(), [1, 0]);
    world.down(0);
    assert_eq!(world.weights(), [0, 1], "the other one is still there");
    world.up(0);
    world.down(1);
    assert_eq!(world.weights(), [1, 0], "nobody else has work");
}

#[test]
fn a_refusal_needs_no_patience() {
    let mut world = World::new(2, Plan::Failover);
    world.up(0);
    world.failover.refused(SourceId(0), world.now);
    assert_eq!(world.wanted(), [true, true]);
}

#[test]
fn with_quotas_all_work_and_who_is_down_leaves_its_part() {
    let mut world = World::new(3, Plan::Quota(vec![70, 20, 10]));
    assert_eq!((world.wanted(), world.weights()), (vec![true; 3], vec![0; 3]));
    (0..3).for_each(|source| world.up(source));
    assert_eq!(world.weights(), [70, 20, 10]);
    world.down(1);
    assert_eq!((world.wanted(), world.weights()), (vec![true; 3], vec![70, 0, 10]));
    assert_eq!(world.failover.deadline(), None);
}

#[test]
fn flapping_every_second_moves_the_devices_rarely() {
    let mut world = World::new(2, Plan::Failover);
    world.down(0);
    world.up(1);
    let (mut moves, mut before) = (0, world.weights());
    for second in 0..3600 {
        if second % 2 == 0 {
            world.down(0);
        } else {
            world.up(0);
        }
        world.pass(SECOND);
        let after = world.weights();
        moves += u32::from(after != before);
        before = after;
    }
    assert!(moves <= 2, "{moves} moves in an hour");
}

#[test]
fn quotas_are_read_by_number_and_by_host() {
    let sources: Vec<Location> =
        ["stratum+tcp://a.example:1", "stratum+tcp://B.example:1", "gbt+http://c"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
    let quota = |text: &str| Plan::quota(text, &sources);
    assert_eq!(quota("1=80,2=15,3=5"), Ok(Plan::Quota(vec![80, 15, 5])));
    assert_eq!(quota("c=1, a.example = 2 ,b.example=3"), Ok(Plan::Quota(vec![2, 3, 1])));
    for (text, error) in [
        ("", QuotaError::Item(String::new())),
        ("1", QuotaError::Item("1".to_owned())),
        ("1=x,2=1,3=1", QuotaError::Part("x".to_owned())),
        ("1=0,2=1,3=1", QuotaError::Part("0".to_owned())),
        ("4=1", QuotaError::Source("4".to_owned())),
        ("0=1", QuotaError::Source("0".to_owned())),
        ("d=1", QuotaError::Source("d".to_owned())),
        ("1=1,a.example=1", QuotaError::Twice(1)),
        ("1=1,2=1", QuotaError::Missing(3)),
    ] {
        assert_eq!(quota(text), Err(error), "{text}");
    }
    let twins = [sources[0].clone(), sources[0].clone()];
    assert_eq!(
        Plan::quota("a.example=1", &twins),
        Err(QuotaError::Ambiguous("a.example".to_owned()))
    );
}

#[test]
fn one_that_is_listed_no_more_stays_connected_for_its_verdicts_only() {
    let mut world = World::new(1, Plan::Failover);
    world.up(0);
    world.pass(1000 * SECOND);
    world.list(&[1], Plan::Failover);
    assert_eq!((world.wanted(), world.weights()), (vec![true, true], vec![0, 0]));
    world.up(1);
    world.pass(VERDICT_WAIT.saturating_sub(SECOND));
    assert_eq!((world.wanted(), world.weights()), (vec![true, true], vec![0, 1]));
    world.pass(2 * SECOND);
    assert_eq!((world.wanted(), world.weights()), (vec![false, true], vec![0, 1]));
    assert_eq!(world.failover.deadline(), None);
    // It may come back, behind the other.
    world.list(&[1, 0], Plan::Failover);
    assert_eq!(world.wanted(), [false, true]);
    world.down(1);
    world.pass(HICCUP);
    world.up(0);
    assert_eq!(world.weights(), [1, 0]);
}

#[test]
fn one_that_somebody_just_put_first_gets_the_devices_as_soon_as_it_has_work() {
    let mut world = World::new(3, Plan::Failover);
    world.up(0);
    world.pass(1000 * SECOND);
    world.list(&[1, 0, 2], Plan::Failover);
    assert_eq!((world.wanted(), world.weights()), (vec![true, true, false], vec![1, 0, 0]));
    world.up(1);
    assert_eq!(world.weights(), [0, 1, 0]);
    // Only this time: when it falls and comes back, it has to be steady.
    world.down(1);
    world.pass(5 * SECOND);
    world.up(0);
    world.up(1);
    assert_eq!(world.weights(), [1, 0, 0]);
    world.pass(STEADY_AFTER_FLAP);
    assert_eq!(world.weights(), [0, 1, 0]);
}

#[test]
fn parts_follow_the_order_and_plans_may_change() {
    let mut world = World::new(2, Plan::Failover);
    world.up(0);
    world.list(&[2, 0], Plan::Quota(vec![3, 7]));
    assert_eq!((world.wanted(), world.weights()), (vec![true, false, true], vec![7, 0, 0]));
    world.up(2);
    assert_eq!(world.weights(), [7, 0, 3]);
    world.list(&[2, 0], Plan::Failover);
    assert_eq!((world.wanted(), world.weights()), (vec![true, false, true], vec![0, 0, 1]));
    world.pass(VERDICT_WAIT + SECOND);
    assert_eq!(world.wanted(), [false, false, true]);
}

proptest! {
    #[test]
    fn in_every_history_at_most_one_works_and_in_the_end_it_is_the_best(
        steps in prop::collection::vec((0_u16..4, any::<bool>(), 0_u64..100_000), 0..200),
        last in prop::collection::vec(any::<bool>(), 4),
    ) {
        let mut world = World::new(4, Plan::Failover);
        for (source, is_up, wait) in steps {
            if world.failover.wanted(SourceId(source)) {
                if is_up { world.up(source) } else { world.down(source) }
            }
            world.pass(Duration::from_millis(wait));
            let weights = world.weights();
            prop_assert!(weights.iter().sum::<u32>() <= 1);
            let works = weights.iter().position(|weight| *weight > 0);
            let anybody = world.failover.sources.iter().any(|state| state.is_up);
            prop_assert_eq!(works.is_some(), anybody);
            prop_assert!(world.failover.wanted(SourceId(0)), "the first is always tried");
        }
        // Whatever is wanted from now on is as `last` says.
        for _ in 0..10 {
            for (source, is_up) in (0..).zip(&last) {
                if !world.failover.wanted(SourceId(source)) || !is_up {
                    world.down(source);
                } else {
                    world.up(source);
                }
            }
            world.pass(STEADY_AFTER_FLAP);
        }
        let best = last.iter().position(|is_up| *is_up);
        prop_assert_eq!(world.weights().iter().position(|weight| *weight > 0), best);
    }
}
