//! Lines of standard input, each of bounded length.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;

use super::Failure;
use crate::limits::HEADER_LINE;
use crate::runtime::Stop;

/// Reads standard input on a thread of its own: a read cannot be interrupted, and Ctrl-C shall end the
/// program while it waits for a line.
pub(super) struct Lines {
    read: Receiver<Result<String, String>>,
    number: u64,
}

impl Lines {
    pub(super) fn of_stdin() -> Result<Self, Failure> {
        // Nothing is buffered: a line is handed over when it is asked for.
        let (sender, read) = sync_channel(0);
        let thread = thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut input = io::stdin().lock();
            while let Some(line) = next(&mut input) {
                // Nobody listens any more when the run has ended.
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        thread.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        Ok(Self { read, number: 0 })
    }

    /// The next line with its number, from 1; `None` after the last.
    pub(super) fn next(&mut self, stop: &Stop) -> Result<Option<(u64, String)>, Failure> {
        loop {
            if stop.is_requested() {
                return Err(Failure::interrupted());
            }
            match self.read.recv_timeout(Stop::TICK) {
                Ok(line) => {
                    self.number += 1;
                    let line =
                        line.map_err(|why| Failure::usage(format!("line {}: {why}", self.number)))?;
                    return Ok(Some((self.number, line)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

/// A line without its end, or what is wrong with it. After an error the rest of the input is of no use.
fn next(input: &mut impl BufRead) -> Option<Result<String, String>> {
    let mut line = Vec::new();
    // One byte more than a line may have, besides its end: that tells a line that is too long.
    let read = input.take(HEADER_LINE + 2).read_until(b'\n', &mut line);
    match read {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(format!("cannot read standard input: {error}"))),
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    if line.len() as u64 > HEADER_LINE {
        return Some(Err(format!(
            "it is longer than {HEADER_LINE} bytes; a header is a line of 160 hex digits"
        )));
    }
    let text = String::from_utf8(line.to_vec());
    Some(text.map_err(|_| "it is no text; a header is a line of 160 hex digits".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Result<String, String>> {
        std::iter::from_fn(|| next(&mut input)).collect()
    }

    #[test]
    fn every_line_comes_and_the_last_needs_no_end() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\r\n\nb"), ["a\r", "", "b"].map(|line| Ok(line.to_owned())));
        assert_eq!(lines(b"a\n"), [Ok("a".to_owned())]);
    }

    #[test]
    fn a_line_has_an_upper_bound() {
        let longest = "0".repeat(usize::try_from(HEADER_LINE).unwrap());
        assert_eq!(lines(longest.as_bytes()), [Ok(longest.clone())]);
        assert_eq!(lines(format!("{longest}\n").as_bytes()), [Ok(longest.clone())]);
        let long = lines(format!("{longest}0").as_bytes());
        assert!(
            long[0].as_ref().is_err_and(|why| why.contains("longer than 4096 bytes")),
            "{long:?}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(lines(b"\xff\xfe\n")[0].as_ref().is_err_and(|why| why.contains("no text")));
    }
}
