//! Which programs and web addresses hear of a run, and what of it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::engine::DeviceId;
use crate::runtime::hooks::{Hook, Hooks, Occasion};
use crate::runtime::mining::{News, Title};
use crate::runtime::net::Said;
use crate::work::SourceId;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who is told (a program with its arguments, or a web address)")]
pub(super) struct HookOptions {
    /// Told of each share's verdict, as JSON on its standard input or by POST
    #[arg(long = "on-share", value_name = "PROGRAM|URL", value_parser = hook)]
    share: Option<Hook>,

    /// Told of a block that was found, and of its verdict
    #[arg(long = "on-block", value_name = "PROGRAM|URL", value_parser = hook)]
    block: Option<Hook>,

    /// Told of a device that makes mistakes, breaks, or works again
    #[arg(long = "on-device-sick", value_name = "PROGRAM|URL", value_parser = hook)]
    device_sick: Option<Hook>,

    /// Told of a source that cannot be used
    #[arg(long = "on-source-down", value_name = "PROGRAM|URL", value_parser = hook)]
    source_down: Option<Hook>,
}

fn hook(text: &str) -> Result<Hook, String> {
    text.parse()
}

/// Tells the hooks of a run what happens in it.
pub(super) struct Herald {
    hooks: Option<Hooks>,
    /// Their names.
    sources: Vec<String>,
}

impl HookOptions {
    /// Whether anybody is to be told.
    pub(super) const fn any(&self) -> bool {
        self.share.is_some()
            || self.block.is_some()
            || self.device_sick.is_some()
            || self.source_down.is_some()
    }

    pub(super) fn herald(&self) -> Result<Herald, Failure> {
        let all = [
            (Occasion::Share, &self.share),
            (Occasion::Block, &self.block),
            (Occasion::Device, &self.device_sick),
            (Occasion::Source, &self.source_down),
        ];
        let hooks = all.into_iter().filter_map(|(occasion, hook)| Some((occasion, hook.clone()?)));
        let hooks = self.any().then(|| Hooks::start(hooks.collect())).transpose()?;
        Ok(Herald { hooks, sources: Vec::new() })
    }
}

impl Herald {
    /// One more source, with the next number.
    pub(super) fn meet(&mut self, title: &Title) {
        self.sources.push(title.name.clone());
    }

    pub(super) fn hear(&mut self, news: &News<'_>) {
        let Some(hooks) = &mut self.hooks else { return };
        let name = |source: SourceId| self.sources.get(usize::from(source.0));
        let device = |device: DeviceId, state: &str, why: Option<&str>| json!({ "device": device.0, "state": state, "why": why });
        let mut tell = |occasion: Occasion, facts: Value| {
            if hooks.wants(occasion) {
                hooks.tell(occasion, with_time(facts), Instant::now());
            }
        };
        match news {
            News::Found(device, share, ticket, pending) if pending.is_block => tell(
                Occasion::Block,
                json!({
                    "share": ticket, "source": name(pending.source), "device": device.0,
                    "hash": share.hash.to_string(), "verdict": null, "why": null,
                }),
            ),
            News::Closed(ticket, pending, verdict, why) => {
                let facts = json!({
                    "share": ticket, "source": name(pending.source), "difficulty": pending.difficulty,
                    "verdict": verdict, "why": why,
                });
                if pending.is_block {
                    tell(Occasion::Block, facts.clone());
                }
                tell(Occasion::Share, facts);
            }
            News::Fault(id, why) => tell(Occasion::Device, device(*id, "sick", Some(*why))),
            News::Lost(id, why, _) => tell(Occasion::Device, device(*id, "away", Some(*why))),
            News::Dismissed(id, why) => tell(Occasion::Device, device(*id, "gone", Some(*why))),
            News::Back(id) => tell(Occasion::Device, device(*id, "well", None)),
            News::Said(source, Said::Down(down, wait)) => tell(
                Occasion::Source,
                json!({
                    "source": name(*source), "why": down.why, "retry_seconds": wait.as_secs_f64(),
                }),
            ),
            _ => {}
        }
    }
}

fn with_time(facts: Value) -> Map<String, Value> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut map = Map::from_iter([("unix_seconds".to_owned(), unix.as_secs_f64().into())]);
    if let Value::Object(facts) = facts {
        map.extend(facts);
    }
    map
}
