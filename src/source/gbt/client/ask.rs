//! What is asked next, and when.

use std::time::{Duration, Instant};

use bitcoin::hex::DisplayHex;
use serde_json::{Value, json};

use super::{Client, Stage};
use crate::chain::payout::Chain;
use crate::limits::{LONGPOLL, NODE_CALL, NODE_WORK};
use crate::source::gbt::{Lane, Request, Template, jobs, rpc};

/// What a node may add to a request's limit before the request counts as lost.
const GRACE: Duration = Duration::from_secs(10);

/// A request under way.
#[derive(Debug)]
pub(super) struct Flight<T> {
    pub(super) id: u64,
    pub(super) what: T,
    pub(super) sent: Instant,
    limit: Duration,
}

/// A short question.
#[derive(Debug)]
pub(super) enum Poll {
    Chain,
    Template,
    /// Whether this template makes a good block.
    Proposal(Box<Template>),
}

impl Client {
    /// The next request to send. Ask until there is none, at every [`deadline`](Self::deadline) and after
    /// every call, also while there is no connection: solved blocks do not wait for one.
    pub fn request(&mut self, now: Instant) -> Option<Request> {
        self.submit_request(now)
            .or_else(|| self.poll_request(now))
            .or_else(|| self.longpoll_request(now))
    }

    fn submit_request(&mut self, now: Instant) -> Option<Request> {
        // Before the chain is known a block of an earlier run might go to the wrong one.
        if self.submit.is_some() || self.chain.is_none() {
            return None;
        }
        let (hash, step, method, params) = self.blocks.next(now)?;
        let (flight, request) =
            self.send(Lane::Submit, (hash, step), (method, &params), NODE_WORK, now);
        self.submit = Some(flight);
        Some(request)
    }

    fn poll_request(&mut self, now: Instant) -> Option<Request> {
        if self.poll.is_some() || self.stage == Stage::Away {
            return None;
        }
        let candidate = self.candidate.take();
        if candidate.is_none() && self.poll_at.is_none_or(|at| at > now) {
            return None;
        }
        let (poll, method, params, limit) = match candidate {
            Some(template) => {
                let block = jobs::proposed(&self.settings, &template).to_lower_hex_string();
                let params = json!([{ "mode": "proposal", "data": block }]);
                (Poll::Proposal(template), "getblocktemplate", params, NODE_WORK)
            }
            None if self.stage == Stage::Connected => {
                (Poll::Chain, "getblockchaininfo", json!([]), NODE_CALL)
            }
            None => (Poll::Template, "getblocktemplate", self.template_params(None), NODE_WORK),
        };
        let (flight, request) = self.send(Lane::Poll, poll, (method, &params), limit, now);
        self.poll = Some(flight);
        Some(request)
    }

    fn longpoll_request(&mut self, now: Instant) -> Option<Request> {
        if self.longpoll.is_some()
            || self.stage == Stage::Away
            || self.longpoll_at.is_none_or(|at| at > now)
        {
            return None;
        }
        let params = self.template_params(Some(self.longpoll_id.as_ref()?));
        let (flight, request) =
            self.send(Lane::Longpoll, (), ("getblocktemplate", &params), LONGPOLL, now);
        self.longpoll = Some(flight);
        Some(request)
    }

    fn send<T>(
        &mut self,
        lane: Lane,
        what: T,
        (method, params): (&str, &Value),
        limit: Duration,
        now: Instant,
    ) -> (Flight<T>, Request) {
        let id = self.requests;
        self.requests += 1;
        let body = rpc::call(id, method, params);
        (Flight { id, what, sent: now, limit }, Request { id, body, limit, lane })
    }

    fn template_params(&self, longpoll: Option<&str>) -> Value {
        // Core refuses to serve a signet to who does not name its rule. Where the chain is not known it
        // does no harm elsewhere.
        let rules: &[&str] = match self.progress.as_ref().and(self.chain) {
            Some(Chain::Signet) | None => &["segwit", "signet"],
            Some(_) => &["segwit"],
        };
        let mut params = json!({ "capabilities": ["coinbasevalue", "longpoll"], "rules": rules });
        if let (Some(id), Value::Object(members)) = (longpoll, &mut params) {
            members.insert("longpollid".to_owned(), id.into());
        }
        json!([params])
    }

    /// When [`tick`](Self::tick) and [`request`](Self::request) have to be called next at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let poll = self.poll.as_ref().map(Flight::lost_at);
        let is_up = self.stage != Stage::Away;
        let poll = poll.or(self.poll_at.filter(|_| is_up));
        let longpoll = self.longpoll.as_ref().map(Flight::lost_at);
        let longpoll =
            longpoll.or(self.longpoll_at.filter(|_| is_up && self.longpoll_id.is_some()));
        let submit = self.submit.as_ref().map(Flight::lost_at);
        let submit = submit.or(self.chain.and_then(|_| self.blocks.due()));
        [poll, longpoll, submit, self.blocks.patience()].into_iter().flatten().min()
    }
}

impl<T> Flight<T> {
    fn lost_at(&self) -> Instant {
        self.sent + self.limit + GRACE
    }

    pub(super) fn is_lost(&self, now: Instant) -> Option<(u64, Duration)> {
        (self.lost_at() <= now).then_some((self.id, self.limit))
    }
}
