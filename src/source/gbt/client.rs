//! The conversation with the node, as a state machine without socket, thread or clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, CompactTarget};
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocks::{Blocks, Settled, Step};
use super::jobs::{self, Jobs};
use super::rpc::{self, Answer, Fault};
use super::tips::{Allowed, Tips};
use super::{Lane, Request, Settings, SolvedBlock, Template};
use crate::chain;
use crate::chain::payout::Chain;
use crate::limits::{LONGPOLL, NODE_CALL, NODE_FAILURES, NODE_WORK, RECONNECT};
use crate::source::{Down, Event, Remedy};
use crate::work::{JobId, Share, Ticket, Verdict};

/// Least time from one long poll to the next: a node may answer at once, again and again.
const LONGPOLL_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait for another template after one that cannot be worked on, or whose block was refused.
const ANOTHER_TEMPLATE: Duration = Duration::from_secs(5);

/// What a node may add to a request's limit before the request counts as lost.
const GRACE: Duration = Duration::from_secs(10);

/// Mines on one node. It lives as long as the source does, through all connections.
///
/// One block for each tip: from the first share of a tip on, others are stale until the node has answered,
/// since a second block of the same height is of no use. They can only come where a block takes few hashes.
/// A share whose tip was followed by somebody else's block meanwhile is given to the node all the same: it
/// is a whole block, and may yet win.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    events: VecDeque<Event>,
    blocks: Blocks,
    /// Requests under way and how many there were.
    poll: Option<Flight<Poll>>,
    longpoll: Option<Flight<()>>,
    submit: Option<Flight<(BlockHash, Step)>>,
    requests: u64,
    stage: Stage,
    /// The chain that this run is about, and how far the node was.
    chain: Option<Chain>,
    progress: Option<ChainInfo>,
    failures: u32,
    poll_at: Option<Instant>,
    longpoll_at: Option<Instant>,
    longpoll_id: Option<String>,
    longpoll_failures: u32,
    /// A template to be proposed before it is worked on.
    candidate: Option<Box<Template>>,
    current: Option<Current>,
    jobs: Jobs,
    tips: Tips,
    warned_of_value: bool,
}

/// How far the conversation is, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// There is no way to the node.
    Away,
    /// There is, but its chain is not known yet.
    Connected,
    /// The chain is the right one.
    Identified,
    /// There was a first template.
    Ready,
}

/// A request under way.
#[derive(Debug)]
struct Flight<T> {
    id: u64,
    what: T,
    sent: Instant,
    limit: Duration,
}

/// A short question.
#[derive(Debug)]
enum Poll {
    Chain,
    Template,
    /// Whether this template makes a good block.
    Proposal(Box<Template>),
}

/// What is worked on.
#[derive(Debug)]
struct Current {
    job: JobId,
    previous: BlockHash,
    height: u32,
    bits: CompactTarget,
    /// When the template came, and when the job was made of it.
    since: Instant,
    /// The next request then: answers to earlier ones may be older than this.
    requests: u64,
}

/// What `getblockchaininfo` gives, as far as it is used.
#[derive(Debug, Deserialize)]
struct ChainInfo {
    chain: String,
    #[serde(default)]
    blocks: u64,
    #[serde(default)]
    headers: u64,
}

impl Client {
    /// A client that waits for [`connected`](Self::connected).
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            events: VecDeque::new(),
            blocks: Blocks::default(),
            poll: None,
            longpoll: None,
            submit: None,
            requests: 0,
            stage: Stage::Away,
            chain: None,
            progress: None,
            failures: 0,
            poll_at: None,
            longpoll_at: None,
            longpoll_id: None,
            longpoll_failures: 0,
            candidate: None,
            current: None,
            jobs: Jobs::default(),
            tips: Tips::default(),
            warned_of_value: false,
        }
    }

    /// There is a way to the node: ask for its chain and then for templates.
    pub fn connected(&mut self, now: Instant) {
        self.forget_connection();
        (self.stage, self.poll_at) = (Stage::Connected, Some(now));
    }

    /// There is no way to the node any more. Solved blocks are tried all the same.
    pub fn disconnected(&mut self) {
        self.forget_connection();
    }

    fn forget_connection(&mut self) {
        self.stage = Stage::Away;
        (self.poll, self.longpoll, self.candidate, self.current) = (None, None, None, None);
        (self.poll_at, self.longpoll_at, self.longpoll_id) = (None, None, None);
        (self.failures, self.longpoll_failures) = (0, 0);
    }

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

    /// The answer to a request: what came over HTTP, or in words why nothing did.
    pub fn respond(&mut self, id: u64, answer: &Result<Answer, String>, now: Instant) {
        if let Some(flight) = self.poll.take_if(|flight| flight.id == id) {
            self.polled(flight, answer, now);
        } else if let Some(flight) = self.longpoll.take_if(|flight| flight.id == id) {
            self.longpolled(&flight, answer, now);
        } else if let Some(flight) = self.submit.take_if(|flight| flight.id == id) {
            let answered = self.blocks.respond(flight.what, (id, answer), now, &mut self.events);
            if let Some(settled) = answered {
                self.settled(&settled, now);
            }
            self.expire(now);
        }
    }

    fn polled(&mut self, flight: Flight<Poll>, answer: &Result<Answer, String>, now: Instant) {
        let id = flight.id;
        match flight.what {
            Poll::Chain => match rpc::result(id, answer) {
                Ok(info) => self.identified(info, now),
                // Some nodes, and proxies before them, let nobody call it.
                Err(Fault::Rpc { code: rpc::METHOD_NOT_FOUND, .. } | Fault::Forbidden) => {
                    self.identified(None, now);
                }
                Err(fault) => self.failed(&fault, now),
            },
            Poll::Template => {
                self.poll_at = Some(now + self.settings.refresh);
                match Template::answered(id, answer) {
                    Ok(template) => self.offered(template, id, now),
                    Err(fault) => self.failed(&fault, now),
                }
            }
            Poll::Proposal(template) => match rpc::result::<String>(id, answer) {
                // The nonce is none yet, which bcoin notices.
                Ok(words) if words.as_deref().is_none_or(|words| words == "high-hash") => {
                    self.failures = 0;
                    self.adopt(*template, now);
                }
                // The tip changed meanwhile, so another template is on its way.
                Ok(Some(words)) if words == "inconclusive-not-best-prevblk" => {
                    self.poll_at = Some(now);
                }
                Ok(words) => {
                    let words = rpc::shortened(&words.unwrap_or_default());
                    self.events.push_back(Event::Warning(format!(
                        "the node would refuse a block of its own template for height {} ({words}); \
                        another template is asked for",
                        template.height
                    )));
                    self.poll_at = Some(now + ANOTHER_TEMPLATE);
                }
                Err(fault) => self.failed(&fault, now),
            },
        }
    }

    /// The node has told its chain, or cannot.
    fn identified(&mut self, info: Option<ChainInfo>, now: Instant) {
        let named = info.as_ref().map(|info| info.chain.parse::<Chain>()).transpose();
        let chain = match (named, self.chain) {
            (Err(unknown), _) => return self.down(unknown.to_string(), Remedy::User),
            (Ok(Some(named)), Some(chain)) if named != chain => {
                let why = format!(
                    "the node is on {named} now, but this run began on {chain}; start it with the data of \
                    {chain} again, or start adit anew"
                );
                return self.down(why, Remedy::User);
            }
            (Ok(Some(named)), _) => named,
            (Ok(None), chain) => chain.unwrap_or_else(|| self.settings.payout.chain()),
        };
        if let Err(error) = self.settings.payout.check(chain) {
            return self.down(error.to_string(), Remedy::User);
        }
        (self.chain, self.progress, self.stage) = (Some(chain), info, Stage::Identified);
        self.blocks.keep_only(chain, &mut self.events);
        self.poll_at = Some(now);
    }

    fn longpolled(&mut self, flight: &Flight<()>, answer: &Result<Answer, String>, now: Instant) {
        match Template::answered(flight.id, answer) {
            Ok(template) => {
                self.longpoll_failures = 0;
                self.longpoll_at = Some(now.max(flight.sent + LONGPOLL_PAUSE));
                self.offered(template, flight.id, now);
            }
            Err(fault) => {
                // What it means for the source is found out by asking for a template.
                self.longpoll_failures = self.longpoll_failures.saturating_add(1);
                if matches!(fault, Fault::Rpc { .. }) && self.longpoll_failures == NODE_FAILURES {
                    self.events.push_back(Event::Warning(format!(
                        "the node does not long-poll ({fault}); it is asked for a new block every {} s",
                        self.settings.refresh.as_secs()
                    )));
                }
                let [first, longest] = RECONNECT;
                let doubled = first.saturating_mul(1 << self.longpoll_failures.min(10));
                self.longpoll_at = Some(now + doubled.min(longest));
                if self.longpoll_failures == 1 {
                    self.poll_at = Some(now);
                }
            }
        }
    }

    /// A question was answered by a fault.
    fn failed(&mut self, fault: &Fault, now: Instant) {
        self.failures += 1;
        if fault.is_passing() && self.current.is_some() && self.failures < NODE_FAILURES {
            self.events.push_back(Event::Warning(fault.to_string()));
            self.poll_at = Some(now + RECONNECT[0]);
            return;
        }
        let mut why = fault.to_string();
        if let (Fault::Rpc { code: rpc::DOWNLOADING, .. }, Some(info)) = (fault, &self.progress) {
            why = format!("{why} (block {} of {})", info.blocks, info.headers);
        }
        self.down(why, fault.remedy());
    }

    fn down(&mut self, why: String, remedy: Remedy) {
        self.forget_connection();
        self.events.push_back(Event::Down(Down { why, remedy }));
    }

    /// A template came, with the answer to `request`.
    fn offered(&mut self, template: Template, request: u64, now: Instant) {
        self.failures = 0;
        self.longpoll_id.clone_from(&template.longpoll);
        if self.longpoll_at.is_none() {
            self.longpoll_at = Some(now);
        }
        match self.tips.offered(template.previous, request) {
            Allowed::Yes => {}
            Allowed::No => return,
            Allowed::AskAgain => {
                self.poll_at = Some(now);
                return;
            }
        }
        if let Some(current) = &self.current {
            if request < current.requests && template.height < current.height {
                // Overtaken by the answer to a later request.
                self.poll_at = Some(now);
                return;
            }
            let is_same = (current.previous, current.bits) == (template.previous, template.bits);
            if is_same && now.saturating_duration_since(current.since) < self.settings.refresh {
                return;
            }
        }
        if self.settings.propose {
            self.candidate = Some(Box::new(template));
        } else {
            self.adopt(template, now);
        }
    }

    /// Works on a template from now on.
    fn adopt(&mut self, template: Template, now: Instant) {
        let (previous, height, bits) = (template.previous, template.height, template.bits);
        let clean = self.current.as_ref().is_none_or(|current| current.previous != previous);
        self.warn_of(&template);
        let template = Arc::new(template);
        let work = match self.jobs.issue(&self.settings, &template, template.time, clean) {
            Ok(work) => work,
            Err(why) => return self.down(why, Remedy::User),
        };
        if std::mem::replace(&mut self.stage, Stage::Ready) != Stage::Ready {
            self.events.push_back(Event::Ready);
        }
        let (job, requests) = (work.job.id, self.requests);
        self.current = Some(Current { job, previous, height, bits, since: now, requests });
        self.poll_at = Some(now + self.settings.refresh);
        self.events.push_back(Event::Work(Box::new(work)));
    }

    /// What is odd about a template, but may be meant.
    fn warn_of(&mut self, template: &Template) {
        if let Some(last) = self.jobs.last().filter(|last| template.height < last.height) {
            self.events.push_back(Event::Warning(format!(
                "the node went back from height {} to {}: its chain was reorganised, or it was started \
                with other data",
                last.height, template.height
            )));
        }
        let due = self.progress.as_ref().and(self.chain).and_then(|chain| template.due(chain));
        if let Some(due) = due.filter(|due| *due != template.value && !self.warned_of_value) {
            self.warned_of_value = true;
            self.events.push_back(Event::Warning(format!(
                "the node says that the coinbase may pay {}, but subsidy and fees of height {} make {due}",
                template.value, template.height
            )));
        }
    }

    /// All hashes of a job are tested: another job of the same template, with the time that it is by now.
    pub fn exhausted(&mut self, job: JobId, now: Instant) {
        let Some(current) = self.current.as_mut().filter(|current| current.job == job) else {
            return;
        };
        let Some(template) = self.jobs.template(job).map(Arc::clone) else { return };
        let elapsed = now.saturating_duration_since(current.since).as_secs();
        // Where the target depends on the time, another time can make the header wrong.
        let is_fixed = self.chain.is_none_or(Chain::time_changes_target) || !template.time_rolls;
        let elapsed = if is_fixed { 0 } else { u32::try_from(elapsed).unwrap_or(u32::MAX) };
        let time = template.time.saturating_add(elapsed).min(*template.times.end());
        match self.jobs.issue(&self.settings, &template, time, false) {
            Ok(work) => {
                current.job = work.job.id;
                self.events.push_back(Event::Work(Box::new(work)));
            }
            Err(why) => self.down(why, Remedy::User),
        }
    }

    /// Takes a share, which is a block. Exactly one [`Event::Verdict`] follows.
    pub fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant) {
        let solved = self.jobs.solve(share).and_then(|solved| {
            if self.tips.knows(share.hash) {
                return Err((Verdict::Duplicate, "it was found before"));
            }
            if self.tips.is_occupied(solved.previous) {
                return Err((Verdict::Stale, "another block of its height was found before"));
            }
            Ok(solved)
        });
        let solved = match solved {
            Ok(solved) => solved,
            Err((verdict, why)) => {
                self.events.push_back(Event::Verdict(ticket, verdict, Some(why.to_owned())));
                return;
            }
        };
        let block = SolvedBlock {
            hash: share.hash,
            height: solved.height,
            chain: self.chain.unwrap_or(self.settings.payout.chain()),
            bytes: solved.bytes,
            ticket: Some(ticket),
        };
        self.occupy(solved.previous, share.hash);
        self.blocks.add(block, solved.previous, false, now, &mut self.events);
    }

    /// Takes a block of an earlier run that has no final answer yet, as it was stored. It is given to the
    /// node before anything is mined on the same tip.
    pub fn recover(&mut self, block: SolvedBlock, now: Instant) {
        let head = block.bytes.first_chunk().map(chain::header_from_bytes);
        let Some(header) = head.filter(|header| chain::block_hash(header) == block.hash) else {
            self.events.push_back(Event::Warning(format!(
                "what is on disk as block {} {} is not that block; it is left alone",
                block.height, block.hash
            )));
            return;
        };
        let (previous, block) = (header.prev_blockhash, SolvedBlock { ticket: None, ..block });
        if self.tips.knows(block.hash) {
            return;
        }
        self.occupy(previous, block.hash);
        self.blocks.add(block, previous, true, now, &mut self.events);
        if let Some(chain) = self.chain {
            self.blocks.keep_only(chain, &mut self.events);
        }
    }

    /// There is a block to follow `previous`: another is of no use there.
    fn occupy(&mut self, previous: BlockHash, solution: BlockHash) {
        self.tips.occupy(previous, solution);
        if self.current.take_if(|current| current.previous == previous).is_some() {
            let why = "a block was found; work goes on when the node has answered";
            self.events.push_back(Event::NoWork(why.to_owned()));
        }
    }

    /// A block has its final answer: the next one can be mined.
    fn settled(&mut self, settled: &Settled, now: Instant) {
        self.tips.answered(settled.previous, self.requests);
        let wait =
            if settled.verdict == Verdict::Rejected { ANOTHER_TEMPLATE } else { Duration::ZERO };
        self.poll_at = Some(now + wait);
    }

    /// The next block to be written to disk. Call [`stored`](Self::stored) when that is done.
    pub fn to_store(&mut self) -> Option<SolvedBlock> {
        self.blocks.unstored()
    }

    /// A block is on disk for good, or cannot be put there: only now it is given to the node.
    pub fn stored(&mut self, block: BlockHash, now: Instant) {
        self.blocks.stored(block, now);
    }

    /// A block that has its final answer, with the words, to be noted on disk.
    pub fn answered(&mut self) -> Option<(BlockHash, String)> {
        self.blocks.answered()
    }

    /// The run ends: shares without an answer are expired. Their blocks are on disk.
    pub fn end(&mut self) {
        self.blocks.end(&mut self.events);
    }

    /// The time has come to [`deadline`](Self::deadline), or passed it.
    pub fn tick(&mut self, now: Instant) {
        let lost = [
            self.poll.as_ref().and_then(|flight| flight.is_lost(now)),
            self.longpoll.as_ref().and_then(|flight| flight.is_lost(now)),
            self.submit.as_ref().and_then(|flight| flight.is_lost(now)),
        ];
        for (id, limit) in lost.into_iter().flatten() {
            self.respond(id, &Err(format!("no answer in {} s", limit.as_secs())), now);
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        for settled in self.blocks.expire(now, &mut self.events) {
            self.settled(&settled, now);
        }
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

    /// What there is to say.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl<T> Flight<T> {
    fn lost_at(&self) -> Instant {
        self.sent + self.limit + GRACE
    }

    fn is_lost(&self, now: Instant) -> Option<(u64, Duration)> {
        (self.lost_at() <= now).then_some((self.id, self.limit))
    }
}
