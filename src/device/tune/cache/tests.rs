use std::time::Duration;

use super::*;
use crate::device::Kind;
use crate::device::tune::candidates;
use crate::device::tune::halving::{Measured, Verdict};

fn facts() -> Facts {
    Facts {
        name: "Card/../7 (R)\u{1b}[2J".to_owned(),
        kind: Kind::Discrete,
        backend: "vulkan".to_owned(),
        driver: Some("maker 1.0".to_owned()),
        pci: Some("0000:01:00.0".to_owned()),
        vendor_id: Some(0x10de),
        device_id: Some(0x2684),
        subgroup_sizes: None,
        also_through: Vec::new(),
    }
}

fn key() -> Key {
    Key::new(&facts(), &candidates(&facts()))
}

fn saved() -> Saved {
    let order = Order {
        candidates: candidates(&facts())[..3].to_vec(),
        budget: Duration::from_secs(30),
        batch_time: Duration::from_millis(12),
    };
    let skipped = |why| Measured { rounds: 0, rate: None, interval: None, skipped: Some(why) };
    let interval = Some(Interval { low: 9.9e8, high: 1.1e9 });
    let verdict = Verdict {
        winner: Some(1),
        ending: Ending::Separated,
        results: vec![
            skipped(Skip::Refused("wrong".to_owned())),
            Measured { rounds: 9, rate: Some(1e9), interval, skipped: None },
            skipped(Skip::OutOfTime),
        ],
    };
    let tuned = Tuned { verdict, elapsed: Duration::from_secs(7), device: None };
    Saved::new(key(), &order, &tuned).unwrap()
}

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    (folder, cache)
}

#[test]
fn a_result_comes_back_as_it_was_until_it_is_forgotten() {
    let (_folder, cache) = cache();
    assert_eq!(cache.look_up(&key()), Lookup::None);
    let path = cache.save(&saved()).unwrap();
    assert_eq!(cache.look_up(&key()), Lookup::Fresh(Box::new(saved())));
    assert_eq!(saved().variant(), saved().candidates[1].kernel.parse().map_err(|_| String::new()));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("card----7--r---2j-"), "{name}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"skipped\": \"refused\"") && text.contains("\"why\": \"wrong\""));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    cache.forget(&key());
    cache.forget(&key());
    assert_eq!(cache.look_up(&key()), Lookup::None);
}

#[test]
fn a_result_counts_until_something_it_depends_on_changes() {
    let (_folder, cache) = cache();
    cache.save(&saved()).unwrap();
    let driver = Key { driver: Some("maker 1.1".to_owned()), ..key() };
    let backend = Key { backend: "dx12".to_owned(), ..key() };
    let adit = Key { adit: "9.9.9".to_owned(), ..key() };
    let kernels = Key::new(&facts(), &candidates(&facts())[1..]);
    for (now, expected) in [
        (driver, "its driver was maker 1.0 and is maker 1.1"),
        (backend, "the interface to it was vulkan and is dx12"),
        (adit, "adit was 0.1.0 and is 9.9.9"),
        (kernels, "the kernels have changed"),
    ] {
        let Lookup::Stale(_, why) = cache.look_up(&now) else { panic!("{expected}") };
        assert_eq!(why.replace(env!("CARGO_PKG_VERSION"), "0.1.0"), expected);
    }
    let twin = Key { pci: Some("0000:02:00.0".to_owned()), ..key() };
    assert_eq!(cache.look_up(&twin), Lookup::None, "another card has its own");
}

#[test]
fn every_text_of_a_kernel_is_in_its_fingerprint() {
    let kernel = Kernel::new("verlane-literal-w64".parse().unwrap());
    let (mut edited, mut refilled) = (kernel.clone(), kernel.clone());
    edited.wgsl.push('\n');
    refilled.rows.as_mut().unwrap().wgsl.push('\n');
    let [kernel, edited, refilled] = [kernel, edited, refilled].map(|kernel| fingerprint(&kernel));
    assert!(kernel != edited && kernel != refilled && edited != refilled);
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_reason() {
    let (_folder, cache) = cache();
    let path = cache.save(&saved()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let winner = format!("\"winner\": \"{}\"", saved().winner);
    let long = " ".repeat(usize::try_from(TUNING_FILE).unwrap() + 1);
    for (text, reason) in [
        ("", "EOF"),
        (&good[..good.len() / 2], "EOF"),
        ("{}", "schema"),
        ("[[[[", "invalid type"),
        (&format!("{{\"schema\":{}", "[".repeat(9999)), "invalid type"),
        (&good.replace("\"schema\": 1", "\"schema\": 2"), "it has form 2"),
        (&good.replace("0000:01:00.0", "0000:09:00.0"), "another device"),
        (&good.replace(&winner, "\"winner\": \"x\""), "is no candidate"),
        (&good.replace(&saved().winner, "std-gone-w64"), "no kernel variant is called"),
        (&good.replace("\"rounds\": 9", "\"rounds\": -9"), "invalid value"),
        (&(good.clone() + "x"), "trailing"),
        (&long, "longer than"),
    ] {
        fs::write(&path, text).unwrap();
        let found = cache.look_up(&key());
        let Lookup::Unusable(named, why) = &found else { panic!("{reason}: {found:?}") };
        assert_eq!(*named, path);
        assert!(why.contains(reason), "{reason}: {why}");
    }
    fs::write(&path, [0xff; 9]).unwrap();
    assert!(matches!(cache.look_up(&key()), Lookup::Unusable(..)));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(cache.look_up(&key()), Lookup::Unusable(_, why) if why == "it is no file"));
    assert!(cache.save(&saved()).unwrap_err().contains(path.to_str().unwrap()));
}

#[test]
fn writers_at_once_leave_one_whole_file() {
    let (_folder, cache) = cache();
    std::thread::scope(|scope| {
        for seconds in 0..4 {
            let (cache, saved) = (&cache, Saved { seconds: f64::from(seconds), ..saved() });
            scope.spawn(move || {
                for _ in 0..20 {
                    cache.save(&saved).unwrap();
                    assert!(matches!(cache.look_up(&saved.key), Lookup::Fresh(_)));
                }
            });
        }
    });
}
