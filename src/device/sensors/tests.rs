//! Fake trees of sysfs, whose names other systems than Unix cannot have.
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::gpu_metrics::tests::table;
use super::sysfs::write;
use super::*;
use crate::device::Kind;
use crate::device::cpu::Cpu;

const DEVICE: &str = "bus/pci/devices/0000:0b:00.0";

/// A sysfs of our own.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("bus/pci/devices")).unwrap();
        Self(root)
    }

    fn with(self, folder: &str, files: &[(&str, &str)]) -> Self {
        write(&self.0.path().join(folder), files);
        self
    }

    fn metrics(self, table: &[u8]) -> Self {
        fs::create_dir_all(self.path(DEVICE)).unwrap();
        fs::write(self.path(DEVICE).join("gpu_metrics"), table).unwrap();
        self
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn sensors(&self, facts: &Facts) -> Sensors {
        Sensors::below(self.0.path(), &self.path("proc"), facts)
    }

    fn processor(&self) -> Sensors {
        self.sensors(&Cpu::facts())
    }

    fn card(&self) -> Sensors {
        self.sensors(&card(0x1002, Some("0000:0b:00.0")))
    }
}

fn card(vendor: u32, pci: Option<&str>) -> Facts {
    Facts {
        name: "Some card".into(),
        kind: Kind::Discrete,
        backend: "vulkan".into(),
        vendor_id: Some(vendor),
        pci: pci.map(Into::into),
        ..Cpu::facts()
    }
}

/// A Radeon RX 6800 under load, as amdgpu of Linux 6.1 shows one.
fn rdna2() -> Tree {
    let hwmon = [
        ("name", "amdgpu\n"),
        ("freq1_input", "2250000000\n"),
        ("freq1_label", "sclk\n"),
        ("freq2_input", "1000000000\n"),
        ("freq2_label", "mclk\n"),
        ("temp1_input", "66000\n"),
        ("temp1_label", "edge\n"),
        ("temp1_crit", "100000\n"),
        ("temp2_input", "84000\n"),
        ("temp2_label", "junction\n"),
        ("temp2_crit", "110000\n"),
        ("temp3_input", "76000\n"),
        ("temp3_label", "mem\n"),
        ("fan1_input", "1450\n"),
        ("pwm1", "102\n"),
        ("pwm1_max", "255\n"),
        ("power1_average", "201000000\n"),
        ("power1_cap", "203000000\n"),
    ];
    Tree::new()
        .with(
            DEVICE,
            &[("uevent", "DRIVER=amdgpu\nPCI_ID=1002:73BF\n"), ("gpu_busy_percent", "99\n")],
        )
        .with(&format!("{DEVICE}/hwmon/hwmon4"), &hwmon)
        .metrics(&table(120, [1, 3], &[(112, 1 << 0 | 1 << 16)]))
}

#[test]
fn a_radeon_is_read_in_full() {
    let tree = rdna2();
    let mut sensors = tree.card();
    let expected = Reading {
        clock_mhz: Some(2250.0),
        memory_clock_mhz: Some(1000.0),
        temperature_c: Some(66.0),
        hotspot_c: Some(84.0),
        fan_percent: Some(40.0),
        power_w: Some(201.0),
        power_limit_w: Some(203.0),
        energy_j: None,
        load_percent: Some(99.0),
        others_load_percent: None,
        throttle: Some(BTreeSet::from([Throttle::PowerCap, Throttle::Current])),
    };
    assert_eq!(sensors.read(), expected);
    let path = tree.path(DEVICE);
    assert_eq!(sensors.source(), Ok(format!("amdgpu sysfs {}", path.display()).as_str()));
}

#[test]
fn the_hotspot_slows_a_radeon_down_near_its_limit_only() {
    let hotspot = |junction| {
        let tree = rdna2()
            .with(&format!("{DEVICE}/hwmon/hwmon4"), &[("temp2_input", junction)])
            .metrics(&table(120, [1, 3], &[(112, 1 << 36)]));
        tree.card().read().throttle
    };
    assert_eq!(hotspot("41000"), Some(BTreeSet::from([])));
    assert_eq!(hotspot("99000"), Some(BTreeSet::from([])));
    assert_eq!(hotspot("105000"), Some(BTreeSet::from([Throttle::Thermal])));
    assert_eq!(hotspot(""), Some(BTreeSet::from([])));
}

/// The Steam Deck's Van Gogh: no junction, no fan, power as `power1_input`.
#[test]
fn an_apu_says_less() {
    let hwmon = [
        ("name", "amdgpu\n"),
        ("freq1_input", "1600000000\n"),
        ("temp1_input", "71000\n"),
        ("temp1_label", "edge\n"),
        ("power1_input", "14032000\n"),
    ];
    let tree = Tree::new()
        .with(DEVICE, &[("uevent", "DRIVER=amdgpu\n")])
        .with(&format!("{DEVICE}/hwmon/hwmon5"), &hwmon)
        .metrics(&table(152, [2, 3], &[(120, 1 << 5 | 1 << 46)]));
    let expected = Reading {
        clock_mhz: Some(1600.0),
        temperature_c: Some(71.0),
        power_w: Some(14.032),
        throttle: Some(BTreeSet::from([Throttle::PowerCap, Throttle::HardwareSlowdown])),
        ..Reading::default()
    };
    assert_eq!(tree.card().read(), expected);
}

#[test]
fn garbage_is_unknown() {
    let hwmon = [
        ("freq1_input", "2250 MHz"),
        ("freq2_input", "99999999999999999999"),
        ("temp1_input", "-273150"),
        ("temp2_input", ""),
        ("pwm1_max", "0"),
        ("power1_average", "nan"),
        ("power1_input", "4294967295000000"),
        ("power1_cap", "0"),
    ];
    let tree = rdna2()
        .with(&format!("{DEVICE}/hwmon/hwmon4"), &hwmon)
        .with(DEVICE, &[("gpu_busy_percent", "65535")])
        .metrics(&[0x78; 120]);
    assert_eq!(tree.card().read(), Reading::default());
}

#[test]
fn a_card_that_goes_away_is_unknown() {
    let tree = rdna2();
    let mut sensors = tree.card();
    assert_ne!(sensors.read(), Reading::default());
    fs::remove_dir_all(tree.path(DEVICE)).unwrap();
    assert_eq!(sensors.read(), Reading::default());
}

/// An Arc B580: the clock and its limits are with the tile, the energy is the card's.
#[test]
fn intels_xe_is_read() {
    let throttle = "tile0/gt0/freq0/throttle";
    let flags = |status, pl1, vr| {
        let tree = Tree::new()
            .with(DEVICE, &[("uevent", "DRIVER=xe\n"), ("tile0/gt0/freq0/act_freq", "2850\n")])
            .with(
                &format!("{DEVICE}/hwmon/hwmon3"),
                &[
                    ("name", "xe\n"),
                    ("energy1_input", "512000000\n"),
                    ("energy1_label", "card\n"),
                    ("power1_max", "190000000\n"),
                    ("temp2_input", "62000\n"),
                    ("temp2_label", "pkg\n"),
                    ("temp3_input", "70000\n"),
                    ("temp3_label", "vram\n"),
                ],
            )
            .with(
                &format!("{DEVICE}/{throttle}"),
                &[("status", status), ("reason_pl1", pl1), ("reason_vr_thermalert", vr)],
            );
        tree.sensors(&card(0x8086, Some("0000:0b:00.0"))).read()
    };
    let expected = Reading {
        clock_mhz: Some(2850.0),
        temperature_c: Some(62.0),
        power_limit_w: Some(190.0),
        energy_j: Some(512.0),
        throttle: Some(BTreeSet::from([])),
        ..Reading::default()
    };
    assert_eq!(flags("0\n", "0\n", "0\n"), expected);
    assert_eq!(flags("1\n", "1\n", "0\n").throttle, Some(BTreeSet::from([Throttle::PowerCap])));
    assert_eq!(flags("1\n", "0\n", "1\n").throttle, Some(BTreeSet::from([Throttle::Thermal])));
    assert_eq!(flags("1\n", "0\n", "?").throttle, Some(BTreeSet::from([Throttle::Other])));
    assert_eq!(flags("", "1\n", "1\n").throttle, None);
}

#[test]
fn intels_i915_is_read_without_hwmon() {
    let gt = [
        ("rps_act_freq_mhz", "1300\n"),
        ("throttle_reason_status", "1\n"),
        ("throttle_reason_pl2", "1\n"),
        ("throttle_reason_pl4", "0\n"),
        ("throttle_reason_prochot", "1\n"),
        ("throttle_reason_vr_tdc", "0\n"),
    ];
    let tree = Tree::new()
        .with(DEVICE, &[("uevent", "DRIVER=i915\n")])
        .with(&format!("{DEVICE}/drm/card1/gt/gt0"), &gt);
    let expected = Reading {
        clock_mhz: Some(1300.0),
        throttle: Some(BTreeSet::from([Throttle::PowerCap, Throttle::HardwareSlowdown])),
        ..Reading::default()
    };
    assert_eq!(tree.card().read(), expected);
}

/// Two packages of Intel's, one of which has a core more.
fn xeon() -> Tree {
    let core = |package, clock| {
        [
            ("cpufreq/scaling_cur_freq", clock),
            ("topology/physical_package_id", package),
            ("thermal_throttle/package_throttle_count", if package == "0" { "3\n" } else { "8\n" }),
        ]
    };
    let zone = |name, energy| {
        [("name", name), ("energy_uj", energy), ("max_energy_range_uj", "262143328850\n")]
    };
    let hwmon =
        |label, input| [("name", "coretemp\n"), ("temp1_label", label), ("temp1_input", input)];
    Tree::new()
        .with("devices/system/cpu/cpu0", &core("0", "3000000\n"))
        .with("devices/system/cpu/cpu1", &core("0", "3300000\n"))
        .with("devices/system/cpu/cpu2", &core("1", "3600000\n"))
        .with("devices/system/cpu/cpufreq", &[("boost", "1\n")])
        .with("class/hwmon/hwmon0", &[("name", "nvme\n"), ("temp1_input", "90000\n")])
        .with("class/hwmon/hwmon1", &hwmon("Package id 0\n", "71000\n"))
        .with("class/hwmon/hwmon2", &hwmon("Package id 1\n", "75000\n"))
        .with("class/powercap/intel-rapl:0", &zone("package-0\n", "262143000000\n"))
        .with("class/powercap/intel-rapl:0:0", &zone("core\n", "5\n"))
        .with("class/powercap/intel-rapl:1", &zone("package-1\n", "1000000\n"))
        .with("class/powercap/intel-rapl:2", &zone("psys\n", "7\n"))
}

#[test]
fn a_processor_is_read_over_all_packages() {
    let tree = xeon();
    let mut sensors = tree.processor();
    assert_eq!(sensors.source(), Ok("Linux cpufreq, hwmon, RAPL, thermal_throttle"));
    let expected = Reading {
        clock_mhz: Some(3300.0),
        temperature_c: Some(75.0),
        energy_j: Some(0.0),
        throttle: Some(BTreeSet::from([])),
        ..Reading::default()
    };
    assert_eq!(sensors.read(), expected);

    // The first counter begins anew: 0.32885 J to its end and 1 J more; the second counts 2 J.
    let tree = tree
        .with("class/powercap/intel-rapl:0", &[("energy_uj", "1000000\n")])
        .with("class/powercap/intel-rapl:1", &[("energy_uj", "3000000\n")])
        .with("devices/system/cpu/cpu2/thermal_throttle", &[("package_throttle_count", "9\n")]);
    let reading = sensors.read();
    let joules = reading.energy_j.unwrap();
    assert!((joules - 3.328_85).abs() < 1e-9, "{joules}");
    assert_eq!(reading.throttle, Some(BTreeSet::from([Throttle::Thermal])));
    assert_eq!(
        sensors.read(),
        Reading { throttle: Some(BTreeSet::from([])), ..reading },
        "nothing moved since"
    );

    // A core that sleeps has no clock; a package without energy leaves the sum unknown.
    fs::remove_file(tree.path("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")).unwrap();
    fs::remove_file(tree.path("class/powercap/intel-rapl:1/energy_uj")).unwrap();
    let reading = sensors.read();
    assert_eq!((reading.clock_mhz, reading.energy_j), (Some(3450.0), None));
}

#[test]
fn energy_that_only_root_may_read_is_unknown_and_said_so() {
    let tree = xeon();
    for zone in ["class/powercap/intel-rapl:0", "class/powercap/intel-rapl:1"] {
        fs::remove_file(tree.path(zone).join("energy_uj")).unwrap();
    }
    let mut sensors = tree.processor();
    assert_eq!(sensors.read().energy_j, None);
    assert!(sensors.source().unwrap().ends_with("is shown to root only"));
}

#[test]
fn a_ryzen_has_its_control_temperature() {
    let hwmon = [
        ("name", "k10temp\n"),
        ("temp1_input", "82125\n"),
        ("temp1_label", "Tctl\n"),
        ("temp3_input", "79500\n"),
        ("temp3_label", "Tccd1\n"),
    ];
    let tree = Tree::new().with("class/hwmon/hwmon2", &hwmon);
    let expected = Reading { temperature_c: Some(82.125), ..Reading::default() };
    assert_eq!(tree.processor().read(), expected);
}

#[test]
fn without_sensors_nothing_is_read_and_the_reason_is_told() {
    let why = |mut sensors: Sensors| {
        assert_eq!(sensors.read(), Reading::default());
        sensors.source().unwrap_err().to_owned()
    };
    let tree = Tree::new();
    assert!(why(tree.processor()).contains("no sensors of this processor"));
    assert!(why(tree.card()).ends_with("0000:0b:00.0"));
    for pci in [None, Some("../../../tmp"), Some("")] {
        assert!(why(tree.sensors(&card(0x1002, pci))).contains("PCI address"), "{pci:?}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let off_linux = Sensors::below(elsewhere.path(), elsewhere.path(), &Cpu::facts());
    assert!(why(off_linux).contains("without Linux's sysfs"));
    // With NVIDIA's driver or without: no such GPU is there.
    assert!(why(tree.sensors(&card(0x10de, Some("ffff:ff:1f.7")))).contains("NVML"));
}

#[test]
fn nvidias_gpu_with_the_free_driver_has_its_hwmon() {
    let hwmon = [("name", "nouveau\n"), ("temp1_input", "55000\n"), ("pwm1", "40\n")];
    let tree = Tree::new()
        .with("bus/pci/devices/ffff:ff:1f.7", &[("uevent", "DRIVER=nouveau\n")])
        .with("bus/pci/devices/ffff:ff:1f.7/hwmon/hwmon0", &hwmon);
    let expected = Reading { temperature_c: Some(55.0), ..Reading::default() };
    assert_eq!(tree.sensors(&card(0x10de, Some("ffff:ff:1f.7"))).read(), expected);
}

#[test]
fn this_machine_is_read_as_far_as_it_goes() {
    let mut sensors = Sensors::of(&Cpu::facts());
    let reading = sensors.read();
    if sensors.source().is_err() {
        assert_eq!(reading, Reading::default());
    }
}

#[test]
fn a_reading_survives_json_and_a_newer_or_older_writer() {
    let reading = rdna2().card().read();
    let json = serde_json::to_string(&reading).unwrap();
    assert!(json.contains(r#""power_w":201.0"#) && json.contains(r#"["power_cap","current"]"#));
    assert_eq!(serde_json::from_str::<Reading>(&json).unwrap(), reading);
    let other = r#"{"load_percent":null,"throttle":["thermal","moon_phase"],"altitude_m":3}"#;
    let expected = Reading {
        throttle: Some(BTreeSet::from([Throttle::Thermal, Throttle::Other])),
        ..Reading::default()
    };
    assert_eq!(serde_json::from_str::<Reading>(other).unwrap(), expected);
}

#[test]
fn sensors_go_to_a_thread_of_their_own() {
    fn goes<T: Send + 'static>() {}
    goes::<Sensors>();
}
