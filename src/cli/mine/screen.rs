//! The full-screen view: a thread that draws the latest snapshot and reads keys.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::Args;
use crate::cli::{Exit, Failure};
use crate::engine::governor::Asker;
use crate::runtime::snapshot::Viewer;
use crate::runtime::{Control, Stop};
use crate::ui::screen::terminal::{self, Key, Terminal};
use crate::ui::screen::{Screen, Wish};

/// How often it is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// A view that is shown until it is dropped.
pub(super) struct Show {
    is_over: Arc<AtomicBool>,
    has_quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Whether somebody looks who can press keys, and asked for nothing else.
pub(super) fn is_wanted(args: &Args) -> bool {
    !args.json && !args.plain && terminal::is_there()
}

impl Show {
    pub(super) fn begin(viewer: Viewer, control: Control, stop: &Stop) -> Result<Self, Failure> {
        let no_terminal = |error: io::Error| {
            Failure::usage(format!("the terminal cannot be used ({error}); --plain prints lines"))
        };
        let mut terminal = Terminal::take().map_err(no_terminal)?;
        let [is_over, has_quit] = [false; 2].map(|no| Arc::new(AtomicBool::new(no)));
        let (over, quit, stop) = (Arc::clone(&is_over), Arc::clone(&has_quit), stop.clone());
        let show = move || {
            if show(&mut terminal, &viewer, &control, &stop, [&over, &quit]).is_err() {
                // Nobody looks any more, nor could anybody press q.
                stop.request();
            }
        };
        let thread = Builder::new().name("screen".to_owned()).spawn(show)?;
        Ok(Self { is_over, has_quit, thread: Some(thread) })
    }

    /// Whether somebody pressed q.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit.load(Ordering::Relaxed)
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A panic of it gave the terminal back too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn show(
    terminal: &mut Terminal,
    viewer: &Viewer,
    control: &Control,
    stop: &Stop,
    [is_over, has_quit]: [&AtomicBool; 2],
) -> io::Result<()> {
    let mut screen = Screen::new(TimeZone::system());
    while !is_over.load(Ordering::Relaxed) {
        let snapshot = viewer.borrow().clone();
        screen.observe(&snapshot);
        terminal.draw(|frame| screen.draw(frame, &snapshot))?;
        let next = Instant::now() + FRAME;
        let Some(key) = terminal.key(FRAME)? else { continue };
        let wish = match key {
            Key::Char(c) => screen.press(c),
            Key::Interrupt if stop.is_requested() => {
                terminal::give_back();
                std::process::exit(Exit::Interrupted.code().into());
            }
            Key::Interrupt => {
                stop.request();
                Wish::Look
            }
            Key::Redraw => {
                terminal.clear()?;
                Wish::Look
            }
        };
        match wish {
            Wish::Look => {}
            Wish::Pause => control.pause(Asker::Key),
            Wish::Resume => control.resume(Asker::Key),
            Wish::Quit => has_quit.store(true, Ordering::Relaxed),
        }
        // A key that is held down, or a pasted text, does not draw more often than needed.
        let pause = Duration::from_millis(20).min(next.saturating_duration_since(Instant::now()));
        std::thread::sleep(pause);
    }
    Ok(())
}
