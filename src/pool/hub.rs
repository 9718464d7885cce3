//! The pool without sockets and clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::jobs::{Job, Jobs, Template};
use super::seats::Seats;
use super::session::{Session, Shared};
use super::{ConnectionId, Event, Options};
use crate::chain::HeaderError;
use crate::limits::POOL_CONNECTIONS;

/// All connections and their jobs. Bytes and the time go in, bytes and [`Event`]s come out, so that a day of
/// a pool runs in seconds in a test.
pub struct Hub {
    shared: Shared,
    sessions: BTreeMap<ConnectionId, Session>,
    /// Connections so far.
    count: u64,
}

impl Hub {
    /// A pool that hands out jobs of the built-in blocks, from its first [`tick`](Self::tick) on.
    ///
    /// # Errors
    ///
    /// When the built-in table of blocks is damaged, which a test excludes.
    pub fn new(options: Options, now: Instant) -> Result<Self, HeaderError> {
        let jobs = Jobs::built_in(&options, now)?;
        Ok(Self::with_jobs(options, jobs))
    }

    /// A pool that hands out jobs of the templates that a node [offers](Self::offer). Miners wait for the
    /// first.
    #[must_use]
    pub fn on_node(options: Options, now: Instant) -> Self {
        let jobs = Jobs::of_node(&options, now);
        Self::with_jobs(options, jobs)
    }

    fn with_jobs(options: Options, jobs: Jobs) -> Self {
        let seats = Seats::new(options.extranonce_sizes);
        Self { shared: Shared { options, jobs, seats }, sessions: BTreeMap::new(), count: 0 }
    }

    /// Somebody connected; `None` when there is no room.
    pub fn connect(
        &mut self,
        peer: &str,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Option<ConnectionId> {
        if self.sessions.len() >= POOL_CONNECTIONS {
            return None;
        }
        self.count += 1;
        let connection = ConnectionId(self.count);
        self.sessions.insert(connection, Session::new(connection, &self.shared.options, now));
        events.push(Event::Connected { connection, peer: peer.to_owned() });
        Some(connection)
    }

    /// A miner sent something.
    pub fn receive(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.receive(bytes, now, &mut self.shared, events);
        }
    }

    /// What is to be sent to a miner. Ask after every call that may have caused something.
    pub fn transmit(&mut self, connection: ConnectionId) -> Vec<u8> {
        self.sessions.get_mut(&connection).map(Session::transmit).unwrap_or_default()
    }

    /// Whether a connection is to be kept. One that is not gets what there is to send, and is then to be
    /// closed and told to [`disconnect`](Self::disconnect).
    #[must_use]
    pub fn is_open(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_some_and(|session| session.over().is_none())
    }

    /// The connections there are.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.sessions.keys().copied()
    }

    /// A connection is of no use any more, for a reason that the pool did not see.
    pub fn end(&mut self, connection: ConnectionId, why: &str) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.end(why);
        }
    }

    /// A connection ended. Its session can be resumed.
    pub fn disconnect(&mut self, connection: ConnectionId, now: Instant, events: &mut Vec<Event>) {
        let Some(session) = self.sessions.remove(&connection) else { return };
        let why = session.over().map(str::to_owned);
        if let Some(seat) = session.into_seat() {
            self.shared.seats.keep(seat, now);
        }
        events.push(Event::Closed { connection, why });
    }

    /// When [`tick`](Self::tick) has something to do at the latest.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.shared.jobs.due()
    }

    /// The node wants this block from now on.
    pub fn offer(&mut self, template: Template, now: Instant, events: &mut Vec<Event>) {
        let generation = self.shared.jobs.generation();
        if let Some(job) = self.shared.jobs.offer(template, now) {
            self.give(&job, job.generation != generation, now, events);
        }
    }

    /// Some time passed: a job may be due, a miner may find too little.
    pub fn tick(&mut self, now: Instant, events: &mut Vec<Event>) {
        let mut generation = self.shared.jobs.generation();
        for job in self.shared.jobs.next(now) {
            self.give(&job, job.generation != generation, now, events);
            generation = job.generation;
        }
        for session in self.sessions.values_mut() {
            session.tick(now, &mut self.shared, events);
        }
        self.shared.seats.expire(now);
    }

    /// Gives everybody a job.
    fn give(&mut self, job: &Arc<Job>, clean: bool, now: Instant, events: &mut Vec<Event>) {
        let (network, height) = (job.template.network.clone(), job.template.height);
        events.push(Event::Job { job: job.name.clone(), network, height, clean });
        for session in self.sessions.values_mut() {
            session.give(job, clean, now, &mut self.shared, events);
        }
    }
}
