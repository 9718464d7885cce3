//! How often something may happen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Admits so many events within any span of time.
#[derive(Debug)]
pub(super) struct Limiter {
    most: usize,
    span: Duration,
    /// Those of the last span, oldest first.
    admitted: VecDeque<Instant>,
}

impl Limiter {
    pub(super) const fn new(most: u32, span: Duration) -> Self {
        Self { most: most as usize, span, admitted: VecDeque::new() }
    }

    /// Whether one more may happen `now`; if so it counts.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let is_over = |then: &Instant| now.saturating_duration_since(*then) >= self.span;
        while self.admitted.front().is_some_and(is_over) {
            self.admitted.pop_front();
        }
        let admits = self.admitted.len() < self.most;
        if admits {
            self.admitted.push_back(now);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_so_many_in_any_span() {
        let start = Instant::now();
        let mut limiter = Limiter::new(3, Duration::from_secs(60));
        let admitted: Vec<u64> = (0..200)
            .filter(|second| limiter.admits(start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(admitted, [0, 1, 2, 60, 61, 62, 120, 121, 122, 180, 181, 182]);
        assert!(!limiter.admits(start), "a clock that goes back admits nothing more");
    }
}
