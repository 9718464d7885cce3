//! Talks with the node behind a pool: asks it for templates, and gives it the blocks.

use std::cell::Cell;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{Amount, TxMerkleNode, TxOut};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::sleep;

use super::jobs::{self, Body, Solved};
use super::{NodeEnd, Word};
use crate::chain::payout::{Chain, Payout};
use crate::limits::{LONGPOLL, NODE_CALL, NODE_WORK};
use crate::source::Remedy;
use crate::source::gbt::{Answer, Fault, Template, call, result};

/// How long to wait before a node that gave no template is asked again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Least time from one template to the next: a node may answer long polls at once, again and again.
const PAUSE: Duration = Duration::from_millis(250);

/// The same for a node that knows no long poll.
const REFRESH: Duration = Duration::from_secs(5);

/// Follows a node until the pool ends. Blocks pay `payout` and say `tag`, 40 bytes at most. `post` carries a
/// request to the node and brings the answer within a time, or says why there is none.
///
/// # Errors
///
/// Why the node is of no use, when only the user can help.
pub async fn follow(
    end: NodeEnd,
    payout: &Payout,
    tag: &str,
    post: impl AsyncFn(Vec<u8>, Duration) -> Result<Answer, String>,
) -> Result<(), String> {
    let NodeEnd { words, solved } = end;
    let talk = Talk { payout, tag, post, words, requests: Cell::new(0) };
    tokio::select! {
        ended = talk.templates() => ended,
        () = talk.blocks(solved) => Ok(()),
    }
}

struct Talk<'t, P> {
    payout: &'t Payout,
    tag: &'t str,
    post: P,
    words: Sender<Word>,
    requests: Cell<u64>,
}

/// What `getblockchaininfo` gives, as far as it is used.
#[derive(Deserialize)]
struct ChainInfo {
    chain: String,
}

impl<P: AsyncFn(Vec<u8>, Duration) -> Result<Answer, String>> Talk<'_, P> {
    async fn templates(&self) -> Result<(), String> {
        let (mut chain, mut longpoll, mut told) = (None, None, String::new());
        loop {
            let wait = match self.template(&mut chain, longpoll.as_deref()).await {
                Ok(template) => {
                    told.clear();
                    longpoll.clone_from(&template.longpoll);
                    let template = self.made_of(&template, chain);
                    if self.words.send(Word::Template(Box::new(template))).await.is_err() {
                        return Ok(());
                    }
                    if longpoll.is_some() { PAUSE } else { REFRESH }
                }
                Err(Trouble { why, remedy: Remedy::User }) => return Err(why),
                Err(Trouble { why, .. }) => {
                    longpoll = None;
                    // Once is enough.
                    if told != why {
                        told.clone_from(&why);
                        if self.words.send(Word::Warning(why)).await.is_err() {
                            return Ok(());
                        }
                    }
                    TRY_AGAIN
                }
            };
            sleep(wait).await;
        }
    }

    /// The next template, once the node has told its chain.
    async fn template(
        &self,
        chain: &mut Option<Chain>,
        longpoll: Option<&str>,
    ) -> Result<Template, Trouble> {
        let chain = match *chain {
            Some(chain) => chain,
            None => *chain.insert(self.identify().await?),
        };
        let mut request = json!({
            "capabilities": ["coinbasevalue", "longpoll"],
            "rules": if chain == Chain::Signet { &["segwit", "signet"][..] } else { &["segwit"] },
        });
        let mut limit = NODE_WORK;
        if let (Some(id), Value::Object(members)) = (longpoll, &mut request) {
            members.insert("longpollid".to_owned(), id.into());
            limit = LONGPOLL;
        }
        let (id, answer) = self.ask("getblocktemplate", &json!([request]), limit).await;
        Ok(Template::answered(id, &answer)?)
    }

    async fn identify(&self) -> Result<Chain, Trouble> {
        let (id, answer) = self.ask("getblockchaininfo", &json!([]), NODE_CALL).await;
        let user = |why: String| Trouble { why, remedy: Remedy::User };
        let info: Option<ChainInfo> = result(id, &answer)?;
        let Some(info) = info else { return Err(user("the node tells no chain".to_owned())) };
        let named = info.chain.parse::<Chain>();
        let chain = named.map_err(|unknown| user(unknown.to_string()))?;
        self.payout.check(chain).map_err(|error| user(error.to_string()))?;
        Ok(chain)
    }

    /// A template as the pool knows it.
    fn made_of(&self, template: &Template, chain: Option<Chain>) -> jobs::Template {
        let paid = TxOut { value: template.value, script_pubkey: self.payout.script.clone() };
        let commitment = template.commitment.clone();
        let commitment =
            commitment.map(|script| TxOut { value: Amount::ZERO, script_pubkey: script });
        jobs::Template {
            network: chain.map(|chain| chain.to_string()).unwrap_or_default(),
            height: template.height,
            header: Header {
                version: template.version,
                prev_blockhash: template.previous,
                merkle_root: TxMerkleNode::all_zeros(),
                time: template.time,
                bits: template.bits,
                nonce: 0,
            },
            branch: template.branch.clone(),
            tag: self.tag.to_owned(),
            outputs: std::iter::once(paid).chain(commitment).collect(),
            body: Some(Body {
                transactions: template.body().to_vec(),
                count: template.transactions(),
                commits: template.commitment.is_some(),
            }),
        }
    }

    async fn blocks(&self, mut solved: Receiver<Solved>) {
        while let Some(block) = solved.recv().await {
            let hex = json!([block.bytes.to_lower_hex_string()]);
            let (id, answer) = self.ask("submitblock", &hex, NODE_WORK).await;
            let refusal = match result::<String>(id, &answer) {
                // It has it from somebody else, or from us.
                Ok(words) => words.filter(|words| words != "duplicate"),
                Err(fault) => Some(fault.to_string()),
            };
            if self.words.send(Word::Answer(block, refusal)).await.is_err() {
                return;
            }
        }
    }

    async fn ask(
        &self,
        method: &str,
        params: &Value,
        limit: Duration,
    ) -> (u64, Result<Answer, String>) {
        let id = self.requests.get();
        self.requests.set(id.wrapping_add(1));
        (id, (self.post)(call(id, method, params), limit).await)
    }
}

/// Why there is no template now.
struct Trouble {
    why: String,
    remedy: Remedy,
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self { why: fault.to_string(), remedy: fault.remedy() }
    }
}
