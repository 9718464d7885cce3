//! What other programs take of a GPU, by a driver that counts each program's part.

use std::collections::BTreeMap;

/// So many looks that find nothing new are needed until nobody is believed to work: a driver may count more seldom
/// than it is asked.
const SILENT_LOOKS: u32 = 3;

/// A program's part over a short time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) process: u32,
    /// When, by a clock of the driver's.
    pub(super) at: u64,
    pub(super) percent: u32,
}

/// Tells others from this program. That works where the driver and this program number processes alike, which is not
/// so in containers; it is believed once this program was among those that work.
#[derive(Debug)]
pub(super) struct Others {
    own: u32,
    newest: Option<u64>,
    is_own_known: bool,
    percent: f64,
    silent_looks: u32,
}

impl Others {
    pub(super) const fn new(own: u32) -> Self {
        Self { own, newest: None, is_own_known: false, percent: 0.0, silent_looks: 0 }
    }

    /// When the newest sample was taken.
    pub(super) const fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Takes what was counted since the last look. Returns the part of all others, once they are known to be others.
    pub(super) fn take(&mut self, samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
        let mut latest: BTreeMap<u32, Sample> = BTreeMap::new();
        for sample in samples.into_iter().filter(|sample| self.newest < Some(sample.at)) {
            let known = latest.entry(sample.process).or_insert(sample);
            if known.at < sample.at {
                *known = sample;
            }
        }
        if let Some(newest) = latest.values().map(|sample| sample.at).max() {
            self.newest = Some(newest);
            self.silent_looks = 0;
            self.is_own_known |= latest.remove(&self.own).is_some_and(|own| own.percent > 0);
            let percent = latest.values().map(|sample| f64::from(sample.percent)).sum::<f64>();
            self.percent = percent.min(100.0);
        } else {
            self.silent_looks += 1;
            if self.silent_looks >= SILENT_LOOKS {
                self.percent = 0.0;
            }
        }
        self.is_own_known.then_some(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 77;

    fn look(others: &mut Others, samples: &[(u32, u64, u32)]) -> Option<f64> {
        let sample = |&(process, at, percent): &(u32, u64, u32)| Sample { process, at, percent };
        others.take(samples.iter().map(sample))
    }

    #[test]
    fn what_others_take_is_told_without_our_own_part() {
        let mut others = Others::new(US);
        assert_eq!(look(&mut others, &[(US, 10, 99)]), Some(0.0));
        assert_eq!(look(&mut others, &[(US, 20, 60), (5, 20, 30), (6, 20, 4)]), Some(34.0));
        assert_eq!(others.newest(), Some(20));
        // The newest of each counts, in whatever order they come, and old ones no more.
        assert_eq!(look(&mut others, &[(5, 30, 50), (5, 25, 90), (6, 20, 4)]), Some(50.0));
        assert_eq!(look(&mut others, &[(5, 40, 70), (6, 40, 70)]), Some(100.0));
    }

    #[test]
    fn a_look_that_comes_too_early_changes_nothing_and_three_of_them_mean_that_nobody_works() {
        let mut others = Others::new(US);
        assert_eq!(look(&mut others, &[(US, 10, 60), (5, 10, 40)]), Some(40.0));
        assert_eq!(look(&mut others, &[]), Some(40.0));
        assert_eq!(look(&mut others, &[(5, 10, 40)]), Some(40.0), "it is known");
        assert_eq!(look(&mut others, &[]), Some(0.0));
        // We are paused, and he goes on.
        assert_eq!(look(&mut others, &[(5, 20, 80)]), Some(80.0));
    }

    #[test]
    fn in_a_container_nobody_is_taken_for_another() {
        let mut others = Others::new(US);
        // Our own work, under the number that it has outside.
        for at in 1..100 {
            assert_eq!(look(&mut others, &[(4321, at, 99), (US, at, 0)]), None);
        }
        assert_eq!(look(&mut others, &[]), None);
    }
}
