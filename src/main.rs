//! The `adit` program: parses the command line, starts logging, calls a command.

use std::any::Any;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use adit::cli::{Cli, run};
use adit::runtime::{Stop, signals};
use adit::ui::messages::{self, Level};
use adit::ui::screen::terminal;
use clap::Parser as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let stop = Stop::default();
    let end = {
        let stop = stop.clone();
        move |terminates| {
            // The second time it is meant: something hangs.
            if stop.is_requested() {
                terminal::give_back();
                std::process::exit(130);
            }
            if terminates {
                stop.terminate();
            } else {
                stop.request();
            }
        }
    };
    if let Err(error) = signals::on_end(end.clone()) {
        tracing::warn!("SIGTERM and SIGHUP will end adit without a summary: {error}");
    }
    if let Err(error) = ctrlc::set_handler(move || end(false)) {
        tracing::warn!("Ctrl-C will end adit without a summary: {error}");
    }
    match catch_unwind(AssertUnwindSafe(|| run(cli, &stop))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            if !failure.message.is_empty() {
                complain(&failure.message);
            }
            ExitCode::from(failure.exit.code())
        }
        Err(panic) => {
            complain(&format!(
                "{}: a mistake in adit; RUST_LOG=adit=debug says where",
                words(&*panic)
            ));
            ExitCode::from(101) // as Rust programs end on a panic
        }
    }
}

/// Standard error may be closed; the exit code still says what happened.
fn complain(message: &str) {
    let _ = std::io::stderr().write_all(messages::line(Level::Error, message).as_bytes());
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

fn start_logging() {
    // Graphics libraries complain a lot about what they then handle.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,wgpu_core=error,wgpu_hal=off,naga=error"));
    // https://no-color.org
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = !plain && std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::Messages)
        .with_ansi(colours)
        .event_format(Messages {
            plain: Format::default().without_time(),
            json: Format::default().json().flatten_event(true).with_span_list(false),
        })
        .init();
    // A panic is caught where it matters and reported there; this is for the log.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
}

/// The forms of a message of `tracing`: which of them is asked for is known when logging has begun already.
struct Messages {
    plain: Format<Full, ()>,
    json: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for Messages
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        if messages::are_json() {
            self.json.format_event(context, writer, event)
        } else {
            self.plain.format_event(context, writer, event)
        }
    }
}
