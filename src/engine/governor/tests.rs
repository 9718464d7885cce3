use std::time::Duration;

use super::*;

const A: DeviceId = DeviceId(0);
const B: DeviceId = DeviceId(1);

fn two() -> (Governor, Instant) {
    let mut governor = Governor::default();
    governor.join(A, Profile::Desktop, Duty::FULL);
    governor.join(B, Profile::Dedicated, Duty::FULL);
    (governor, Instant::now())
}

fn is_paused(governor: &Governor) -> [bool; 2] {
    [A, B].map(|device| governor.setting(device).unwrap().is_paused)
}

#[test]
fn mining_goes_on_when_nobody_asks_for_a_pause_any_more() {
    let (mut governor, now) = two();
    assert!(governor.handle(Event::Pause(Asker::Signal), now));
    assert!(!governor.handle(Event::Pause(Asker::Signal), now), "nothing new");
    assert!(governor.handle(Event::Pause(Asker::Api), now));
    assert_eq!(is_paused(&governor), [true; 2]);
    assert!(governor.handle(Event::Resume(Asker::Signal), now));
    assert!(!governor.handle(Event::Resume(Asker::Signal), now));
    assert_eq!(governor.status().paused, BTreeSet::from([Reason::Api]));
    assert_eq!(governor.status().devices[1].paused, BTreeSet::from([Reason::Api]));
    assert_eq!(is_paused(&governor), [true; 2]);
    assert!(governor.handle(Event::Resume(Asker::Api), now));
    assert_eq!(is_paused(&governor), [false; 2]);
}

#[test]
fn who_sits_at_the_keys_lifts_all_that_was_asked_for() {
    let (mut governor, now) = two();
    for asker in [Asker::Signal, Asker::Api, Asker::Key] {
        governor.handle(Event::Pause(asker), now);
    }
    assert!(governor.handle(Event::Resume(Asker::Key), now));
    assert_eq!(is_paused(&governor), [false; 2]);
}

#[test]
fn profile_and_part_of_the_time_are_those_of_a_device_or_of_all() {
    let (mut governor, now) = two();
    let paces = |governor: &Governor| {
        [A, B].map(|device| {
            let Pace { batch_time, duty } = governor.setting(device).unwrap().pace;
            (batch_time.as_millis(), duty.part())
        })
    };
    assert_eq!(paces(&governor), [(12, 1.0), (50, 1.0)]);
    assert!(governor.handle(Event::Profile(Some(B), Profile::Background), now));
    assert!(governor.handle(Event::Duty(None, Duty::of(0.25)), now));
    assert_eq!(paces(&governor), [(12, 0.25), (2, 0.25)]);
    assert!(!governor.handle(Event::Duty(Some(A), Duty::of(0.25)), now));
    assert!(governor.handle(Event::Duty(Some(A), Duty::FULL), now + Duration::from_secs(1)));
    assert!(governor.handle(Event::Profile(None, Profile::Desktop), now));
    assert_eq!(paces(&governor), [(12, 1.0), (12, 0.25)]);
    assert_eq!(governor.setting(DeviceId(2)), None);
    assert!(!governor.handle(Event::Profile(Some(DeviceId(2)), Profile::Desktop), now));
}

#[test]
fn a_hot_device_is_paused_alone_and_works_less_of_what_it_may() {
    let (mut governor, now) = two();
    governor.handle(Event::Duty(None, Duty::of(0.5)), now);
    let limits = Limits { temperature_c: Some(70.0), power_w: None };
    governor.handle(Event::Limits(limits), now);
    let sensed = |celsius| Sensed { temperature_c: Some(celsius), power_w: None };
    assert!(!governor.handle(Event::Sensed(A, sensed(50.0)), now));
    let later = now + Duration::from_secs(1);
    assert!(governor.handle(Event::Sensed(A, sensed(72.0)), later), "it rose by 22 degrees");
    let status = governor.status();
    assert_eq!(status.devices[0].held_back, BTreeSet::from([Reason::Temperature]));
    let parts: Vec<f64> = status.devices.iter().map(|device| device.gpu_share.part()).collect();
    assert!(parts[0] < 0.3 && (parts[1] - 0.5).abs() < 1e-9, "{parts:?}");
    governor.handle(Event::Sensed(A, sensed(76.0)), later);
    assert_eq!(is_paused(&governor), [true, false]);
    let status = governor.status();
    assert!(status.paused.is_empty() && !status.is_paused(), "not all are paused");
    assert_eq!(status.devices[0].paused, BTreeSet::from([Reason::Temperature]));
    assert!(status.to_string().contains("device 0 is paused: it is too hot for --max-temp"));
}

#[test]
fn the_clock_is_not_overruled_by_a_key() {
    let (mut governor, now) = two();
    governor.handle(Event::Pause(Asker::Schedule), now);
    assert!(!governor.handle(Event::Resume(Asker::Key), now));
    assert_eq!(is_paused(&governor), [true; 2]);
    assert!(governor.handle(Event::Resume(Asker::Schedule), now));
    assert_eq!(is_paused(&governor), [false; 2]);
}

#[test]
fn who_uses_the_machine_gets_it_by_short_batches_or_by_a_pause() {
    let (mut governor, now) = two();
    let before = governor.status();
    assert!(governor.handle(Event::Yield(Asker::InUse), now));
    assert!(governor.handle(Event::Pause(Asker::OnBattery), now));
    assert!(!governor.handle(Event::Resume(Asker::Key), now), "a key is somebody at the machine");
    assert_eq!(is_paused(&governor), [true; 2]);
    assert_eq!(governor.status().paused, BTreeSet::from([Reason::OnBattery]));
    assert!(governor.handle(Event::Resume(Asker::OnBattery), now));
    assert_eq!(is_paused(&governor), [false; 2]);
    assert!(governor.handle(Event::Profile(Some(A), Profile::Dedicated), now));
    let status = governor.status();
    for (device, status) in [A, B].into_iter().zip(&status.devices) {
        let pace = governor.setting(device).unwrap().pace;
        assert_eq!(pace.batch_time, Profile::Background.batch_time());
        assert_eq!(status.profile, Profile::Background);
        assert_eq!(status.held_back, BTreeSet::from([Reason::InUse]));
    }
    assert!(status.is_news_after(&before));
    assert!(status.to_string().contains("background (somebody uses this machine"), "{status}");
    assert!(governor.handle(Event::Pause(Asker::GpuLoaded), now));
    assert!(governor.status().to_string().contains("paused: another program loads the GPU"));
    assert!(governor.handle(Event::Resume(Asker::GpuLoaded), now));
    // What was asked for meanwhile counts afterwards.
    assert!(governor.handle(Event::Resume(Asker::InUse), now));
    assert_eq!(governor.status().devices[0].profile, Profile::Dedicated);
    assert_eq!(governor.status().devices[1].profile, Profile::Dedicated);
    assert!(governor.status().devices[0].held_back.is_empty());
}

#[test]
fn all_are_paused_when_each_of_them_is() {
    let (mut governor, now) = two();
    assert!(!governor.status().is_paused());
    let limits = Limits { temperature_c: Some(70.0), power_w: None };
    governor.handle(Event::Limits(limits), now);
    let hot = Sensed { temperature_c: Some(99.0), power_w: None };
    assert!(governor.handle(Event::Sensed(A, hot), now));
    assert_eq!(is_paused(&governor), [true, false]);
    assert!(!governor.status().is_paused(), "one of them works");
    assert!(governor.handle(Event::Sensed(B, hot), now));
    assert!(governor.status().is_paused());

    let mut idle = Governor::default();
    assert!(!idle.status().is_paused(), "without devices nobody is");
    idle.handle(Event::Pause(Asker::Key), now);
    assert!(idle.status().is_paused(), "whoever joins would be");
}

#[test]
fn who_paused_and_yielded_takes_back_both() {
    let (mut governor, now) = two();
    for event in [Event::Pause(Asker::Api), Event::Yield(Asker::Api)] {
        assert!(governor.handle(event, now));
    }
    assert!(governor.handle(Event::Resume(Asker::Api), now));
    assert_eq!((is_paused(&governor), governor.yielded.len()), ([false; 2], 0));
}

#[test]
fn pauses_and_profiles_are_news_and_parts_of_the_time_are_not() {
    let (mut governor, now) = two();
    let begun = governor.status();
    assert!(!begun.is_news_after(&Status::default()), "what a run begins with was asked for");
    governor.handle(Event::Duty(None, Duty::of(0.5)), now);
    let slower = governor.status();
    assert!(slower != begun && !slower.is_news_after(&begun));
    governor.handle(Event::Profile(Some(B), Profile::Background), now);
    let quieter = governor.status();
    assert!(quieter.is_news_after(&slower));
    governor.handle(Event::Pause(Asker::Api), now);
    let paused = governor.status();
    assert!(paused.is_news_after(&quieter) && quieter.is_news_after(&paused));
    assert!(paused.is_news_after(&Status::default()), "nobody asked for that");
}
