//! How a share ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a share from when it is found until it has its verdict.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share {}", self.0)
    }
}

/// How a share ended. Each has exactly one verdict.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The source took it.
    Accepted,
    /// The source had it already, or it was found twice here and not sent again.
    Duplicate,
    /// Its job was over, as the source says or as was known before it could be sent.
    Stale,
    /// The source says that its hash is above the target.
    LowDifficulty,
    /// The source refused it for any other reason.
    Rejected,
    /// No answer came in time, or the session ended before one could come.
    Expired,
    /// Our own check refused to send it: it does not fit its job.
    Invalid,
    /// It was not sent, because the source asks for more shares than anybody needs.
    Withheld,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::LowDifficulty => "low difficulty",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Withheld => "withheld",
        })
    }
}
