//! The full-screen view of a run on a terminal.
//!
//! A [`Screen`] draws a `Snapshot` into whatever room there is; [`terminal`] takes a terminal over and gives it back.
//! Nothing here waits, and nothing decides: keys become a [`Wish`].

mod grid;
mod panels;
pub mod terminal;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use crate::runtime::snapshot::Snapshot;

/// Rates that are remembered for the curve, one a second.
const CURVE: usize = 600;

/// What the view remembers from frame to frame.
#[derive(Debug)]
pub struct Screen {
    /// The rate of each second, the newest last; `None` where it was not known.
    curve: VecDeque<Option<f64>>,
    /// When the last of them was.
    second: f64,
    shown: Shown,
    /// In which times of day are told.
    zone: TimeZone,
}

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    Devices,
    Sources,
    Help,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but another look, or nothing at all.
    Look,
    /// To pause mining.
    Pause,
    /// To go on with it.
    Resume,
    /// To end it.
    Quit,
}

impl Screen {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { curve: VecDeque::new(), second: 0.0, shown: Shown::All, zone }
    }

    /// Does what a key asks for, as far as it is about the view.
    pub fn press(&mut self, key: char) -> Wish {
        let toggled = |now: Shown, other: Shown| if now == other { Shown::All } else { other };
        match key.to_ascii_lowercase() {
            'p' => return Wish::Pause,
            'r' => return Wish::Resume,
            'q' => return Wish::Quit,
            's' => self.shown = toggled(self.shown, Shown::Sources),
            'd' => self.shown = toggled(self.shown, Shown::Devices),
            '?' | 'h' => self.shown = toggled(self.shown, Shown::Help),
            _ => self.shown = Shown::All,
        }
        Wish::Look
    }

    /// Remembers what the curve shows.
    pub fn observe(&mut self, snapshot: &Snapshot) {
        if snapshot.run.unix_seconds - self.second < 1.0 {
            return;
        }
        self.second = snapshot.run.unix_seconds;
        if self.curve.len() >= CURVE {
            self.curve.pop_front();
        }
        self.curve.push_back(snapshot.run.hashes_per_second.now);
    }

    /// Draws the run.
    pub fn draw(&self, frame: &mut Frame<'_>, snapshot: &Snapshot) {
        let area = frame.area();
        // What matters most stays longest as a terminal gets smaller.
        let has_keys = area.height >= 4;
        let [head, body, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(has_keys.into()),
        ])
        .areas(area);
        panels::head(frame, head, snapshot);
        if has_keys {
            panels::keys(frame, keys);
        }
        match self.shown {
            Shown::All => self.all(frame, body, snapshot),
            Shown::Devices => panels::devices(frame, below(body, 1), snapshot),
            Shown::Sources => panels::sources(frame, below(body, 1), snapshot),
            Shown::Help => panels::help(frame, body),
        }
    }

    fn all(&self, frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
        let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        // A line of names above the rows.
        let devices = rows(snapshot.devices.len()).saturating_add(1);
        let sources = rows(snapshot.sources_in_order().len()).saturating_add(1);
        let curve = if area.height >= 18 { 1 + (area.height / 10).min(6) } else { 0 };
        let gap = u16::from(area.height >= 12);
        let mut left = area.height;
        let mut take = |wanted: u16| {
            let given = wanted.min(left);
            left -= given;
            given
        };
        let figures = take(panels::figures_height(snapshot));
        let curve = take(curve);
        let most = |all: u16, others: u16| all.min(left_for(area.height, figures + curve + others));
        let devices = take(most(devices, 3 + 2 * gap) + gap);
        let sources = take(most(sources, devices + 2 * gap) + gap);
        let parts: [Rect; 5] = Layout::vertical([
            Constraint::Length(figures),
            Constraint::Length(curve),
            Constraint::Length(devices),
            Constraint::Length(sources),
            Constraint::Fill(1),
        ])
        .areas(area);
        panels::figures(frame, parts[0], snapshot);
        panels::curve(frame, parts[1], &self.curve);
        panels::devices(frame, below(parts[2], gap), snapshot);
        panels::sources(frame, below(parts[3], gap), snapshot);
        if parts[4].width >= 140 {
            let [log, shares] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Length(70)]).areas(parts[4]);
            panels::log(frame, log, snapshot, &self.zone);
            panels::shares(frame, shares, snapshot, &self.zone);
        } else {
            panels::log(frame, parts[4], snapshot, &self.zone);
        }
    }
}

/// An area without its first lines.
const fn below(area: Rect, lines: u16) -> Rect {
    let lines = if lines < area.height { lines } else { area.height };
    Rect { y: area.y + lines, height: area.height - lines, ..area }
}

/// What is left of a height.
const fn left_for(height: u16, taken: u16) -> u16 {
    height.saturating_sub(taken)
}
