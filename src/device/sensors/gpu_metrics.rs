//! Why an AMD GPU throttles, from the table `gpu_metrics` of its driver (`kgd_pp_interface.h` in Linux).
//!
//! The table has a header (size, format, content) and a layout for each version. Those that name their reasons
//! alike for all GPUs are read: 1.3 of graphics cards, 2.2 to 2.4 and 3.0 of processors with graphics. All ones
//! mean that a value is not known.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Throttle;
use super::sysfs::bytes;

/// The table of one GPU.
#[derive(Debug)]
pub(super) struct Metrics {
    file: PathBuf,
    /// Counters as they were last.
    seen: Option<Counters>,
}

/// How long each reason of [`COUNTED`] has held, in ticks.
type Counters = [u32; COUNTED.len()];

/// What the counters of version 3.0 count, in their order: PROCHOT, three limits of power, heat of the cores, the
/// graphics and the rest.
const COUNTED: [Throttle; 7] = [
    Throttle::HardwareSlowdown,
    Throttle::PowerCap,
    Throttle::PowerCap,
    Throttle::PowerCap,
    Throttle::Thermal,
    Throttle::Thermal,
    Throttle::Thermal,
];

/// Bit of the hottest place of the chip (`SMU_THROTTLER_TEMP_HOTSPOT_BIT`).
const HOTSPOT: u64 = 1 << 36;

impl Metrics {
    /// The table in the folder of a device, if its version is known.
    pub(super) fn of(device: &Path) -> Option<Self> {
        let file = device.join("gpu_metrics");
        let seen = match Table::parse(&bytes(&file)?)? {
            Table::Bits(_) => None,
            Table::Counters(counters) => Some(counters),
        };
        Some(Self { file, seen })
    }

    /// Why the GPU throttles. `hotspot_near_limit`: whether its hottest place can be a reason. RDNA 3 and 4 say
    /// so at any temperature.
    pub(super) fn throttle(&mut self, hotspot_near_limit: bool) -> Option<BTreeSet<Throttle>> {
        match Table::parse(&bytes(&self.file)?)? {
            Table::Bits(bits) if hotspot_near_limit => Some(reasons(bits)),
            Table::Bits(bits) => Some(reasons(bits & !HOTSPOT)),
            Table::Counters(counters) => {
                let before = self.seen.replace(counters)?;
                let moved = COUNTED.into_iter().zip(before.into_iter().zip(counters));
                Some(moved.filter(|(_, (old, new))| old != new).map(|(reason, _)| reason).collect())
            }
        }
    }
}

/// What a table says of throttling.
enum Table {
    Bits(u64),
    Counters(Counters),
}

impl Table {
    fn parse(table: &[u8]) -> Option<Self> {
        let size = u16::from_ne_bytes(array(table, 0)?);
        let [format, content] = array(table, 2)?;
        if table.len() != usize::from(size) {
            return None;
        }
        let bits_at = match (format, content, size) {
            (1, 3, 120) => 112,
            (2, 2, 128) | (2, 3, 152) | (2, 4, 168) => 120,
            (3, 0, 264) => return Self::counters(table),
            _ => return None,
        };
        let bits = u64::from_ne_bytes(array(table, bits_at)?);
        (bits != u64::MAX).then_some(Self::Bits(bits))
    }

    fn counters(table: &[u8]) -> Option<Self> {
        let mut counters = Counters::default();
        for (counter, at) in counters.iter_mut().zip((228..).step_by(4)) {
            *counter = u32::from_ne_bytes(array(table, at)?);
        }
        (counters != [u32::MAX; COUNTED.len()]).then_some(Self::Counters(counters))
    }
}

fn array<const N: usize>(table: &[u8], at: usize) -> Option<[u8; N]> {
    table.get(at..)?.first_chunk().copied()
}

/// The driver's common bits, in groups (`SMU_THROTTLER_…_BIT` in `amdgpu_smu.h`).
fn reasons(bits: u64) -> BTreeSet<Throttle> {
    let group = |bit| match bit {
        0..=7 => Throttle::PowerCap,
        16..=23 => Throttle::Current,
        // Temperatures, and supplies that report heat.
        32..=45 => Throttle::Thermal,
        // PROCHOT of processor and graphics.
        46..=47 => Throttle::HardwareSlowdown,
        _ => Throttle::Other,
    };
    (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1).map(group).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// A table of `size` bytes that knows nothing but `values`, each with its place.
    pub(in crate::device::sensors) fn table(
        size: u16,
        version: [u8; 2],
        values: &[(usize, u64)],
    ) -> Vec<u8> {
        let mut table = vec![0xff; size.into()];
        table[..2].copy_from_slice(&size.to_ne_bytes());
        table[2..4].copy_from_slice(&version);
        for (at, value) in values {
            table[*at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        table
    }

    fn throttle(table: &[u8], hotspot_near_limit: bool) -> Option<Vec<Throttle>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gpu_metrics"), table).unwrap();
        let reasons = Metrics::of(folder.path())?.throttle(hotspot_near_limit)?;
        Some(reasons.into_iter().collect())
    }

    #[test]
    fn the_bits_are_where_each_version_has_them() {
        let bits = 1 << 0 | 1 << 16 | 1 << 34;
        let all = Some(vec![Throttle::PowerCap, Throttle::Current, Throttle::Thermal]);
        assert_eq!(throttle(&table(120, [1, 3], &[(112, bits)]), false), all);
        for (size, content) in [(128, 2), (152, 3), (168, 4)] {
            assert_eq!(throttle(&table(size, [2, content], &[(120, bits)]), false), all);
        }
        assert_eq!(throttle(&table(120, [1, 3], &[(112, 0)]), false), Some(vec![]));
    }

    #[test]
    fn each_group_of_bits_has_its_reason() {
        let of = |bit: u32| Vec::from_iter(reasons(1 << bit));
        // PPT0, SPPT_APU, TDC_GFX, APCC, TEMP_GPU, VRHOT1, PROCHOT_CPU, PROCHOT_GFX, PPM, FIT.
        let named = [0, 7, 16, 23, 32, 45, 46, 47, 56, 57].map(of);
        let [power, current, heat, slow, other] = [
            Throttle::PowerCap,
            Throttle::Current,
            Throttle::Thermal,
            Throttle::HardwareSlowdown,
            Throttle::Other,
        ]
        .map(|reason| vec![reason]);
        let pairs = [power, current, heat, slow, other].map(|reason| [reason.clone(), reason]);
        assert_eq!(named.as_slice(), pairs.as_flattened());
    }

    #[test]
    fn a_cool_hotspot_is_no_reason() {
        // What a Navi 31 at 41 °C says, and a Navi 48 below its limit of power at 75 °C.
        assert_eq!(throttle(&table(120, [1, 3], &[(112, HOTSPOT)]), false), Some(vec![]));
        let loaded = table(120, [1, 3], &[(112, HOTSPOT | 1)]);
        assert_eq!(throttle(&loaded, false), Some(vec![Throttle::PowerCap]));
        assert_eq!(throttle(&loaded, true), Some(vec![Throttle::PowerCap, Throttle::Thermal]));
    }

    #[test]
    fn what_is_unknown_is_no_statement() {
        assert_eq!(throttle(&table(120, [1, 3], &[]), true), None, "all ones");
        assert_eq!(throttle(&table(264, [3, 0], &[]), true), None, "all ones");
        assert_eq!(throttle(&table(120, [1, 2], &[(112, 0)]), true), None, "another version");
        assert_eq!(throttle(&table(120, [2, 2], &[(112, 0)]), true), None, "another size");
        assert_eq!(throttle(&table(120, [1, 3], &[(112, 0)])[..119], true), None, "cut off");
        for length in 0..4 {
            assert_eq!(throttle(&[0; 4][..length], true), None);
        }
    }

    #[test]
    fn a_counter_that_moves_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let write = |counters: [u32; 8]| {
            let pair = |n: usize| u64::from(counters[n]) | u64::from(counters[n + 1]) << 32;
            let pairs = [0, 2, 4, 6].map(|n| (228 + 4 * n, pair(n).to_le()));
            fs::write(folder.path().join("gpu_metrics"), table(264, [3, 0], &pairs)).unwrap();
        };
        write([7, 0, 5, 0, 9, 0, u32::MAX, 1]);
        let mut metrics = Metrics::of(folder.path()).unwrap();
        let mut reasons = || Vec::from_iter(metrics.throttle(false).unwrap());
        assert_eq!(reasons(), [], "what was before does not count");
        write([7, 0, 6, 0, 9, 0, u32::MAX, 2]);
        assert_eq!(reasons(), [Throttle::PowerCap], "and the filter behind them is no counter");
        write([8, 0, 6, 0, 9, 0, 0, 2]);
        assert_eq!(reasons(), [Throttle::Thermal, Throttle::HardwareSlowdown], "one wrapped");
        assert_eq!(reasons(), []);
    }
}
