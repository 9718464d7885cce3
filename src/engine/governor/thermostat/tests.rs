use super::*;

/// A card that is heated by its work, and cools down like a kettle.
struct Card {
    temperature_c: f64,
    /// °C above the room at full work.
    heat_c: f64,
    /// Seconds in which it comes two thirds of the way.
    time: f64,
    full_w: f64,
}

const ROOM_C: f64 = 25.0;

impl Card {
    fn new(heat_c: f64, time: f64) -> Self {
        Self { temperature_c: ROOM_C, heat_c, time, full_w: 300.0 }
    }

    fn work(&mut self, part: f64) -> Sensed {
        let end = ROOM_C + self.heat_c * part;
        self.temperature_c += (end - self.temperature_c) * (1.0 - (-1.0 / self.time).exp());
        let power = 30.0 + (self.full_w - 30.0) * part;
        // As sensors say it.
        Sensed { temperature_c: Some(self.temperature_c.round()), power_w: Some(power) }
    }
}

/// Each second of some hours: the sensed, the part of the time, and whether it was paused.
fn run(limits: Limits, card: &mut Card, seconds: u64) -> Vec<(Sensed, f64, bool)> {
    let (mut thermostat, begun) = (Thermostat::new(limits), Instant::now());
    let second = |second| {
        let paused = thermostat.paused().is_some();
        let part = if paused { 0.0 } else { thermostat.duty(Duty::FULL).part() };
        let sensed = card.work(part);
        thermostat.read(sensed, begun + Duration::from_secs(second));
        (sensed, part, paused)
    };
    (0..seconds).map(second).collect()
}

fn hot(limit: f64) -> Limits {
    Limits { temperature_c: Some(limit), power_w: None }
}

#[test]
fn coolers_of_all_kinds_settle_below_the_limit_without_a_pause() {
    for heat in [40.0, 60.0, 90.0, 150.0] {
        for time in [8.0, 30.0, 90.0, 300.0] {
            let all = run(hot(75.0), &mut Card::new(heat, time), 7200);
            let settled = &all[1800..];
            let most = all.iter().filter_map(|(sensed, ..)| sensed.temperature_c);
            let most = most.fold(0.0, f64::max);
            assert!(most <= 78.0, "{heat} {time}: {most} °C on the way");
            let highest = settled.iter().filter_map(|(sensed, ..)| sensed.temperature_c);
            let highest = highest.fold(0.0, f64::max);
            assert!(highest <= 76.0, "{heat} {time}: {highest} °C");
            assert!(all.iter().all(|(_, _, paused)| !paused), "{heat} {time}: paused");
            // As much work as the limit allows: what would keep it at the limit.
            let parts = || settled.iter().map(|(_, part, _)| *part);
            let mean = parts().sum::<f64>() / parts().map(|_| 1.0).sum::<f64>();
            let possible = ((75.0 - ROOM_C) / heat).min(1.0);
            assert!(mean >= 0.85 * possible, "{heat} {time}: {mean} of {possible}");
            let (low, high) = (parts().fold(1.0, f64::min), parts().fold(0.0, f64::max));
            assert!(high - low < 0.35, "{heat} {time}: it swings from {low} to {high}");
        }
    }
}

#[test]
fn power_settles_at_its_limit() {
    let limits = Limits { temperature_c: None, power_w: Some(200.0) };
    let all = run(limits, &mut Card::new(30.0, 30.0), 600);
    for (sensed, _, paused) in &all[120..] {
        let power = sensed.power_w.unwrap();
        assert!((180.0..=206.0).contains(&power) && !paused, "{power} W");
    }
}

#[test]
fn a_limit_that_no_part_of_the_time_keeps_pauses_and_goes_on_when_it_is_cool() {
    // At a twentieth of the time it is still 40 °C above the room.
    let all = run(hot(50.0), &mut Card::new(800.0, 20.0), 3600);
    let changes = all.windows(2).filter(|pair| pair[0].2 != pair[1].2).count();
    let paused = all.iter().filter(|(_, _, paused)| *paused).count();
    assert!(paused > 600, "{paused} s");
    assert!((2..=200).contains(&changes), "{changes} changes in an hour");
}

#[test]
fn far_above_the_limit_it_is_paused_at_once() {
    let (mut thermostat, now) = (Thermostat::new(hot(70.0)), Instant::now());
    let sensed = |celsius| Sensed { temperature_c: Some(celsius), power_w: None };
    assert!(thermostat.read(sensed(75.0), now));
    assert_eq!(thermostat.paused(), Some(Reason::Temperature));
    let later = |seconds| now + Duration::from_secs(seconds);
    thermostat.read(sensed(60.0), later(5));
    assert!(thermostat.paused().is_some(), "not so soon");
    thermostat.read(sensed(66.0), later(40));
    assert!(thermostat.paused().is_some(), "not so hot");
    assert!(thermostat.read(sensed(65.0), later(41)));
    assert_eq!((thermostat.paused(), thermostat.duty(Duty::FULL).part()), (None, AFTER_REST));
}

#[test]
fn what_is_not_known_holds_nothing_back_and_lets_nothing_go() {
    let (mut thermostat, now) = (Thermostat::new(hot(70.0)), Instant::now());
    let at = |seconds: u64| now + Duration::from_secs(seconds);
    for second in 0..60 {
        let value = if second % 2 == 0 { None } else { Some(f64::NAN) };
        assert!(!thermostat.read(Sensed { temperature_c: value, power_w: value }, at(second)));
    }
    let hot = Sensed { temperature_c: Some(80.0), power_w: None };
    assert!(thermostat.read(hot, at(60)));
    for second in 61..600 {
        thermostat.read(Sensed::default(), at(second));
        assert!(thermostat.paused().is_some(), "the sensor vanished while it was hot");
    }
}

#[test]
fn without_limits_nothing_happens() {
    let all = run(Limits::default(), &mut Card::new(150.0, 20.0), 600);
    assert!(all.iter().all(|(_, part, paused)| *part >= 1.0 && !paused));
}

/// By hand: at 1.1 times the limit a second costs a tenth of what it costs at twice the limit.
#[test]
fn power_above_the_limit_costs_time_in_proportion() {
    let limits = Limits { temperature_c: None, power_w: Some(100.0) };
    let (mut thermostat, now) = (Thermostat::new(limits), Instant::now());
    let sensed = |power| Sensed { temperature_c: None, power_w: Some(power) };
    thermostat.read(sensed(110.0), now);
    thermostat.read(sensed(110.0), now + Duration::from_secs(2));
    let part = 1.0 - POWER_PER_SECOND * 0.1 * 2.0;
    assert!((thermostat.part - part).abs() < 1e-12, "{}", thermostat.part);
    // The average goes a quarter of the way in a quarter of its time, and all of it in more than all.
    thermostat.read(sensed(130.0), now + Duration::from_secs(4));
    let mean = 110.0 + 20.0 * 2.0 / POWER_TIME;
    assert!(thermostat.power_w.is_some_and(|power| (power - mean).abs() < 1e-12));
}

#[test]
fn what_was_taken_comes_back_by_and_by() {
    let start = Instant::now();
    let mut thermostat = Thermostat::new(hot(70.0));
    let mut part = |celsius, second| {
        let sensed = Sensed { temperature_c: Some(celsius), power_w: None };
        thermostat.read(sensed, start + Duration::from_secs(second));
        thermostat.duty(Duty::FULL).part()
    };
    part(68.0, 0);
    let held = part(72.0, 2);
    let expected = 1.0 - AT_ONCE * 4.0 - PER_SECOND * 3.0 * 2.0;
    assert!((held - expected).abs() < 1e-9, "{held}");
    for (second, back) in [(3, 1.0), (6, 4.0), (7, 5.0)] {
        let part = part(50.0, second);
        assert!((part - held - BACK_PER_SECOND * back).abs() < 1e-9, "{part} after {back} s");
    }
}

#[test]
fn a_device_that_takes_too_much_whatever_it_does_is_paused() {
    for (power_w, paused) in [(300.0, Some(Reason::Power)), (100.0, None)] {
        let limits = Limits { temperature_c: None, power_w: Some(100.0) };
        let (mut thermostat, begun) = (Thermostat::new(limits), Instant::now());
        for second in 0..40 {
            let sensed = Sensed { temperature_c: None, power_w: Some(power_w) };
            thermostat.read(sensed, begun + Duration::from_secs(second));
        }
        assert_eq!(thermostat.paused(), paused, "at {power_w} W");
    }
}
