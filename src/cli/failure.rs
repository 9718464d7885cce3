//! How a command fails: a message for people and an exit code for scripts.

use std::fmt::Display;
use std::io;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A result was wrong, or a figure passed the limit that was given; 1.
    Wrong,
    /// Bad usage or input; 2, as clap uses it.
    Usage,
    /// No device can be used; 3.
    NoDevice,
    /// A device computes wrongly; 4.
    SelfTest,
    /// No source can be used, and `--once` was given; 5.
    NoSource,
    /// Drivers hang, and no device is left: started again, adit may work; 75, as `sysexits.h` has it.
    Wedged,
    /// Somebody pressed Ctrl-C; 130, as shells use it.
    Interrupted,
    /// Nobody reads the output any more, which is no failure; 0.
    Unread,
}

/// Why a command ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the exit code says.
    pub exit: Exit,
    /// What went wrong and the way out; empty when everything was said.
    pub message: String,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unread => 0,
            Self::Wrong => 1,
            Self::Usage => 2,
            Self::NoDevice => 3,
            Self::SelfTest => 4,
            Self::NoSource => 5,
            Self::Wedged => 75,
            Self::Interrupted => 130,
        }
    }
}

impl Failure {
    pub(super) fn wrong(message: impl Display) -> Self {
        Self { exit: Exit::Wrong, message: message.to_string() }
    }

    pub(super) fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    pub(super) fn no_device(message: impl Display) -> Self {
        Self { exit: Exit::NoDevice, message: message.to_string() }
    }

    pub(super) fn selftest(message: impl Display) -> Self {
        Self { exit: Exit::SelfTest, message: message.to_string() }
    }

    /// The summary was printed; there is nothing to add.
    pub(super) const fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, message: String::new() }
    }
}

impl From<io::Error> for Failure {
    /// Output that cannot be written.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self { exit: Exit::Unread, message: String::new() }
        } else {
            Self::usage(format!("cannot write the output: {error}"))
        }
    }
}
