//! Whom the program speaks to: in a network of its own, where every call of it is written down.

use std::collections::BTreeSet;

use assert_cmd::Command;

use crate::{ADIT, GENESIS, LIMIT, ledger};

/// The pool and the name server of egress.sh.
const POOL: &str = "198.51.100.7:3333";
const NAME_SERVER: &str = "192.0.2.53:53";

/// An address that no route leads to.
const STRANGER: &str = "203.0.113.9:8080";

const MINE: [&str; 5] = ["mine", "--device", "cpu", "--plain", "--user=worker"];
const SHOWN: [&str; 2] = ["--http", "127.0.0.1:8080"];

/// What a program did to the network.
struct Seen {
    /// Each `address:port` that it connected or sent to.
    addresses: BTreeSet<String>,
    /// How often the kernel found no route for anything in this network.
    without_route: u64,
    said: String,
}

/// Whether this machine has what that takes. Either way it is noted in the ledger.
fn has_network(test: &str) -> bool {
    let Err(why) = inside("probe", &[]) else {
        ledger::ran(&format!("egress::{test}"));
        return true;
    };
    let why = why.lines().last().unwrap_or("it says nothing");
    ledger::skipped(
        &format!("egress::{test}"),
        &format!("no network of its own with strace: {why}"),
    );
    false
}

fn watched(what: &str, arguments: &[&str]) -> Seen {
    inside(what, &[&[ADIT], arguments].concat()).unwrap_or_else(|why| panic!("{why}"))
}

/// Runs what egress.sh knows, in new namespaces.
fn inside(what: &str, arguments: &[&str]) -> Result<Seen, String> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("settings.toml"), "").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount"]);
    // Nothing in it outlives the test.
    command.args(["--pid", "--fork", "--kill-child"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/egress.sh");
    command.arg("bash").arg(script).arg(folder).arg(what).args(arguments).timeout(LIMIT);
    // Neither a display nor a proxy that somebody has in the environment.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("ADIT_CONFIG", folder.join("settings.toml"));
    for name in ["ADIT_CACHE_DIR", "ADIT_STATE_DIR", "ADIT_BENCH_DIR"] {
        command.env(name, folder);
    }
    let output = command.output().map_err(|error| format!("unshare: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}{}", text(&output.stdout), text(&output.stderr)));
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let without_route = without_route(&read("counted")).unwrap();
    Ok(Seen { addresses: addresses(&read("trace")), without_route, said: text(&output.stdout) })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whom the calls in what strace wrote were for. What has an address of a kind that is not known here counts too.
fn addresses(trace: &str) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    for line in trace.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let calls = ["connect(", "sendto(", "sendmsg(", "sendmmsg("];
        if !calls.iter().any(|name| call.starts_with(name)) {
            continue;
        }
        // A message to whom the socket is connected to has no address.
        let mut parts = call.split("sa_family=");
        if call.starts_with("connect(") && parts.clone().count() < 2 {
            addresses.insert(call.to_owned());
        }
        parts.next();
        addresses.extend(parts.filter_map(address));
    }
    addresses
}

/// `None` for what stays within the machine's kernel and programs.
fn address(said: &str) -> Option<String> {
    let family = said.split([',', '}']).next().unwrap_or_default();
    let after = |mark: &str, end: char| said.split_once(mark)?.1.split(end).next();
    let port = after("htons(", ')').unwrap_or("?");
    match family {
        "AF_UNIX" | "AF_NETLINK" | "AF_UNSPEC" => None,
        "AF_INET" => Some(format!("{}:{port}", after("inet_addr(\"", '"').unwrap_or("?"))),
        "AF_INET6" => Some(format!("[{}]:{port}", after("AF_INET6, \"", '"').unwrap_or("?"))),
        other => Some(other.to_owned()),
    }
}

/// From /proc/net/snmp, which has names and values in lines below each other, and /proc/net/snmp6.
fn without_route(counted: &str) -> Option<u64> {
    let mut ip = counted.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (ip.next()?, ip.next()?);
    let old = names.split(' ').position(|name| name == "OutNoRoutes")?;
    let old: u64 = values.split(' ').nth(old)?.parse().ok()?;
    // Not there in a kernel without IPv6.
    let new = counted.lines().find_map(|line| line.strip_prefix("Ip6OutNoRoutes"));
    Some(old + new.map_or(Some(0), |value| value.trim().parse().ok())?)
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

#[test]
fn a_run_speaks_to_its_pool_and_the_name_server_only() {
    let sources = [
        "--source=stratum+tcp://elsewhere.adit.test:3333",
        "--source=stratum+tcp://pool.adit.test:3333",
    ];
    if !has_network("a_run_speaks_to_its_pool_and_the_name_server_only") {
        return;
    }
    let seen = watched("mine", &[&MINE[..], &SHOWN, &sources].concat());
    // It mined and was looked at.
    assert!(seen.said.matches("share of difficulty").count() >= 2, "{}", seen.said);
    assert_eq!(seen.said.matches("HTTP/1.1 200 OK").count(), 4, "{}", seen.said);
    assert_eq!((seen.addresses, seen.without_route), (set(&[POOL, NAME_SERVER]), 0));
}

/// Without this the test above could be blind.
#[test]
fn whoever_else_is_spoken_to_would_be_seen() {
    let hook = format!("--on-share=http://{STRANGER}/");
    let source = format!("--source=stratum+tcp://{POOL}");
    if !has_network("whoever_else_is_spoken_to_would_be_seen") {
        return;
    }
    let seen = watched("mine", &[&MINE[..], &SHOWN, &[&source, &hook]].concat());
    assert_eq!(seen.addresses, set(&[POOL, STRANGER]));
    assert!(seen.without_route > 0, "the kernel counts it too");
}

#[test]
fn commands_without_a_source_speak_to_nobody() {
    if !has_network("commands_without_a_source_speak_to_nobody") {
        return;
    }
    for arguments in [
        &["verify", GENESIS][..],
        &["mine", "--device", "cpu", "--source", "replay:", "--blocks", "1"],
        &["bench", "--device", "cpu", "--hashes", "2M", "--openings", "1"],
    ] {
        let seen = watched("command", arguments);
        assert!(!seen.said.is_empty(), "{arguments:?}");
        assert_eq!((seen.addresses, seen.without_route), (set(&[]), 0), "{arguments:?}");
    }
}

#[test]
fn addresses_are_read_from_calls() {
    let trace = r#"25    connect(17, {sa_family=AF_INET, sin_port=htons(3333), sin_addr=inet_addr("198.51.100.7")}, 16) = -1 EINPROGRESS
7 connect(3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28 <unfinished ...>
7 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0
7 connect(3, 0x7ff0, 16) = -1 EFAULT
7 sendto(4, "hello", 5, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}, 16) = 5
7 sendto(4, "hello", 5, 0, NULL, 0) = 5
7 sendmmsg(9, [{msg_hdr={msg_name={sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("10.0.0.1")}}}, {msg_hdr={msg_name={sa_family=AF_VSOCK, svm_cid=2}}}], 2, 0) = 2
7 sendto(5, [{nlmsg_len=20}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 20
7 accept4(6, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("10.9.9.9")}, [16], 0) = 7"#;
    let expected = [
        "10.0.0.1:1",
        "192.0.2.53:53",
        "198.51.100.7:3333",
        "AF_VSOCK",
        "[2001:db8::1]:80",
        "connect(3, 0x7ff0, 16) = -1 EFAULT",
    ];
    assert_eq!(addresses(trace), set(&expected));
    let counted =
        "Ip: Forwarding OutNoRoutes\nIp: 2 3\nIcmp: InMsgs\nIcmp: 0\nIp6OutNoRoutes    \t4\n";
    assert_eq!(without_route(counted), Some(7));
}
