//! One direction of a connection, with somebody in between who delays, drops, repeats, swaps and spoils lines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the network does to a message.
const LATENCY: Duration = Duration::from_millis(30);

/// What is done to a line. TCP never does; a pool's own bugs, proxies and attackers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mischief {
    /// Nothing comes through for so long; then all of it does.
    Delay(Duration),
    Drop,
    Repeat,
    /// It comes after the one that follows it.
    Swap,
    /// Half of it is missing.
    Spoil,
}

/// Whole lines on their way.
#[derive(Default)]
pub(crate) struct Wire {
    lines: VecDeque<(Instant, Vec<u8>)>,
    /// Nothing arrives any more, and neither end hears of it.
    pub(crate) is_dead: bool,
    /// Done to the next line that it can be done to.
    mischief: Option<Mischief>,
    /// Waits for the line that shall overtake it.
    held: Option<Vec<u8>>,
    /// When the last one arrives: bytes never overtake each other.
    last: Option<Instant>,
    pub(crate) done: Vec<Mischief>,
}

impl Wire {
    /// A connection begins with nothing on its way.
    pub(crate) fn clear(&mut self) {
        *self = Self { done: std::mem::take(&mut self.done), ..Self::default() };
    }

    pub(crate) const fn plan(&mut self, mischief: Mischief) {
        self.mischief = Some(mischief);
    }

    pub(crate) fn send(&mut self, bytes: &[u8], now: Instant) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.send_line(line.to_vec(), now);
        }
    }

    fn send_line(&mut self, line: Vec<u8>, now: Instant) {
        // Who misses a difficulty or an extranonce cannot know that its shares are none: nothing follows from that.
        let is_vital = ["mining.set_", "mining.sub", "mining.conf", "result\":[", "result\":{"]
            .iter()
            .any(|text| line.windows(text.len()).any(|window| window == text.as_bytes()));
        let mischief = self.mischief.take_if(|_| !is_vital);
        self.done.extend(mischief);
        let mut at = (now + LATENCY).max(self.last.unwrap_or(now));
        if let Some(held) = self.held.take_if(|_| is_vital) {
            self.lines.push_back((at, held));
        }
        match mischief {
            Some(Mischief::Drop) => return,
            Some(Mischief::Swap) => {
                self.held = Some(line);
                return;
            }
            Some(Mischief::Delay(time)) => at += time,
            Some(Mischief::Repeat) => self.lines.push_back((at, line.clone())),
            Some(Mischief::Spoil) => {
                let mut half = line[..line.len() / 2].to_vec();
                half.push(b'\n');
                self.last = Some(at);
                self.lines.push_back((at, half));
                return;
            }
            None => {}
        }
        self.last = Some(at);
        self.lines.push_back((at, line));
        if let Some(held) = self.held.take() {
            self.lines.push_back((at, held));
        }
    }

    /// When the next line arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lines.front().map(|(at, _)| *at)
    }

    /// The lines that arrived.
    pub(crate) fn arrived(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let count = self.lines.iter().take_while(|(at, _)| *at <= now).count();
        let arrived = self.lines.drain(..count).map(|(_, line)| line);
        if self.is_dead { arrived.take(0).collect() } else { arrived.collect() }
    }
}
