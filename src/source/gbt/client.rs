//! The conversation with the node, as a state machine without socket, thread or clock.

mod ask;
mod mine;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use serde::Deserialize;

use self::ask::{Flight, Poll};
use self::mine::Current;
use super::blocks::{Blocks, Step};
use super::jobs::Jobs;
use super::rpc::{self, Answer, Fault};
use super::tips::Tips;
use super::{Settings, SolvedBlock, Template};
use crate::chain::payout::Chain;
use crate::limits::{NODE_FAILURES, RECONNECT};
use crate::source::{Down, Event, Remedy};

/// Least time from one long poll to the next: a node may answer at once, again and again.
const LONGPOLL_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait for another template after one that cannot be worked on, or whose block was refused.
const ANOTHER_TEMPLATE: Duration = Duration::from_secs(5);

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
                    self.proposed(*template, now);
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
            (Ok(Some(named)), Some(chain)) if named != chain && self.progress.is_some() => {
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
            return self
                .down(format!("--payout-address does not fit the node: {error}"), Remedy::User);
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

    /// What there is to say.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
