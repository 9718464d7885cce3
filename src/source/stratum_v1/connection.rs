//! What lives and ends with one connection.

use std::time::{Duration, Instant};

use bitcoin::Target;
use serde_json::{Value, json};

use super::limiter::Limiter;
use super::notify::Notify;
use super::wire::Lines;
use crate::limits::{HANDSHAKE_DEADLINE, NONSENSE_PER_MINUTE, SILENT_SOURCE, TALK_PER_SECOND};

/// One connection to a pool.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) lines: Lines,
    /// What is to be written.
    outgoing: Vec<u8>,
    /// Of the last request.
    request: u64,
    began: Instant,
    /// When the last line came.
    pub(super) heard: Instant,
    /// Requests of the handshake without an answer.
    asked: Vec<(u64, Asked)>,
    pub(super) stage: Stage,
    /// The mask that the pool granted or set last, whatever was asked for; `None` where versions do not roll.
    pub(super) version_mask: Option<u32>,
    /// Whether `mining.extranonce.subscribe` can be left out.
    pub(super) extranonce_is_settled: bool,
    /// The difficulty last suggested.
    pub(super) suggested: Option<f64>,
    pub(super) arrived: Arrived,
    nonsense: Limiter,
    replies: Limiter,
}

/// What came from the pool and has not taken effect.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// The newest job, with the target that was set before it.
    pub(super) job: Option<(Notify, Target)>,
    /// The line of a job that came before there was a session.
    pub(super) early_job: Option<Vec<u8>>,
    /// A target that came before there was a session.
    pub(super) early_target: Option<Target>,
    /// Whether no job has come since the session was resumed.
    pub(super) first_job_of_resumed: bool,
}

/// A request of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Configure,
    Subscribe,
    /// To go on with an earlier session.
    Resume,
    Authorize,
}

/// How far the handshake is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stage {
    pub(super) is_subscribed: bool,
    pub(super) is_authorized: bool,
}

impl Stage {
    /// Whether shares can be sent.
    pub(super) const fn is_ready(self) -> bool {
        self.is_subscribed && self.is_authorized
    }
}

impl Connection {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Lines::default(),
            outgoing: Vec::new(),
            request: 0,
            began: now,
            heard: now,
            asked: Vec::new(),
            stage: Stage::default(),
            version_mask: None,
            extranonce_is_settled: false,
            suggested: None,
            arrived: Arrived::default(),
            // The last of them ends the session.
            nonsense: Limiter::new(NONSENSE_PER_MINUTE - 1, Duration::from_secs(60)),
            replies: Limiter::new(TALK_PER_SECOND, Duration::from_secs(1)),
        }
    }

    /// Writes a request of the handshake.
    pub(super) fn ask(&mut self, asked: Asked, params: &Value) {
        let method = match asked {
            Asked::Configure => "mining.configure",
            Asked::Subscribe | Asked::Resume => "mining.subscribe",
            Asked::Authorize => "mining.authorize",
        };
        let request = self.request(method, params);
        self.asked.push((request, asked));
    }

    /// Writes a request and returns its number.
    pub(super) fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.request += 1;
        self.write(&json!({ "id": self.request, "method": method, "params": params }));
        self.request
    }

    /// Answers a request of the pool's, unless it asks too often.
    pub(super) fn reply(&mut self, id: Option<Value>, result: &Value, error: &Value, now: Instant) {
        if let Some(id) = id.filter(|_| self.replies.admits(now)) {
            self.write(&json!({ "id": id, "result": result, "error": error }));
        }
    }

    fn write(&mut self, message: &Value) {
        self.outgoing.extend_from_slice(message.to_string().as_bytes());
        self.outgoing.push(b'\n');
    }

    /// What is to be written.
    pub(super) fn transmit(&mut self) -> Option<Vec<u8>> {
        if self.outgoing.is_empty() { None } else { Some(std::mem::take(&mut self.outgoing)) }
    }

    /// Which part of the handshake an answer belongs to.
    pub(super) fn answered(&mut self, request: u64) -> Option<Asked> {
        let place = self.asked.iter().position(|(asked, _)| *asked == request)?;
        Some(self.asked.swap_remove(place).1)
    }

    pub(super) fn waits_for(&self, asked: Asked) -> bool {
        self.asked.iter().any(|(_, waits)| *waits == asked)
    }

    /// Counts a message that makes no sense. Returns whether the session can bear it.
    pub(super) fn bears_nonsense(&mut self, now: Instant) -> bool {
        self.nonsense.admits(now)
    }

    /// When the pool counts as dead, unless it says something.
    pub(super) fn deadline(&self) -> Instant {
        let silent = self.heard + SILENT_SOURCE;
        if self.stage.is_ready() { silent } else { silent.min(self.began + HANDSHAKE_DEADLINE) }
    }

    /// Why the pool counts as dead.
    pub(super) fn overdue(&self, now: Instant) -> Option<String> {
        if now < self.deadline() {
            return None;
        }
        let missing = match self.stage {
            Stage { is_subscribed: false, .. } => "answered no mining.subscribe",
            Stage { is_authorized: false, .. } => "answered no mining.authorize",
            _ => return Some(format!("the pool said nothing for {} s", SILENT_SOURCE.as_secs())),
        };
        Some(format!("the pool {missing} within {} s", HANDSHAKE_DEADLINE.as_secs()))
    }
}
