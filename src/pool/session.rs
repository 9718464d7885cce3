//! The server's side of one connection: bytes and the time go in, bytes and events come out.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::jobs::{Job, Jobs};
use super::judge::{Judgement, Refusal, Submission};
use super::seats::{Seat, Seats};
use super::vardiff::Vardiff;
use super::wire::{Call, Lines, Request, answer, configured, notification};
use super::{ConnectionId, Event, Options, Share};
use crate::limits::{NONSENSE_PER_MINUTE, POOL_LOGIN, POOL_LOGINS, POOL_UNREAD};

/// The time in which lines that make no sense are counted.
const NONSENSE_TIME: Duration = Duration::from_secs(60);

/// What the sessions of a pool share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) jobs: Jobs,
    pub(super) seats: Seats,
}

/// One connection.
pub(super) struct Session {
    id: ConnectionId,
    opened: Instant,
    input: Lines,
    output: Vec<u8>,
    /// Why it is over, once it is.
    over: Option<String>,
    /// From `mining.subscribe` on.
    seat: Option<Seat>,
    agent: String,
    /// Who logged in.
    workers: Vec<String>,
    /// The version bits that may be rolled.
    mask: u32,
    /// Whether the miner can take another extranonce1.
    takes_extranonce: bool,
    vardiff: Vardiff,
    /// Whether it takes jobs by now.
    works: bool,
    /// The difficulty that the miner was told, from its first job on.
    told: Option<f64>,
    /// Whether its difficulty changed, which counts from another job on.
    wants_job: bool,
    /// Lines that made no sense, and since when they are counted.
    nonsense: (u32, Instant),
}

impl Session {
    pub(super) fn new(id: ConnectionId, options: &Options, now: Instant) -> Self {
        Self {
            id,
            opened: now,
            input: Lines::default(),
            output: Vec::new(),
            over: None,
            seat: None,
            agent: String::new(),
            workers: Vec::new(),
            mask: 0,
            takes_extranonce: false,
            vardiff: Vardiff::new(options.difficulty, now),
            works: false,
            told: None,
            wants_job: false,
            nonsense: (0, now),
        }
    }

    /// Takes what the miner sent.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        now: Instant,
        shared: &mut Shared,
        events: &mut Vec<Event>,
    ) {
        let mut input = mem::take(&mut self.input);
        let fed = input.feed(bytes, |line| {
            if self.over.is_none() && !line.trim_ascii().is_empty() {
                self.handle(Request::parse(line), now, shared, events);
            }
            self.over.is_none()
        });
        self.input = input;
        if fed.is_err() {
            self.end("it sent a line that is too long");
        }
    }

    /// Gives the miner a job, if it takes any yet. `clean` tells it to drop the others.
    pub(super) fn give(
        &mut self,
        job: &Arc<Job>,
        clean: bool,
        now: Instant,
        shared: &mut Shared,
        events: &mut Vec<Event>,
    ) {
        let Some(seat) = self.seat.as_mut().filter(|_| self.works) else { return };
        let mut lines = Vec::new();
        if clean && self.takes_extranonce && shared.options.dialect.moving_extranonce {
            shared.seats.move_extranonce(seat);
            let params = json!([seat.extranonce1(), seat.extranonce2_size]);
            lines.push(notification("mining.set_extranonce", &params));
        }
        if self.told.is_none() {
            self.vardiff.begin(now);
        }
        let difficulty = asked(&self.vardiff, job);
        if self.told != Some(difficulty) {
            self.told = Some(difficulty);
            events.push(Event::Difficulty { connection: self.id, difficulty });
            lines.push(notification("mining.set_difficulty", &json!([difficulty])));
        }
        lines.push(job.notify(clean));
        seat.give(job.clone(), difficulty);
        for line in lines {
            self.say(&line);
        }
    }

    /// Some time passed.
    pub(super) fn tick(&mut self, now: Instant, shared: &mut Shared, events: &mut Vec<Event>) {
        if self.works {
            if self.vardiff.review(now) {
                self.give_another(false, now, shared, events);
            }
        } else if now.saturating_duration_since(self.opened) > POOL_LOGIN {
            self.end("it did not log in");
        }
    }

    /// What there is to send.
    pub(super) fn transmit(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// Why the connection is to be closed, once it is.
    pub(super) fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// Ends the session.
    pub(super) fn end(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
    }

    /// What another connection can resume.
    pub(super) fn into_seat(self) -> Option<Seat> {
        self.seat
    }

    fn handle(
        &mut self,
        request: Request,
        now: Instant,
        shared: &mut Shared,
        events: &mut Vec<Event>,
    ) {
        let outcome = request.call.and_then(|call| self.obey(call, now, shared, events));
        if outcome == Err(Refusal::Nonsense) {
            self.count_nonsense(now);
        }
        self.say(&answer(&request.id, outcome, shared.options.dialect.errors));
        let may_work = shared.options.dialect.early_job || !self.workers.is_empty();
        let Some(seat) = self.seat.as_ref().filter(|_| may_work) else { return };
        let begins = !mem::replace(&mut self.works, true);
        // The jobs of a resumed session go on.
        let clean = begins && !seat.is_resumed;
        if begins || self.wants_job || seat.is_full() {
            self.give_another(clean, now, shared, events);
        }
    }

    fn obey(
        &mut self,
        call: Call,
        now: Instant,
        shared: &mut Shared,
        events: &mut Vec<Event>,
    ) -> Result<Value, Refusal> {
        match call {
            Call::Configure { extensions, mask, minimum } => {
                let has = |name| extensions.iter().any(|extension| extension == name);
                if has("version-rolling") {
                    self.mask = mask & shared.options.version_mask;
                }
                self.takes_extranonce |= has("subscribe-extranonce");
                let is_heeded = minimum.is_some_and(|least| self.vardiff.at_least(least, now));
                self.wants_job |= is_heeded;
                Ok(configured(&extensions, self.mask, is_heeded))
            }
            Call::Subscribe { agent, session } => {
                self.agent = agent;
                let seat = self.seat.get_or_insert_with(|| shared.seats.take(session.as_deref()));
                let named = |method| [method, seat.id.as_str()];
                let subscriptions = [named("mining.set_difficulty"), named("mining.notify")];
                Ok(json!([subscriptions, seat.extranonce1(), seat.extranonce2_size]))
            }
            Call::Authorize { worker } => self.log_in(worker, shared, events),
            Call::SubscribeExtranonce => {
                self.takes_extranonce = true;
                Ok(Value::Bool(true))
            }
            Call::SuggestDifficulty(difficulty) => {
                let is_heeded = self.vardiff.suggest(difficulty, now);
                self.wants_job |= is_heeded;
                Ok(Value::Bool(is_heeded))
            }
            Call::Submit { worker, submission } => {
                let judgement = self.judge(&worker, submission);
                self.conclude(worker, judgement, now, events)
            }
        }
    }

    fn log_in(
        &mut self,
        worker: String,
        shared: &Shared,
        events: &mut Vec<Event>,
    ) -> Result<Value, Refusal> {
        let is_known = self.workers.contains(&worker);
        let is_full = self.workers.len() >= POOL_LOGINS;
        if shared.options.dialect.refuses_logins || (is_full && !is_known) {
            return Err(Refusal::Unauthorized);
        }
        if !is_known {
            let (connection, agent) = (self.id, self.agent.clone());
            events.push(Event::Login { connection, worker: worker.clone(), agent });
            self.workers.push(worker);
        }
        Ok(Value::Bool(true))
    }

    fn judge(&mut self, worker: &String, submission: Result<Submission, Refusal>) -> Judgement {
        let Some(seat) = &mut self.seat else { return Judgement::refused(Refusal::NotSubscribed) };
        if !self.workers.contains(worker) {
            return Judgement::refused(Refusal::Unauthorized);
        }
        match submission {
            Ok(submission) => seat.judge(&submission, self.mask),
            Err(refusal) => Judgement::refused(refusal),
        }
    }

    fn conclude(
        &mut self,
        worker: String,
        judgement: Judgement,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Result<Value, Refusal> {
        let Judgement { asked, hashed, refusal, solved } = judgement;
        events.push(Event::Share(Share {
            connection: self.id,
            worker,
            hash: hashed.map(|hashed| hashed.hash),
            difficulty: hashed.map(|hashed| hashed.difficulty),
            asked,
            is_block: hashed.is_some_and(|hashed| hashed.is_block),
            refusal,
        }));
        events.extend(solved.map(Event::Solved));
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        self.wants_job |= asked.is_some_and(|asked| self.vardiff.accepted(asked, now));
        Ok(Value::Bool(true))
    }

    fn give_another(
        &mut self,
        clean: bool,
        now: Instant,
        shared: &mut Shared,
        events: &mut Vec<Event>,
    ) {
        if let Some(job) = shared.jobs.another(now) {
            self.wants_job = false;
            self.give(&job, clean, now, shared, events);
        }
    }

    fn count_nonsense(&mut self, now: Instant) {
        let (count, since) = &mut self.nonsense;
        if now.saturating_duration_since(*since) > NONSENSE_TIME {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count > NONSENSE_PER_MINUTE {
            self.end("it sent too many lines that make no sense");
        }
    }

    fn say(&mut self, line: &str) {
        if self.output.len() + line.len() >= POOL_UNREAD {
            self.end("it does not read what it is sent");
            return;
        }
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
    }
}

/// As in ckpool, no share is harder than a block.
fn asked(vardiff: &Vardiff, job: &Job) -> f64 {
    vardiff.difficulty().min(job.block_difficulty())
}
