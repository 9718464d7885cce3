//! What users write, and what a run wrote to its disk.

use adit::chain::{self, sha256d};
use adit::cli::check_settings;
use adit::runtime::share_log::{Trouble, check};
use adit::source::location::{self, Fingerprint, Location, Proxy};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{CompactTarget, Target, block::Header};

use super::reach;

/// What `adit verify` and `adit scan` take: a header in hex, a target, bits, a difficulty.
pub fn header(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for line in text.lines() {
        if let Ok(header) = chain::parse_header(line) {
            reach("a header");
            let bytes = <[u8; chain::HEADER_LEN]>::from_hex(line.trim()).expect("80 bytes in hex");
            assert_is_header(&bytes, &header);
        }
        if let Ok(target) = chain::parse_target(line) {
            assert_is_target(target);
        }
        if let Ok(difficulty) = line.trim().parse() {
            chain::target_of_difficulty(difficulty).map(assert_is_target).ok();
        }
    }
    if let Some(bytes) = input.first_chunk() {
        assert_is_header(bytes, &chain::header_from_bytes(bytes));
    }
    if let Some(bytes) = input.first_chunk() {
        let bits = CompactTarget::from_consensus(u32::from_le_bytes(*bytes));
        chain::decode_bits(bits).map(assert_is_target).ok();
    }
}

/// The `bitcoin` crate reads it alike.
fn assert_is_header(bytes: &[u8; chain::HEADER_LEN], header: &Header) {
    assert_eq!(deserialize::<Header>(bytes).ok().as_ref(), Some(header));
    assert_eq!(chain::header_bytes(header), *bytes);
    assert_eq!(serialize(header), bytes);
    let hash = chain::block_hash(header);
    assert_eq!(hash, header.block_hash());
    if let Ok(target) = chain::decode_bits(header.bits) {
        assert_eq!(target, header.target(), "{:?}", header.bits);
        let is_block = chain::meets(&hash, &target);
        assert_eq!(is_block, header.validate_pow(target).is_ok());
        if is_block {
            reach("a block");
        }
    }
}

fn assert_is_target(target: Target) {
    reach("a target");
    assert_ne!(target, Target::ZERO, "no hash could meet it");
    assert!(chain::difficulty(&target) > 0.0);
    assert_eq!(chain::parse_target(&format!("{target:064x}")), Ok(target));
    let zeros = chain::leading_zero_bits(&target);
    assert_eq!(zeros, 256 - bits_of(&target.to_be_bytes()));
}

/// Bits of a big-endian number.
fn bits_of(bytes: &[u8]) -> u32 {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let whole = u32::try_from(8 * (bytes.len() - first)).expect("few");
    whole - bytes.get(first).map_or(0, |byte| byte.leading_zeros())
}

/// No part of another text has it.
const PASSWORD: &str = "hunter2-Nightingale";

/// What follows `--source`, `--proxy` and `tls-fingerprint=`.
pub fn location(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match text.parse::<Location>() {
        Ok(location) => assert_is_location(&location),
        Err(error) => {
            reach("none");
            assert!(!error.to_string().is_empty());
        }
    }
    if let Ok(proxy) = text.parse::<Proxy>() {
        reach("a proxy");
        assert!(proxy.port > 0 && !proxy.host.is_empty());
        let again: Proxy = proxy.to_string().parse().expect("it is shown as it is typed");
        assert_eq!((again.host, again.port), (proxy.host, proxy.port));
    }
    if let Ok(pin) = text.parse::<Fingerprint>() {
        reach("a fingerprint");
        assert_eq!(pin.to_string().parse(), Ok(pin));
    }
    assert_tells_no_password(&text);
}

fn assert_is_location(location: &Location) {
    let (host, port, user) = match location {
        Location::Replay => return reach("replay"),
        Location::Stratum(at) => (&at.host, at.port, &at.user),
        Location::Node(at) => (&at.host, at.port, &at.user),
    };
    reach(if matches!(location, Location::Node(_)) { "a node" } else { "a pool" });
    assert!(!host.is_empty() && host.len() <= 253 && port > 0, "{location:?}");
    assert!(!host.contains(['/', '@', '?', '#', '\\', ' ']), "{location:?}");
    // A user may have marks that would have to be written as %XX.
    if user.as_ref().is_none_or(|user| user.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        let again: Location = location.to_string().parse().expect("it is shown as it is typed");
        assert_eq!(again.to_string(), location.to_string());
    }
}

/// A password in any source or proxy is neither repeated by an error nor shown.
fn assert_tells_no_password(text: &str) {
    let (user, rest) = text.split_once('\n').unwrap_or(("worker", text));
    for scheme in ["stratum+tcp", "gbt+http", "socks5", "http"] {
        let typed = format!("{scheme}://{user}:{PASSWORD}@{rest}");
        let said = match typed.parse::<Location>() {
            // With a mark before it, it is no password but part of an option.
            Ok(_) if user.contains(['?', '#', '/', '\\']) => String::new(),
            Ok(location) => format!("{location} {location:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!said.contains(PASSWORD), "{said}");
        let said = match typed.parse::<Proxy>() {
            Ok(proxy) => format!("{proxy} {proxy:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!said.contains(PASSWORD), "{said}");
        for shown in [location::shown(&typed), location::without_secrets(&typed)] {
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
}

/// What follows `--payout-address` and `--require-payout`.
pub fn address(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match chain::payout::parse_address(&text, None) {
        Ok(payout) => {
            reach("an address");
            let chain = payout.chain();
            assert_eq!(payout.check(chain), Ok(()), "{text}");
            assert!(!payout.script.is_empty() && !payout.script.is_op_return(), "{text}");
            let again = chain::payout::parse_address(&text, Some(chain));
            assert_eq!(again.map(|again| again.script), Ok(payout.script));
        }
        Err(error) => {
            reach("none");
            assert!(error.to_string().len() < 2000, "{error}");
        }
    }
    if let Ok(rule) = text.parse::<chain::payout::PayoutRule>() {
        reach("a rule");
        let nobody = chain::payout::Coinbase { height: None, tag: String::new(), outputs: vec![] };
        assert!(rule.check(&nobody).is_err(), "nothing pays nobody");
    }
}

/// adit.toml.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Err(failure) = check_settings(&text) else { return reach("settings") };
    assert_eq!(failure.exit.code(), 2);
    let lines: Vec<&str> = failure.message.lines().collect();
    assert!((1..=21).contains(&lines.len()), "{}", failure.message);
    reach(if lines.len() > 1 { "many mistakes" } else { "one mistake" });
    let is_shown = |c: char| c == '\n' || !c.is_control();
    assert!(failure.message.chars().all(is_shown), "{:?}", failure.message);
}

/// The share log of a run, as it is and with its checksums made right.
pub fn share_log(input: &[u8]) {
    assert_is_checked(input);
    assert_is_checked(&sealed(input));
}

/// The text with the checksum that each line should have, so that more than checksums is tried.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mark = ",\"sum\":\"";
    let mut whole = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        match text.rsplit_once(mark) {
            Some((text, _)) => {
                let sum = sha256d(format!("{text}}}").as_bytes())[..8].to_lower_hex_string();
                whole.extend_from_slice(format!("{text}{mark}{sum}\"}}\n").as_bytes());
            }
            None => whole.extend_from_slice(line),
        }
    }
    whole
}

fn assert_is_checked(mut log: &[u8]) {
    let lines = log.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let (mut torn, mut corrupt, mut wrong) = (0, 0, 0);
    let checked = check(&mut log, |_, trouble| match trouble {
        Trouble::Torn => torn += 1,
        Trouble::Corrupt(_) => corrupt += 1,
        Trouble::Wrong(_) => wrong += 1,
    });
    let checked = checked.expect("memory can be read");
    assert_eq!((checked.torn, checked.corrupt, checked.wrong), (torn, corrupt, wrong));
    assert_eq!(checked.lines, lines);
    for (number, place) in [
        (checked.right, "right"),
        (wrong, "wrong"),
        (corrupt, "corrupt"),
        (torn, "torn"),
        (checked.open, "open"),
        (checked.verdicts.len() as u64, "verdict"),
    ] {
        if number > 0 {
            reach(place);
        }
    }
    let verdicts: u64 = checked.verdicts.values().sum();
    let found = checked.right + checked.wrong;
    assert!(verdicts + checked.open <= found, "{checked:?}");
    assert!(checked.runs + found + checked.of_earlier <= lines, "{checked:?}");
}
