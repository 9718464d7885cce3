//! What a run against sources says, as lines for people or as JSON.

use std::time::{Duration, Instant};

use bitcoin::Amount;
use serde::Serialize;

use super::Args;
use super::lines::Recipe;
use crate::chain;
use crate::chain::payout::{Chain, Coinbase, Payout};
use crate::cli::{Failure, output};
use crate::device::DeviceInfo;
use crate::engine::outbox::Pending;
use crate::engine::supervisor::Standing;
use crate::engine::{DeviceId, governor};
use crate::runtime::Crew;
use crate::runtime::mining::{News, Reloaded, Slept, Title};
use crate::runtime::net::Said;
use crate::runtime::snapshot::Snapshot;
use crate::source::{Event as SourceEvent, Work};
use crate::ui::text;
use crate::work::{Share, SourceId, Ticket, Verdict};

/// Lines about shares in a second; more are counted.
const SHARE_LINES: u32 = 10;

/// How often a run says how it is going.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// The events of `--json`, one a line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'e> {
    Device {
        device: u16,
        #[serde(flatten)]
        info: &'e DeviceInfo,
        /// Hashes per second before the run began.
        trial: f64,
    },
    Source {
        source: SourceId,
        state: &'static str,
        /// Any certificate is accepted.
        insecure: bool,
        why: Option<&'e str>,
        retry_seconds: Option<f64>,
    },
    Work {
        source: SourceId,
        job: u64,
        name: String,
        height: Option<u32>,
        clean: bool,
        difficulty: f64,
        block_difficulty: f64,
        /// As `mining.configure` writes it.
        version_mask: String,
        coinbase_tag: Option<String>,
        outputs: Option<Vec<Paid>>,
    },
    Parts {
        parts: &'e [u32],
    },
    Share {
        share: Ticket,
        source: SourceId,
        job: u64,
        device: u16,
        version: i32,
        time: u32,
        nonce: u32,
        hash: String,
        difficulty: f64,
        block: bool,
    },
    Verdict {
        share: Ticket,
        source: SourceId,
        verdict: Verdict,
        why: Option<String>,
        block: bool,
        seconds: f64,
    },
    Message {
        source: SourceId,
        text: String,
    },
    Warning {
        source: Option<SourceId>,
        text: String,
    },
    Fault {
        device: u16,
        why: &'e str,
    },
    Dismissed {
        device: u16,
        why: &'e str,
    },
    /// A device broke, and is opened again.
    Lost {
        device: u16,
        why: &'e str,
        reopened_in_seconds: Option<f64>,
    },
    /// It works again.
    Back {
        device: u16,
    },
    Reloaded {
        #[serde(flatten)]
        reloaded: &'e Reloaded,
    },
    /// The machine slept, or the process was stopped.
    Slept {
        seconds: f64,
    },
    Governed {
        #[serde(flatten)]
        status: &'e governor::Status,
    },
}

/// An output of a coinbase.
#[derive(Serialize)]
struct Paid {
    satoshi: u64,
    to: String,
}

/// A line for each device of a run.
pub(super) fn devices(args: &Args, crew: &Crew, speeds: &[f64]) -> Result<(), Failure> {
    for (device, trial) in (0..).zip(speeds) {
        let Some(info) = crew.device(DeviceId(device)) else { continue };
        if args.json {
            output::json(&Event::Device { device, info, trial: *trial })?;
        } else {
            let speed = text::rate(Some(*trial));
            output::line(format_args!(
                "device {device}: {}, {speed} in a trial",
                text::device(info)
            ))?;
        }
    }
    Ok(())
}

/// A device made a mistake.
pub(super) fn fault(args: &Args, device: DeviceId, why: &str) -> Result<(), Failure> {
    if args.json {
        return output::json(&Event::Fault { device: device.0, why });
    }
    output::note(format_args!("{device}: {}", text::clean(why)));
    Ok(())
}

/// A device gets no more work.
pub(super) fn dismissed(args: &Args, device: DeviceId, why: &str) -> Result<(), Failure> {
    if args.json {
        return output::json(&Event::Dismissed { device: device.0, why });
    }
    output::note(format_args!("{device}: {}", text::clean(why)));
    Ok(())
}

/// A device broke, and is opened again.
fn lost(args: &Args, device: DeviceId, why: &str, standing: Standing) -> Result<(), Failure> {
    let now = Instant::now();
    if args.json {
        let until = standing.until().map(|until| until.saturating_duration_since(now));
        let reopened_in_seconds = until.map(|until| until.as_secs_f64());
        return output::json(&Event::Lost { device: device.0, why, reopened_in_seconds });
    }
    let back = standing.in_words(now).unwrap_or_default();
    output::note(format_args!("{device}: {}; {back}", text::clean(why)));
    Ok(())
}

/// A device is open again.
fn back(args: &Args, device: DeviceId) -> Result<(), Failure> {
    if args.json {
        return output::json(&Event::Back { device: device.0 });
    }
    output::line(format_args!("{device} passed its self-test and works again"))
}

/// Devices were paused, or are not any more.
pub(super) fn governed(args: &Args, status: &governor::Status) -> Result<(), Failure> {
    if args.json {
        return output::json(&Event::Governed { status });
    }
    output::line(status)
}

/// Tells what happens.
pub(super) struct Teller<'t> {
    args: &'t Args,
    /// By their numbers.
    sources: Vec<Title>,
    /// The chain whose addresses are shown.
    chain: Chain,
    /// The coinbase of each source that was told last.
    coinbases: Vec<Option<std::sync::Arc<Coinbase>>>,
    second: Instant,
    lines: u32,
    silent: u64,
    status: Instant,
}

impl<'t> Teller<'t> {
    pub(super) fn new(args: &'t Args) -> Self {
        let rule = args.require_payout.as_ref().map(|rule| rule.payout().chain());
        let payout = args.payout_address.as_ref().map(Payout::chain);
        let chain = args.chain.or(rule).or(payout).unwrap_or(Chain::Main);
        let now = Instant::now();
        let (sources, coinbases) = (Vec::new(), Vec::new());
        Self { args, sources, chain, coinbases, second: now, lines: 0, silent: 0, status: now }
    }

    pub(super) fn tell(&mut self, news: &News<'_>) -> Result<(), Failure> {
        match news {
            News::Said(source, said) => self.said(*source, said),
            News::Parts(parts) => self.parts(parts),
            News::Found(device, share, ticket, pending) => {
                self.found(*device, share, *ticket, *pending)
            }
            News::Closed(ticket, pending, verdict, why) => {
                self.closed(*ticket, *pending, *verdict, *why)
            }
            News::Fault(device, why) => fault(self.args, *device, why),
            News::Dismissed(device, why) => dismissed(self.args, *device, why),
            News::Lost(device, why, standing) => lost(self.args, *device, why, *standing),
            News::Back(device) => back(self.args, *device),
            News::Governed(status) => governed(self.args, status),
            News::Reloaded(reloaded) => self.reloaded(reloaded),
            News::Slept(slept) => self.slept(*slept),
            News::ShareLog(error) => self.warn(
                None,
                &format!("the share log cannot be written: {error}; mining goes on, and every share is tried"),
            ),
            News::Tick(_) => Ok(()),
        }
    }

    /// One more source, with the next number: says what should be known before it is used.
    pub(super) fn meet(&mut self, source: SourceId, recipe: &Recipe) -> Result<(), Failure> {
        self.sources.push(recipe.title.clone());
        self.coinbases.push(None);
        recipe.warning.map_or(Ok(()), |warning| self.warn(Some(source), warning))
    }

    /// Says now and then how it is going.
    pub(super) fn status(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        if self.args.json || self.status.elapsed() < STATUS_EVERY {
            return Ok(());
        }
        self.status = Instant::now();
        let rate = text::rate(snapshot.run.hashes_per_second.one_minute);
        output::line(format_args!("{rate}: {}", text::shares(&snapshot.shares)))?;
        if let Some(outlook) = text::outlook(&snapshot.run.outlook) {
            output::line(outlook)?;
        }
        if snapshot.run.found_work.disagrees {
            output::note(text::disagreement(&snapshot.run.found_work));
        }
        Ok(())
    }

    fn said(&mut self, source: SourceId, said: &Said) -> Result<(), Failure> {
        match said {
            Said::Event(SourceEvent::Ready) => self.state(source, "ready", None, None),
            Said::Event(SourceEvent::Work(work)) => self.work(source, work),
            Said::Event(SourceEvent::NoWork(why)) => self.state(source, "no_work", Some(why), None),
            Said::Down(down, wait) => self.state(source, "down", Some(&down.why), Some(*wait)),
            Said::Event(SourceEvent::Message(message)) => {
                let text = text::clean(message);
                if self.args.json {
                    return output::json(&Event::Message { source, text });
                }
                output::line(format_args!("{}: {text}", self.name(source)))
            }
            Said::Event(SourceEvent::Warning(warning)) | Said::Disk(warning) => {
                self.warn(Some(source), warning)
            }
            // These end in other news.
            Said::Event(
                SourceEvent::Verdict(..) | SourceEvent::Reconnect { .. } | SourceEvent::Down(_),
            )
            | Said::Kept(..) => Ok(()),
        }
    }

    fn state(
        &self,
        source: SourceId,
        state: &'static str,
        why: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<(), Failure> {
        let why = why.map(text::clean);
        if self.args.json {
            let retry_seconds = wait.map(|wait| wait.as_secs_f64());
            return output::json(&Event::Source {
                source,
                state,
                insecure: self.source(source).is_some_and(|title| title.is_insecure),
                why: why.as_deref(),
                retry_seconds,
            });
        }
        let name = self.name(source);
        let again = match wait {
            Some(wait) if !self.args.once => format!("; next try in {}", text::time(wait)),
            _ => String::new(),
        };
        match why {
            Some(why) => {
                output::note(format_args!("{name}: {why}{again}"));
                Ok(())
            }
            None => output::line(format_args!("{name}: {state}")),
        }
    }

    fn work(&mut self, source: SourceId, work: &Work) -> Result<(), Failure> {
        let difficulty = chain::difficulty(&work.job.target);
        let block_difficulty = chain::difficulty(&work.block_target);
        let coinbase = work.coinbase.as_deref();
        if self.args.json {
            return output::json(&Event::Work {
                source,
                job: work.job.id.serial,
                name: text::clean(&work.name),
                height: work.height,
                clean: work.clean,
                difficulty,
                block_difficulty,
                version_mask: format!("{:08x}", work.job.rolls.version_mask()),
                coinbase_tag: coinbase.map(|coinbase| text::clean(&coinbase.tag)),
                outputs: coinbase.map(|coinbase| self.paid(coinbase)),
            });
        }
        let height = work.height.map_or("a block of unknown height".to_owned(), |height| {
            format!("block {}", text::count(height.into()))
        });
        let name = self.name(source);
        output::line(format_args!(
            "{name}: job {} for {height}, share difficulty {}, block difficulty {}",
            text::clean(&work.name),
            text::difficulty(difficulty),
            text::difficulty(block_difficulty),
        ))?;
        // Whom it pays is told again when it changes: amounts change with every fee.
        let known = self.coinbases.get_mut(usize::from(source.0));
        let (Some(known), Some(coinbase)) = (known, &work.coinbase) else { return Ok(()) };
        let is_same = known.as_ref().is_some_and(|known| is_alike(known, coinbase));
        *known = Some(coinbase.clone());
        if is_same { Ok(()) } else { self.payees(source, coinbase) }
    }

    fn payees(&self, source: SourceId, coinbase: &Coinbase) -> Result<(), Failure> {
        let paid: Vec<String> = self
            .paid(coinbase)
            .into_iter()
            .filter(|paid| paid.satoshi > 0)
            .map(|paid| format!("{} to {}", Amount::from_sat(paid.satoshi), paid.to))
            .collect();
        let says = match text::clean(&coinbase.tag) {
            tag if tag.is_empty() => String::new(),
            tag => format!(", and says {tag:?}"),
        };
        output::line(format_args!(
            "{}: its coinbase pays {}{says}",
            self.name(source),
            if paid.is_empty() { "nobody".to_owned() } else { paid.join(", ") },
        ))
    }

    fn paid(&self, coinbase: &Coinbase) -> Vec<Paid> {
        let outputs = coinbase.outputs.iter();
        outputs
            .map(|output| Paid { satoshi: output.value.to_sat(), to: output.describe(self.chain) })
            .collect()
    }

    fn parts(&self, parts: &[u32]) -> Result<(), Failure> {
        if self.args.json {
            return output::json(&Event::Parts { parts });
        }
        let at_work: Vec<String> = (0..)
            .zip(parts)
            .filter(|(_, part)| **part > 0)
            .map(|(source, part)| match self.args.quota {
                Some(_) => format!("{} ({part})", self.name(SourceId(source))),
                None => self.name(SourceId(source)).to_owned(),
            })
            .collect();
        match &at_work[..] {
            [] => output::line("no source has work: the devices wait"),
            // With one source there is nothing to choose.
            _ if parts.len() == 1 => Ok(()),
            list => output::line(format_args!("the devices work for {}", list.join(" and "))),
        }
    }

    fn found(
        &mut self,
        device: DeviceId,
        share: &Share,
        ticket: Ticket,
        pending: Pending,
    ) -> Result<(), Failure> {
        if self.args.json {
            return output::json(&Event::Share {
                share: ticket,
                source: pending.source,
                job: share.job.serial,
                device: device.0,
                version: share.header.version.to_consensus(),
                time: share.header.time,
                nonce: share.header.nonce,
                hash: share.hash.to_string(),
                difficulty: pending.difficulty,
                block: pending.is_block,
            });
        }
        if pending.is_block && self.may_tell_share()? {
            let name = self.name(pending.source);
            output::line(format_args!("{name}: a block was found on {device}: {}", share.hash))?;
        }
        Ok(())
    }

    fn closed(
        &mut self,
        ticket: Ticket,
        pending: Pending,
        verdict: Verdict,
        why: Option<&str>,
    ) -> Result<(), Failure> {
        let why = why.map(text::clean);
        let took = pending.found.elapsed();
        if self.args.json {
            return output::json(&Event::Verdict {
                share: ticket,
                source: pending.source,
                verdict,
                why,
                block: pending.is_block,
                seconds: took.as_secs_f64(),
            });
        }
        let is_news = pending.is_block && verdict == Verdict::Accepted;
        if !is_news && !self.may_tell_share()? {
            return Ok(());
        }
        let what = if pending.is_block { "block" } else { "share" };
        output::line(format_args!(
            "{}: {what} of difficulty {} {verdict} after {}{}",
            self.name(pending.source),
            text::difficulty(pending.difficulty),
            text::time(took),
            why.map(|why| format!(": {why}")).unwrap_or_default(),
        ))
    }

    /// Some lines a second may be about shares; of the others the number is told.
    fn may_tell_share(&mut self) -> Result<bool, Failure> {
        if self.second.elapsed() >= Duration::from_secs(1) {
            (self.second, self.lines) = (Instant::now(), 0);
            let silent = std::mem::take(&mut self.silent);
            if silent > 0 {
                output::line(format_args!("… and {} more", text::count(silent)))?;
            }
        }
        self.lines += 1;
        let may = self.lines <= SHARE_LINES;
        self.silent += u64::from(!may);
        Ok(may)
    }

    fn reloaded(&self, reloaded: &Reloaded) -> Result<(), Failure> {
        if self.args.json {
            return output::json(&Event::Reloaded { reloaded });
        }
        if reloaded.error.is_some() {
            output::note(reloaded);
            return Ok(());
        }
        output::line(reloaded)
    }

    fn slept(&self, slept: Slept) -> Result<(), Failure> {
        if self.args.json {
            return output::json(&Event::Slept { seconds: slept.0.as_secs_f64() });
        }
        output::line(slept)
    }

    fn warn(&self, source: Option<SourceId>, warning: &str) -> Result<(), Failure> {
        let text = text::clean(warning);
        if self.args.json {
            return output::json(&Event::Warning { source, text });
        }
        match source {
            Some(source) => output::note(format_args!("{}: {text}", self.name(source))),
            None => output::note(text),
        }
        Ok(())
    }

    fn name(&self, source: SourceId) -> &str {
        self.source(source).map_or("a source", |title| &title.name)
    }

    fn source(&self, source: SourceId) -> Option<&Title> {
        self.sources.get(usize::from(source.0))
    }
}

/// Whether two coinbases pay the same and say the same; amounts apart.
fn is_alike(a: &Coinbase, b: &Coinbase) -> bool {
    let scripts = |coinbase: &Coinbase| -> Vec<_> {
        let paid = coinbase.outputs.iter().filter(|output| output.value > Amount::ZERO);
        paid.map(|output| output.script.clone()).collect()
    };
    a.tag == b.tag && scripts(a) == scripts(b)
}
