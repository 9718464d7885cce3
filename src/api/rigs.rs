//! The read-only core of the API that dashboards of mining rigs speak, by custom on port 4028: one command a
//! connection, answered as text or, when asked in JSON, as JSON, with a zero byte at the end.
//!
//! Names, codes and forms are those of cgminer's API 3.7. A field that is not known is left out.

mod port;

use serde_json::{Map, Value, json};

use crate::runtime::snapshot::{Device, Health, Link, Snapshot, Source};

pub use port::RigListener;

/// The version of cgminer's API whose forms these are.
const API: &str = "3.7";

/// Commands of cgminer that would change something, or belong to those that would.
const PRIVILEGED: [&str; 17] = [
    "addpool",
    "removepool",
    "switchpool",
    "enablepool",
    "disablepool",
    "poolpriority",
    "poolquota",
    "setpool",
    "gpuenable",
    "gpudisable",
    "gpurestart",
    "pgaset",
    "ascset",
    "save",
    "quit",
    "restart",
    "privileged",
];

/// What a command answers: a status, and the name and items of its section.
struct Reply {
    is_good: bool,
    code: u32,
    message: String,
    section: Option<(&'static str, Vec<Map<String, Value>>)>,
}

/// Whether more of a request may follow: JSON that is not whole yet.
fn is_partial(request: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(request).err();
    request.first() == Some(&b'{') && error.is_some_and(|error| error.is_eof())
}

/// Answers a request to the API of port 4028, without the zero byte.
#[must_use]
pub fn answer(request: &str, snapshot: &Snapshot) -> String {
    let request = request.trim_matches(['\0', '\r', '\n', ' ']);
    if !request.starts_with('{') {
        // What follows the bar is a parameter, and no command here has one.
        let command = request.split('|').next().unwrap_or_default();
        return match joined(command) {
            None => text(&reply(command, snapshot), snapshot),
            Some(commands) => {
                let reply = |command| text(&reply(command, snapshot), snapshot);
                let of = |command| ["CMD=", &plain(command), "|", &reply(command)].concat();
                commands.into_iter().map(of).collect()
            }
        };
    }
    let command = match serde_json::from_str::<Value>(request) {
        Err(_) => Err(Reply::bad(23, "Invalid JSON")),
        Ok(asked) => match asked.get("command") {
            None => Err(Reply::bad(24, "Missing JSON 'command'")),
            Some(Value::String(command)) => Ok(command.clone()),
            Some(_) => Err(Reply::bad(14, "Invalid command")),
        },
    };
    let answer = match command {
        Err(bad) => object(&bad, snapshot),
        Ok(command) => match joined(&command) {
            None => object(&reply(&command, snapshot), snapshot),
            Some(commands) => {
                let mut all = Map::new();
                for command in commands {
                    all.insert(
                        command.to_owned(),
                        json!([object(&reply(command, snapshot), snapshot)]),
                    );
                }
                all.insert("id".to_owned(), 1.into());
                all.into()
            }
        },
    };
    answer.to_string()
}

/// Several commands in one, each once.
fn joined(command: &str) -> Option<Vec<&str>> {
    command.contains('+').then(|| {
        let mut commands: Vec<&str> = Vec::new();
        for command in command.split('+').filter(|command| !command.is_empty()) {
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
        commands
    })
}

impl Reply {
    fn bad(code: u32, message: impl Into<String>) -> Self {
        Self { is_good: false, code, message: message.into(), section: None }
    }

    fn good(code: u32, message: impl Into<String>, name: &'static str, items: Vec<Value>) -> Self {
        let of = |item| if let Value::Object(item) = item { item } else { Map::new() };
        // What is not known is left out.
        let known =
            |item: Map<String, Value>| item.into_iter().filter(|(_, v)| !v.is_null()).collect();
        let items = items.into_iter().map(|item| known(of(item))).collect();
        Self { is_good: true, code, message: message.into(), section: Some((name, items)) }
    }
}

fn reply(command: &str, snapshot: &Snapshot) -> Reply {
    let (devices, pools) = (snapshot.devices.len(), snapshot.sources.len());
    match command {
        "version" => {
            let version = program(snapshot);
            let item = json!({ "Miner": version, "CGMiner": version, "API": API });
            Reply::good(22, "CGMiner versions", "VERSION", vec![item])
        }
        "summary" => Reply::good(11, "Summary", "SUMMARY", vec![summary(snapshot)]),
        "devs" if devices == 0 => Reply::bad(10, "No GPUs"),
        "devs" => {
            let items = snapshot.devices.iter().map(device).collect();
            Reply::good(9, format!("{devices} GPU(s)"), "DEVS", items)
        }
        "pools" if pools == 0 => Reply::bad(8, "No pools"),
        "pools" => {
            let items = snapshot.sources.iter().map(pool).collect();
            Reply::good(7, format!("{pools} Pool(s)"), "POOLS", items)
        }
        "config" => {
            let os = std::env::consts::OS;
            let item = json!({ "GPU Count": devices, "Pool Count": pools, "OS": os });
            Reply::good(33, "CGMiner config", "CONFIG", vec![item])
        }
        command if PRIVILEGED.contains(&command) => {
            Reply::bad(45, format!("Access denied to '{command}' command"))
        }
        _ => Reply::bad(14, "Invalid command"),
    }
}

fn summary(snapshot: &Snapshot) -> Value {
    let (run, shares, hashes) = (&snapshot.run, &snapshot.shares, &snapshot.hashes);
    let found: f64 = snapshot.sources.iter().map(|source| real(source.shares.blocks)).sum();
    json!({
        "Elapsed": run.uptime_seconds.floor(),
        "MHS av": mega(run.hashes_per_second.all),
        "MHS 5s": mega(run.hashes_per_second.now),
        "MHS 1m": mega(run.hashes_per_second.one_minute),
        "MHS 15m": mega(run.hashes_per_second.fifteen_minutes),
        "Found Blocks": found,
        "Accepted": shares.accepted,
        "Rejected": shares.rejected,
        "Stale": shares.stale,
        "Hardware Errors": hashes.wrong,
        "Utility": per(real(shares.accepted) * 60.0, run.uptime_seconds),
        "Total MH": real(hashes.scanned) / 1e6,
        "Difficulty Accepted": shares.accepted_difficulty,
        "Difficulty Rejected": shares.rejected_difficulty,
        "Difficulty Stale": shares.stale_difficulty,
        "Best Share": snapshot.best_share_difficulty,
        "Device Hardware%": percent(hashes.wrong, hashes.wrong + hashes.candidates),
        "Pool Rejected%": percent(shares.rejected, shares.accepted + shares.rejected + shares.stale),
        "Pool Stale%": percent(shares.stale, shares.accepted + shares.rejected + shares.stale),
    })
}

fn device(device: &Device) -> Value {
    let sensors = &device.sensors;
    json!({
        "GPU": device.device,
        "Name": device.name,
        "Enabled": if device.health == Health::Gone { "N" } else { "Y" },
        "Status": match device.health {
            Health::Well => "Alive",
            Health::Sick => "Sick",
            Health::Away | Health::Gone => "Dead",
        },
        "Temperature": sensors.temperature_celsius,
        "Fan Percent": sensors.fan_percent,
        "GPU Clock": sensors.clock_mhz,
        "Memory Clock": sensors.memory_clock_mhz,
        "GPU Activity": sensors.load_percent,
        "MHS av": mega(device.hashes_per_second.all),
        "MHS 5s": mega(device.hashes_per_second.now),
        "MHS 1m": mega(device.hashes_per_second.one_minute),
        "MHS 15m": mega(device.hashes_per_second.fifteen_minutes),
        "Hardware Errors": device.wrong_hits,
        "Total MH": real(device.scanned_hashes) / 1e6,
        "Device Hardware%": percent(device.wrong_hits, device.wrong_hits + device.candidates),
    })
}

fn pool(source: &Source) -> Value {
    let shares = &source.shares;
    let judged = shares.accepted + shares.rejected + shares.stale;
    let is_stratum = source.name.starts_with("stratum");
    json!({
        "POOL": source.source,
        "URL": source.name,
        "Status": match source.state {
            Link::Ready | Link::Mining => "Alive",
            Link::Standby | Link::Removed => "Disabled",
            Link::Connecting | Link::NoWork | Link::Down => "Dead",
        },
        "Priority": source.place,
        "Accepted": shares.accepted,
        "Rejected": shares.rejected,
        "Stale": shares.stale,
        "Last Share Time": source.accepted_unix_seconds.map(f64::floor),
        "Difficulty Accepted": shares.accepted_difficulty,
        "Difficulty Rejected": shares.rejected_difficulty,
        "Difficulty Stale": shares.stale_difficulty,
        "Work Difficulty": source.difficulty,
        "Has Stratum": is_stratum,
        "Stratum Active": is_stratum && source.state == Link::Mining,
        "Best Share": source.best_share_difficulty,
        "Pool Rejected%": percent(shares.rejected, judged),
        "Pool Stale%": percent(shares.stale, judged),
    })
}

fn object(reply: &Reply, snapshot: &Snapshot) -> Value {
    let mut object = json!({
        "STATUS": [{
            "STATUS": letter(reply),
            "When": snapshot.run.unix_seconds.floor(),
            "Code": reply.code,
            "Msg": reply.message,
            "Description": program(snapshot),
        }],
        "id": 1,
    });
    if let Some((name, items)) = &reply.section {
        object[name] = json!(items);
    }
    object
}

fn text(reply: &Reply, snapshot: &Snapshot) -> String {
    let mut text = format!(
        "STATUS={},When={:.0},Code={},Msg={},Description={}|",
        letter(reply),
        snapshot.run.unix_seconds.floor(),
        reply.code,
        plain(&reply.message),
        program(snapshot),
    );
    if let Some((name, items)) = &reply.section {
        for item in items {
            // An item of a list begins with its number, any other with its name.
            let (begin, number) = match *name {
                "DEVS" => ("", "GPU"),
                "POOLS" => ("", "POOL"),
                name => (name, ""),
            };
            let mut fields: Vec<(&String, &Value)> = item.iter().collect();
            fields.sort_by_key(|(key, _)| *key != number);
            let fields = fields.into_iter().map(|(key, value)| format!("{key}={}", field(value)));
            let begin = (!begin.is_empty()).then(|| begin.to_owned());
            text += &begin.into_iter().chain(fields).collect::<Vec<_>>().join(",");
            text.push('|');
        }
    }
    text
}

fn field(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Bool(is) => if *is { "true" } else { "false" }.to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() != 0.0 => format!("{float:.4}"),
            Some(float) if number.is_f64() => format!("{float:.0}"),
            _ => number.to_string(),
        },
        value => value.to_string(),
    }
}

/// Text without what separates fields, and without what could move a cursor.
fn plain(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '|' | ',' | '=' | '\\');
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

fn letter(reply: &Reply) -> &'static str {
    if reply.is_good { "S" } else { "E" }
}

fn program(snapshot: &Snapshot) -> String {
    format!("adit {}", snapshot.run.version)
}

fn mega(rate: Option<f64>) -> Option<f64> {
    rate.map(|rate| (rate / 10.0).round() / 1e5)
}

fn percent(part: u64, whole: u64) -> f64 {
    per(real(part) * 100.0, real(whole))
}

fn per(value: f64, whole: f64) -> f64 {
    if whole > 0.0 { (value / whole * 1e4).round() / 1e4 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "shown with some digits")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
