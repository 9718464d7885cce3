//! Stratum V1, the client's side.
//!
//! [`Client`] takes bytes of a connection and the time, and gives bytes and [`Event`]s. A message from
//! the pool is read into a validated type, which changes nothing, before anything is touched. The
//! protocol has no specification that servers follow; what is accepted is what they send. Sources:
//! Braiins' (Slush Pool's) manual for the core, BIP 310 for `mining.configure` and version rolling,
//! `NiceHash` for `mining.extranonce.subscribe`; ckpool, foundation-stratum, Public Pool and the Stratum V2
//! reference translator for what differs.
//!
//! Where they leave a choice:
//!
//! - A difficulty counts for the jobs that follow; a version mask at once, so the job is handed out again.
//! - A job that hashes the same as the one at work does not restart the search, whatever its name.
//!   Where only target or mask differ, its time moves ahead if it can, so that no header is tried twice.
//! - Of several jobs in the bytes of one call only the last is handed out: no share can have been found
//!   for the others.
//! - A clean job makes shares of earlier ones stale. So does a job with another extranonce.

mod answers;
mod calls;
mod connection;
mod handshake;
mod jobs;
mod judge;
mod limiter;
mod notify;
mod outbox;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bitcoin::Target;
use bitcoin::hex::DisplayHex;
use serde_json::{Value, json};

use self::connection::{Asked, Connection};
use self::jobs::{Jobs, Misfit, Terms};
use self::limiter::Limiter;
use self::notify::Extranonce;
use self::outbox::{Outbox, Pending};
use self::wire::{Message, Nonsense};
use super::{Down, Event, Remedy};
use crate::chain::payout::PayoutRule;
use crate::limits::{
    FOREIGN_TEXT, NONSENSE_PER_MINUTE, SHARE_INTERVAL, TALK_PER_SECOND, VERDICT_WAIT,
};
use crate::work::{JobId, Share, SourceId, Ticket, Verdict};

/// What the user wants of a pool.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// The source of every job.
    pub source: SourceId,
    /// The name to log in with; shares carry it too.
    pub user: String,
    /// Its password. It is sent, never shown.
    pub password: String,
    /// How the miner calls itself, such as `adit/0.1.0`.
    pub agent: String,
    /// The version bits to roll, if the pool allows it; with 0 it is not asked.
    pub version_mask: u32,
    /// The least difficulty to ask for. Only a whole number is: some servers end at others.
    pub minimum_difficulty: Option<f64>,
    /// Whom jobs have to pay; others are refused.
    pub payout: Option<PayoutRule>,
    /// The pool's host as it was given: `client.reconnect` may name no other.
    pub host: String,
    /// The pool's port as it was given.
    pub port: u16,
    /// Whether `client.reconnect` may name another port.
    pub reconnect_port: bool,
}

/// The client's side of a pool, across connections.
///
/// Call [`event`](Self::event) and [`transmit`](Self::transmit) until they have no more after each other
/// call, and [`tick`](Self::tick) at the [`deadline`](Self::deadline). After [`Event::Down`] and
/// [`Event::Reconnect`] the connection is over for the client too.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    connection: Option<Connection>,
    /// The last one that the pool opened. It outlives its connection: the pool may resume it.
    session: Option<Session>,
    jobs: Jobs,
    outbox: Outbox,
    /// Hashes per second, measured.
    rate: Option<f64>,
    /// When the pool last ordered to reconnect.
    moved: Option<Instant>,
    /// Messages and warnings.
    talk: Limiter,
    events: VecDeque<Event>,
    counts: Counts,
}

/// What changed nothing but was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that made no sense.
    pub nonsense: u64,
    /// Answers that came after their share had expired.
    pub late: u64,
}

impl fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, user, host, port, .. } = self;
        let mut shown = f.debug_struct("Settings");
        shown.field("source", source).field("user", user).field("host", host).field("port", port);
        shown.finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Session {
    /// How to ask for it again.
    id: Option<String>,
    /// Of the jobs that follow, as the target is.
    extranonce: Extranonce,
    /// Whether the last job had another, so that the next one makes all earlier ones stale.
    extranonce_is_new: bool,
    target: Target,
}

impl Client {
    /// A client without a connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            jobs: Jobs::new(settings.source),
            settings,
            connection: None,
            session: None,
            outbox: Outbox::default(),
            rate: None,
            moved: None,
            talk: Limiter::new(TALK_PER_SECOND, Duration::from_secs(1)),
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// There is a fresh connection. The whole handshake is written at once, in its order.
    pub fn connected(&mut self, now: Instant) {
        self.disconnected(now);
        let mut connection = Connection::new(now);
        let settings = &self.settings;
        connection.ask(Asked::Configure, &handshake::configure(settings));
        match self.session.as_ref().and_then(|session| session.id.as_ref()) {
            Some(id) => connection.ask(Asked::Resume, &json!([settings.agent, id])),
            None => connection.ask(Asked::Subscribe, &json!([settings.agent])),
        }
        connection.ask(Asked::Authorize, &json!([settings.user, settings.password]));
        self.connection = Some(connection);
        if let Some(difficulty) = settings.minimum_difficulty
            && handshake::whole(difficulty).is_none()
        {
            let why = format!(
                "the minimum difficulty of {difficulty} is not asked for: pools take whole numbers"
            );
            self.warn(why, now);
        }
    }

    /// The connection is gone. Shares without an answer wait for a session that takes them again.
    pub fn disconnected(&mut self, now: Instant) {
        self.hang_up();
        self.expire(now);
    }

    /// Takes what came from the pool, cut anywhere.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let mut lines = std::mem::take(&mut connection.lines);
        let fed = lines.feed(bytes, |line| {
            self.line(line, now);
            self.connection.is_some()
        });
        match (&mut self.connection, fed) {
            (None, _) => return,
            (Some(connection), Ok(())) => connection.lines = lines,
            (Some(_), Err(too_long)) => {
                return self.down(format!("the pool sent {too_long}"), Remedy::Retry);
            }
        }
        self.take_job(now);
    }

    /// Takes a share on its way. It ends in exactly one [`Event::Verdict`].
    pub fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant) {
        let verdict = match self.jobs.get(share.job).map(|issued| issued.check(share)) {
            None if self.jobs.knew(share.job) => Some((Verdict::Stale, STALE.to_owned())),
            None => Some((Verdict::Invalid, Misfit::Job.to_string())),
            Some(Err(misfit)) => Some((Verdict::Invalid, misfit.to_string())),
            Some(Ok(())) if self.outbox.is_full() => {
                Some((Verdict::Withheld, "too many shares have no answer yet".to_owned()))
            }
            Some(Ok(())) if !self.outbox.is_new(share) => {
                Some((Verdict::Duplicate, "it was found before".to_owned()))
            }
            Some(Ok(())) => None,
        };
        if let Some((verdict, why)) = verdict {
            return self.verdict(ticket, verdict, Some(why));
        }
        let until = now + VERDICT_WAIT;
        self.outbox.push(Pending { ticket, share: *share, until, was_sent: false });
        self.send_shares();
    }

    /// All hashes of a job were tested. If it is at work, it is given again with a later time, as soon as one
    /// is allowed.
    pub fn exhausted(&mut self, job: JobId, now: Instant) {
        self.jobs.exhaust(job);
        self.advance_time(now);
    }

    /// The devices test so many hashes in a second, which leads to a suggestion to the pool: a share every
    /// three seconds.
    pub fn set_rate(&mut self, hashes_per_second: f64, now: Instant) {
        let is_known = hashes_per_second.is_finite() && hashes_per_second > 0.0;
        self.rate = is_known.then_some(hashes_per_second);
        self.suggest_difficulty();
        self.expire(now);
    }

    /// The run ends: shares without an answer expire.
    pub fn end(&mut self) {
        self.hang_up();
        for pending in self.outbox.orphans(|_| false) {
            let why = "the run ended before the pool answered".to_owned();
            self.verdict(pending.ticket, Verdict::Expired, Some(why));
        }
    }

    /// The time is at or past the [`deadline`](Self::deadline).
    pub fn tick(&mut self, now: Instant) {
        self.expire(now);
        if let Some(why) = self.connection.as_ref().and_then(|connection| connection.overdue(now)) {
            self.down(why, Remedy::Retry);
        }
        self.advance_time(now);
    }

    /// When to call [`tick`](Self::tick) next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let connection = self.connection.as_ref().map(Connection::deadline);
        [connection, self.outbox.deadline(), self.jobs.deadline()].into_iter().flatten().min()
    }

    /// Whole lines to write, if any.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.connection.as_mut()?.transmit()
    }

    /// What happened, oldest first.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What changed nothing but was counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn line(&mut self, line: &[u8], now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        connection.heard = now;
        if line.trim_ascii().is_empty() {
            return;
        }
        match Message::parse(line) {
            Ok(Message::Call(call)) => self.call(call, line, now),
            Ok(Message::Answer(answer)) => self.answer(&answer, now),
            Err(nonsense) => self.nonsense(&nonsense, now),
        }
    }

    /// Hands out the newest job that has come; or the one at work again, where the version mask is another.
    fn take_job(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        if !connection.stage.is_subscribed {
            return;
        }
        let granted = connection.version_mask.unwrap_or(0);
        let version_mask = handshake::rolled(granted, self.settings.version_mask);
        let mut is_clean = false;
        let taken = match connection.arrived.job.take() {
            Some((notify, target)) => {
                is_clean = notify.clean;
                let is_lenient = std::mem::take(&mut connection.arrived.first_job_of_resumed);
                let rule = self.settings.payout.as_ref();
                let terms = Terms { target, version_mask, rule, is_lenient };
                self.jobs.take(notify, terms, now)
            }
            None => self.jobs.roll_versions(version_mask, now),
        };
        match taken {
            Ok(work) => self.events.extend(work.map(|work| Event::Work(Box::new(work)))),
            Err(refusal) => {
                self.events.push_back(Event::NoWork(format!("the pool sent {refusal}")));
                self.warn(format!("refused {refusal}"), now);
            }
        }
        if is_clean {
            self.settle_orphans();
        }
    }

    fn advance_time(&mut self, now: Instant) {
        // What was handed out once can be handed out again.
        if let Ok(Some(work)) = self.jobs.advance(now) {
            self.events.push_back(Event::Work(Box::new(work)));
        }
    }

    /// Sends what waits, once the pool accepted the login.
    fn send_shares(&mut self) {
        while let Some(connection) = self.connection.as_mut().filter(|c| c.stage.is_ready())
            && let Some(pending) = self.outbox.next()
        {
            let (share, mask) = (&pending.share, connection.version_mask);
            let Some(issued) = self.jobs.get(share.job) else {
                self.end_orphan(&pending, STALE);
                continue;
            };
            if !issued.version_is_within(share, mask.unwrap_or(0)) {
                self.end_orphan(&pending, "the pool no longer allows its version bits");
                continue;
            }
            let version = share.header.version.to_consensus().cast_unsigned();
            let mut params = vec![
                Value::from(self.settings.user.as_str()),
                issued.name().into(),
                issued.extranonce2(share).to_lower_hex_string().into(),
                format!("{:08x}", share.header.time).into(),
                format!("{:08x}", share.header.nonce).into(),
            ];
            params.extend(mask.map(|mask| Value::from(format!("{:08x}", version & mask))));
            let request = connection.request("mining.submit", &params.into());
            self.outbox.sent(request, pending);
        }
    }

    /// Ends the waiting shares whose job or session is over.
    fn settle_orphans(&mut self) {
        for pending in self.outbox.orphans(|job| self.jobs.get(job).is_some()) {
            self.end_orphan(&pending, STALE);
        }
    }

    /// Ends a share that can no longer be sent.
    fn end_orphan(&mut self, pending: &Pending, why: &str) {
        let (verdict, why) = if pending.was_sent {
            (Verdict::Expired, format!("the connection broke before the pool answered, and {why}"))
        } else {
            (Verdict::Stale, why.to_owned())
        };
        self.verdict(pending.ticket, verdict, Some(why));
    }

    fn expire(&mut self, now: Instant) {
        while let Some((pending, was_sent)) = self.outbox.expire(now) {
            let wait = VERDICT_WAIT.as_secs();
            let why = if was_sent {
                format!("the pool did not answer within {wait} s")
            } else {
                format!("the pool could not be asked within {wait} s")
            };
            self.verdict(pending.ticket, Verdict::Expired, Some(why));
        }
        self.send_shares();
    }

    /// Suggests a difficulty for the measured rate, if none or a very different one was suggested.
    fn suggest_difficulty(&mut self) {
        let ready = self.connection.as_mut().filter(|connection| connection.stage.is_ready());
        let (Some(connection), Some(rate)) = (ready, self.rate) else { return };
        let difficulty = rate * SHARE_INTERVAL / 2_f64.powi(32);
        let is_near = |last| (0.5..=2.0).contains(&(difficulty / last));
        if connection.suggested.is_some_and(is_near) {
            return;
        }
        connection.suggested = Some(difficulty);
        // Some servers read whole numbers only.
        let whole = handshake::whole(difficulty.round()).filter(|whole| *whole > 0);
        let difficulty = whole.map_or(Value::from(difficulty), Value::from);
        connection.request("mining.suggest_difficulty", &json!([difficulty]));
    }

    fn nonsense(&mut self, nonsense: &Nonsense, now: Instant) {
        self.counts.nonsense += 1;
        let Some(connection) = &mut self.connection else { return };
        let what = cut(&nonsense.to_string());
        if connection.bears_nonsense(now) {
            self.warn(format!("ignored what the pool sent: {what}"), now);
        } else {
            let why = format!(
                "the pool sent {NONSENSE_PER_MINUTE} messages in a minute that make no sense, the last \
                one {what}"
            );
            self.down(why, Remedy::Retry);
        }
    }

    fn verdict(&mut self, ticket: Ticket, verdict: Verdict, why: Option<String>) {
        self.events.push_back(Event::Verdict(ticket, verdict, why));
    }

    fn warn(&mut self, why: String, now: Instant) {
        if self.talk.admits(now) {
            self.events.push_back(Event::Warning(why));
        }
    }

    fn down(&mut self, why: String, remedy: Remedy) {
        self.hang_up();
        self.events.push_back(Event::Down(Down { why, remedy }));
    }

    /// Forgets the connection; what outlives it is kept.
    fn hang_up(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.outbox.disconnected();
        // A server that does not know a session any more may close rather than say so.
        if connection.waits_for(Asked::Resume)
            && let Some(session) = &mut self.session
        {
            session.id = None;
        }
    }
}

const STALE: &str = "its job is over";

/// The beginning of foreign text.
fn cut(text: &str) -> String {
    text.chars().take(FOREIGN_TEXT).collect()
}
