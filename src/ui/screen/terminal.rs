//! A terminal that is taken over for a while and always given back: at the end, after an error, a panic, or when
//! Ctrl-C is pressed twice.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Stdout, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use crate::limits::MESSAGES_HELD;

/// What would be written to standard error while the terminal is taken; `None` while it is not.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<Vec<u8>>,
    dropped: u64,
}

/// A terminal that shows frames.
pub struct Terminal(ratatui::Terminal<CrosstermBackend<Stdout>>);

/// What a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A key with a character.
    Char(char),
    /// Ctrl-C.
    Interrupt,
    /// The size changed, or Ctrl-L: everything is drawn anew.
    Redraw,
}

/// Whether people see standard output, and can press keys.
#[must_use]
pub fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Terminal {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// When it is none, or is gone.
    pub fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        *held() = Some(Held::default());
        // From here on dropping it gives back what was taken.
        let taken = Self(ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))?);
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }

    /// Shows a frame.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }

    /// Draws everything anew the next time.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    /// Waits for a key, for a while.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn key(&mut self, limit: Duration) -> io::Result<Option<Key>> {
        if !event::poll(limit)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Resize(..) => Some(Key::Redraw),
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if is_control => Some(Key::Interrupt),
                    KeyCode::Char('l') if is_control => Some(Key::Redraw),
                    KeyCode::Char(c) if !is_control => Some(Key::Char(c)),
                    KeyCode::Esc | KeyCode::Enter => Some(Key::Char('\n')),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back if it was taken, and writes what was held back. Any thread may call it at any time.
pub fn give_back() {
    let Some(held) = held().take() else { return };
    // Nothing can be done when the terminal is gone.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let mut out = io::stderr().lock();
    if held.dropped > 0 {
        let _ = writeln!(out, "… {} older messages are not kept", held.dropped);
    }
    for line in held.lines {
        let _ = out.write_all(&line);
    }
}

/// How many messages wait for the terminal to be given back.
#[must_use]
pub fn held_back() -> u64 {
    held().as_ref().map_or(0, |held| held.lines.len() as u64 + held.dropped)
}

fn held() -> std::sync::MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, which is held back while a terminal shows frames. Each write is a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let mut held = held();
        let Some(held) = held.as_mut() else { return io::stderr().write(message) };
        if held.lines.len() >= MESSAGES_HELD {
            held.lines.pop_front();
            held.dropped += 1;
        }
        held.lines.push_back(message.to_vec());
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
