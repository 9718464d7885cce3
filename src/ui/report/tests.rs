use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{csv, html, markdown, table};
use crate::bench::compare;
use crate::bench::record::{
    Estimate, Figure, Hits, KernelFacts, Limit, Loss, Machine, Proof, Record, Round, SCHEMA,
    Settings, Stress, Subject, TimedReading, Tool, WarmUp,
};
use crate::device::sensors::{Reading, Throttle};
use crate::device::tune::stats::Interval;
use crate::device::{Facts, Kind};

#[test]
fn a_row_in_80_columns_has_what_matters() {
    let mut slow = subject("std", 95e6);
    slow.error = Some("the device was lost".to_owned());
    let text = table(&[record(vec![subject("fast", 100e6), slow])], Some(80));
    let expected = "\
adit 0.2.0, wgpu 30.0.1 and naga 30.0.0 on Debian 12, 2 threads
begun 2026-11-20T18:04:11Z, took 30.0 s; seed 7, 10.0 s for each, 1 opening
GPU: discrete, vulkan, PCI 0000:01:00.0

     kernel        rate         95 %                                   change
1    fast    100.0 MH/s  -1.0 +2.0 %  █████████████████████████████▍  fastest
2 !  std     95.00 MH/s  -1.0 +2.0 %  ████████████████████████████     -5.0 %

       own rate  overhead   J/GH  of limit         hits  rounds
1    101.0 MH/s    0.99 %  90.00    50.0 %  11 of 9.500       1
2 !  95.95 MH/s    0.99 %  90.00    50.0 %  11 of 9.500       1

Bars: the rate as a share of the fastest; ▓ and ░ are its 95 % interval below
and above the median, where it is as wide as a cell.

! 2: Ended early: the device was lost.
- all: Checksum 00112233445566aa over the first 4,096 hashes of seed 7, the same
  on each.
- all: No readings of sensors: none.
- 1: Limit 200.0 MH/s: lanes · clock / instructions.
- 2: Limit 190.0 MH/s: lanes · clock / instructions.";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [80, 100, 140] {
        for names in [&["nvidia"][..], &["matrix"], &["nvidia", "amd", "lavapipe", "interrupted"]] {
            let records: Vec<Record> = names.iter().map(|name| example(name)).collect();
            for line in table(&records, Some(width)).lines() {
                assert!(line.chars().count() <= width, "{names:?} in {width}: {line}");
            }
        }
    }
}

#[test]
fn names_are_cut_only_while_they_stay_different() {
    let name = |middle: &str| format!("a-kernel-with-a-{middle}-in-its-long-name");
    let both = |first: &str, second: &str| {
        let subjects = vec![subject(&name(first), 1e6), subject(&name(second), 1e6)];
        table(&[record(subjects)], Some(80))
    };
    assert!(both("dot", "dot").contains('…'));
    let text = both("dot", "dog");
    assert!(text.contains(&name("dot")) && text.contains(&name("dog")), "{text}");
}

#[test]
fn what_puts_a_result_in_question_is_loud_everywhere() {
    let mut liar = subject("liar", 1e6);
    liar.hits = Hits { expected: 100.0, found: 40, wrong: 3, p_value: 1e-12 };
    let mut other = subject("other", 1e6);
    other.proof = other.proof.map(|proof| Proof { checksum: "ff".repeat(32), ..proof });
    let mut record = record(vec![subject("honest", 1e6), liar, other]);
    record.interrupted = true;
    let records = [record];
    for text in [table(&records, None), markdown(&records), html(&records)] {
        for told in [
            "CHECKSUMS DIFFER over the first 4,096 hashes of seed 7: 00112233445566aa on 1 and 2; \
             ffffffffffffffff on 3",
            "2: 3 of 43 hits were WRONG",
            "40 hits where 100.0 are expected: it loses hits",
            "The run was stopped before its end",
        ] {
            assert!(text.contains(told), "{told:?} is not in\n{text}");
        }
    }
    assert!(markdown(&records).contains("- **2: 3 of 43"));
    assert!(table(&records, None).contains("\n! 2: 3 of 43"));
}

#[test]
fn comparisons_stand_in_every_form_and_no_note_contradicts_them() {
    let opened = |kernel: &str, rates: [f64; 3]| {
        let mut subject = subject(kernel, rates[1]);
        let rounds = (0..).zip(rates);
        subject.rounds = rounds.map(|(opening, rate)| Round { opening, ..round(rate) }).collect();
        subject
    };
    let base = opened("base", [100e6, 120e6, 110e6]);
    // Its interval overlaps, but it is slower in each opening.
    let slower = opened("slower|", [99e6, 119e6, 109e6]);
    let equal = opened("equal", [101e6, 119e6, 110e6]);
    let mut record = record(vec![base, slower, equal]);
    record.comparisons = compare::within(&record);
    let records = [record];
    for (text, told) in [
        (table(&records, None), "- 2: slower| on GPU against base on GPU: slower, -0.9 % (-1."),
        (html(&records), "<td data-label=\"verdict\" class=\"\">slower</td>"),
        (markdown(&records), "| 2 | slower\\| on GPU | base on GPU | -0.9 % | -1."),
        (csv(&records), ",base on GPU,-0.00"),
    ] {
        assert!(text.contains(told), "{told:?} is not in\n{text}");
        let rivals = text.lines().filter(|line| line.contains("May be as fast"));
        assert!(
            rivals.clone().all(|line| line.contains("3: May be as fast as 1: no comp")),
            "{text}"
        );
    }
    // Baselines of two runs, and one that is not of this record.
    let mut two = records;
    two[0].comparisons = Vec::from([1, 1, 9].map(|place| compare::Comparison {
        place,
        change: None,
        interval: None,
        paired: false,
        ..two[0].comparisons[0].clone()
    }));
    let text = csv(&two);
    assert_eq!(
        text.matches("base on GPU; base on GPU,; ,; ,; ,false; false,").count(),
        1,
        "{text}"
    );
    assert!(table(&two, None).ends_with(
        "\n- slower| on GPU against base on GPU: slower, it takes three openings of each."
    ));
}

#[test]
fn seeds_and_lengths_that_differ_are_not_compared() {
    let mut other = record(vec![subject("a", 1e6)]);
    other.settings.seed = 8;
    other.subjects[0].proof = Some(Proof { hashes: 4096, hits: 1, checksum: "ff".repeat(32) });
    let text = table(&[record(vec![subject("a", 1e6)]), other], None);
    assert!(!text.contains("DIFFER"), "{text}");
    assert!(text.contains("A1: Checksum 00112233445566aa"), "{text}");
    assert!(text.contains("B1: Checksum ffffffffffffffff"), "{text}");
}

#[test]
fn rounds_that_are_left_out_are_told_with_their_reasons() {
    let mut hot = subject("hot", 1e6);
    let left_out = |throttle| Round { left_out: true, throttle, ..round(1e6) };
    hot.rounds = vec![
        round(1e6),
        left_out(Some(BTreeSet::from([Throttle::Thermal]))),
        left_out(Some(BTreeSet::from([Throttle::Thermal, Throttle::PowerBrake]))),
        left_out(None),
    ];
    if let Some(estimate) = &mut hot.estimate {
        estimate.left_out = 3;
        estimate.outliers = vec![0, 99];
        estimate.opening_spread = Some(0.021);
    }
    hot.warm_up = Some(WarmUp { seconds: 60.0, steady: false });
    let text = markdown(&[record(vec![hot])]);
    for told in [
        "3 of 4 rounds are left out as throttled: heat in 2 and power supply in 1.",
        "Far from the other rounds, but counted: round 1 (1.000 MH/s).",
        "The rate differs by 2.1 % from opening to opening",
        "not steady at the end of the warm-up of 1 min 00 s",
        "| 1 of 4 |",
    ] {
        assert!(text.contains(told), "{told:?} is not in\n{text}");
    }
}

#[test]
fn csv_is_quoted_and_starts_no_formula() {
    let mut subject = subject("=HYPERLINK(\"evil\"), \"x\"", 1e6);
    subject.device.name = "@SUM(1)".to_owned();
    let text = csv(&[record(vec![subject])]);
    let (head, line) = text.split_once('\n').unwrap();
    assert!(line.contains(r#","'=HYPERLINK(""evil""), ""x""","#), "{line}");
    assert!(line.contains(",'@SUM(1),"), "{line}");
    let cells = line.replace(r#""'=HYPERLINK(""evil""), ""x""""#, "kernel");
    let cell = |name: &str| {
        let place = head.split(',').position(|known| known == name).unwrap();
        cells.split(',').nth(place).unwrap().to_owned()
    };
    assert_eq!(head.split(',').count(), cells.split(',').count());
    assert_eq!(cell("rate"), "1000000.0");
    assert_eq!(cell("rate_low"), "990000.0");
    assert_eq!(cell("asked_hashes"), "");
    assert_eq!(cell("driver"), "");
    assert_eq!(cell("limit_reached"), "0.5");
    assert_eq!(csv(&[]), "");
}

#[test]
fn markdown_shows_foreign_text_as_text() {
    let mut subject = subject("a|b`c`<img src=x>\n# d", 1e6);
    subject.device.name = "[x](y) *z*".to_owned();
    let text = markdown(&[record(vec![subject])]);
    assert!(text.contains(r"| a\|b\`c\`&lt;img src=x&gt;�\# d |"), "{text}");
    assert!(text.contains(r"| \[x\](y) \*z\* |"), "{text}");
}

#[test]
fn a_page_shows_foreign_text_as_text() {
    let evil = "<script>alert(1)</script>\" onload='x' & </title></style>\u{0}";
    let mut subject = subject(evil, 1e6);
    subject.device.name = evil.to_owned();
    subject.sensors = evil.to_owned();
    subject.error = Some(evil.to_owned());
    let mut record = record(vec![subject]);
    record.begun = evil.to_owned();
    record.machine.os = evil.to_owned();
    let page = html(&[record]);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("onload='"), "{page}");
    let all = well_formed(&page);
    assert!(all.contains("<script>alert(1)</script>\" onload='x' & </title></style>\u{fffd}"));
}

#[test]
fn a_page_loads_nothing() {
    for name in EXAMPLES {
        let page = html(&[example(name)]);
        assert!(page.contains("default-src &#39;none&#39;"), "{name}");
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for way in ["http:", "https:", "url(", "@import", " src=", " href=", "<script", "<link"] {
            assert!(!page.contains(way), "{name} has {way}");
        }
    }
}

#[test]
fn a_matrix_is_a_heat_map() {
    let page = html(&[example("matrix")]);
    assert!(page.contains("Kernels by length of batches"));
    assert_eq!(page.matches("class=\"best\"").count(), 1);
    assert_eq!(page.matches("class=\"cell\"").count(), 11);
    let page = html(&[example("nvidia")]);
    assert!(!page.contains("Kernels by length of batches"));
}

#[test]
fn every_example_renders_in_every_form() {
    for name in EXAMPLES {
        let records = [example(name)];
        well_formed(&html(&records));
        for text in [html(&records), markdown(&records), table(&records, None), csv(&records)] {
            for subject in &records[0].subjects {
                assert!(text.contains(&subject.kernel.name), "{name}: {}", subject.kernel.name);
            }
        }
    }
    well_formed(&html(&EXAMPLES.map(example)));
    well_formed(&html(&[]));
    well_formed(&html(&[record(Vec::new())]));
    assert_eq!(table(&[], Some(80)), "");
}

#[test]
fn nothing_in_a_record_breaks_a_report() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..300 {
        let records: Vec<Record> =
            (0..random.usize(0..4)).map(|_| odd_record(&mut random)).collect();
        well_formed(&html(&records));
        assert_eq!(markdown(&records).is_empty(), records.is_empty());
        let lines = csv(&records).lines().count();
        let subjects: usize = records.iter().map(|record| record.subjects.len()).sum();
        assert_eq!(lines, if subjects == 0 { 0 } else { subjects + 1 });
        let width = [None, Some(0), Some(1), Some(80), Some(usize::MAX)][random.usize(0..5)];
        let text = table(&records, width);
        assert!(!text.contains(['\u{1b}', '\r']), "{text}");
    }
}

/// Parses a page as XML and returns all of its text.
fn well_formed(page: &str) -> String {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(page, options);
    let document = document.unwrap_or_else(|error| panic!("{error}:\n{page}"));
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id is there twice");
    for node in document.descendants().filter(|node| node.has_tag_name("circle")) {
        let place = node.attribute("cx").and_then(|x| x.parse::<f64>().ok());
        assert!(place.is_some_and(f64::is_finite), "{:?}", node.attribute("cx"));
    }
    document.descendants().filter_map(|node| node.text()).collect::<Vec<_>>().join("\n")
}

const EXAMPLES: [&str; 5] = ["nvidia", "amd", "lavapipe", "interrupted", "matrix"];

fn example(name: &str) -> Record {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/examples");
    let text = fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn record(subjects: Vec<Subject>) -> Record {
    Record {
        schema: SCHEMA,
        tool: Tool { adit: "0.2.0".into(), wgpu: "30.0.1".into(), naga: "30.0.0".into() },
        machine: Machine { os: "Debian 12".into(), kernel: None, cpu: None, threads: 2 },
        begun: "2026-11-20T18:04:11Z".to_owned(),
        seconds: 30.0,
        settings: Settings {
            seed: 7,
            seconds: Some(10.0),
            hashes: None,
            openings: 1,
            stress: false,
        },
        interrupted: false,
        comparisons: Vec::new(),
        subjects,
    }
}

fn subject(kernel: &str, rate: f64) -> Subject {
    let figure = |median: f64| Figure {
        median,
        interval: Some(Interval { low: median * 0.99, high: median * 1.02 }),
    };
    Subject {
        device: Facts {
            name: "GPU".to_owned(),
            kind: Kind::Discrete,
            backend: "vulkan".to_owned(),
            driver: None,
            pci: Some("0000:01:00.0".to_owned()),
            vendor_id: None,
            device_id: None,
            subgroup_sizes: Some([32, 32]),
            also_through: Vec::new(),
        },
        kernel: KernelFacts {
            name: kernel.to_owned(),
            wgsl_sha256: None,
            workgroup: Some(64),
            nonces_per_thread: Some(1),
            headers: [1, 1],
        },
        batch_seconds: 0.02,
        sensors: "none".to_owned(),
        warm_up: Some(WarmUp { seconds: 3.0, steady: true }),
        rounds: vec![round(rate)],
        readings: Vec::new(),
        hits: Hits { expected: 9.5, found: 11, wrong: 0, p_value: 0.5 },
        proof: Some(Proof { hashes: 4096, hits: 1, checksum: "00112233445566aa".repeat(4) }),
        estimate: Some(Estimate {
            rate: figure(rate),
            device_rate: Some(figure(rate * 1.01)),
            host_overhead: Some(0.0099),
            spread: 0.012,
            opening_spread: None,
            outliers: Vec::new(),
            rounds: 1,
            left_out: 0,
            joule_per_gigahash: Some(90.0),
        }),
        limit: Some(Limit {
            hashes_per_second: rate * 2.0,
            reached: Some(0.5),
            formula: "lanes · clock / instructions".to_owned(),
        }),
        stress: None,
        error: None,
    }
}

fn round(rate: f64) -> Round {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    let hashes = rate as u64;
    Round {
        opening: 0,
        at: 5.0,
        hashes,
        seconds: 1.0,
        device_seconds: None,
        batches: 50,
        clock_mhz: None,
        temperature_c: None,
        power_w: None,
        throttle: None,
        left_out: false,
    }
}

/// A record of the right shape in which nothing makes sense.
fn odd_record(random: &mut fastrand::Rng) -> Record {
    let subjects = (0..random.usize(0..5)).map(|_| odd_subject(random)).collect();
    let mut record = record(subjects);
    record.begun = odd_text(random);
    record.comparisons = (0..random.usize(0..3)).map(|_| odd_comparison(random)).collect();
    record.seconds = odd(random);
    record.interrupted = random.bool();
    record.machine = Machine {
        os: odd_text(random),
        kernel: None,
        cpu: Some(odd_text(random)),
        threads: usize::MAX,
    };
    record.settings = Settings {
        seed: u64::MAX,
        seconds: maybe_odd(random),
        hashes: Some(u64::MAX),
        openings: 0,
        stress: random.bool(),
    };
    record
}

fn odd_comparison(random: &mut fastrand::Rng) -> compare::Comparison {
    compare::Comparison {
        base: odd_text(random),
        subject: odd_text(random),
        place: random.usize(0..5),
        change: maybe_odd(random),
        interval: random.bool().then(|| Interval { low: odd(random), high: odd(random) }),
        paired: random.bool(),
        verdict: compare::Verdict::TooNoisy,
    }
}

fn odd_subject(random: &mut fastrand::Rng) -> Subject {
    let mut subject = subject(&odd_text(random), odd(random));
    subject.device.name = odd_text(random);
    subject.device.driver = Some(odd_text(random));
    subject.batch_seconds = odd(random);
    subject.sensors = odd_text(random);
    subject.warm_up = Some(WarmUp { seconds: odd(random), steady: false });
    let opening = [0, 1, u32::MAX];
    subject.rounds = (0..random.usize(0..12)).map(|_| odd_round(random, opening)).collect();
    subject.readings = (0..random.usize(0..5)).map(|_| odd_reading(random)).collect();
    subject.hits = Hits {
        expected: odd(random),
        found: random.u64(..),
        wrong: [0, 1, u64::MAX][random.usize(0..3)],
        p_value: odd(random),
    };
    subject.proof = random.bool().then(|| Proof {
        hashes: random.u64(..),
        hits: 0,
        checksum: odd_text(random),
    });
    subject.estimate = random.bool().then(|| Estimate {
        rate: odd_figure(random),
        device_rate: Some(odd_figure(random)),
        host_overhead: maybe_odd(random),
        spread: odd(random),
        opening_spread: maybe_odd(random),
        outliers: vec![0, 3, usize::MAX],
        rounds: usize::MAX,
        left_out: random.usize(..),
        joule_per_gigahash: maybe_odd(random),
    });
    subject.limit = random.bool().then(|| Limit {
        hashes_per_second: odd(random),
        reached: maybe_odd(random),
        formula: odd_text(random),
    });
    subject.stress = random.bool().then(|| odd_stress(random));
    subject.error = random.bool().then(|| odd_text(random));
    subject
}

fn odd_stress(random: &mut fastrand::Rng) -> Stress {
    let loss = |random: &mut _| Loss { at: odd(random), why: odd_text(random) };
    Stress {
        seconds: odd(random),
        easy_bits: u32::MAX,
        easy: Hits {
            expected: odd(random),
            found: u64::MAX,
            wrong: [0, 1, u64::MAX][random.usize(0..3)],
            p_value: odd(random),
        },
        unproven: [0, u64::MAX][random.usize(0..2)],
        wrong_at: maybe_odd(random),
        missing_at: maybe_odd(random),
        losses: (0..random.usize(0..9)).map(|_| loss(random)).collect(),
    }
}

fn odd_round(random: &mut fastrand::Rng, openings: [u32; 3]) -> Round {
    Round {
        opening: openings[random.usize(0..3)],
        at: odd(random),
        hashes: random.u64(..),
        seconds: odd(random),
        device_seconds: maybe_odd(random),
        batches: u64::MAX,
        clock_mhz: maybe_odd(random),
        temperature_c: maybe_odd(random),
        power_w: maybe_odd(random),
        throttle: Some(BTreeSet::from([Throttle::Thermal])),
        left_out: random.bool(),
    }
}

fn odd_reading(random: &mut fastrand::Rng) -> TimedReading {
    let reading = Reading {
        clock_mhz: maybe_odd(random),
        temperature_c: maybe_odd(random),
        power_w: maybe_odd(random),
        ..Reading::default()
    };
    TimedReading { at: odd(random), reading }
}

fn odd_figure(random: &mut fastrand::Rng) -> Figure {
    let interval = random.bool().then(|| Interval { low: odd(random), high: odd(random) });
    Figure { median: odd(random), interval }
}

fn odd(random: &mut fastrand::Rng) -> f64 {
    const VALUES: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1e9,
        1.000_001e9,
        1e23,
        -1e23,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    if random.bool() { random.f64() * 1e9 } else { VALUES[random.usize(0..VALUES.len())] }
}

fn maybe_odd(random: &mut fastrand::Rng) -> Option<f64> {
    random.bool().then(|| odd(random))
}

fn odd_text(random: &mut fastrand::Rng) -> String {
    let texts = [
        "",
        " ",
        "a",
        "<b>&amp;\"'",
        "]]>",
        "<!--",
        "\u{0}\u{1b}[2J\r\n\t",
        "\u{fffe}\u{ffff}\u{202e}",
        "名前がとても長いデバイス",
        "=1+1",
        "a,b\"c\nd",
        "| `x` |",
    ];
    let text = texts[random.usize(0..texts.len())];
    text.repeat(if random.bool() { 1 } else { 60 })
}
